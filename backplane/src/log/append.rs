//! How do many events get gapless numbers in one statement?
//!
//! **Invariants I1 and I2.** The statement locks the counters of all tenants of the batch in tenant order (so two
//! batches never wait for each other in a circle), inserts the events numbered from there, and counts up. The locks
//! are held until commit, therefore for each tenant: sequence order = commit order = visibility order; and an abort
//! takes the counting back with it, therefore no gaps.
//!
//! A batch is stored as a whole or not at all ([`statement`]). When some of its events may not be stored — their keys
//! are known, their tenants are not — the statement changes nothing and tells which; those get their answers
//! ([`answers`]) and the others go again. That is rare, and what makes the usual case cheap: the numbers within the
//! batch are counted here, and the database joins nothing (docs/adr/0006).
//!
//! An event that is alone in its batch is stored by one call, if nothing is in its way ([`single`]).
//!
//! An epoch given in another lineage of the database ends before the first number of this one is given: the statement
//! stores nothing, `carillon.settle_epochs` gives new ones, and it runs again (docs/adr/0013).
//!
//! Idempotency keys are looked up in the statement's snapshot, which may be older than the lock it then waited for.
//! A key that another publisher committed in between meets the table's primary key: the whole batch aborts and runs
//! again with a fresh snapshot, which sees it.

mod answers;
mod notices;
mod single;
mod statement;

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::{scoped, scoped_with_lock_wait};
use super::session::Session;
use super::work::Work;
use answers::Answers;
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Epoch, EventId, Except, Seq, Tag, TenantId};
use single::{APPEND_EVENT, Single};
use statement::{Columns, Counters, Groups, Outcome};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;
use tokio_postgres::types::ToSql;

/// One event to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose log.
    pub tenant: TenantId,
    /// Events with the same number are stored all or none.
    pub request: u32,
    /// What happened.
    pub event: NewEvent,
    /// What makes a repeat recognisable. Within one batch no two events of a tenant may have the same.
    pub key: Option<IdempotencyKey>,
    /// Who does not get it as it happens. Kept for two days, for those who ask why; what delivers from the log does not read it.
    pub except: Option<Box<Except>>,
}

/// A name for a request and a digest of what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The name.
    pub name: String,
    /// SHA-256 of what was asked.
    pub hash: [u8; 32],
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Committed.
    Stored {
        /// Its number.
        seq: Seq,
        /// The log's life.
        epoch: Epoch,
        /// When, by the database's clock, microseconds since 1970.
        at_micros: u64,
        /// The tag of the event before it, where that was stored earlier and its tag is known.
        before: Option<Tag>,
    },
    /// It was committed before under the same key; this is what it got then.
    Replayed {
        /// The first event's id.
        id: EventId,
        /// The first event's number.
        seq: Seq,
        /// The log's life then.
        epoch: Epoch,
    },
    /// The key was used for something else. Nothing of its request was stored.
    Conflict,
    /// Another event of its request could not be stored.
    Refused,
    /// There is no such tenant. Nothing of its request was stored.
    UnknownTenant,
}

/// How often a batch runs again after meeting a key committed by somebody else in between.
const ATTEMPTS: u32 = 4;
/// Longest wait for a tenant's row when the caller names none: as long as a statement may take.
const LOCK_WAIT: Duration = Duration::from_millis(2_000);

/// The tenants of the scope whose rows other transactions hold. Waits for none, and lets the others go at once.
const LOCKED: &str = "
WITH free AS MATERIALIZED (SELECT id FROM carillon.tenants FOR UPDATE SKIP LOCKED)
SELECT id FROM carillon.tenants WHERE id NOT IN (SELECT id FROM free)";
/// Which of these keys are known, by place. Each is one look into the index, however many the tables have.
const KNOWN_KEYS: &str = "
SELECT k.n FROM (SELECT unnest($1::text[]) AS tenant_id, unnest($2::text[]) AS key, unnest($3::int[]) AS n) AS k
    CROSS JOIN LATERAL (SELECT FROM carillon.idempotency i
        WHERE i.tenant_id = k.tenant_id AND i.key = k.key OFFSET 0) AS i";
/// For the transaction that is open: whom it sees, and how long it waits for each lock.
const SET_SCOPE: &str =
    "SELECT set_config('carillon.tenant', $1, true), set_config('lock_timeout', $2, true)";
/// Gives tenants an epoch of this database's lineage.
const SETTLE: &str = "SELECT carillon.settle_epochs($1)";

/// Appends a batch in the transaction that is open on this session. An error has ended the transaction.
pub(super) async fn append_here(
    client: &Session,
    batch: &[Append],
    lock_wait: Duration,
) -> Result<Vec<Appended>, LogError> {
    let mut answers = Answers::of(batch);
    let mut settled = 0;
    let lock_wait = lock_wait.as_millis().max(1).to_string();
    while !answers.open().is_empty() {
        let groups = Groups::of(batch, answers.open());
        let columns = Columns::of(batch, &groups)?;
        let names: Vec<&str> = groups.tenants.iter().map(|tenant| tenant.as_str()).collect();
        let (set_scope, append) =
            (client.prepare_cached(SET_SCOPE).await?, client.prepare_cached(columns.sql()).await?);
        let scope = names.join(",");
        let (scope, params): ([&(dyn ToSql + Sync); 2], _) = ([&scope, &lock_wait], columns.params());
        let (scoped, rows) = tokio::join!(
            biased;
            client.query(&set_scope, &scope),
            client.query(&append, &params),
        );
        scoped?;
        match Outcome::of(&rows?)? {
            Outcome::Stored(places) => answers.stored(&groups, &places),
            Outcome::Nothing(reasons) => answers.nothing(&groups, reasons)?,
            Outcome::Unsettled if settled < ATTEMPTS => {
                settled += 1;
                client.query(SETTLE, &[&names]).await?;
            }
            Outcome::Unsettled => return Err(changing_lineage()),
        }
    }
    answers.finish()
}

/// Two servers answer in turn, and each takes itself for the one that writes.
fn changing_lineage() -> LogError {
    LogError::Session("the database's lineage changes from session to session".into())
}

impl Log {
    /// Appends a batch in one transaction: one answer for each event, in the same order.
    ///
    /// Whoever gets an `Ok` may acknowledge (I1). After [`LogError::Down`] the outcome is unknown; repeating
    /// the call is safe for events that have a key.
    pub async fn append(&self, batch: &[Append]) -> Result<Vec<Appended>, LogError> {
        self.append_within(batch, LOCK_WAIT).await
    }

    /// The same, waiting for a tenant's row no longer than `lock_wait`: after [`LogError::Locked`] nothing of the batch
    /// was stored, and [`Log::locked`] tells whose rows they are.
    pub async fn append_within(
        &self,
        batch: &[Append],
        lock_wait: Duration,
    ) -> Result<Vec<Appended>, LogError> {
        let mut answers = Answers::of(batch);
        if let Some(counters) = self.append_single(batch, lock_wait).await? {
            answers.stored(&Groups::of(batch, &[0]), &counters);
            return answers.finish();
        }
        let mut settled = 0;
        // Each round stores what is open or answers at least one event, so there are at most as many as events; as a
        // rule one, and two when something was repeated.
        while !answers.open().is_empty() {
            let groups = Groups::of(batch, answers.open());
            match self.append_all_or_nothing(batch, &groups, lock_wait).await? {
                Outcome::Stored(places) => answers.stored(&groups, &places),
                Outcome::Nothing(reasons) => answers.nothing(&groups, reasons)?,
                Outcome::Unsettled if settled < ATTEMPTS => {
                    settled += 1;
                    self.settle(&groups, lock_wait).await?;
                }
                Outcome::Unsettled => return Err(changing_lineage()),
            }
        }
        answers.finish()
    }

    /// Stores a batch of one event by one call, if that can be done so; none when nothing was stored.
    async fn append_single(
        &self,
        batch: &[Append],
        lock_wait: Duration,
    ) -> Result<Option<Counters>, LogError> {
        // Zero would mean: wait for ever.
        let lock_wait = lock_wait.as_millis().max(1).to_string();
        let Some(single) = Single::of(batch, &lock_wait)? else { return Ok(None) };
        let stored = exchange(self.client(Work::Append, "append").await?, async |client| {
            let statement = client.prepare_cached(APPEND_EVENT).await?;
            Single::stored(&client.query_one(&statement, &single.params()).await?)
        })
        .await;
        match stored {
            // A publisher may be newer than the database, which has no such call then.
            Err(LogError::NotMigrated(_)) => Ok(None),
            stored => stored,
        }
    }

    /// Ends the epochs of these tenants that were given in another lineage.
    async fn settle(&self, groups: &Groups<'_>, lock_wait: Duration) -> Result<(), LogError> {
        let names: Vec<&str> = groups.tenants.iter().map(|tenant| tenant.as_str()).collect();
        let (client, tenants) = (self.client(Work::Append, "settle").await?, groups.tenants.iter().copied());
        scoped_with_lock_wait(client, tenants, lock_wait, SETTLE, &[&names]).await.map(drop)
    }

    async fn append_all_or_nothing(
        &self,
        batch: &[Append],
        groups: &Groups<'_>,
        lock_wait: Duration,
    ) -> Result<Outcome, LogError> {
        let columns = Columns::of(batch, groups)?;
        for attempt in 1.. {
            let tenants = groups.tenants.iter().copied();
            let client = self.client(Work::Append, "append").await?;
            match scoped_with_lock_wait(client, tenants, lock_wait, columns.sql(), &columns.params()).await {
                Ok(rows) => return Outcome::of(&rows),
                Err(LogError::Database(text)) if attempt < ATTEMPTS && text.contains("idempotency_pkey") => {
                    tracing::debug!(attempt, "idempotency key committed meanwhile, appending again");
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Which of these have a key that something was stored under, by place. Appending one of them stores nothing: it answers
    /// [`Appended::Replayed`] or [`Appended::Conflict`]. (A key is forgotten after two days.)
    pub async fn known_keys(&self, appends: &[&Append]) -> Result<HashSet<usize>, LogError> {
        let keyed =
            appends.iter().enumerate().filter_map(|(n, append)| Some((n, append, append.key.as_ref()?)));
        let (mut tenants, mut keys, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (n, append, key) in keyed {
            tenants.push(append.tenant.as_str());
            keys.push(key.name.as_str());
            places.push(n as i32);
        }
        let scope: BTreeSet<&TenantId> = appends.iter().map(|append| &append.tenant).collect();
        let client = self.client(Work::Ask, "known_keys").await?;
        let rows = scoped(client, scope.into_iter(), KNOWN_KEYS, &[&tenants, &keys, &places]).await?;
        Ok(rows.iter().map(|row| row.get::<_, i32>("n") as usize).collect())
    }

    /// Which of these tenants' rows are held by other transactions at this moment.
    pub async fn locked(&self, tenants: &[TenantId]) -> Result<BTreeSet<TenantId>, LogError> {
        let rows = scoped(self.client(Work::Append, "locked").await?, tenants.iter(), LOCKED, &[]).await?;
        let names = rows.iter().map(|row| TenantId::new(row.get::<_, &str>("id")));
        names.collect::<Result<_, _>>().map_err(|_| statement::broken("tenant"))
    }
}
