//! How much may each tenant have and do, and which are suspended, as it was set? And how many notices has it sent today?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::read::signed;
use super::scope::{scoped, scoped_as};
use super::work::Work;
use carillon_protocol::{Epoch, Seq, TenantId};

/// The limits of a tenant as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLimits {
    /// Whose.
    pub tenant: TenantId,
    /// As JSON; none: none.
    pub limits: Option<String>,
    /// Whether it may do nothing for now.
    pub suspended: bool,
    /// The settings version that they came with.
    pub version: u64,
}

/// A tenant's notices after a seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticesStored {
    /// The life of the log in which they are counted.
    pub epoch: Epoch,
    /// The day that it is, by the database's clock: days since 1970, in UTC.
    pub day: i64,
    /// Seconds until the next one.
    pub rest: u64,
    /// How many of them were stored today.
    pub today: u64,
    /// The newest of them; none: there are none.
    pub newest: Option<Seq>,
}

/// The version moves with them.
const SET: &str = "
WITH moved AS (
    UPDATE carillon.tenants SET settings_version = carillon.next_version(settings_version)
    WHERE id = $1 RETURNING id, settings_version)
INSERT INTO carillon.tenant_limits (tenant_id, limits, version) SELECT id, $2::text::jsonb, settings_version FROM moved
ON CONFLICT (tenant_id) DO UPDATE SET limits = excluded.limits, version = excluded.version
RETURNING tenant_id";
const SUSPEND: &str = "
WITH moved AS (
    UPDATE carillon.tenants SET settings_version = carillon.next_version(settings_version)
    WHERE id = $1 RETURNING id, settings_version),
set AS (
    INSERT INTO carillon.tenant_limits (tenant_id, suspended, version) SELECT id, $2, settings_version FROM moved
    ON CONFLICT (tenant_id) DO UPDATE SET suspended = excluded.suspended, version = excluded.version
    RETURNING tenant_id),
rested AS (
    -- A webhook that failed before has not failed since: nothing was sent.
    UPDATE carillon.webhooks SET failing_since = NULL
    WHERE tenant_id = $1 AND NOT $2::boolean AND failing_since IS NOT NULL)
SELECT tenant_id FROM set";
/// Of the notices after a seq at most so many, the newest. Seqs of a tenant become visible in their order, so none comes later with a
/// seq that was passed.
const NOTICES: &str = "
SELECT t.epoch, d.day, d.rest, count(n.seq) FILTER (WHERE n.at >= d.begun) AS today, max(n.seq) AS newest
FROM carillon.tenants t
    CROSS JOIN (SELECT b.begun, extract(epoch FROM b.begun)::bigint / 86400 AS day,
        ceil(extract(epoch FROM b.begun + interval '24 hours' - now()))::bigint AS rest
        FROM (SELECT date_trunc('day', now(), 'UTC') AS begun) AS b) AS d
    LEFT JOIN LATERAL (SELECT n.seq, n.at FROM carillon.notices n
        WHERE n.tenant_id = $1 AND n.seq > $2 ORDER BY n.seq DESC LIMIT $3) AS n ON true
WHERE t.id = $1 GROUP BY t.epoch, d.day, d.rest";
const SINCE: &str = "SELECT tenant, limits, suspended, version FROM carillon.tenant_limits_since($1)";

impl Log {
    /// Sets a tenant's limits (JSON), or that it has none. False if there is no such tenant.
    pub async fn set_limits(&self, tenant: &TenantId, limits: Option<&str>) -> Result<bool, LogError> {
        let name = tenant.as_str();
        let client = self.client(Work::Ask, "limits").await?;
        let rows =
            scoped_as(client, std::iter::once(name), self.actor.as_deref(), SET, &[&name, &limits]).await?;
        Ok(!rows.is_empty())
    }

    /// Suspends a tenant, or lifts that. False if there is no such tenant.
    pub async fn set_suspended(&self, tenant: &TenantId, suspended: bool) -> Result<bool, LogError> {
        let name = tenant.as_str();
        let client = self.client(Work::Ask, "suspension").await?;
        let actor = self.actor.as_deref();
        let rows = scoped_as(client, std::iter::once(name), actor, SUSPEND, &[&name, &suspended]).await?;
        Ok(!rows.is_empty())
    }

    /// How many notices a tenant has stored after a seq, as far as `most`. None: there is no such tenant.
    pub async fn notices_since(
        &self,
        tenant: &TenantId,
        after: Seq,
        most: u32,
    ) -> Result<Option<NoticesStored>, LogError> {
        let client = self.client(Work::Ask, "notices").await?;
        let (after, most) = (signed(after), i64::from(most));
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&tenant.as_str(), &after, &most];
        let rows = scoped(client, std::iter::once(tenant), NOTICES, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch = Epoch::new(row.get::<_, &str>("epoch"))
            .map_err(|error| LogError::Database(format!("a tenant's epoch: {error}")))?;
        let number = |name: &str| row.get::<_, i64>(name);
        Ok(Some(NoticesStored {
            epoch,
            day: number("day"),
            rest: number("rest").max(1) as u64,
            today: number("today") as u64,
            newest: row.get::<_, Option<i64>>("newest").map(|seq| Seq(seq as u64)),
        }))
    }

    /// What was set of this for any tenant after a version.
    pub async fn limits_since(&self, version: u64) -> Result<Vec<StoredLimits>, LogError> {
        let rows = exchange(self.client(Work::Ask, "limits").await?, async |client| {
            let statement = client.prepare_cached(SINCE).await?;
            Ok(client.query(&statement, &[&(version as i64)]).await?)
        })
        .await?;
        let read = |row: &tokio_postgres::Row| {
            let tenant = TenantId::new(row.get::<_, &str>("tenant"))
                .map_err(|error| LogError::Database(error.to_string()))?;
            let version = row.get::<_, i64>("version") as u64;
            Ok(StoredLimits { tenant, limits: row.get("limits"), suspended: row.get("suspended"), version })
        };
        rows.iter().map(read).collect()
    }
}
