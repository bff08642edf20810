//! How do requests reach the runners, and who wakes whom?

use super::flow::Flow;
use super::request::Request;
use super::schedule::{Schedule, Taken, Turns};
use super::ticket::Ticket;
use carillon_protocol::TenantId;
use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The schedule, shared by those who bring requests and those who store them.
#[derive(Default)]
pub(super) struct Queues {
    schedule: Mutex<Schedule<Ticket>>,
    /// An ordinary batch may be taken.
    ready: Notify,
    /// A tenant whose row was seen locked has requests.
    ready_locked: Notify,
}

impl Queues {
    pub(super) fn push(&self, flow: Flow, request: Request<Ticket>) {
        let mut schedule = self.lock();
        schedule.push(flow, request);
        self.wake(&schedule);
    }

    /// Whether this tenant's requests wait because somebody else has its row locked.
    pub(super) fn is_locked(&self, tenant: &TenantId) -> bool {
        self.lock().is_locked(tenant)
    }

    /// The next batch; the `last` ones before an end wait for nobody.
    pub(super) fn take(&self, last: bool) -> Option<Taken<Ticket>> {
        let mut schedule = self.lock();
        if last {
            schedule.finish();
        }
        let taken = schedule.take(Instant::now(), Ticket::begin);
        if schedule.is_ready() {
            // More than one batch holds.
            self.ready.notify_one();
        }
        taken
    }

    /// The tenants whose rows were seen locked and that have requests.
    pub(super) fn locked(&self) -> Vec<TenantId> {
        self.lock().locked().cloned().collect()
    }

    /// A batch of one of them, preferably of one that is not `still_locked`.
    pub(super) fn take_locked(&self, still_locked: &BTreeSet<TenantId>) -> Option<Taken<Ticket>> {
        self.lock().take_locked(Instant::now(), |tenant| !still_locked.contains(tenant), Ticket::begin)
    }

    pub(super) fn set_aside(&self, tenant: &TenantId, requests: Vec<Request<Ticket>>) {
        let mut schedule = self.lock();
        if !schedule.is_locked(tenant) {
            tracing::warn!(%tenant, "the tenant's row has been locked for too long; its events wait alone");
        }
        schedule.set_aside(tenant, requests, Instant::now());
        self.wake(&schedule);
    }

    /// An append of this tenant succeeded.
    pub(super) fn release(&self, tenant: &TenantId) {
        self.lock().release(tenant);
    }

    /// A batch has ended.
    pub(super) fn done(&self, turns: Turns) {
        let now = Instant::now();
        let took = now.saturating_duration_since(turns.began);
        let mut schedule = self.lock();
        schedule.done(turns, took, now);
        self.wake(&schedule);
        if schedule.rested_at().is_some() {
            // Whoever waits learns until when at the longest.
            self.ready.notify_one();
        }
    }

    /// Waits until an ordinary batch may be taken; returns at once when one might since the last call.
    pub(super) async fn ready(&self) {
        let rested_at = self.lock().rested_at();
        let rested = async {
            match rested_at {
                Some(until) => sleep(until.saturating_duration_since(Instant::now())).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.ready.notified() => {}
            () = rested => {}
        }
    }

    /// The same for tenants whose rows were seen locked.
    pub(super) async fn ready_locked(&self) {
        self.ready_locked.notified().await;
    }

    fn wake(&self, schedule: &Schedule<Ticket>) {
        if schedule.is_ready() {
            self.ready.notify_one();
        }
        if schedule.locked().next().is_some() {
            self.ready_locked.notify_one();
        }
    }

    /// A panic elsewhere leaves the schedule as it was: every change is one step.
    fn lock(&self) -> MutexGuard<'_, Schedule<Ticket>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::append;
    use super::super::shares::{Publisher, Shares};
    use super::super::ticket::{Waiter, ticket};
    use super::*;
    use crate::limits::NoticesTaken;
    use crate::metrics::Metrics;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::timeout;

    const WORK: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(10);

    fn push(queues: &Queues, tenant: &str, events: usize) -> Waiter {
        let publisher = Publisher { name: "key:k".into(), several_tenants: false };
        let appends = vec![append(tenant, None, 10); events];
        let share = Shares::new(Arc::new(Metrics::new())).take(&appends, &publisher);
        let (ticket, waiter) =
            ticket(share.unwrap_or_else(|refused| panic!("{refused}")), NoticesTaken::default());
        let request = Request::new(appends, ticket);
        queues.push(Flow::of(&request, &publisher).unwrap(), request);
        waiter
    }

    /// As a runner does it.
    async fn next(queues: &Queues) -> Taken<Ticket> {
        loop {
            if let Some(taken) = queues.take(false) {
                return taken;
            }
            queues.ready().await;
        }
    }

    #[tokio::test]
    async fn whoever_imports_rests_after_each_batch_and_a_runner_that_waits_already_wakes_for_it() {
        let queues = Arc::<Queues>::default();
        let _single = push(&queues, "other", 1);
        queues.done(next(&queues).await.turns);
        let _import = [push(&queues, "importer", 490), push(&queues, "importer", 490)];
        let taken = next(&queues).await;
        let waiting = tokio::spawn({
            let queues = queues.clone();
            async move { next(&queues).await.requests.len() }
        });
        sleep(WORK).await;
        queues.done(taken.turns);
        let rests = Instant::now();
        assert_eq!(timeout(PATIENCE, waiting).await.map(Result::unwrap), Ok(1), "it goes on by itself");
        assert!(rests.elapsed() >= WORK * 2, "only {:?}", rests.elapsed());
    }
}
