//! Whom does this ticket let in, once?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::work::Work;
use carillon_protocol::{TenantId, UserId};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const ISSUE: &str = "SELECT carillon.issue_ticket($1, $2, $3, $4::text::jsonb, $5, $6)";
const REDEEM: &str = "SELECT carillon.redeem_ticket($1)";
const FORGET: &str = "SELECT carillon.forget_tickets($1)";

impl Log {
    /// Stores a ticket by its hash, with whom it lets in. False if the person has `most` already that nobody has used.
    pub async fn issue_ticket(
        &self,
        hash: &[u8],
        (tenant, user): (&TenantId, &UserId),
        identity: &str,
        lasts: Duration,
        most: u32,
    ) -> Result<bool, LogError> {
        let (seconds, most) = (lasts.as_secs() as i32, most as i32);
        let (tenant, user) = (tenant.as_str(), user.as_str());
        let row = self.one(Work::Ask, ISSUE, &[&hash, &tenant, &user, &identity, &seconds, &most]).await?;
        Ok(row.get(0))
    }

    /// Takes a ticket: whom it lets in, as it was stored. None if there is none, its time is over, or it was taken before. The row is
    /// gone when this answers, so of all who bring it one gets in.
    pub async fn redeem_ticket(&self, hash: &[u8]) -> Result<Option<String>, LogError> {
        Ok(self.one(Work::Ask, REDEEM, &[&hash]).await?.get(0))
    }

    /// Forgets at most `most` tickets whose time is over, and says how many.
    pub async fn forget_tickets(&self, most: u32) -> Result<u64, LogError> {
        Ok(self.one(Work::Upkeep, FORGET, &[&(most as i32)]).await?.get::<_, i64>(0) as u64)
    }

    async fn one(&self, work: Work, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, LogError> {
        exchange(self.client(work, "ticket").await?, async |client| {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query_one(&statement, params).await?)
        })
        .await
    }
}
