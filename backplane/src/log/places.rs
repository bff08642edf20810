//! In which days does an event of this number stand?
//!
//! Numbers rise with the days, so of the [stretches](super::days) that have events of a tenant it is the newest one whose
//! first number is not greater. It is found by halving; what was found is kept for a few seconds, for pages ask one after
//! the other. A log of few partitions is one stretch, and nothing is looked for.

use super::days::{Days, stretches};
use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::{scoped, scoped_in};
use super::work::Work;
use carillon_protocol::{Seq, TenantId};
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How long it is believed which partitions there are, and which numbers are in them.
const KEPT: Duration = Duration::from_secs(10);
/// Longest wait for who reads it.
const TURN: Duration = Duration::from_secs(1);
/// Most stretches of tenants that are kept.
const SPANS: usize = 20_000;

/// The days that have partitions, from the catalogue, without a lock on any, and the present one by the clock that events go
/// by.
const PARTITIONS: &str = "
SELECT right(c.relname, 8) AS day, (now() AT TIME ZONE 'UTC')::date AS today FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'carillon.events'::regclass AND c.relname ~ '^events_\\d{8}$'";
/// A tenant's first number within some days, and its last one. Merges the partitions' indexes, so it reads a row of each.
pub(super) const FIRST: &str = "
SELECT seq AS first FROM carillon.events WHERE tenant_id = $1 AND at >= $2 AND at < $3 ORDER BY seq LIMIT 1";
const SPAN: &str = "
SELECT (SELECT seq FROM carillon.events WHERE tenant_id = $1 AND at >= $2 AND at < $3 ORDER BY seq LIMIT 1) AS first,
    (SELECT seq FROM carillon.events WHERE tenant_id = $1 AND at >= $2 AND at < $3 ORDER BY seq DESC LIMIT 1) AS last";
const BEGUN: &str = "SELECT head, created_at FROM carillon.tenants WHERE id = $1";

/// Numbers of a tenant within a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Seq,
    /// In the newest stretch there is no last one.
    pub(super) last: Seq,
}

/// A stretch that has events of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number; that of the newest stretch is 0.
    pub(super) stretch: usize,
    pub(super) span: Span,
}

/// The stretches as they are for some seconds.
#[derive(Debug)]
pub(super) struct Calendar {
    read_at: Instant,
    stretches: Vec<Days>,
    spans: Mutex<HashMap<(TenantId, usize), Option<Span>>>,
}

/// Shared by all handles of a log. Held by who reads it anew, for after a start everybody wants it at once.
pub(super) type Kept = Arc<tokio::sync::Mutex<Option<Arc<Calendar>>>>;

/// Somebody who looks for a tenant's events.
pub(super) struct Finder<'a> {
    pub(super) log: &'a Log,
    pub(super) work: Work,
    pub(super) tenant: &'a TenantId,
    pub(super) calendar: &'a Calendar,
}

impl Calendar {
    fn of(rows: &[Row]) -> Self {
        let days = rows.iter().filter_map(|row| Date::strptime("%Y%m%d", row.get::<_, &str>("day")).ok());
        let today = rows.first().map_or(Date::ZERO, |row| row.get("today"));
        let stretches = stretches(days.collect(), today);
        Self { read_at: Instant::now(), stretches, spans: Mutex::default() }
    }

    /// Whether one statement may look at everything.
    pub(super) fn is_whole(&self) -> bool {
        self.stretches.len() == 1
    }

    /// The days of a stretch.
    pub(super) fn days(&self, stretch: usize) -> Days {
        self.stretches.get(stretch).copied().unwrap_or(Days::ALL)
    }

    /// The days of all, the newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = Days> + '_ {
        self.stretches.iter().copied()
    }

    fn spans(&self) -> MutexGuard<'_, HashMap<(TenantId, usize), Option<Span>>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// The stretches of the present.
    pub(super) async fn calendar(&self, work: Work, query: &'static str) -> Result<Arc<Calendar>, LogError> {
        let late = |_| LogError::Busy("which partitions there are is being found out".into());
        let mut kept = tokio::time::timeout(TURN, self.calendar.lock()).await.map_err(late)?;
        if let Some(calendar) = kept.as_ref().filter(|calendar| calendar.read_at.elapsed() < KEPT) {
            return Ok(calendar.clone());
        }
        let rows = exchange(self.client(work, query).await?, async |client| {
            let statement = client.prepare_cached(PARTITIONS).await?;
            Ok(client.query(&statement, &[]).await?)
        })
        .await?;
        let calendar = Arc::new(Calendar::of(&rows));
        *kept = Some(calendar.clone());
        Ok(calendar)
    }

    /// The days in which a tenant's event of this number stands, if it has one.
    pub(super) async fn days_of(
        &self,
        (work, query): (Work, &'static str),
        tenant: &TenantId,
        seq: Seq,
    ) -> Result<Option<Days>, LogError> {
        let calendar = self.calendar(work, query).await?;
        if calendar.is_whole() {
            return Ok(Some(Days::ALL));
        }
        let finder = Finder { log: self, work, tenant, calendar: &calendar };
        let place = finder.at_or_before(seq).await?.filter(|place| seq <= place.span.last);
        Ok(place.map(|place| calendar.days(place.stretch)))
    }

    /// The oldest event that retention has left, if any.
    pub async fn oldest(&self, tenant: &TenantId) -> Result<Option<Seq>, LogError> {
        self.oldest_for(Work::Ask, tenant).await
    }

    pub(super) async fn oldest_for(&self, work: Work, tenant: &TenantId) -> Result<Option<Seq>, LogError> {
        let calendar = self.calendar(work, "oldest").await?;
        if calendar.is_whole() {
            return self.first((work, "oldest"), tenant, Days::ALL).await;
        }
        let place = Finder { log: self, work, tenant, calendar: &calendar }.oldest().await?;
        Ok(place.map(|place| place.span.first))
    }

    async fn first(
        &self,
        (work, query): (Work, &'static str),
        tenant: &TenantId,
        days: Days,
    ) -> Result<Option<Seq>, LogError> {
        let [from, to] = days.bounds();
        let params: [&(dyn ToSql + Sync); 3] = [&tenant.as_str(), &from, &to];
        let rows = scoped_in(self.client(work, query).await?, tenant, days, FIRST, &params).await?;
        Ok(rows.first().map(|row| number(row.get("first"))))
    }
}

fn number(seq: i64) -> Seq {
    Seq(seq as u64)
}

impl Finder<'_> {
    /// The stretch of the oldest event. A tenant's log begins where the tenant began, or with the oldest partition: nothing
    /// else is looked for, unless the first number says that there was one before.
    pub(super) async fn oldest(&self) -> Result<Option<Place>, LogError> {
        let last = self.calendar.stretches.len() - 1;
        let client = self.log.client(self.work, "oldest").await?;
        let rows = scoped(client, std::iter::once(self.tenant), BEGUN, &[&self.tenant.as_str()]).await?;
        let Some(begun) = rows.first().filter(|row| row.get::<_, i64>("head") > 0) else { return Ok(None) };
        let began: Timestamp = begun.get("created_at");
        let start = self.calendar.all().position(|days| !days.begins_after(began)).unwrap_or(last);
        let found = self.newer(start).await?;
        if found.is_some_and(|place| place.span.first == Seq(1)) {
            return Ok(found);
        }
        for stretch in (start + 1..=last).rev() {
            let place = self.place(stretch).await?;
            if place.is_some() {
                return Ok(place);
            }
        }
        Ok(found)
    }

    /// The newest stretch that begins with this number or one before it; none when all begin after it.
    pub(super) async fn at_or_before(&self, seq: Seq) -> Result<Option<Place>, LogError> {
        let begins_before = |place: &Option<Place>| place.is_some_and(|place| place.span.first <= seq);
        // Most ask for what is recent.
        let mut found = self.place(0).await?.filter(|place| place.span.first <= seq);
        if found.is_some() {
            return Ok(found);
        }
        let (mut from, mut to) = (1, self.calendar.stretches.len());
        while from < to {
            let middle = from.midpoint(to);
            let (mut probe, mut place) = (middle, self.place(middle).await?);
            while place.is_none() && probe + 1 < to {
                probe += 1;
                place = self.place(probe).await?;
            }
            if begins_before(&place) {
                found = place;
                to = middle;
            } else if place.is_some() {
                from = probe + 1;
            } else {
                to = middle;
            }
        }
        Ok(found)
    }

    /// The oldest stretch that has this number or one after it.
    pub(super) async fn at_or_after(&self, seq: Seq) -> Result<Option<Place>, LogError> {
        match self.at_or_before(seq).await? {
            Some(place) if place.span.last >= seq => Ok(Some(place)),
            Some(place) if place.stretch > 0 => self.newer(place.stretch - 1).await,
            Some(_) => Ok(None),
            None => self.oldest().await,
        }
    }

    /// The first that has events, of this stretch and those after it in time.
    async fn newer(&self, stretch: usize) -> Result<Option<Place>, LogError> {
        for stretch in (0..=stretch).rev() {
            let place = self.place(stretch).await?;
            if place.is_some() {
                return Ok(place);
            }
        }
        Ok(None)
    }

    /// What the tenant has in a stretch.
    async fn place(&self, stretch: usize) -> Result<Option<Place>, LogError> {
        let key = (self.tenant.clone(), stretch);
        let kept = self.calendar.spans().get(&key).copied();
        let span = match kept {
            Some(span) => span,
            None => {
                let span = self.span(stretch).await?;
                // Events come to the newest stretch at any time.
                let mut spans = self.calendar.spans();
                if (stretch > 0 || span.is_some()) && spans.len() < SPANS {
                    spans.insert(key, span);
                }
                span
            }
        };
        Ok(span.map(|span| Place { stretch, span }))
    }

    async fn span(&self, stretch: usize) -> Result<Option<Span>, LogError> {
        let days = self.calendar.days(stretch);
        if stretch == 0 {
            let first = self.log.first((self.work, "span"), self.tenant, days).await?;
            return Ok(first.map(|first| Span { first, last: Seq(u64::MAX) }));
        }
        let [from, to] = days.bounds();
        let params: [&(dyn ToSql + Sync); 3] = [&self.tenant.as_str(), &from, &to];
        let client = self.log.client(self.work, "span").await?;
        let rows = scoped_in(client, self.tenant, days, SPAN, &params).await?;
        let bound = |name: &str| rows.first().and_then(|row| row.get::<_, Option<i64>>(name)).map(number);
        Ok(bound("first").zip(bound("last")).map(|(first, last)| Span { first, last }))
    }
}
