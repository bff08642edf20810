//! What of a day is to be copied before retention drops it, and which days are copied?
//!
//! A day's partition holds still once it is past retention: nothing is appended with an older time. So it is read page by page, each
//! in a transaction of its own, and no page holds up publishing, VACUUM or the drop of another day. The functions are those of
//! `migrations/V37__days_are_archived_before_they_go.sql`.

use super::days::Moment;
use super::error::LogError;
use super::pool::{Log, exchange};
use super::read::signed;
use super::scope::{SET_SCOPE_AND_DAYS, scoped_with};
use super::work::Work;
use carillon_protocol::{Seq, TenantId};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const STATE: &str = "SELECT wanted, waiting, fault, seconds FROM carillon.archive_state($1)";
const NEXT: &str = "SELECT installation, marked, day FROM carillon.next_to_archive($1, $2)";
const MARKED: &str = "SELECT carillon.archive_is_marked($1)";
const OFF: &str = "SELECT carillon.archive_off() AS off";
const TENANTS: &str = "SELECT tenant, epoch, first, last FROM carillon.tenants_to_archive($1, $2, $3)";
const KEEP: &str = "SELECT carillon.keep_archived($1, $2, $3)";
const KEPT: &str = "SELECT tenant, entry FROM carillon.kept_archived($1, $2, $3)";
const DONE: &str = "SELECT carillon.day_is_archived($1, $2)";
const NOTE: &str = "SELECT carillon.note_archive($1, $2)";
const HAS: &str = "SELECT to_regclass('carillon.events_' || $1) IS NOT NULL AS has";
const FORGET: &str = "SELECT carillon.forget_some_archived($1) AS forgotten";

/// Bytes are those of what differs from event to event; texts that are stored compressed are not read for it.
const MEASURE: &str = "
SELECT count(*) AS events, count(traceparent) AS traced, max(seq) AS last,
    coalesce(sum(octet_length(seq::text) + octet_length(body) + octet_length(array_to_json(channels)::text)
        + coalesce(octet_length(to_json(traceparent)::text), 0)), 0)::bigint AS bytes
FROM (SELECT seq, channels, body, traceparent FROM carillon.events
    WHERE tenant_id = $1 AND seq > $2 AND at >= $3 AND at < $4 ORDER BY seq LIMIT $5) AS slice";
const READ: &str = "
SELECT seq, at, channels, traceparent, body FROM (
    SELECT seq, at, array_to_json(channels)::text AS channels, to_json(traceparent)::text AS traceparent, body,
        sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
    FROM (SELECT seq, at, channels, traceparent, body FROM carillon.events
        WHERE tenant_id = $1 AND seq > $2 AND at >= $3 AND at < $4 ORDER BY seq LIMIT $5) AS slice
) AS page WHERE before < $6 ORDER BY seq";

/// How the archive is, as all publishers see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArchiveState {
    /// Whether there is one: a publisher has said so, and no operator that there is none any more.
    pub wanted: bool,
    /// Days past retention that are not in it.
    pub waiting: u32,
    /// Why a day is held up.
    pub fault: Option<String>,
    /// For how many seconds one has been.
    pub seconds: f64,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToArchive {
    /// Whose archive it is: the same for all publishers of a database, and for none of another.
    pub installation: String,
    /// The place in which it has left its mark.
    pub marked: Option<String>,
    /// The oldest day past retention that is not in the archive; one that failed only when there is no other.
    pub day: Option<Date>,
}

/// A tenant, and what it has of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayTenant {
    /// Its name.
    pub tenant: TenantId,
    /// The epoch of its log now.
    pub epoch: String,
    /// Its first and last number of that day, if it has an event of it.
    pub span: Option<(Seq, Seq)>,
}

/// How much some events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayMeasure {
    /// Events.
    pub events: u64,
    /// Those of them that carry a trace.
    pub traced: u64,
    /// Bytes of their numbers, bodies, channels and traces.
    pub bytes: u64,
    /// The number of the last one; none when there is none.
    pub last: Option<Seq>,
}

/// An event as the archive keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedRow {
    /// Its number.
    pub seq: Seq,
    /// When it was appended, in microseconds since 1970.
    pub at_micros: i64,
    /// Its channels, a JSON array.
    pub channels: String,
    /// Its trace, a JSON string.
    pub traceparent: Option<String>,
    /// Its CloudEvents JSON.
    pub body: String,
}

impl Log {
    /// How the archive is.
    pub async fn archive_state(&self, retention_days: u32) -> Result<ArchiveState, LogError> {
        let row = self.ask_archive(Work::Upkeep, STATE, &[&(retention_days as i32)]).await?;
        let row = row.first().ok_or_else(|| LogError::Database("the archive has no state".to_owned()))?;
        Ok(ArchiveState {
            wanted: row.get("wanted"),
            waiting: row.get::<_, i32>("waiting") as u32,
            fault: row.get("fault"),
            seconds: row.get("seconds"),
        })
    }

    /// Says that there is an archive in this place: from now on nothing is dropped that is not in it. Answers what is to be done.
    pub async fn announce_archive(&self, retention_days: u32, place: &str) -> Result<ToArchive, LogError> {
        let rows = self.ask_archive(Work::Archive, NEXT, &[&(retention_days as i32), &place]).await?;
        let row = rows.first().ok_or_else(|| LogError::Database("the archive has no owner".to_owned()))?;
        Ok(ToArchive {
            installation: row.get("installation"),
            marked: row.get("marked"),
            day: row.get("day"),
        })
    }

    /// Says that there is no archive any more: what is past retention is dropped. False while a publisher still has one. For the owner.
    pub async fn archive_off(&self) -> Result<bool, LogError> {
        let rows = self.ask_archive(Work::Upkeep, OFF, &[]).await?;
        Ok(rows.first().is_some_and(|row| row.get("off")))
    }

    /// Keeps in which place the archive has left its mark; what is known of another place is forgotten.
    pub async fn store_archive_mark(&self, place: &str) -> Result<(), LogError> {
        self.ask_archive(Work::Archive, MARKED, &[&place]).await.map(drop)
    }

    /// At most so many tenants by name after one, with what they have of a day. Fewer: there are no more.
    pub async fn tenants_to_archive(
        &self,
        day: Date,
        after: &str,
        most: u32,
    ) -> Result<Vec<DayTenant>, LogError> {
        let rows = self.ask_archive(Work::Archive, TENANTS, &[&day, &after, &(most as i32)]).await?;
        rows.iter()
            .map(|row| {
                let tenant = TenantId::new(row.get::<_, &str>("tenant"))
                    .map_err(|fault| LogError::Database(format!("stored tenant: {fault}")))?;
                let seq = |column: &str| row.get::<_, Option<i64>>(column).map(|seq| Seq(seq as u64));
                Ok(DayTenant { tenant, epoch: row.get("epoch"), span: seq("first").zip(seq("last")) })
            })
            .collect()
    }

    /// How much the next events of a tenant's day are, at most so many.
    pub async fn measure_day(
        &self,
        tenant: &TenantId,
        day: Date,
        after: Seq,
        most: u32,
    ) -> Result<DayMeasure, LogError> {
        let [from, to] = bounds(day)?;
        let params: [&(dyn ToSql + Sync); 5] =
            [&tenant.as_str(), &signed(after), &from, &to, &i64::from(most)];
        let client = self.client(Work::Archive, "archive").await?;
        let rows = scoped_with(client, SET_SCOPE_AND_DAYS, tenant, MEASURE, &params).await?;
        let row = rows.first().ok_or_else(|| LogError::Database("a day has no size".to_owned()))?;
        let number = |column: &str| row.get::<_, i64>(column) as u64;
        let last = row.get::<_, Option<i64>>("last").map(|seq| Seq(seq as u64));
        Ok(DayMeasure { events: number("events"), traced: number("traced"), bytes: number("bytes"), last })
    }

    /// The next events of a tenant's day, at most so many, and no more after so many bytes of bodies.
    pub async fn read_day(
        &self,
        tenant: &TenantId,
        day: Date,
        after: Seq,
        (most, bytes): (u32, u32),
    ) -> Result<Vec<ArchivedRow>, LogError> {
        let [from, to] = bounds(day)?;
        let params: [&(dyn ToSql + Sync); 6] =
            [&tenant.as_str(), &signed(after), &from, &to, &i64::from(most), &i64::from(bytes)];
        let client = self.client(Work::Archive, "archive").await?;
        let rows = scoped_with(client, SET_SCOPE_AND_DAYS, tenant, READ, &params).await?;
        Ok(rows.iter().map(archived_row).collect())
    }

    /// Keeps what the manifest says of a tenant's copy; none: it is to be copied anew.
    pub async fn keep_archived(
        &self,
        day: Date,
        tenant: &TenantId,
        entry: Option<&str>,
    ) -> Result<(), LogError> {
        self.ask_archive(Work::Archive, KEEP, &[&day, &tenant.as_str(), &entry]).await.map(drop)
    }

    /// What is kept of a day: of at most so many tenants by name after one.
    pub async fn kept_archived(
        &self,
        day: Date,
        after: &str,
        most: u32,
    ) -> Result<Vec<(String, String)>, LogError> {
        let rows = self.ask_archive(Work::Archive, KEPT, &[&day, &after, &(most as i32)]).await?;
        Ok(rows.iter().map(|row| (row.get("tenant"), row.get("entry"))).collect())
    }

    /// Says that a day's copy in this place was read back and is whole: its partition may be dropped within the next hour.
    pub async fn store_day_verified(&self, day: Date, place: &str) -> Result<(), LogError> {
        self.ask_archive(Work::Archive, DONE, &[&day, &place]).await.map(drop)
    }

    /// Keeps why an attempt failed, for all publishers to tell; none: it did not. With the day, if the reason is its own: others are tried
    /// before it, and the reason is told until it is archived.
    pub async fn note_archive(&self, fault: Option<&str>, day: Option<Date>) -> Result<(), LogError> {
        self.ask_archive(Work::Archive, NOTE, &[&fault, &day]).await.map(drop)
    }

    /// Whether the log has this day still.
    pub async fn has_day(&self, day: Date) -> Result<bool, LogError> {
        let part = day.strftime("%Y%m%d").to_string();
        let rows = self.ask_archive(Work::Upkeep, HAS, &[&part]).await?;
        Ok(rows.first().is_some_and(|row| row.get("has")))
    }

    /// Forgets what is kept about copies of days whose partition is gone, of at most so many tenants; how many.
    pub async fn forget_archived(&self, most: u32) -> Result<u64, LogError> {
        let rows = self.ask_archive(Work::Upkeep, FORGET, &[&(most as i32)]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i32>("forgotten") as u64))
    }

    async fn ask_archive(
        &self,
        work: Work,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, LogError> {
        exchange(self.client(work, "archive").await?, async |client| {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, params).await?)
        })
        .await
    }
}

/// A day (UTC) from its beginning to that of the next.
fn bounds(day: Date) -> Result<[Moment; 2], LogError> {
    let midnight = |day: Date| day.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp());
    let next = day.checked_add(1.day()).and_then(midnight);
    let [from, to] = [midnight(day), next]
        .map(|moment| moment.map_err(|fault| LogError::Database(format!("the day {day}: {fault}"))));
    Ok([Moment::Value(from?), Moment::Value(to?)])
}

fn archived_row(row: &Row) -> ArchivedRow {
    ArchivedRow {
        seq: Seq(row.get::<_, i64>("seq") as u64),
        at_micros: row.get::<_, Timestamp>("at").as_microsecond(),
        channels: row.get("channels"),
        traceparent: row.get("traceparent"),
        body: row.get("body"),
    }
}
