//! Which tenants are there?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::work::Work;
use carillon_protocol::{Seq, TenantId};

/// A tenant of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTenant {
    /// Its name.
    pub tenant: TenantId,
    /// Since when it is there.
    pub created_at: jiff::Timestamp,
    /// Of its newest event; zero: there was none.
    pub head: Seq,
    /// Its limits as JSON; none: none.
    pub limits: Option<String>,
    /// Whether it may do nothing for now.
    pub suspended: bool,
}

const LIST: &str =
    "SELECT tenant, created_at, head, limits, suspended FROM carillon.list_tenants($1, $2, $3)";

impl Log {
    /// Tenants by name, those behind `after`, `most` of them; of all or of those that are suspended.
    pub async fn tenants(
        &self,
        after: &str,
        most: usize,
        only_suspended: bool,
    ) -> Result<Vec<ListedTenant>, LogError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let rows = exchange(self.client(Work::Ask, "tenants").await?, async |client| {
            let statement = client.prepare_cached(LIST).await?;
            Ok(client.query(&statement, &[&after, &most, &only_suspended]).await?)
        })
        .await?;
        let read = |row: &tokio_postgres::Row| {
            let tenant = TenantId::new(row.get::<_, &str>("tenant"))
                .map_err(|error| LogError::Database(error.to_string()))?;
            Ok(ListedTenant {
                tenant,
                created_at: row.get("created_at"),
                head: Seq(row.get::<_, i64>("head") as u64),
                limits: row.get("limits"),
                suspended: row.get("suspended"),
            })
        };
        rows.iter().map(read).collect()
    }
}
