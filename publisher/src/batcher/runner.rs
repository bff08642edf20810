//! What happens to a batch, from the queue to every caller's answer?

use super::NotAppended;
use super::announce::{Announce, envelopes};
use super::assemble::{Request, assemble};
use super::intake::Lane;
use super::ticket::{Answer, Ticket};
use crate::health::Health;
use crate::metrics::Metrics;
use carillon_backplane::log::{Append, Appended, Log, LogError};
use carillon_platform::telemetry::Traces;
use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// Longest time callers wait for the database to commit.
const COMMIT: Duration = Duration::from_millis(1_800);

/// Appends the batches of one lane, one after the other.
pub(super) struct Runner {
    pub(super) lane: Arc<Lane>,
    pub(super) log: Log,
    pub(super) health: Health,
    pub(super) announce: Announce,
    pub(super) metrics: Arc<Metrics>,
    pub(super) traces: Traces,
}

impl Runner {
    /// Runs until it is asked to stop and the queue is empty.
    pub(super) async fn run(self, stopping: CancellationToken) {
        loop {
            let batch = self.lane.with(|queue| assemble(queue, Ticket::begin));
            if !batch.is_empty() {
                self.commit(Batch::of(batch)).await;
            } else if self.lane.with(|queue| queue.is_empty()) {
                tokio::select! {
                    () = self.lane.arrived() => {}
                    () = stopping.cancelled() => {
                        // Whoever came in the meantime is still served.
                        if self.lane.with(|queue| queue.is_empty()) {
                            return;
                        }
                    }
                }
            }
        }
    }

    async fn commit(&self, batch: Batch) {
        if self.health.is_down() {
            answer_all(batch.members, NotAppended::Unavailable);
            return;
        }
        let Batch { appends, mut members } = batch;
        self.metrics.batch_events.record(appends.len() as f64);
        let (began, begun) = (Instant::now(), SystemTime::now());
        let result = {
            let mut append = pin!(self.log.append(&appends));
            match tokio::time::timeout(COMMIT, &mut append).await {
                Ok(result) => result,
                Err(_) => {
                    self.health.failed();
                    answer_all(std::mem::take(&mut members), NotAppended::Unavailable);
                    // Nobody waits any more, but what is committed after all must still be announced.
                    append.await
                }
            }
        };
        self.metrics.database_seconds.record(began.elapsed());
        self.trace(&appends, "append to the log", begun);
        match result {
            Ok(results) => self.settle(Batch { appends, members }, &results),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, events = appends.len(), "batch not stored");
                self.health.failed();
                answer_all(members, NotAppended::Unavailable);
            }
            Err(LogError::Database(error)) if members.len() > 1 => {
                tracing::warn!(error, requests = members.len(), "batch refused; each request runs alone");
                self.one_by_one(Batch { appends, members }).await;
            }
            Err(error) => {
                tracing::error!(%error, "request refused by the database");
                answer_all(members, not_appended(&error));
            }
        }
    }

    /// One request the database will not take must not fail the others.
    async fn one_by_one(&self, batch: Batch) {
        let Batch { appends, members } = batch;
        for (ticket, range) in members {
            let alone = appends[range].to_vec();
            match self.log.append(&alone).await {
                Ok(results) => {
                    ticket.answer(Ok(results.clone()));
                    self.publish(alone, &results);
                }
                Err(error) => {
                    tracing::error!(%error, "request refused by the database");
                    if error.is_retryable() {
                        self.health.failed();
                    }
                    ticket.answer(Err(not_appended(&error)));
                }
            }
        }
    }

    /// Tells every caller and the gateways.
    fn settle(&self, batch: Batch, results: &[Appended]) {
        for (ticket, range) in batch.members {
            let answer: Answer = results.get(range).map(<[_]>::to_vec).ok_or(NotAppended::Failed);
            ticket.answer(answer);
        }
        self.publish(batch.appends, results);
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

fn not_appended(error: &LogError) -> NotAppended {
    match error {
        LogError::Unavailable(_) | LogError::NotMigrated(_) | LogError::Config(_) => NotAppended::Unavailable,
        LogError::Database(_) => NotAppended::Failed,
    }
}

/// The events of several requests in one list, and which part of it is whose.
struct Batch {
    appends: Vec<Append>,
    members: Vec<Member>,
}

/// Who waits, and for which of the events.
type Member = (Ticket, Range<usize>);

impl Batch {
    fn of(requests: Vec<Request<Ticket>>) -> Self {
        let mut batch = Self { appends: Vec::new(), members: Vec::with_capacity(requests.len()) };
        for (number, request) in requests.into_iter().enumerate() {
            let start = batch.appends.len();
            let numbered = |append| Append { request: number as u32, ..append };
            batch.appends.extend(request.appends.into_iter().map(numbered));
            batch.members.push((request.ticket, start..batch.appends.len()));
        }
        batch
    }
}

fn answer_all(members: Vec<Member>, fault: NotAppended) {
    for (ticket, _) in members {
        ticket.answer(Err(fault));
    }
}
