//! Which deliveries failed, and which is sent again?

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use carillon_protocol::{Seq, TenantId};
use jiff::Timestamp;

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Of which event.
    pub seq: Seq,
    /// When it is tried again; none: it is parked.
    pub next_at: Option<Timestamp>,
    /// How often it failed.
    pub failures: u32,
    /// The last attempts, oldest first, as a JSON array.
    pub attempts: String,
    /// The beginning of the last answer's body.
    pub answer: String,
}

const LIST: &str = "
SELECT seq, CASE WHEN state = 'retrying' THEN next_at END AS next_at, failures, attempts::text AS attempts, answer
FROM carillon.webhook_deliveries
WHERE tenant_id = $1 AND webhook = $2 AND seq > $3 AND ($4::text IS NULL OR state = $4) ORDER BY seq LIMIT $5";
const RETRY: &str = "SELECT FROM carillon.retry_webhook_delivery($1, $2, $3) AS again WHERE again";

impl Log {
    /// Deliveries of a webhook that failed, by number, after `after`; of this state only, if one is named.
    pub async fn webhook_deliveries(
        &self,
        tenant: &TenantId,
        id: &str,
        state: Option<&str>,
        after: Seq,
        most: u32,
    ) -> Result<Vec<StoredDelivery>, LogError> {
        let rows = self
            .about_webhooks(tenant, LIST, &[&tenant.as_str(), &id, &signed(after), &state, &i64::from(most)])
            .await?;
        let read = |row: &tokio_postgres::Row| StoredDelivery {
            seq: Seq(row.get::<_, i64>("seq") as u64),
            next_at: row.get("next_at"),
            failures: row.get::<_, i32>("failures") as u32,
            attempts: row.get("attempts"),
            answer: row.get("answer"),
        };
        Ok(rows.iter().map(read).collect())
    }

    /// Sends an event again, now, whose delivery failed. False if there is no such delivery.
    pub async fn retry_webhook_delivery(
        &self,
        tenant: &TenantId,
        id: &str,
        seq: Seq,
    ) -> Result<bool, LogError> {
        let rows = self.about_webhooks(tenant, RETRY, &[&tenant.as_str(), &id, &signed(seq)]).await?;
        Ok(!rows.is_empty())
    }
}
