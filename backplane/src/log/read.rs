//! Which events stand after a cursor?

use super::days::Days;
use super::error::LogError;
use super::places::Finder;
use super::pool::Log;
use super::scope::scoped_in;
use super::work::Work;
use carillon_protocol::{Channel, Seq, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

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
        WHERE tenant_id = $1 AND seq > $2 AND seq <= $3 AND at >= $6 AND at < $7
        ORDER BY seq LIMIT $4
    ) AS newest
) AS page WHERE before < $5 ORDER BY seq";

/// One row, by the primary key: its number does not say in which partition. The order leaves no other index to go by.
const AT: &str = "
SELECT seq, channels, body FROM carillon.events WHERE tenant_id = $1 AND seq = $2 AND at >= $3 AND at < $4
ORDER BY at LIMIT 1";

impl Log {
    /// The event of that number, unless the log does not reach it or retention has dropped it.
    pub async fn event_at(&self, tenant: &TenantId, seq: Seq) -> Result<Option<LoggedEvent>, LogError> {
        let Some(days) = self.days_of((Work::Ask, "event"), tenant, seq).await? else { return Ok(None) };
        let [from, to] = days.bounds();
        let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &signed(seq), &from, &to];
        let rows = scoped_in(self.client(Work::Ask, "event").await?, tenant, days, AT, &params).await?;
        rows.first().map(logged_event).transpose()
    }

    /// The events with `after < seq <= upto`, oldest first, a page of them. Those of some channels only are found by
    /// [`Log::search`].
    pub async fn read(&self, tenant: &TenantId, after: Seq, upto: Seq) -> Result<LogPage, LogError> {
        let calendar = self.calendar(self.reading, "read").await?;
        // Most who come back miss what is recent, and a page that begins with the next number is right.
        let recent = self.page_of(tenant, (after, upto), calendar.days(0), Free::default()).await?;
        let follows = recent.events.first().is_some_and(|event| event.seq == after.next());
        if follows || calendar.is_whole() || after >= upto {
            return Ok(recent);
        }
        let finder = Finder { log: self, work: self.reading, tenant, calendar: &calendar };
        let place = finder.at_or_after(after.next()).await?.filter(|place| place.stretch > 0);
        let Some(place) = place else { return Ok(recent) };
        let mut page = LogPage { events: Vec::new(), complete: true };
        for stretch in (0..=place.stretch).rev() {
            let last = page.events.last().map_or(after, |event| event.seq);
            if last == upto {
                break;
            }
            let (range, days) = ((last, upto), calendar.days(stretch));
            let more = self.page_of(tenant, range, days, Free::beside(&page.events)).await?;
            page.events.extend(more.events);
            page.complete = more.complete;
            if !page.complete {
                break;
            }
        }
        Ok(page)
    }

    async fn page_of(
        &self,
        tenant: &TenantId,
        (after, upto): (Seq, Seq),
        days: Days,
        free: Free,
    ) -> Result<LogPage, LogError> {
        let ([from, to], rows, bytes) = (days.bounds(), free.rows as i64, free.bytes as i64);
        let params: [&(dyn ToSql + Sync); 7] =
            [&tenant.as_str(), &signed(after), &signed(upto), &rows, &bytes, &from, &to];
        let rows = scoped_in(self.client(self.reading, "read").await?, tenant, days, READ, &params).await?;
        let events: Vec<LoggedEvent> = rows.iter().map(logged_event).collect::<Result<_, _>>()?;
        let complete = !free.without(&events).is_used_up();
        Ok(LogPage { events, complete })
    }
}

/// How much more a page may hold.
#[derive(Debug, Clone, Copy)]
struct Free {
    rows: usize,
    bytes: usize,
}

impl Default for Free {
    fn default() -> Self {
        Self { rows: PAGE_ROWS, bytes: PAGE_BYTES }
    }
}

impl Free {
    fn beside(events: &[LoggedEvent]) -> Self {
        Self::default().without(events)
    }

    fn without(self, events: &[LoggedEvent]) -> Self {
        let bytes: usize = events.iter().map(|event| event.body.len()).sum();
        Self { rows: self.rows.saturating_sub(events.len()), bytes: self.bytes.saturating_sub(bytes) }
    }

    fn is_used_up(self) -> bool {
        self.rows == 0 || self.bytes == 0
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
