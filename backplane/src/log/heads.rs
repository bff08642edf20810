//! How long is each log, and which epoch is it in?

use super::days::{Days, Moment};
use super::error::LogError;
use super::pool::{Log, exchange};
use super::read::signed;
use super::scope::scoped;
use super::settings;
use super::work::Work;
use carillon_protocol::{Began, Epoch, Epochs, Seq, SettingsVersion, Tag, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Where a tenant's log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose log.
    pub tenant: TenantId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its newest event; zero when empty.
    pub seq: Seq,
    /// That event's tag, if it is known.
    pub tag: Option<Tag>,
}

/// What the watch finds of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Where its log ends.
    pub head: Head,
    /// Of which version its settings are.
    pub settings: SettingsVersion,
}

/// A tenant's log as one server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where it ends.
    pub head: Head,
    /// Its epochs.
    pub epochs: Epochs,
    /// Whether that server can write. One in recovery may be behind: what it does not know proves nothing.
    pub writable: bool,
}

/// The heads of the scope: the policy itself is the index condition.
const HEADS: &str = "
SELECT id, epoch, head, CASE WHEN tag_seq = head THEN tag ELSE 0 END AS tag, settings_version,
    (SELECT settings_version FROM carillon.installation) AS defaults_version
FROM carillon.tenants";
const OPEN: &str = "SELECT epoch, head, tag, writable, epochs, began_after FROM carillon.open_tenant($1, $2)";
const END: &str = "SELECT carillon.end_epoch($1, $2, $3, $4, $5, $6) AS ended";
const MAINTAIN: &str = "SET LOCAL ROLE carillon_owner; SET LOCAL carillon.maintenance = 'on'";
const NEXT_TENANTS: &str = "SELECT id FROM carillon.tenants WHERE id > $1 ORDER BY id LIMIT $2";
const ROTATE: &str = "SELECT id, epoch, head, 0::bigint AS tag FROM carillon.rotate_epochs($1, $2)";
/// Tenants whose rows one transaction of a rotation locks.
const SLICE: i64 = 500;

impl Log {
    /// The heads of `tenants` and the versions of their settings, in one query whatever their number. Unknown tenants are
    /// left out.
    pub async fn heads(&self, tenants: &[TenantId]) -> Result<Vec<Watched>, LogError> {
        let rows = scoped(self.client(Work::Watch, "heads").await?, tenants.iter(), HEADS, &[]).await?;
        rows.iter()
            .map(|row| {
                let tenant = TenantId::new(row.get::<_, &str>("id"))
                    .map_err(|error| LogError::Database(error.to_string()))?;
                Ok(Watched { head: head(tenant, row)?, settings: settings::version(row) })
            })
            .collect()
    }

    /// A tenant's log. With `create` a tenant that was never used begins now; without, it is `None`. Where the epoch was
    /// given in another lineage than this server's, it is a new one from now on.
    pub async fn open_tenant(&self, tenant: &TenantId, create: bool) -> Result<Option<Opened>, LogError> {
        let rows = exchange(self.client(Work::Ask, "open").await?, async |client| {
            let open = client.prepare_cached(OPEN).await?;
            Ok(client.query(&open, &[&tenant.as_str(), &create]).await?)
        })
        .await?;
        rows.first().map(|row| opened(tenant.clone(), row)).transpose()
    }

    /// Ends the epoch `old` of a tenant's log if the log has lost or changed `delivered`, an event whose tag is `seen`.
    /// True when it has another epoch now, whoever was quicker; false when this server, which looks under the lock,
    /// finds nothing wrong, or cannot write.
    pub async fn end_epoch(
        &self,
        tenant: &TenantId,
        old: &Epoch,
        delivered: Seq,
        seen: Option<Tag>,
    ) -> Result<bool, LogError> {
        // Where it does not stand, nothing is compared: retention may have dropped it.
        let days = self.days_of((Work::Ask, "rotate"), tenant, delivered).await?;
        let [from, to] = days.map_or([Moment::NegInfinity; 2], Days::bounds);
        let row = exchange(self.client(Work::Ask, "rotate").await?, async |client| {
            let end = client.prepare_cached(END).await?;
            let (name, seen) = (tenant.as_str(), Tag::number(seen) as i64);
            let params: [&(dyn ToSql + Sync); 6] =
                [&name, &old.as_str(), &signed(delivered), &seen, &from, &to];
            Ok(client.query_one(&end, &params).await?)
        })
        .await?;
        Ok(row.get("ended"))
    }

    /// Gives this tenant, or each, a new epoch, because the operator knows that its log took the place of another. Cursors
    /// up to the head stay good with `keep`, else none. Answers how many there were. Needs a login that may act as
    /// carillon_owner.
    pub async fn rotate_epochs(&self, tenant: Option<&TenantId>, keep: bool) -> Result<usize, LogError> {
        let mut client = self.client(Work::Ask, "rotate").await?;
        let (mut rotated, mut after) = (0, String::new());
        loop {
            let transaction = client.transaction().await?;
            transaction.batch_execute(MAINTAIN).await?;
            let names: Vec<String> = match tenant {
                Some(tenant) => vec![tenant.as_str().to_owned()],
                None => {
                    let rows = transaction.query(NEXT_TENANTS, &[&after, &SLICE]).await?;
                    rows.iter().map(|row| row.get("id")).collect()
                }
            };
            let changed = transaction.query(ROTATE, &[&names, &keep]).await?.len();
            transaction.commit().await?;
            rotated += changed;
            match names.last() {
                Some(last) if tenant.is_none() => after.clone_from(last),
                _ => return Ok(rotated),
            }
        }
    }
}

fn head(tenant: TenantId, row: &Row) -> Result<Head, LogError> {
    let seq = Seq(row.get::<_, i64>("head") as u64);
    let tag = Tag::from_number(row.get::<_, i64>("tag") as u64);
    Ok(Head { tenant, epoch: epoch(row.get("epoch"))?, seq, tag })
}

fn opened(tenant: TenantId, row: &Row) -> Result<Opened, LogError> {
    let head = head(tenant, row)?;
    let names = row.get::<_, Option<Vec<&str>>>("epochs").unwrap_or_default();
    let ends = row.get::<_, Option<Vec<i64>>>("began_after").unwrap_or_default();
    let known = names
        .into_iter()
        .zip(ends)
        .map(|(name, after)| Ok(Began { epoch: epoch(name)?, after: Seq(after as u64) }));
    let epochs = Epochs::new(&head.epoch, known.collect::<Result<_, LogError>>()?);
    Ok(Opened { head, epochs, writable: row.get("writable") })
}

fn epoch(text: &str) -> Result<Epoch, LogError> {
    Epoch::new(text).map_err(|error| LogError::Database(error.to_string()))
}
