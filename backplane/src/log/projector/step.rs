//! How does one batch of a tenant's events become a result and a cursor?
//!
//! In one transaction: the lease is proved and renewed, the cursor read, the batch read, the cursor moved. It need not be
//! on disk when it is committed: what a crash takes away is the result together with its cursor, and is read again.

use super::{BATCH, Reader, Turn};
use crate::log::days::Days;
use crate::log::error::LogError;
use crate::log::metrics::answered;
use crate::log::places::{FIRST, Finder, Place as Found};
use crate::log::pool::{Client, Log};
use crate::log::scope::{SET_SCOPE, scoped};
use crate::log::work::Work;
use carillon_protocol::{Seq, TenantId};
use deadpool_postgres::Transaction;
use jiff::civil::Date;
use std::time::{Duration, SystemTime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

/// Longest time a step may take; forgetting the end of a long log is the longest.
const DEADLINE: Duration = Duration::from_secs(60);
/// Longest time for one of its statements.
const SETTINGS: &str =
    "SELECT set_config('synchronous_commit', 'off', true), set_config('statement_timeout', '50s', true)";
/// Whoever took the slot over has another fence; until COMMIT nobody else can take it.
const PROVE: &str = "
UPDATE carillon.projector_slots SET lease_until = greatest(lease_until, clock_timestamp() + interval '10 s')
WHERE projector = $1 AND slot = $2 AND worker = $3 AND fence = $4";
/// Where the log ends and the cursor stands. `since` is the day of the cursor's event: a day before it is looked at, too, for
/// clocks may be set back, and whether one was set back further is looked at where the log has few partitions.
const PLACE: &str = "
SELECT t.epoch, t.head, c.epoch AS read_epoch, c.seq AS read_to,
    (c.at AT TIME ZONE 'UTC')::date AS since
FROM carillon.tenants t LEFT JOIN carillon.projector_cursors c ON c.tenant_id = t.id AND c.projector = $2
WHERE t.id = $1";
/// Where the cursor stands, before the transaction.
const READ_TO: &str = "SELECT seq FROM carillon.projector_cursors WHERE tenant_id = $1 AND projector = $2";
const GOOD_UP_TO: &str = "SELECT carillon.cursor_good_up_to($1, $2)";
/// Moves the cursor from where this transaction found it.
const MOVE: &str = "
INSERT INTO carillon.projector_cursors AS c (tenant_id, projector, epoch, seq, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, projector) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, at = excluded.at
WHERE c.epoch = $6 AND c.seq = $7";

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The cursor moved over so many events, and so many follow.
    Read {
        /// Events of the batch.
        events: u64,
        /// Events after it.
        behind: u64,
    },
    /// The cursor stood beyond what the log has; it went back, or is about to.
    Rewound,
    /// Somebody else has the slot now. Nothing was done.
    LeaseLost,
}

/// Events of one tenant, `after < seq <= upto`, and the transaction in which they are read.
pub struct Batch<'a> {
    transaction: &'a Transaction<'a>,
    /// Whose events.
    pub tenant: &'a TenantId,
    /// The cursor before them.
    pub after: Seq,
    /// The last of them.
    pub upto: Seq,
    days: Days,
    /// Whether plans are kept: not for days that are read once.
    keeps: bool,
}

/// What of a batch is there.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    events: u64,
    last: Seq,
    at: Option<SystemTime>,
}

/// Where the events after the cursor stand, in a log of many partitions.
#[derive(Debug, Clone, Copy)]
struct Part {
    days: Days,
    /// The first number that is there.
    first: Seq,
    is_newest: bool,
}

impl Batch<'_> {
    /// The batch as an item of a FROM clause, with parameters `$1` to `$3`. Partitions are ruled out by constants: with
    /// parameters each one would be locked. The order leaves no index to go by but the right one.
    pub fn events(&self) -> String {
        let days = self.days_of("");
        format!(
            "(SELECT * FROM carillon.events WHERE tenant_id = $1 AND seq > $2 AND seq <= $3{days} ORDER BY seq LIMIT {BATCH}) AS e"
        )
    }

    /// What restricts a statement to the days of the batch, behind its other conditions: of `table.`, or of the only one.
    pub(super) fn days_of(&self, table: &str) -> String {
        self.days.clause(table)
    }

    /// Runs a statement over the batch's events; `$1` to `$3` are its tenant and its range.
    pub async fn execute(&self, sql: &str) -> Result<u64, LogError> {
        self.run(sql, &[&self.tenant.as_str(), &(self.after.0 as i64), &(self.upto.0 as i64)]).await
    }

    pub(super) async fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, LogError> {
        let statement = self.prepare(sql).await?;
        Ok(self.transaction.execute(&statement, params).await?)
    }

    pub(super) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, LogError> {
        let statement = self.prepare(sql).await?;
        Ok(self.transaction.query(&statement, params).await?)
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, LogError> {
        Ok(match self.keeps {
            true => self.transaction.prepare_cached(sql).await?,
            false => self.transaction.prepare(sql).await?,
        })
    }

    /// How many of the events are there, and which is the last and when it was appended.
    async fn look(&self) -> Result<Seen, LogError> {
        let sql = format!(
            "SELECT count(*) AS events, (array_agg(e.at ORDER BY e.seq DESC))[1] AS at, coalesce(max(e.seq), 0) AS last FROM {}",
            self.events()
        );
        let params: [&(dyn ToSql + Sync); 3] =
            [&self.tenant.as_str(), &(self.after.0 as i64), &(self.upto.0 as i64)];
        let row = self.transaction.query_one(&self.prepare(&sql).await?, &params).await?;
        let number = |name: &str| row.get::<_, i64>(name) as u64;
        Ok(Seen { events: number("events"), last: Seq(number("last")), at: row.get("at") })
    }
}

impl Log {
    /// Reads the next batch of a tenant's log.
    pub async fn project(&self, reader: &dyn Reader, turn: Turn<'_>) -> Result<Progress, LogError> {
        let deadline = tokio::time::timeout(DEADLINE, self.steps(reader, turn));
        let result = deadline.await.unwrap_or_else(|_| {
            Err(LogError::TooSlow(format!("a batch took longer than {} s", DEADLINE.as_secs())))
        });
        answered(Work::Upkeep, result.as_ref().err());
        result
    }

    async fn steps(&self, reader: &dyn Reader, turn: Turn<'_>) -> Result<Progress, LogError> {
        let part = self.part_after_cursor(reader.name(), turn.tenant).await?;
        match self.in_transaction(async |client| step(client, reader, turn, part).await).await? {
            Step::Done(progress) => Ok(progress),
            Step::Rewind(good) => self.rewind(reader, turn, good).await,
        }
    }

    /// Forgets what followed from the events after `good`, stretch by stretch, and then moves the cursor back.
    async fn rewind(&self, reader: &dyn Reader, turn: Turn<'_>, good: Seq) -> Result<Progress, LogError> {
        let calendar = self.calendar(Work::Upkeep, "project").await?;
        let last = match calendar.is_whole() {
            true => 0,
            false => {
                let finder =
                    Finder { log: self, work: Work::Upkeep, tenant: turn.tenant, calendar: &calendar };
                let place = finder.at_or_before(good).await?;
                place.map_or(calendar.all().count() - 1, |place| place.stretch)
            }
        };
        let mut stretch = 0;
        loop {
            let (days, is_last) = (calendar.days(stretch), stretch == last);
            match self
                .in_transaction(async |client| forget(client, reader, turn, good, days, is_last).await)
                .await?
            {
                Forgotten::Some => {}
                Forgotten::All if !is_last => stretch += 1,
                Forgotten::All | Forgotten::Elsewhere => return Ok(Progress::Rewound),
            }
        }
    }

    /// A session for one transaction. One that is left in the middle of it is in an unknown state.
    async fn in_transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let client = self.client(Work::Upkeep, "project").await?;
        let mut unfinished = Unfinished(None);
        let result = work(unfinished.0.insert(client)).await;
        drop(unfinished.0.take());
        result
    }

    /// Where a projector reads on. Nothing where the log has few partitions. Looked for outside of the batch's transaction,
    /// which would keep the locks of all that was looked at.
    async fn part_after_cursor(&self, projector: &str, tenant: &TenantId) -> Result<Option<Part>, LogError> {
        let calendar = self.calendar(Work::Upkeep, "project").await?;
        if calendar.is_whole() {
            return Ok(None);
        }
        let client = self.client(Work::Upkeep, "project").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &projector];
        let rows = scoped(client, std::iter::once(tenant), READ_TO, &params).await?;
        let cursor = rows.first().map_or(Seq::ZERO, |row| Seq(row.get::<_, i64>("seq") as u64));
        let finder = Finder { log: self, work: Work::Upkeep, tenant, calendar: &calendar };
        let place = finder.at_or_after(cursor.next()).await?;
        Ok(Some(match place {
            Some(Found { stretch, span }) => {
                Part { days: calendar.days(stretch), first: span.first, is_newest: stretch == 0 }
            }
            // All are past retention.
            None => Part { days: calendar.days(0), first: Seq(u64::MAX), is_newest: true },
        }))
    }
}

/// A session whose transaction may not have ended; then the pool loses it.
struct Unfinished(Option<Client>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

/// What a transaction came to.
enum Step {
    Done(Progress),
    /// What was read after this is not what the log has now.
    Rewind(Seq),
}

/// How much was forgotten of what is to be forgotten.
enum Forgotten {
    Some,
    All,
    /// Somebody else has the slot or moved the cursor.
    Elsewhere,
}

async fn step(
    client: &mut Client,
    reader: &dyn Reader,
    turn: Turn<'_>,
    part: Option<Part>,
) -> Result<Step, LogError> {
    let (name, tenant) = (reader.name(), turn.tenant);
    let transaction = client.transaction().await?;
    let Some(place) = begin(&transaction, name, turn).await? else {
        return Ok(Step::Done(Progress::LeaseLost));
    };
    let Some(place) = place.first().map(Place::of) else {
        return Ok(Step::Done(Progress::Read { events: 0, behind: 0 }));
    };
    if let Some(good) = place.good(&transaction, tenant).await? {
        transaction.commit().await?;
        return Ok(Step::Rewind(good));
    }
    let days = part.map_or(Days::ALL, |part| part.days);
    let keeps = part.is_none_or(|part| part.is_newest);
    let (after, head) = (place.read_to(), place.head);
    let upto = Seq(after.0 + BATCH as u64).min(head);
    let since = days.since(place.since);
    let mut batch = Batch { transaction: &transaction, tenant, after, upto, days: since, keeps };
    let mut seen = batch.look().await?;
    if seen.events < upto.0 - after.0 && batch.days != days && days.is_all() {
        batch.days = days;
        seen = batch.look().await?;
    }
    if seen.events > 0 {
        reader.read(&batch).await?;
    }
    // What retention has dropped is passed over in one go, and what is in later days comes next.
    let upto = match (seen.events, part) {
        (0, None) => {
            oldest(&transaction, tenant).await?.map_or(head, |oldest| oldest.previous().clamp(upto, head))
        }
        (0, Some(part)) => part.first.previous().clamp(after, head),
        (_, Some(part)) if !part.is_newest => seen.last,
        _ => upto,
    };
    if upto > after {
        place.move_to(&transaction, (tenant, name), upto, seen.at).await?;
    }
    transaction.commit().await?;
    Ok(Step::Done(Progress::Read { events: seen.events, behind: head.0 - upto.0 }))
}

/// Forgets in some days what followed from the events after `good`; when nothing is left in the last of them, the cursor
/// goes back.
async fn forget(
    client: &mut Client,
    reader: &dyn Reader,
    turn: Turn<'_>,
    good: Seq,
    days: Days,
    is_last: bool,
) -> Result<Forgotten, LogError> {
    let (name, tenant) = (reader.name(), turn.tenant);
    let transaction = client.transaction().await?;
    let place = begin(&transaction, name, turn).await?.as_deref().and_then(<[Row]>::first).map(Place::of);
    let Some(place) = place else { return Ok(Forgotten::Elsewhere) };
    if place.good(&transaction, tenant).await? != Some(good) {
        return Ok(Forgotten::Elsewhere);
    }
    let (after, upto) = (good, place.read_to());
    let batch = Batch { transaction: &transaction, tenant, after, upto, days, keeps: days.is_all() };
    let all = reader.forget(&batch, good).await?;
    if all && is_last {
        place.move_to(&transaction, (tenant, name), good, None).await?;
    }
    transaction.commit().await?;
    Ok(if all { Forgotten::All } else { Forgotten::Some })
}

/// Enters the tenant, proves the lease and reads the place: in one flight, for a tenant may have one event only. None when
/// somebody else has the lease.
async fn begin(
    transaction: &Transaction<'_>,
    projector: &str,
    turn: Turn<'_>,
) -> Result<Option<Vec<Row>>, LogError> {
    let (scope, prove, place) = (
        transaction.prepare_cached(SET_SCOPE).await?,
        transaction.prepare_cached(PROVE).await?,
        transaction.prepare_cached(PLACE).await?,
    );
    let tenant = turn.tenant.as_str();
    let proof: [&(dyn ToSql + Sync); 4] = [&projector, &turn.slot.number, &turn.worker, &turn.slot.fence];
    let question: [&(dyn ToSql + Sync); 2] = [&tenant, &projector];
    let scoped: [&(dyn ToSql + Sync); 1] = [&tenant];
    let (set, entered, proved, place) = tokio::join!(
        biased;
        transaction.batch_execute(SETTINGS),
        transaction.execute(&scope, &scoped),
        transaction.execute(&prove, &proof),
        transaction.query(&place, &question),
    );
    set?;
    entered?;
    Ok(if proved? == 0 { None } else { Some(place?) })
}

/// Where a tenant's log ends and where it was read to.
struct Place {
    epoch: String,
    head: Seq,
    cursor: Option<(String, Seq)>,
    since: Option<Date>,
}

impl Place {
    fn of(row: &Row) -> Self {
        let cursor = row
            .get::<_, Option<String>>("read_epoch")
            .map(|epoch| (epoch, Seq(row.get::<_, i64>("read_to") as u64)));
        Self {
            epoch: row.get("epoch"),
            head: Seq(row.get::<_, i64>("head") as u64),
            cursor,
            since: row.get("since"),
        }
    }

    fn read_to(&self) -> Seq {
        self.cursor.as_ref().map_or(Seq::ZERO, |(_, seq)| *seq)
    }

    /// How far back the cursor has to go, if what it read is not what the log has now.
    async fn good(&self, transaction: &Transaction<'_>, tenant: &TenantId) -> Result<Option<Seq>, LogError> {
        let Some((epoch, seq)) = &self.cursor else { return Ok(None) };
        if *epoch == self.epoch {
            return Ok((*seq > self.head).then_some(self.head));
        }
        let row = one(transaction, GOOD_UP_TO, &[&tenant.as_str(), epoch]).await?;
        let good = row.map_or(Seq::ZERO, |row| Seq(row.get::<_, i64>(0) as u64));
        Ok(Some(good.min(*seq).min(self.head)))
    }

    async fn move_to(
        &self,
        transaction: &Transaction<'_>,
        (tenant, projector): (&TenantId, &str),
        seq: Seq,
        at: Option<SystemTime>,
    ) -> Result<(), LogError> {
        let (from_epoch, from) = match &self.cursor {
            Some((epoch, seq)) => (epoch.as_str(), seq.0 as i64),
            None => ("", -1),
        };
        let to = seq.0 as i64;
        let statement = transaction.prepare_cached(MOVE).await?;
        let params: [&(dyn ToSql + Sync); 7] =
            [&tenant.as_str(), &projector, &self.epoch, &to, &at, &from_epoch, &from];
        match transaction.execute(&statement, &params).await? {
            1 => Ok(()),
            _ => Err(LogError::Database(format!("the cursor of {projector} was moved by somebody else"))),
        }
    }
}

async fn oldest(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<Option<Seq>, LogError> {
    let [from, to] = Days::ALL.bounds();
    let row = one(transaction, FIRST, &[&tenant.as_str(), &from, &to]).await?;
    Ok(row.map(|row| Seq(row.get::<_, i64>("first") as u64)))
}

async fn one(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, LogError> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.query_opt(&statement, params).await?)
}
