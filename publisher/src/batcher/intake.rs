//! How does a request get into a batch, and what happens when too much waits already?
//!
//! The intake is bounded, and divided among its users ([`super::shares`]). Whoever has no room is refused at once: a
//! queue longer than the database's next two seconds only turns load into timeouts.

use super::announce::Announce;
use super::flow::Flow;
use super::queues::Queues;
use super::request::Request;
use super::room::{Room, Rooms};
use super::runner::Runner;
use super::shares::{Publisher, Shares};
use super::ticket::ticket;
use super::{NotAppended, PATIENCE};
use crate::health::Health;
use crate::limits::NoticesTaken;
use crate::metrics::Metrics;
use carillon_backplane::log::{Append, Appended, Log};
use carillon_platform::telemetry::Traces;
use carillon_protocol::TenantId;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Ordinary batches that may be under way at the same time: one is prepared while the other commits.
const RUNNERS: usize = 2;

/// The side of the batcher that takes requests; cheap to clone.
#[derive(Clone)]
pub struct Intake {
    queues: Arc<Queues>,
    shares: Shares,
    rooms: Rooms,
    health: Health,
    metrics: Arc<Metrics>,
}

/// The running batcher.
pub struct Batcher {
    intake: Intake,
    stopping: CancellationToken,
    runners: TaskTracker,
    /// The runner of locked tenants ends last: the others may leave it something.
    stopping_last: CancellationToken,
    last_runner: TaskTracker,
}

impl Batcher {
    /// Starts the runners. `announce` is called with each committed envelope.
    pub fn start(
        log: Log,
        health: Health,
        announce: Announce,
        metrics: Arc<Metrics>,
        traces: &Traces,
    ) -> Self {
        let queues = Arc::<Queues>::default();
        let runner = Runner {
            queues: queues.clone(),
            log,
            health: health.clone(),
            announce,
            metrics: metrics.clone(),
            traces: traces.clone(),
        };
        let (stopping, runners) = (CancellationToken::new(), TaskTracker::new());
        for _ in 0..RUNNERS {
            runners.spawn(runner.clone().run(stopping.clone()));
        }
        let (stopping_last, last_runner) = (CancellationToken::new(), TaskTracker::new());
        last_runner.spawn(runner.run_locked(stopping_last.clone()));
        let shares = Shares::new(metrics.clone());
        let intake = Intake { queues, shares, rooms: Rooms::default(), health, metrics };
        Self { intake, stopping, runners, stopping_last, last_runner }
    }

    /// The side that takes requests.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Lets the runners finish what is queued and end. Returns false when they have not within `limit`.
    pub async fn stop(&self, limit: Duration) -> bool {
        let ending = async {
            self.stopping.cancel();
            self.runners.close();
            self.runners.wait().await;
            self.stopping_last.cancel();
            self.last_runner.close();
            self.last_runner.wait().await;
        };
        tokio::time::timeout(limit, ending).await.is_ok()
    }
}

impl Intake {
    /// Appends the events of one request, all or none, and answers one result for each, after COMMIT. A large request has waited
    /// for [`room`](Self::room). Its notices count as under way until they are stored, or are known not to be.
    pub async fn append(
        &self,
        appends: Vec<Append>,
        publisher: &Publisher,
        room: Option<Room>,
        notices: NoticesTaken,
    ) -> Result<Vec<Appended>, NotAppended> {
        let answer = self.enqueue_and_wait(appends, publisher, room, notices).await;
        self.metrics.answered(&answer);
        answer
    }

    /// Waits a while for room for so many events, before a large body is parsed: a refusal after it costs nearly as much as
    /// storing the events.
    pub async fn room(
        &self,
        events: usize,
        tenant: Option<&TenantId>,
        publisher: &Publisher,
    ) -> Result<Room, NotAppended> {
        let room = self.rooms.wait(&self.shares, events, tenant, publisher).await;
        if let Err(refused) = room {
            self.metrics.answered(&Err(refused));
        }
        room
    }

    /// Whether so many events would be taken now.
    pub fn check(
        &self,
        events: usize,
        tenant: Option<&TenantId>,
        publisher: &Publisher,
    ) -> Result<(), NotAppended> {
        let room = self.shares.check(events, tenant, publisher);
        if let Err(refused) = room {
            self.metrics.answered(&Err(refused));
        }
        room
    }

    async fn enqueue_and_wait(
        &self,
        appends: Vec<Append>,
        publisher: &Publisher,
        room: Option<Room>,
        notices: NoticesTaken,
    ) -> Result<Vec<Appended>, NotAppended> {
        let Some(first) = appends.first() else { return Ok(Vec::new()) };
        self.health.check_writing().map_err(|fault| NotAppended::from(&fault))?;
        let share = match room {
            Some(room) => room.take(&self.shares, &appends, publisher).await?,
            None => self.shares.take(&appends, publisher)?,
        };
        let tenant = first.tenant.clone();
        let (ticket, waiter) = ticket(share, notices);
        let request = Request::new(appends, ticket);
        if let Some(flow) = Flow::of(&request, publisher) {
            self.queues.push(flow, request);
        }
        match waiter.wait(PATIENCE).await {
            Err(NotAppended::Overloaded) if self.queues.is_locked(&tenant) => Err(NotAppended::TenantBusy),
            answer => answer,
        }
    }
}
