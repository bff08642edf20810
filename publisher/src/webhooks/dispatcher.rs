//! Whose turn is it to be sent to?
//!
//! A task of the driver: renews the leases of slots, asks which webhooks of them have something to send, and starts a turn for each.
//! Turns are taken beside each other; those of endpoints that failed or were slow have places of their own, so that they are waited
//! for by nobody else.

use super::lease::Leases;
use super::metrics;
use super::turn::{Ended, Pace, Shared, Turn, WINDOW};
use crate::projector;
use crate::worker::{Activation, Driver, Outcome, Report, Schedule, Task};
use carillon_backplane::log::{DueWebhook, Log, LogError, Slot, WEBHOOKS};
use carillon_platform::outbound::Outbound;
use carillon_platform::share::{FairPermits, Holder, PermitLimits};
use carillon_protocol::TenantId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const SCHEDULE: Schedule = Schedule {
    period: Duration::from_millis(250),
    more: Duration::from_millis(50),
    retry: Duration::from_millis(250),
    deadline: Duration::from_secs(30),
};
/// How often leases are renewed: several times while they last.
const RENEW: Duration = Duration::from_secs(2);
/// Of the time that asking takes so many times as much is rested.
const RESTS: u32 = 20;
/// Webhooks that are asked for at a time.
const DUE: u32 = 500;
/// Webhooks whose turn it is or that wait for it.
const TURNS: usize = 4_096;
/// Turns at a time, of endpoints that are quick and of those that are not.
const AT_A_TIME: [(usize, usize); 2] = [(256, 32), (128, 16)];
/// Messages under way, of quick endpoints and of others.
const UNDER_WAY: [(usize, usize); 2] = [(1_024, 128), (512, 64)];
/// Connections that the log has for this.
const DATABASE: usize = 2;
/// Longest time a stopping process waits for turns to end.
const LAST_TURNS: Duration = Duration::from_secs(5);

/// Says that a log has grown.
#[derive(Debug, Clone, Default)]
pub struct Hint {
    activation: Activation,
    /// Whether there is a webhook at all.
    is_wanted: Arc<AtomicBool>,
}

impl Hint {
    /// Looks which webhooks have something to send, unless there are none.
    pub fn log_has_grown(&self) {
        if self.is_wanted.load(Ordering::Relaxed) {
            self.activation.activate();
        }
    }

    /// The same for what an administrator has changed.
    pub fn webhook_has_changed(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
        self.activation.activate();
    }
}

/// The webhooks of this process.
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    log: Log,
    worker: String,
    hint: Hint,
    places: [FairPermits<TenantId, ()>; 2],
    state: Mutex<State>,
    turns: TaskTracker,
}

#[derive(Default)]
struct State {
    renewed: Option<Instant>,
    /// Not before this is it asked who has something to send.
    rested: Option<Instant>,
    /// The last one of the page before, when not all found room.
    after: Option<DueWebhook>,
    endpoints: HashMap<(TenantId, String), Standing>,
    /// Turns under way or waiting.
    turns: usize,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    pace: Pace,
    has_turn: bool,
    /// Since when it waits for its turn.
    waits_since: Option<Instant>,
    /// When its last turn ended.
    ended: Option<Instant>,
}

/// For how long the pace of an endpoint is remembered that had no turn.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Starts sending. `worker` is this process's name among all that ever were.
pub fn start(driver: &Driver, log: &Log, outbound: Outbound, worker: String, hint: Hint) -> Webhooks {
    metrics::register();
    let permits = |(total, per_group)| {
        FairPermits::new(PermitLimits {
            total,
            per_group,
            per_member: per_group,
            waiting: TURNS * WINDOW,
            waiting_per_group: TURNS * WINDOW,
            waiting_per_member: TURNS * WINDOW,
        })
    };
    let log = log.for_webhooks();
    let shared = Arc::new(Shared {
        log: log.clone(),
        outbound,
        leases: Leases::default(),
        database: Semaphore::new(DATABASE),
        requests: UNDER_WAY.map(permits),
        stopping: CancellationToken::new(),
    });
    let activation = hint.activation.clone();
    let inner = Arc::new(Inner {
        shared,
        log,
        worker,
        hint,
        places: AT_A_TIME.map(permits),
        state: Mutex::default(),
        turns: TaskTracker::new(),
    });
    let running = inner.clone();
    let task = Task::new(WEBHOOKS, SCHEDULE, move || {
        let inner = running.clone();
        async move { inner.run().await }
    });
    driver.start_with(task, activation);
    Webhooks { inner }
}

impl Webhooks {
    /// Ends the turns, keeps how far they came, and gives the slots up. The driver has stopped.
    pub async fn stop(&self) {
        let Inner { shared, turns, log, worker, .. } = &*self.inner;
        shared.stopping.cancel();
        turns.close();
        if tokio::time::timeout(LAST_TURNS, turns.wait()).await.is_err() {
            tracing::warn!("what was sent last is sent again: how far webhooks are could not be kept");
        }
        if let Err(error) = log.release_webhooks(worker).await {
            tracing::debug!(%error, "the slots of webhooks go when their leases end");
        }
    }
}

impl Inner {
    async fn run(self: &Arc<Self>) -> Report {
        match self.pass().await {
            Ok(0) => Report::new(Outcome::Done, "nobody waits"),
            Ok(waiting) => {
                Report::new(Outcome::More, format!("{waiting} have more to send than there is room for"))
            }
            Err(error) => Report::new(Outcome::Failed, error.to_string()),
        }
    }

    /// Starts turns; how many found no room.
    async fn pass(self: &Arc<Self>) -> Result<usize, LogError> {
        self.renew().await?;
        let is_rested = self.state().rested.is_none_or(|rested| rested <= Instant::now());
        if !self.hint.is_wanted.load(Ordering::Relaxed) || !is_rested {
            return Ok(0);
        }
        let (slots, mut after, mut behind) = (self.shared.leases.slots(), self.state().after.take(), 0);
        loop {
            let asked = Instant::now();
            let due = {
                let _turn = self.shared.database.acquire().await;
                self.log.webhooks_due(&slots, after.as_ref(), DUE).await?
            };
            self.state().rested = Some(Instant::now() + asked.elapsed() * RESTS);
            after = due.last().cloned();
            let is_last = due.len() < DUE as usize;
            behind += due.iter().map(|due| due.behind).sum::<u64>();
            let without_room = due.into_iter().filter(|due| !self.begin(&slots, due)).count();
            if is_last || without_room > 0 {
                projector::lag(WEBHOOKS, behind, self.longest_wait());
                self.tell();
                self.state().after = after.filter(|_| without_room > 0);
                return Ok(without_room);
            }
        }
    }

    async fn renew(&self) -> Result<(), LogError> {
        if self.state().renewed.is_some_and(|renewed| renewed.elapsed() < RENEW) {
            return Ok(());
        }
        let asked = Instant::now();
        let exist = self.log.webhooks_exist().await?;
        self.hint.is_wanted.store(exist, Ordering::Relaxed);
        // Without webhooks there is nothing to hold slots for; those that were held end by themselves.
        let slots = match exist {
            true => self.log.lease_slots(WEBHOOKS, &self.worker).await?,
            false => Vec::new(),
        };
        projector::slots(WEBHOOKS, slots.len());
        self.shared.leases.renewed(slots, asked);
        let mut state = self.state();
        state.renewed = Some(asked);
        state.endpoints.retain(|_, standing| {
            standing.has_turn || standing.ended.is_some_and(|at| at.elapsed() < REMEMBERED)
        });
        Ok(())
    }

    /// Begins a turn, unless it is under way. False: there is no room.
    fn begin(self: &Arc<Self>, slots: &[Slot], due: &DueWebhook) -> bool {
        let Some(slot) = slots.iter().find(|slot| slot.number == due.slot).copied() else { return true };
        let key = (due.tenant.clone(), due.id.clone());
        let mut state = self.state();
        let standing = state.endpoints.get(&key).copied().unwrap_or_default();
        if standing.has_turn {
            return true;
        }
        if state.turns >= TURNS {
            return false;
        }
        state.turns += 1;
        state
            .endpoints
            .insert(key.clone(), Standing { has_turn: true, waits_since: Some(Instant::now()), ..standing });
        drop(state);
        let pace = standing.pace;
        let (inner, (tenant, id)) = (self.clone(), key);
        self.turns.spawn(async move {
            let turn = Arc::new(Turn { shared: inner.shared.clone(), tenant, id, slot });
            inner.take(turn, pace).await;
        });
        true
    }

    async fn take(&self, turn: Arc<Turn>, mut pace: Pace) {
        let (began, holder) = (Instant::now(), Holder::group(turn.tenant.clone()));
        let place = tokio::select! {
            place = self.places[usize::from(pace.is_slow)].acquire(holder) => place.ok(),
            () = self.shared.stopping.cancelled() => return,
        };
        metrics::waited(began.elapsed());
        if let Some(standing) = self.state().endpoints.get_mut(&(turn.tenant.clone(), turn.id.clone())) {
            standing.waits_since = None;
        }
        let ended = turn.take(&mut pace).await;
        drop(place);
        if let Err(error) = &ended {
            tracing::warn!(%error, tenant = %turn.tenant, webhook = turn.id, "a webhook's turn ended");
        }
        let key = (turn.tenant.clone(), turn.id.clone());
        let mut state = self.state();
        state.turns -= 1;
        // What is as it is by default need not be remembered.
        match pace == Pace::default() {
            true => drop(state.endpoints.remove(&key)),
            false => drop(
                state
                    .endpoints
                    .insert(key, Standing { pace, ended: Some(Instant::now()), ..Standing::default() }),
            ),
        }
        drop(state);
        if matches!(ended, Ok(Ended::More)) {
            self.hint.activation.activate();
        }
    }

    /// How long the webhook has waited that waits longest, of those that are not slow themselves.
    fn longest_wait(&self) -> Duration {
        let state = self.state();
        let waiting = state.endpoints.values().filter(|standing| !standing.pace.is_slow);
        waiting
            .filter_map(|standing| standing.waits_since)
            .map(|since| since.elapsed())
            .max()
            .unwrap_or_default()
    }

    fn tell(&self) {
        let [quick, slow] = [0, 1].map(|pace: usize| self.places[pace].usage());
        metrics::turns(quick.held + slow.held, quick.waiting + slow.waiting);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
