//! Which events stand after a cursor?

use super::error::LogError;
use super::pool::Log;
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::{Channel, Seq, TenantId};
use tokio_postgres::Row;

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its number.
    pub seq: Seq,
    /// Where it went.
    pub channels: Vec<Channel>,
    /// Its CloudEvents JSON.
    pub body: String,
}

/// Consecutive events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// At most the asked number and bytes, but at least one if there is any.
    pub events: Vec<LoggedEvent>,
    /// Whether nothing was left out within the asked range.
    pub complete: bool,
}

/// Most rows of one page; [`PAGE_BYTES`] bounds its size.
pub const PAGE_ROWS: usize = 256;
/// Bytes of bodies after which a page ends; a page of one event may be larger.
pub const PAGE_BYTES: usize = 512 * 1024;

/// Pages by bytes as well as by rows, so that no answer is unbounded: a row is left out when the rows before it
/// already fill the page.
const READ: &str = "
SELECT seq, channels, body FROM (
    SELECT seq, channels, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
    FROM (
        SELECT seq, channels, body FROM carillon.events
        WHERE tenant_id = $1 AND seq > $2 AND seq <= $3
        ORDER BY seq LIMIT $4
    ) AS newest
) AS page WHERE before < $5 ORDER BY seq";

/// One row, by the primary key: its number does not say in which partition. The order leaves no other index to go by.
const AT: &str =
    "SELECT seq, channels, body FROM carillon.events WHERE tenant_id = $1 AND seq = $2 ORDER BY at LIMIT 1";

impl Log {
    /// The event of that number, unless the log does not reach it or retention has dropped it.
    pub async fn event_at(&self, tenant: &TenantId, seq: Seq) -> Result<Option<LoggedEvent>, LogError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.as_str(), &signed(seq)];
        let rows =
            scoped(self.client(Work::Ask, "event").await?, std::iter::once(tenant), AT, &params).await?;
        rows.first().map(logged_event).transpose()
    }

    /// The events with `after < seq <= upto`, oldest first, a page of them. Those of some channels only are found by
    /// [`Log::search`].
    pub async fn read(&self, tenant: &TenantId, after: Seq, upto: Seq) -> Result<LogPage, LogError> {
        let (rows, bytes) = (PAGE_ROWS as i64, PAGE_BYTES as i64);
        let rows = scoped(
            self.client(self.reading, "read").await?,
            std::iter::once(tenant),
            READ,
            &[&tenant.as_str(), &signed(after), &signed(upto), &rows, &bytes],
        )
        .await?;
        let events: Vec<LoggedEvent> = rows.iter().map(logged_event).collect::<Result<_, _>>()?;
        let bytes: usize = events.iter().map(|event| event.body.len()).sum();
        let complete = events.len() < PAGE_ROWS && bytes < PAGE_BYTES;
        Ok(LogPage { events, complete })
    }
}

/// A seq as Postgres counts; clients may name seqs no log will ever reach.
pub(super) fn signed(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

pub(super) fn logged_event(row: &Row) -> Result<LoggedEvent, LogError> {
    let channels = row
        .get::<_, Vec<&str>>("channels")
        .into_iter()
        .map(Channel::new)
        .collect::<Result<_, _>>()
        .map_err(|error| LogError::Database(format!("stored channel: {error}")))?;
    Ok(LoggedEvent { seq: Seq(row.get::<_, i64>("seq") as u64), channels, body: row.get("body") })
}
