//! How does a request get into a batch, and what happens when too much waits already?
//!
//! The intake is bounded in events and in bytes over all lanes, counted until the answer is given. A full intake
//! refuses at once: a queue longer than the database's next two seconds only turns load into timeouts.

use super::NotAppended;
use super::announce::Announce;
use super::assemble::Request;
use super::runner::Runner;
use super::ticket::{Ticket, ticket};
use crate::health::Health;
use crate::metrics::Metrics;
use carillon_backplane::log::{Append, Appended, Log};
use carillon_platform::telemetry::Traces;
use carillon_protocol::TenantId;
use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Batches that may be under way at the same time.
const LANES: usize = 2;
/// Most events in the intake.
const INTAKE_EVENTS: usize = 10_000;
/// Most bytes in the intake.
const INTAKE_BYTES: usize = 16 * 1024 * 1024;
/// Longest wait for a batch to begin.
const PATIENCE: Duration = Duration::from_secs(2);
/// What an event weighs beside its body: columns, channels, the queue's own structures.
const OVERHEAD: usize = 512;

/// The door of the batcher; cheap to clone.
#[derive(Clone)]
pub struct Intake {
    lanes: Arc<[Arc<Lane>; LANES]>,
    room: Arc<Room>,
    health: Health,
    metrics: Arc<Metrics>,
}

/// The running batcher.
pub struct Batcher {
    intake: Intake,
    stopping: CancellationToken,
    runners: TaskTracker,
}

impl Batcher {
    /// Starts one runner for each lane. `announce` is called with each committed envelope.
    pub fn start(
        log: Log,
        health: Health,
        announce: Announce,
        metrics: Arc<Metrics>,
        traces: &Traces,
    ) -> Self {
        let lanes: Arc<[Arc<Lane>; LANES]> = Arc::new(std::array::from_fn(|_| Arc::default()));
        let (stopping, runners) = (CancellationToken::new(), TaskTracker::new());
        for lane in lanes.iter() {
            let runner = Runner {
                lane: lane.clone(),
                log: log.clone(),
                health: health.clone(),
                announce: announce.clone(),
                metrics: metrics.clone(),
                traces: traces.clone(),
            };
            runners.spawn(runner.run(stopping.clone()));
        }
        let room = Arc::new(Room { taken: Mutex::default(), metrics: metrics.clone() });
        Self { intake: Intake { lanes, room, health, metrics }, stopping, runners }
    }

    /// The door.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Lets the runners finish what is queued and end. Returns false when they have not within `limit`.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stopping.cancel();
        self.runners.close();
        tokio::time::timeout(limit, self.runners.wait()).await.is_ok()
    }
}

impl Intake {
    /// Appends the events of one request, all or none, and answers one result for each, after COMMIT.
    pub async fn append(&self, appends: Vec<Append>) -> Result<Vec<Appended>, NotAppended> {
        let answer = self.enqueue_and_wait(appends).await;
        self.metrics.answered(&answer);
        answer
    }

    async fn enqueue_and_wait(&self, appends: Vec<Append>) -> Result<Vec<Appended>, NotAppended> {
        let Some(first) = appends.first() else { return Ok(Vec::new()) };
        if self.health.is_down() {
            return Err(NotAppended::Unavailable);
        }
        let bytes = appends.iter().map(|append| append.event.body.len() + OVERHEAD).sum();
        let Some(_room) = self.room.clone().reserve(appends.len(), bytes) else {
            return Err(NotAppended::Overloaded);
        };
        let lane = &self.lanes[lane_of(&first.tenant)];
        let (ticket, waiter) = ticket();
        lane.push(Request { appends, bytes, ticket });
        waiter.wait(PATIENCE).await
    }
}

/// A tenant always takes the same lane. A request with several tenants takes its first one's: the append statement
/// locks in tenant order, so lanes that share tenants wait for each other but never in a circle.
fn lane_of(tenant: &TenantId) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(tenant);
    (hash % LANES as u64) as usize
}

/// The requests that wait for one runner.
#[derive(Default)]
pub(super) struct Lane {
    queue: Mutex<VecDeque<Request<Ticket>>>,
    arrived: Notify,
}

impl Lane {
    fn push(&self, request: Request<Ticket>) {
        self.with(|queue| queue.push_back(request));
        self.arrived.notify_one();
    }

    /// Looks at or changes the queue. A panic elsewhere leaves it as it was: every change is one step.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut VecDeque<Request<Ticket>>) -> R) -> R {
        look(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something arrives; returns at once when something did since the last call.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// What is in the intake.
struct Room {
    taken: Mutex<(usize, usize)>,
    metrics: Arc<Metrics>,
}

/// A request's part of the room; given back when dropped.
struct Reserved {
    room: Arc<Room>,
    events: usize,
    bytes: usize,
}

impl Room {
    fn reserve(self: Arc<Self>, events: usize, bytes: usize) -> Option<Reserved> {
        {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.0 + events > INTAKE_EVENTS || taken.1 + bytes > INTAKE_BYTES {
                return None;
            }
            *taken = (taken.0 + events, taken.1 + bytes);
            self.metrics.intake(*taken);
        }
        Some(Reserved { room: self, events, bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = (taken.0 - self.events, taken.1 - self.bytes);
        self.room.metrics.intake(*taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_bounded_in_events_and_bytes_and_given_back() {
        let room = Arc::new(Room { taken: Mutex::default(), metrics: Arc::new(Metrics::new()) });
        let most = room.clone().reserve(INTAKE_EVENTS, 10).unwrap();
        assert!(room.clone().reserve(1, 1).is_none());
        drop(most);
        let heavy = room.clone().reserve(1, INTAKE_BYTES).unwrap();
        assert!(room.clone().reserve(1, 1).is_none());
        drop(heavy);
        assert!(room.reserve(1, 1).is_some());
    }

    #[test]
    fn tenants_spread_over_the_lanes_and_stay() {
        let tenant = |n: u32| TenantId::new(format!("t{n}")).unwrap();
        let lanes: Vec<usize> = (0..100).map(|n| lane_of(&tenant(n))).collect();
        assert_eq!(lanes, (0..100).map(|n| lane_of(&tenant(n))).collect::<Vec<_>>());
        let first = lanes.iter().filter(|lane| **lane == 0).count();
        assert!((20..80).contains(&first), "{first}");
    }
}
