//! How do events that applications published in their own transactions get into the log, once?
//!
//! `carillon.publish` writes them into `carillon.outbox` (migrations, V26 and V33). One move is one transaction here: it claims rows, appends
//! them and takes them out of the outbox. So an event is in the outbox or in the log, whatever dies at whatever moment. Who claims
//! holds the rows' slots (a tenant belongs to one of 64), so events of one tenant are moved by one publisher at a time, in the order of
//! their numbers; what others hold is passed over, not waited for.

mod state;
mod wake;

pub use state::{OutboxState, ParkedEvent};

use super::append::{Append, Appended, append_here};
use super::error::LogError;
use super::pool::{Log, exchange};
use super::session::Session;
use super::work::Work;
use carillon_protocol::TenantId;
use std::time::{Duration, SystemTime};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const CLAIM: &str = "SELECT * FROM carillon.claim_outbox_events($1, $2, $3, $4, $5, $6)";
/// Notices whose audience is their type's to name are for those who say so: others would append them for nobody (V46).
const BEGIN: &str = "BEGIN; SET LOCAL carillon.outbox_audience = 'on'";
const FINISH: &str = "SELECT carillon.finish_outbox($1, $2, $3, $4)";

/// Which events a move asks for.
#[derive(Debug, Clone)]
pub struct OutboxAsk {
    /// Only what has a larger number, unless all tenants are looked at.
    pub after: i64,
    /// Whether all tenants with events are looked at, from [`OutboxAsk::start`] on, 200 at a time.
    pub all: bool,
    /// The tenant whose turn was last.
    pub start: String,
    /// Tenants whose events are left alone.
    pub passed: Vec<String>,
    /// Most events.
    pub most: u32,
    /// About the most bytes of their data.
    pub bytes: u64,
    /// Longest wait for a tenant's row.
    pub lock_wait: Duration,
}

/// One event of the outbox, as it was published.
#[derive(Debug, Clone)]
pub struct Outboxed {
    /// Its number in the outbox.
    pub id: i64,
    /// Whose log.
    pub tenant: String,
    /// When it was published.
    pub at: SystemTime,
    /// Its name, when the application chose one.
    pub event_id: Option<String>,
    /// CloudEvents `type`.
    pub kind: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// How urgent it is.
    pub priority: Option<String>,
    /// What it is the latest value of.
    pub key: Option<String>,
    /// Where it goes.
    pub channels: Vec<String>,
    /// When it happened, when the application said so.
    pub time: Option<SystemTime>,
    /// JSON.
    pub data: Option<String>,
    /// What it says to people's inboxes, JSON.
    pub notify: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// How many events of its tenant the claim took at most: a tenant with as many may have more.
    pub share: u32,
}

/// What is done with the claimed events.
#[derive(Debug, Default)]
pub struct OutboxPlan {
    /// These are appended, in this order, each with its number in the outbox.
    pub appends: Vec<(i64, Append)>,
    /// These cannot be.
    pub parked: Vec<Parking>,
}

/// An event that cannot be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// Its number in the outbox.
    pub id: i64,
    /// A stable name.
    pub reason: &'static str,
    /// For people.
    pub detail: String,
}

/// What a move did.
#[derive(Debug, Default)]
pub struct Moved {
    /// What was appended or was there before, with its number in the outbox, and what became of it.
    pub appends: Vec<(i64, Append)>,
    /// One answer for each of these.
    pub results: Vec<Appended>,
    /// What was parked: what the plan said, and what the log refused.
    pub parked: Vec<Parking>,
}

impl Log {
    /// Moves events from the outbox into the log, in one transaction. `plan` says what becomes of those that were claimed; what it
    /// leaves out stays. Not to be cancelled: the transaction would stay open until its time is over.
    pub async fn move_outbox(
        &self,
        ask: &OutboxAsk,
        plan: impl AsyncFnOnce(Vec<Outboxed>) -> Result<OutboxPlan, LogError>,
    ) -> Result<Moved, LogError> {
        exchange(self.client(Work::Outbox, "outbox").await?, async |client| {
            let moved = move_here(client, ask, plan).await;
            if moved.is_err() {
                // What was claimed is free again. A session that does not answer is closed by its deadline.
                client.batch_execute("ROLLBACK").await?;
            }
            moved
        })
        .await
    }
}

async fn move_here(
    client: &Session,
    ask: &OutboxAsk,
    plan: impl AsyncFnOnce(Vec<Outboxed>) -> Result<OutboxPlan, LogError>,
) -> Result<Moved, LogError> {
    let claim = client.prepare_cached(CLAIM).await?;
    let (most, bytes) = (ask.most as i32, ask.bytes as i64);
    let params: [&(dyn ToSql + Sync); 6] = [&ask.after, &ask.all, &ask.start, &ask.passed, &most, &bytes];
    let (begun, rows) = tokio::join!(biased; client.batch_execute(BEGIN), client.query(&claim, &params));
    begun?;
    let claimed = rows?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if claimed.is_empty() {
        client.batch_execute("COMMIT").await?;
        return Ok(Moved::default());
    }
    let OutboxPlan { appends, mut parked } = plan(claimed).await?;
    let (ids, batch): (Vec<i64>, Vec<Append>) = appends.into_iter().unzip();
    let results = append_here(client, &batch, ask.lock_wait).await?;
    let mut done = Vec::with_capacity(ids.len());
    for (&id, result) in ids.iter().zip(&results) {
        match refused(result) {
            None => done.push(id),
            Some((reason, detail)) => parked.push(Parking { id, reason, detail: detail.into() }),
        }
    }
    let finish = client.prepare_cached(FINISH).await?;
    let parked_ids: Vec<i64> = parked.iter().map(|parking| parking.id).collect();
    let reasons: Vec<&str> = parked.iter().map(|parking| parking.reason).collect();
    let details: Vec<&str> = parked.iter().map(|parking| &*parking.detail).collect();
    let params: [&(dyn ToSql + Sync); 4] = [&done, &parked_ids, &reasons, &details];
    let (finished, committed) =
        tokio::join!(biased; client.query(&finish, &params), client.batch_execute("COMMIT"));
    finished?;
    committed?;
    Ok(Moved { appends: ids.into_iter().zip(batch).collect(), results, parked })
}

/// Why an event is not in the log.
fn refused(result: &Appended) -> Option<(&'static str, &'static str)> {
    match result {
        Appended::Stored { .. } | Appended::Replayed { .. } => None,
        Appended::Conflict => {
            Some(("idempotency_mismatch", "an event of this id was published before, and it was another one"))
        }
        Appended::UnknownTenant | Appended::Refused => Some(("unknown_tenant", "there is no such tenant")),
    }
}

fn read(row: &Row) -> Result<Outboxed, LogError> {
    let read = || -> Result<Outboxed, tokio_postgres::Error> {
        Ok(Outboxed {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant")?,
            at: row.try_get("at")?,
            event_id: row.try_get("event_id")?,
            kind: row.try_get("type")?,
            source: row.try_get("source")?,
            subject: row.try_get("subject")?,
            actor: row.try_get("actor")?,
            priority: row.try_get("priority")?,
            key: row.try_get("key")?,
            channels: row.try_get("channels")?,
            time: row.try_get("happened")?,
            data: row.try_get("data")?,
            notify: row.try_get("notify")?,
            traceparent: row.try_get("traceparent")?,
            share: row.try_get::<_, i32>("share")? as u32,
        })
    };
    read().map_err(|error| LogError::Database(format!("a row of the outbox: {error}")))
}

/// The name of a tenant that stands in the outbox.
pub(super) fn tenant(text: &str) -> Result<TenantId, LogError> {
    TenantId::new(text).map_err(|error| LogError::Database(format!("stored tenant: {error}")))
}
