//! How long is each log, and which life does it have?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::scoped;
use carillon_protocol::{Epoch, Seq, TenantId};
use tokio_postgres::Row;

/// Where a tenant's log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose log.
    pub tenant: TenantId,
    /// Its life.
    pub epoch: Epoch,
    /// Its newest event; zero when empty.
    pub seq: Seq,
}

/// The heads of the scope: the policy itself is the index condition.
const HEADS: &str = "SELECT id, epoch, head FROM carillon.tenants";
const OPEN: &str = "SELECT epoch, head FROM carillon.open_tenant($1, $2)";
const ROTATE: &str = "SELECT epoch, head FROM carillon.rotate_epoch($1, $2)";
/// Merges the newest partition indexes, so it reads one row of each.
const OLDEST: &str = "SELECT seq FROM carillon.events WHERE tenant_id = $1 ORDER BY seq LIMIT 1";

impl Log {
    /// The heads of `tenants`, in one query whatever their number. Unknown tenants are left out.
    pub async fn heads(&self, tenants: &[TenantId]) -> Result<Vec<Head>, LogError> {
        let rows = scoped(self.client("heads").await?, tenants.iter(), HEADS, &[]).await?;
        rows.iter()
            .map(|row| {
                let tenant = TenantId::new(row.get::<_, &str>("id"))
                    .map_err(|error| LogError::Database(error.to_string()))?;
                head(tenant, row)
            })
            .collect()
    }

    /// A tenant's head. With `create` a tenant that was never used begins now; without, it is `None`.
    pub async fn open_tenant(&self, tenant: &TenantId, create: bool) -> Result<Option<Head>, LogError> {
        let rows = exchange(self.client("open").await?, async |client| {
            let open = client.prepare_cached(OPEN).await?;
            Ok(client.query(&open, &[&tenant.as_str(), &create]).await?)
        })
        .await?;
        rows.first().map(|row| head(tenant.clone(), row)).transpose()
    }

    /// Ends the life `old` of a tenant's log, because its end was lost. Answers the life it has now, also when
    /// somebody else was quicker.
    pub async fn rotate_epoch(&self, tenant: &TenantId, old: &Epoch) -> Result<Option<Head>, LogError> {
        let rows = exchange(self.client("rotate").await?, async |client| {
            let rotate = client.prepare_cached(ROTATE).await?;
            Ok(client.query(&rotate, &[&tenant.as_str(), &old.as_str()]).await?)
        })
        .await?;
        rows.first().map(|row| head(tenant.clone(), row)).transpose()
    }

    /// The oldest event that retention has left, if any.
    pub async fn oldest(&self, tenant: &TenantId) -> Result<Option<Seq>, LogError> {
        let scope = std::iter::once(tenant);
        let rows = scoped(self.client("oldest").await?, scope, OLDEST, &[&tenant.as_str()]).await?;
        Ok(rows.first().map(|row| Seq(row.get::<_, i64>("seq") as u64)))
    }
}

fn head(tenant: TenantId, row: &Row) -> Result<Head, LogError> {
    let epoch =
        Epoch::new(row.get::<_, &str>("epoch")).map_err(|error| LogError::Database(error.to_string()))?;
    Ok(Head { tenant, epoch, seq: Seq(row.get::<_, i64>("head") as u64) })
}
