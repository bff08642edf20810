//! How much may each tenant have and do, and which are suspended, as it was set?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::scoped_as;
use super::work::Work;
use carillon_protocol::TenantId;

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
