//! How does one batch of a tenant's events become a result and a cursor?
//!
//! In one transaction: the lease is proved and renewed, the cursor read, the batch read, the cursor moved. It need not be
//! on disk when it is committed: what a crash takes away is the result together with its cursor, and is read again.

use super::{BATCH, Reader, Turn};
use crate::log::error::LogError;
use crate::log::heads::OLDEST;
use crate::log::pool::{Client, Log};
use crate::log::scope::SET_SCOPE;
use crate::log::work::Work;
use carillon_protocol::{Seq, TenantId};
use deadpool_postgres::Transaction;
use std::time::{Duration, SystemTime};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Longest time a step may take; forgetting the end of a long log is the longest.
const DEADLINE: Duration = Duration::from_secs(60);
/// Longest time for one of its statements.
const SETTINGS: &str =
    "SELECT set_config('synchronous_commit', 'off', true), set_config('statement_timeout', '50s', true)";
/// Whoever took the slot over has another fence; until COMMIT nobody else can take it.
const PROVE: &str = "
UPDATE carillon.projector_slots SET lease_until = greatest(lease_until, clock_timestamp() + interval '10 s')
WHERE projector = $1 AND slot = $2 AND worker = $3 AND fence = $4";
/// Where the log ends and the cursor stands. `since` is the day before that of the cursor's event: clocks may be set
/// back, but not that far, and whether it was so is looked at.
const PLACE: &str = "
SELECT t.epoch, t.head, c.epoch AS read_epoch, c.seq AS read_to,
    to_char(date_trunc('day', c.at AT TIME ZONE 'UTC') - interval '1 day', 'YYYY-MM-DD') AS since
FROM carillon.tenants t LEFT JOIN carillon.projector_cursors c ON c.tenant_id = t.id AND c.projector = $2
WHERE t.id = $1";
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
    since: Option<String>,
}

impl Batch<'_> {
    /// The batch as an item of a FROM clause, with parameters `$1` to `$3`. Partitions are ruled out by a constant: with
    /// a parameter each one would be locked. The order leaves no index to go by but the right one.
    pub fn events(&self) -> String {
        let since = self.since.as_ref().map(|day| format!(" AND at >= '{day} 00:00+00'"));
        let since = since.unwrap_or_default();
        format!(
            "(SELECT * FROM carillon.events WHERE tenant_id = $1 AND seq > $2 AND seq <= $3{since} ORDER BY seq LIMIT {BATCH}) AS e"
        )
    }

    /// Runs a statement over the batch's events; `$1` to `$3` are its tenant and its range.
    pub async fn execute(&self, sql: &str) -> Result<u64, LogError> {
        self.run(sql, &[&self.tenant.as_str(), &(self.after.0 as i64), &(self.upto.0 as i64)]).await
    }

    pub(super) async fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, LogError> {
        let statement = self.transaction.prepare_cached(sql).await?;
        Ok(self.transaction.execute(&statement, params).await?)
    }

    /// How many of the events are there, and when the last was appended.
    async fn look(&self) -> Result<(u64, Option<SystemTime>), LogError> {
        let sql = format!(
            "SELECT count(*) AS events, (array_agg(e.at ORDER BY e.seq DESC))[1] AS at FROM {}",
            self.events()
        );
        let params: [&(dyn ToSql + Sync); 3] =
            [&self.tenant.as_str(), &(self.after.0 as i64), &(self.upto.0 as i64)];
        let row = one(self.transaction, &sql, &params).await?;
        let Some(row) = row else { return Ok((0, None)) };
        Ok((row.get::<_, i64>("events") as u64, row.get("at")))
    }
}

impl Log {
    /// Reads the next batch of a tenant's log.
    pub async fn project(&self, reader: &dyn Reader, turn: Turn<'_>) -> Result<Progress, LogError> {
        let mut client = self.client(Work::Upkeep, "project").await?;
        match tokio::time::timeout(DEADLINE, step(&mut client, reader, turn)).await {
            Ok(result) => result,
            Err(_) => {
                drop(Client::take(client));
                Err(LogError::TooSlow(format!("a batch took longer than {} s", DEADLINE.as_secs())))
            }
        }
    }
}

async fn step(client: &mut Client, reader: &dyn Reader, turn: Turn<'_>) -> Result<Progress, LogError> {
    let (name, tenant) = (reader.name(), turn.tenant);
    let transaction = client.transaction().await?;
    let Some(place) = begin(&transaction, name, turn).await? else { return Ok(Progress::LeaseLost) };
    let Some(place) = place.first().map(Place::of) else {
        return Ok(Progress::Read { events: 0, behind: 0 });
    };
    if let Some(good) = place.good(&transaction, tenant).await? {
        let batch =
            Batch { transaction: &transaction, tenant, after: good, upto: place.read_to(), since: None };
        if reader.forget(&batch, good).await? {
            place.move_to(&transaction, (tenant, name), good, None).await?;
        }
        transaction.commit().await?;
        return Ok(Progress::Rewound);
    }
    let (after, head) = (place.read_to(), place.head);
    let upto = Seq(after.0 + BATCH as u64).min(head);
    let mut batch = Batch { transaction: &transaction, tenant, after, upto, since: place.since.clone() };
    let (mut events, mut at) = batch.look().await?;
    if batch.since.is_some() && events < upto.0 - after.0 {
        batch.since = None;
        (events, at) = batch.look().await?;
    }
    if events > 0 {
        reader.read(&batch).await?;
    }
    // What retention has dropped is passed over in one go.
    let upto = match events {
        0 => oldest(&transaction, tenant).await?.map_or(head, |oldest| oldest.previous().clamp(upto, head)),
        _ => upto,
    };
    place.move_to(&transaction, (tenant, name), upto, at).await?;
    transaction.commit().await?;
    Ok(Progress::Read { events, behind: head.0 - upto.0 })
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
    since: Option<String>,
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
    let row = one(transaction, OLDEST, &[&tenant.as_str()]).await?;
    Ok(row.map(|row| Seq(row.get::<_, i64>("seq") as u64)))
}

async fn one(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, LogError> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.query_opt(&statement, params).await?)
}
