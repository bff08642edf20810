//! Which webhooks have something to send, and what is needed to send it?

use super::WEBHOOKS;
use crate::log::error::LogError;
use crate::log::pool::{Log, exchange};
use crate::log::projector::{Lag, Slot};
use crate::log::read::signed;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Epoch, Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;

/// Webhooks that are looked at for all tenants together.
const LAGGING: u32 = 500;
/// Every slot there is.
const SLOTS: std::ops::Range<i16> = 0..64;
/// Failed deliveries that are looked at in one go.
const PENDING: i64 = 64;
const EXIST: &str = "SELECT carillon.webhooks_exist() AS exist";
const DUE: &str = "SELECT tenant, id, slot, behind FROM carillon.webhooks_due($1, $2, $3, $4)";
/// What webhooks of the scope have not sent that may be sent now.
const BEHIND: &str = "
SELECT coalesce(sum(greatest(t.head - w.seq, 0)), 0)::bigint AS events
FROM carillon.webhooks w JOIN carillon.tenants t ON t.id = w.tenant_id
WHERE w.tenant_id = $1 AND w.state = 'enabled' AND (w.waits_until IS NULL OR w.waits_until <= clock_timestamp())
    AND NOT EXISTS (SELECT FROM carillon.tenant_limits l WHERE l.tenant_id = w.tenant_id AND l.suspended)";
/// `good` is up to where the cursor's events are those that the log has now.
const OPEN: &str = "
SELECT w.url, w.types, w.channels, w.ordered, w.secret, CASE WHEN w.before_until > now() THEN w.secret_before END AS secret_before,
    w.generation, w.version, w.failing_since, w.epoch = t.epoch AS is_current, t.epoch, t.head,
    least(w.seq, t.head, CASE WHEN w.epoch <> t.epoch THEN carillon.cursor_good_up_to(w.tenant_id, w.epoch) END) AS good,
    (SELECT count(*) FROM carillon.webhook_deliveries d WHERE d.tenant_id = w.tenant_id AND d.webhook = w.id) AS kept,
    (SELECT count(*) FROM carillon.webhook_deliveries d
        WHERE d.tenant_id = w.tenant_id AND d.webhook = w.id AND d.state = 'parked') AS parked
FROM carillon.webhooks w JOIN carillon.tenants t ON t.id = w.tenant_id
WHERE w.tenant_id = $1 AND w.id = $2
    AND ($3 OR (w.state = 'enabled' AND (w.waits_until IS NULL OR w.waits_until <= clock_timestamp())
        AND NOT EXISTS (SELECT FROM carillon.tenant_limits l WHERE l.tenant_id = w.tenant_id AND l.suspended)))";
/// Events that the log has lost are not sent again.
const REWIND: &str = "
WITH moved AS (
    UPDATE carillon.webhooks SET epoch = $4, seq = $5 WHERE tenant_id = $1 AND id = $2 AND generation = $3 RETURNING id)
DELETE FROM carillon.webhook_deliveries d USING moved WHERE d.tenant_id = $1 AND d.webhook = $2 AND d.seq > $5";
/// Those that are due; and of an ordered webhook the one that its cursor waits for.
const PENDING_OF: &str = "
SELECT seq, failures, attempts::text AS attempts FROM carillon.webhook_deliveries
WHERE tenant_id = $1 AND webhook = $2 AND state = 'retrying' AND (next_at <= clock_timestamp() OR seq > $3)
ORDER BY seq LIMIT $4";

/// A webhook that has something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWebhook {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub id: String,
    /// The slot it belongs to.
    pub slot: i16,
    /// Events after its cursor.
    pub behind: u64,
}

/// What is needed to send. It holds secrets, so it has no `Debug`.
pub struct OpenWebhook {
    /// Where to.
    pub url: String,
    /// Patterns of types; none: all.
    pub types: Vec<String>,
    /// Patterns of channels; none: all.
    pub channels: Vec<String>,
    /// Whether an event waits until the one before was delivered.
    pub ordered: bool,
    /// What is signed with, the newest first.
    pub secrets: Vec<String>,
    /// Another after each replay.
    pub generation: i64,
    /// Another after each change by an administrator.
    pub version: i64,
    /// Of the first failed attempt since the last delivery.
    pub failing_since: Option<Timestamp>,
    /// The log's epoch.
    pub epoch: Epoch,
    /// Up to where it has sent.
    pub cursor: Seq,
    /// Where the log ended.
    pub head: Seq,
    /// Deliveries that failed and are kept.
    pub kept: u32,
    /// Of these, those that only a person sends again.
    pub parked: u32,
    /// Failed deliveries that are tried now, by number.
    pub pending: Vec<PendingDelivery>,
}

/// A delivery that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDelivery {
    /// Of which event.
    pub seq: Seq,
    /// How often it failed.
    pub failures: u32,
    /// The last attempts, oldest first, as a JSON array.
    pub attempts: String,
}

impl Log {
    /// Whether any webhook of any tenant is enabled.
    pub async fn webhooks_exist(&self) -> Result<bool, LogError> {
        let row = exchange(self.client(Work::Deliver, "webhooks_exist").await?, async |client| {
            let ask = client.prepare_cached(EXIST).await?;
            Ok(client.query_one(&ask, &[]).await?)
        })
        .await?;
        Ok(row.get("exist"))
    }

    /// Webhooks of these slots that have something to send now, at most `most` in their order, after this one.
    pub async fn webhooks_due(
        &self,
        slots: &[Slot],
        after: Option<&DueWebhook>,
        most: u32,
    ) -> Result<Vec<DueWebhook>, LogError> {
        let numbers: Vec<i16> = slots.iter().map(|slot| slot.number).collect();
        let (tenant, id) = after.map_or(("", ""), |after| (after.tenant.as_str(), after.id.as_str()));
        let most = most as i32;
        let rows = exchange(self.client(Work::Deliver, "webhooks_due").await?, async |client| {
            let ask = client.prepare_cached(DUE).await?;
            Ok(client.query(&ask, &[&numbers, &tenant, &id, &most]).await?)
        })
        .await?;
        let read = |row: &Row| {
            let tenant = TenantId::new(row.get::<_, &str>("tenant"))
                .map_err(|error| LogError::Database(format!("stored tenant: {error}")))?;
            let behind = row.get::<_, i64>("behind") as u64;
            Ok(DueWebhook { tenant, id: row.get("id"), slot: row.get("slot"), behind })
        };
        rows.iter().map(read).collect()
    }

    /// What is needed to send; nothing if it is not to send now. A cursor of another epoch goes back to where that ended.
    pub async fn open_webhook(&self, tenant: &TenantId, id: &str) -> Result<Option<OpenWebhook>, LogError> {
        let Some((mut open, is_current)) = self.webhook_row(tenant, id, false).await? else {
            return Ok(None);
        };
        let good = signed(open.cursor);
        if !is_current {
            let epoch = open.epoch.as_str();
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&tenant.as_str(), &id, &open.generation, &epoch, &good];
            let client = self.client(Work::Deliver, "webhook_rewind").await?;
            scoped(client, std::iter::once(tenant), REWIND, &params).await?;
        }
        if open.kept > open.parked {
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&tenant.as_str(), &id, &good, &PENDING];
            let client = self.client(Work::Deliver, "webhook_pending").await?;
            let rows = scoped(client, std::iter::once(tenant), PENDING_OF, &params).await?;
            let read = |row: &Row| PendingDelivery {
                seq: Seq(row.get::<_, i64>("seq") as u64),
                failures: row.get::<_, i32>("failures") as u32,
                attempts: row.get("attempts"),
            };
            open.pending = rows.iter().map(read).collect();
        }
        Ok(Some(open))
    }

    /// The same for one request by hand, whatever state the webhook is in.
    pub async fn webhook_to_test(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<OpenWebhook>, LogError> {
        Ok(self.webhook_row(tenant, id, true).await?.map(|(open, _)| open))
    }

    async fn webhook_row(
        &self,
        tenant: &TenantId,
        id: &str,
        in_any_state: bool,
    ) -> Result<Option<(OpenWebhook, bool)>, LogError> {
        let client = self.client(Work::Deliver, "webhook_open").await?;
        let rows =
            scoped(client, std::iter::once(tenant), OPEN, &[&tenant.as_str(), &id, &in_any_state]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch = Epoch::new(row.get::<_, &str>("epoch"))
            .map_err(|error| LogError::Database(format!("stored epoch: {error}")))?;
        let number = |name: &str| row.get::<_, i64>(name) as u64;
        let open = OpenWebhook {
            url: row.get("url"),
            types: row.get("types"),
            channels: row.get("channels"),
            ordered: row.get("ordered"),
            secrets: [Some(row.get::<_, String>("secret")), row.get("secret_before")]
                .into_iter()
                .flatten()
                .collect(),
            generation: row.get("generation"),
            version: row.get("version"),
            failing_since: row.get("failing_since"),
            epoch,
            cursor: Seq(number("good")),
            head: Seq(number("head")),
            kept: number("kept") as u32,
            parked: number("parked") as u32,
            pending: Vec::new(),
        };
        Ok(Some((open, row.get("is_current"))))
    }

    /// What webhooks have not sent that may be sent now, of this tenant or of all: not what waits for an endpoint that failed. It has no
    /// age: an endpoint may be as slow as it likes.
    pub async fn webhook_lag(&self, tenant: Option<&TenantId>) -> Result<Lag, LogError> {
        let workers = self.projector_workers(WEBHOOKS).await?;
        if let Some(tenant) = tenant {
            let client = self.client(Work::Upkeep, "lag").await?;
            let rows = scoped(client, std::iter::once(tenant), BEHIND, &[&tenant.as_str()]).await?;
            let events = rows.first().map_or(0, |row| row.get::<_, i64>("events") as u64);
            return Ok(Lag { events, tenants: u32::from(events > 0), seconds: 0.0, workers });
        }
        let slots: Vec<Slot> = SLOTS.map(|number| Slot { number, fence: 0 }).collect();
        let due = self.webhooks_due(&slots, None, LAGGING).await?;
        let tenants: std::collections::BTreeSet<&TenantId> = due.iter().map(|due| &due.tenant).collect();
        let events = due.iter().map(|due| due.behind).sum();
        Ok(Lag { events, tenants: tenants.len() as u32, seconds: 0.0, workers })
    }

    /// Gives up the slots of webhooks of a worker that stops.
    pub async fn release_webhooks(&self, worker: &str) -> Result<(), LogError> {
        self.release_slots(WEBHOOKS, worker).await
    }
}
