//! Which webhooks send an event, and how far are they?

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;

/// Every webhook of the tenant with its failed delivery of the event, if there is one.
const WEBHOOKS: &str = "
SELECT w.id, w.types, w.channels, w.reason, w.epoch, w.seq, w.created_at, d.state, d.failures,
    CASE WHEN d.state = 'retrying' THEN d.next_at END AS next_at, d.attempts::text AS attempts
FROM carillon.webhooks w
    LEFT JOIN carillon.webhook_deliveries d ON d.tenant_id = w.tenant_id AND d.webhook = w.id AND d.seq = $2
WHERE w.tenant_id = $1 ORDER BY w.id";

/// A webhook and what became of one event at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedWebhook {
    /// Its name.
    pub id: String,
    /// Patterns of the types that it sends; none: all.
    pub types: Vec<String>,
    /// Patterns of the channels whose events it sends; none: all.
    pub channels: Vec<String>,
    /// Why it is disabled; none: it is enabled.
    pub disabled: Option<String>,
    /// In which epoch its cursor counts.
    pub epoch: String,
    /// Everything up to here was delivered, is not wanted or failed.
    pub seq: Seq,
    /// Since when it is there.
    pub created_at: Timestamp,
    /// What failed; none: nothing.
    pub failed: Option<FailedAt>,
}

/// A delivery of the event that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAt {
    /// Whether only a person sends it again.
    pub parked: bool,
    /// How often it failed.
    pub failures: u32,
    /// When it is tried again.
    pub next_at: Option<Timestamp>,
    /// The last attempts, oldest first, as a JSON array.
    pub attempts: String,
}

impl Log {
    /// A tenant's webhooks, each with what failed of an event.
    pub async fn trace_webhooks(&self, tenant: &TenantId, seq: Seq) -> Result<Vec<TracedWebhook>, LogError> {
        let client = self.client(Work::Search, "why").await?;
        let rows =
            scoped(client, std::iter::once(tenant), WEBHOOKS, &[&tenant.as_str(), &signed(seq)]).await?;
        Ok(rows.iter().map(webhook).collect())
    }
}

fn webhook(row: &Row) -> TracedWebhook {
    let failed = row.get::<_, Option<&str>>("state").map(|state| FailedAt {
        parked: state == "parked",
        failures: row.get::<_, i32>("failures") as u32,
        next_at: row.get("next_at"),
        attempts: row.get("attempts"),
    });
    TracedWebhook {
        id: row.get("id"),
        types: row.get("types"),
        channels: row.get("channels"),
        disabled: row.get("reason"),
        epoch: row.get("epoch"),
        seq: Seq(row.get::<_, i64>("seq") as u64),
        created_at: row.get("created_at"),
        failed,
    }
}
