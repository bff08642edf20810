//! How is it kept what was delivered and what failed?
//!
//! In one statement, so that a cursor never stands behind an event that is in no row and was not delivered. A crash before it
//! leads to events that are sent twice, never to one that is not sent.

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Epoch, Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

/// What has become of a webhook's events.
#[derive(Debug, Clone)]
pub struct WebhookProgress<'a> {
    /// Of the cursor that was sent from.
    pub generation: i64,
    /// Of the settings that were sent by.
    pub version: i64,
    /// The log's epoch.
    pub epoch: &'a Epoch,
    /// Everything up to here was delivered, is not wanted or stands in `failed`.
    pub cursor: Seq,
    /// Whether anything was delivered.
    pub delivered: bool,
    /// Whether an attempt failed after which nothing was delivered.
    pub failing: bool,
    /// Nothing is to be sent before this.
    pub waits_until: Option<Timestamp>,
    /// Why nothing is to be sent any more.
    pub disable: Option<&'a str>,
    /// Deliveries that failed, with all that is to be kept of them.
    pub failed: &'a [FailedDelivery],
    /// Deliveries that failed before and are to be forgotten.
    pub done: &'a [Seq],
}

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// Of which event.
    pub seq: Seq,
    /// How often it has failed.
    pub failures: u32,
    /// When it is tried again; none: it is parked.
    pub next_at: Option<Timestamp>,
    /// The last attempts, oldest first, as a JSON array.
    pub attempts: String,
    /// The beginning of the last answer's body.
    pub answer: String,
}

/// A cursor of the same generation only moves forward: what is said to be delivered was. What is said of the endpoint holds if nobody
/// has changed the settings meanwhile.
const SAVE: &str = "
WITH moved AS (
    UPDATE carillon.webhooks SET epoch = $4, seq = CASE WHEN epoch = $4 THEN greatest(seq, $5) ELSE $5 END,
        delivered_at = CASE WHEN $6 THEN now() ELSE delivered_at END,
        failing_since = CASE WHEN version <> $16 THEN failing_since WHEN NOT $7 AND $6 THEN NULL WHEN NOT $7 THEN failing_since
            WHEN $6 THEN now() ELSE coalesce(failing_since, now()) END,
        waits_until = CASE WHEN version <> $16 THEN waits_until ELSE $8 END,
        state = CASE WHEN version <> $16 OR $9::text IS NULL THEN state ELSE 'disabled' END,
        reason = CASE WHEN version <> $16 THEN reason ELSE coalesce($9, reason) END
    WHERE tenant_id = $1 AND id = $2 AND generation = $3 RETURNING id, version = $16 AS is_current),
failed AS (
    INSERT INTO carillon.webhook_deliveries AS d (tenant_id, webhook, seq, state, failures, next_at, attempts, answer)
    SELECT $1, moved.id, f.seq, CASE WHEN f.next_at IS NULL THEN 'parked' ELSE 'retrying' END, f.failures,
        coalesce(f.next_at, 'infinity'), f.attempts::jsonb, f.answer
    FROM moved, unnest($10::bigint[], $11::integer[], $12::timestamptz[], $13::text[], $14::text[])
        AS f (seq, failures, next_at, attempts, answer)
    ON CONFLICT (tenant_id, webhook, seq) DO UPDATE SET state = excluded.state, failures = excluded.failures,
        next_at = excluded.next_at, attempts = excluded.attempts, answer = excluded.answer),
done AS (
    DELETE FROM carillon.webhook_deliveries d USING moved
    WHERE d.tenant_id = $1 AND d.webhook = $2 AND d.seq = ANY ($15::bigint[]))
SELECT is_current FROM moved";

impl Log {
    /// Keeps it. False if an administrator has changed the webhook meanwhile: after a replay nothing was kept, after another change how
    /// far it came.
    pub async fn save_webhook(
        &self,
        tenant: &TenantId,
        id: &str,
        progress: WebhookProgress<'_>,
    ) -> Result<bool, LogError> {
        let WebhookProgress {
            generation,
            version,
            delivered,
            failing,
            waits_until,
            disable,
            failed,
            done,
            ..
        } = progress;
        let (epoch, cursor) = (progress.epoch.as_str(), signed(progress.cursor));
        let seqs: Vec<i64> = failed.iter().map(|failed| signed(failed.seq)).collect();
        let failures: Vec<i32> = failed.iter().map(|failed| failed.failures as i32).collect();
        let next: Vec<Option<Timestamp>> = failed.iter().map(|failed| failed.next_at).collect();
        let attempts: Vec<&str> = failed.iter().map(|failed| failed.attempts.as_str()).collect();
        let answers: Vec<&str> = failed.iter().map(|failed| failed.answer.as_str()).collect();
        let done: Vec<i64> = done.iter().map(|seq| signed(*seq)).collect();
        let params: [&(dyn ToSql + Sync); 16] = [
            &tenant.as_str(),
            &id,
            &generation,
            &epoch,
            &cursor,
            &delivered,
            &failing,
            &waits_until,
            &disable,
            &seqs,
            &failures,
            &next,
            &attempts,
            &answers,
            &done,
            &version,
        ];
        let client = self.client(Work::Deliver, "webhook_save").await?;
        let rows = scoped(client, std::iter::once(tenant), SAVE, &params).await?;
        Ok(rows.first().is_some_and(|row| row.get("is_current")))
    }
}
