//! Which events stand after a cursor?

use super::error::LogError;
use super::pool::Log;
use super::scope::scoped;
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

/// Consecutive matching events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// At most the asked number and bytes, but at least one if any matches.
    pub events: Vec<LoggedEvent>,
    /// Whether nothing that matches was left out within the asked range.
    pub complete: bool,
}

/// Most rows of one page; [`PAGE_BYTES`] bounds its size.
const PAGE_ROWS: i64 = 256;
/// Bytes of bodies after which a page ends; a page of one event may be larger.
const PAGE_BYTES: i64 = 512 * 1024;

/// Pages by bytes as well as by rows, so that no answer is unbounded: a row is left out when the rows before it
/// already fill the page.
const READ: &str = "
SELECT seq, channels, body FROM (
    SELECT seq, channels, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
    FROM (
        SELECT seq, channels, body FROM carillon.events
        WHERE tenant_id = $1 AND seq > $2 AND seq <= $3 AND ($4::text[] IS NULL OR channels && $4)
        ORDER BY seq LIMIT $5
    ) AS newest
) AS page WHERE before < $6 ORDER BY seq";

/// Walks back from the newest event and stops at the n-th that matches.
const NEWEST: &str = "
SELECT min(seq) AS first, count(*) AS found FROM (
    SELECT seq FROM carillon.events
    WHERE tenant_id = $1 AND seq <= $2 AND channels && $3 ORDER BY seq DESC LIMIT $4
) AS newest";

/// One row, by the primary key: its number does not say in which partition.
const AT: &str = "SELECT seq, channels, body FROM carillon.events WHERE tenant_id = $1 AND seq = $2";

impl Log {
    /// The event of that number, unless the log does not reach it or retention has dropped it.
    pub async fn event_at(&self, tenant: &TenantId, seq: Seq) -> Result<Option<LoggedEvent>, LogError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.as_str(), &signed(seq)];
        let rows = scoped(self.client("event").await?, std::iter::once(tenant), AT, &params).await?;
        rows.first().map(logged_event).transpose()
    }

    /// The events with `after < seq <= upto`, oldest first, a page of them; only those in one of `channels`, if given.
    pub async fn read(
        &self,
        tenant: &TenantId,
        after: Seq,
        upto: Seq,
        channels: Option<&[Channel]>,
    ) -> Result<LogPage, LogError> {
        let names: Option<Vec<&str>> = channels.map(|all| all.iter().map(Channel::as_str).collect());
        let rows = scoped(
            self.client("read").await?,
            std::iter::once(tenant),
            READ,
            &[&tenant.as_str(), &signed(after), &signed(upto), &names, &PAGE_ROWS, &PAGE_BYTES],
        )
        .await?;
        let events: Vec<LoggedEvent> = rows.iter().map(logged_event).collect::<Result<_, _>>()?;
        let bytes: usize = events.iter().map(|event| event.body.len()).sum();
        let complete = (events.len() as i64) < PAGE_ROWS && (bytes as i64) < PAGE_BYTES;
        Ok(LogPage { events, complete })
    }

    /// Where the newest `n` events up to `upto` in one of `channels` begin: the seq before the first of them, and
    /// whether older ones were left out.
    pub async fn newest(
        &self,
        tenant: &TenantId,
        channels: &[Channel],
        upto: Seq,
        n: u64,
    ) -> Result<(Seq, bool), LogError> {
        let names: Vec<&str> = channels.iter().map(Channel::as_str).collect();
        let (asked, upto_row) = (n as i64, signed(upto));
        let rows = scoped(
            self.client("newest").await?,
            std::iter::once(tenant),
            NEWEST,
            &[&tenant.as_str(), &upto_row, &names, &(asked + 1)],
        )
        .await?;
        let Some(row) = rows.first() else { return Ok((upto, false)) };
        let first = row.get::<_, Option<i64>>("first");
        let found: i64 = row.get("found");
        let more = found > asked;
        // With one more than asked, the oldest found is itself the position before the first wanted.
        Ok((
            first.map_or(upto, |first| if more { Seq(first as u64) } else { Seq(first as u64).previous() }),
            more,
        ))
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
