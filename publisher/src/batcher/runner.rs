//! What happens to a batch, from the queues to every caller's answer?

use super::NotAppended;
use super::announce::{Announce, envelopes};
use super::batch::{Batch, answer, refuse};
use super::queues::Queues;
use super::request::Request;
use super::schedule::Taken;
use super::ticket::Ticket;
use crate::health::Health;
use crate::metrics::Metrics;
use carillon_backplane::log::{Append, Appended, Log, LogError};
use carillon_platform::telemetry::{Seldom, Traces};
use carillon_protocol::TenantId;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::{Discriminant, discriminant};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest time callers wait for the database to commit.
const COMMIT: Duration = Duration::from_millis(1_800);
/// Longest wait of an ordinary batch for a tenant's row. Another publisher's batch holds it for some milliseconds.
pub(super) const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Longest wait for the row of a tenant that was seen locked. Then the next such tenant is tried.
const LOCKED_WAIT: Duration = Duration::from_millis(200);

static REFUSED: Seldom<()> = Seldom::new();
static NOT_STORED: Seldom<Discriminant<LogError>> = Seldom::new();
static NOT_FOUND: Seldom<Discriminant<LogError>> = Seldom::new();

/// Appends batches, one after the other.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) queues: Arc<Queues>,
    pub(super) log: Log,
    pub(super) health: Health,
    pub(super) announce: Announce,
    pub(super) metrics: Arc<Metrics>,
    pub(super) traces: Traces,
}

/// What became of a batch.
enum Outcome {
    /// Everybody has an answer.
    Answered,
    /// Nothing was stored: a row was locked for longer than the batch may wait.
    Locked(Batch),
    /// Nothing was stored: the database refused the statement, because of some of its events at least.
    Refused(Batch),
}

impl Runner {
    /// Runs until it is asked to stop and nothing waits.
    pub(super) async fn run(self, stopping: CancellationToken) {
        loop {
            let last = stopping.is_cancelled();
            if let Some(Taken { turns, requests }) = self.queues.take(last) {
                self.commit(requests, LOCK_WAIT).await;
                self.queues.done(turns);
            } else if last {
                return;
            } else {
                tokio::select! {
                    () = self.queues.ready() => {}
                    // Whoever came in the meantime is still served.
                    () = stopping.cancelled() => {}
                }
            }
        }
    }

    /// The same for the tenants whose rows are locked by others: one at a time, so that they take one connection.
    pub(super) async fn run_locked(self, stopping: CancellationToken) {
        loop {
            let tenants = self.queues.locked();
            let still_locked = match tenants.len() {
                0 | 1 => BTreeSet::new(),
                // When it cannot be asked, the append that follows tells why.
                _ => self.log.locked(&tenants).await.unwrap_or_default(),
            };
            if let Some(Taken { turns, requests }) = self.queues.take_locked(&still_locked) {
                let set_aside = self.commit(requests, LOCKED_WAIT).await;
                turns.tenants.iter().filter(|tenant| !set_aside.contains(*tenant)).for_each(|tenant| {
                    self.queues.release(tenant);
                });
                self.queues.done(turns);
            } else if stopping.is_cancelled() {
                return;
            } else {
                tokio::select! {
                    () = self.queues.ready_locked() => {}
                    () = stopping.cancelled() => {}
                }
            }
        }
    }

    /// Stores these requests, and when not all may be stored together, as few apart as possible. Answers the tenants
    /// whose rows are locked: their requests wait again.
    async fn commit(&self, requests: Vec<Request<Ticket>>, lock_wait: Duration) -> BTreeSet<TenantId> {
        let until = Instant::now() + COMMIT;
        let mut set_aside = BTreeSet::new();
        let mut parts = vec![(Batch::of(requests), lock_wait)];
        while let Some((part, lock_wait)) = parts.pop() {
            if let Err(fault) = self.health.check_writing() {
                part.refuse(NotAppended::from(&fault));
            } else if Instant::now() >= until {
                // No statement with these events has succeeded.
                part.refuse(NotAppended::Overloaded);
            } else {
                match self.append(part, lock_wait, until).await {
                    Outcome::Answered => {}
                    Outcome::Locked(part) => match self.locked_of(&part).await {
                        Some(locked) if locked.is_empty() => {
                            // It was free again in that moment, or it is no tenant's row: maintenance holds a table.
                            let rest = until.saturating_duration_since(Instant::now());
                            parts.push((part, rest.max(lock_wait)));
                        }
                        Some(locked) => {
                            parts.extend(self.set_aside(part, &locked).map(|part| (part, lock_wait)));
                            set_aside.extend(locked);
                        }
                        None => part.refuse(NotAppended::Overloaded),
                    },
                    Outcome::Refused(part) => {
                        parts.extend(part.halves().map(|half| (half, lock_wait)).into_iter().rev());
                    }
                }
            }
        }
        set_aside
    }

    /// One statement, and the answers when it ends everybody's waiting.
    async fn append(&self, batch: Batch, lock_wait: Duration, until: Instant) -> Outcome {
        let Batch { appends, mut members } = batch;
        self.metrics.batch_events.record(appends.len() as f64);
        let (began, begun) = (Instant::now(), SystemTime::now());
        let result = {
            let mut append = pin!(self.log.append_within(&appends, lock_wait));
            match tokio::time::timeout_at(until, &mut append).await {
                Ok(result) => result,
                Err(_) => {
                    // A slow statement is no dead database: the result tells which it is.
                    refuse(std::mem::take(&mut members), NotAppended::Unavailable);
                    // Nobody waits any more, but what is committed after all must still be announced.
                    append.await
                }
            }
        };
        self.metrics.database_seconds.record(began.elapsed());
        self.trace(&appends, "append to the log", begun);
        match result {
            Ok(results) => {
                self.metrics.commits.note(began.elapsed());
                answer(members, &results);
                self.publish(appends, &results);
                Outcome::Answered
            }
            Err(LogError::Locked(_)) => Outcome::Locked(Batch { appends, members }),
            Err(LogError::Database(error)) if members.len() > 1 => {
                if let Some(times) = REFUSED.due(()) {
                    tracing::warn!(
                        error,
                        times,
                        requests = members.len(),
                        "batch refused; its halves are tried"
                    );
                }
                Outcome::Refused(Batch { appends, members })
            }
            Err(error) => {
                if let Some(times) = NOT_STORED.due(discriminant(&error)) {
                    tracing::warn!(%error, times, events = appends.len(), "batch not stored");
                }
                self.health.failed(&error);
                refuse(members, NotAppended::from(&error));
                Outcome::Answered
            }
        }
    }

    /// Which tenants of a batch are locked by others; none when the log does not say.
    async fn locked_of(&self, batch: &Batch) -> Option<BTreeSet<TenantId>> {
        let tenants: Vec<TenantId> = batch.tenants().into_iter().collect();
        match self.log.locked(&tenants).await {
            Ok(locked) => Some(locked),
            Err(error) => {
                if let Some(times) = NOT_FOUND.due(discriminant(&error)) {
                    tracing::warn!(%error, times, "the locked tenants could not be found");
                }
                None
            }
        }
    }

    /// Puts the requests of locked tenants back into their queues; the others are to be tried again at once.
    fn set_aside(&self, batch: Batch, locked: &BTreeSet<TenantId>) -> Option<Batch> {
        let mut waiting: BTreeMap<TenantId, Vec<Request<Ticket>>> = BTreeMap::new();
        let mut rest = Vec::new();
        for request in batch.into_requests() {
            match request.names(locked).cloned() {
                None => rest.push(request),
                Some(_) if request.ticket.is_over(Instant::now()) => {
                    request.ticket.answer(Err(NotAppended::TenantBusy));
                }
                Some(tenant) if request.ticket.put_back() => waiting.entry(tenant).or_default().push(request),
                Some(_) => {}
            }
        }
        for (tenant, requests) in waiting {
            self.queues.set_aside(&tenant, requests);
        }
        (!rest.is_empty()).then(|| Batch::of(rest))
    }

    fn publish(&self, appends: Vec<Append>, results: &[Appended]) {
        let begun = SystemTime::now();
        let traced = if self.traces.is_on() { appends.clone() } else { Vec::new() };
        for envelope in envelopes(appends, results) {
            (self.announce)(envelope);
        }
        self.trace(&traced, "announce to redis", begun);
    }

    /// A span for each trace among these events, from `begun` to now.
    fn trace(&self, appends: &[Append], name: &'static str, begun: SystemTime) {
        if self.traces.is_on() {
            let traced: BTreeSet<&str> =
                appends.iter().filter_map(|append| append.event.traceparent.as_deref()).collect();
            traced.into_iter().for_each(|parent| self.traces.part(parent, name, begun, SystemTime::now()));
        }
    }
}
