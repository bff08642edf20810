//! Who reads the tenants' logs in the background, and how far behind are they?
//!
//! A task of the driver for each reader (`carillon_backplane::log::Reader`). A run renews its leases, asks which tenants
//! of its slots have news, and reads on, a batch of each in turn, so that a long log holds up no other. Any number of
//! publishers do this: each holds its share of the slots.
//!
//! To add a reader: a file beside `backplane/src/log/projector/channel_index.rs`, and a line in `readers`.

use crate::worker::{Driver, Outcome, Report, Schedule, Task};
use carillon_backplane::log::{Analytics, ChannelIndex, Log, LogError, News, Progress, Reader, Slot, Turn};
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use carillon_protocol::TenantId;
use metrics::{Counter, Gauge, counter, gauge};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shorter than a lease lasts, whatever a run has to do.
const RUN: Duration = Duration::from_secs(3);
/// The period is the reader's.
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(1),
    more: Duration::from_millis(20),
    retry: Duration::from_secs(1),
    deadline: Duration::from_secs(70),
};
/// Of the time that asking for news takes, so many times as much is rested: with very many tenants they are compared less
/// often.
const RESTS: u32 = 20;
/// Tenants that are asked for at a time.
const TENANTS: u32 = 500;
/// How often a reader looks after its tables.
const MAINTENANCE: Duration = Duration::from_secs(60);

const LAG_EVENTS: Metric = Metric {
    name: "carillon_projector_lag_events",
    kind: MetricKind::Gauge,
    labels: "projector",
    what: "Events that this publisher's slots of a projector have not read yet",
};
const LAG_SECONDS: Metric = Metric {
    name: "carillon_projector_lag_seconds",
    kind: MetricKind::Gauge,
    labels: "projector",
    what: "How long ago a projector had read everything of this publisher's slots; 0 when it has now",
};
const SLOTS: Metric = Metric {
    name: "carillon_projector_slots",
    kind: MetricKind::Gauge,
    labels: "projector",
    what: "Slots of a projector whose lease this publisher holds; all publishers together hold 64",
};
const EVENTS: Metric = Metric {
    name: "carillon_projector_events_total",
    kind: MetricKind::Counter,
    labels: "projector",
    what: "Events that a projector has read and committed the result of",
};

/// How many events somebody else who holds slots has not read, and how long the oldest work waits.
pub(crate) fn lag(name: &'static str, events: u64, waited: Duration) {
    gauge!(LAG_EVENTS.name, "projector" => name).set(events as f64);
    gauge!(LAG_SECONDS.name, "projector" => name).set(waited.as_secs_f64());
}

/// How many slots somebody else holds.
pub(crate) fn slots(name: &'static str, slots: usize) {
    gauge!(SLOTS.name, "projector" => name).set(slots as f64);
}

/// Every metric of projectors, for `/metrics` and the reference page.
pub const METRICS: &[Metric] = &[LAG_EVENTS, LAG_SECONDS, SLOTS, EVENTS];

/// The projectors of this process.
pub struct Projectors {
    log: Log,
    worker: String,
    names: Vec<&'static str>,
}

/// Every reader there is.
fn readers() -> Vec<Arc<dyn Reader>> {
    vec![Arc::new(ChannelIndex), Arc::new(Analytics)]
}

/// Their names.
pub fn names() -> Vec<&'static str> {
    readers().iter().map(|reader| reader.name()).collect()
}

/// Starts every reader. `worker` is this process's name among all that ever were.
pub fn start(driver: &Driver, log: &Log, worker: String) -> Projectors {
    describe(METRICS);
    for reader in readers() {
        let name = reader.name();
        let schedule = Schedule { period: reader.period(), ..SCHEDULE };
        let projector = Arc::new(Projector::new(log.clone(), reader, worker.clone()));
        driver.start(Task::new(name, schedule, move || {
            let projector = projector.clone();
            async move { projector.run().await }
        }));
    }
    Projectors { log: log.clone(), worker, names: names() }
}

impl Projectors {
    /// Gives the slots up, so that others need not wait for the leases to end. The driver has stopped.
    pub async fn release(&self) {
        for name in &self.names {
            if let Err(error) = self.log.release_slots(name, &self.worker).await {
                tracing::debug!(%error, projector = name, "the slots go when their leases end");
            }
        }
    }
}

struct Projector {
    log: Log,
    reader: Arc<dyn Reader>,
    worker: String,
    state: Mutex<State>,
    gauges: Gauges,
}

struct State {
    maintained: Option<Instant>,
    /// When everything had been read, as far as is known.
    caught_up: Instant,
    /// Not before this are tenants compared again.
    rested: Instant,
    /// Events that were left then.
    left: u64,
}

struct Gauges {
    lag_events: Gauge,
    lag_seconds: Gauge,
    slots: Gauge,
    events: Counter,
}

impl Projector {
    fn new(log: Log, reader: Arc<dyn Reader>, worker: String) -> Self {
        let name = reader.name();
        let gauges = Gauges {
            lag_events: gauge!(LAG_EVENTS.name, "projector" => name),
            lag_seconds: gauge!(LAG_SECONDS.name, "projector" => name),
            slots: gauge!(SLOTS.name, "projector" => name),
            events: counter!(EVENTS.name, "projector" => name),
        };
        gauges.events.increment(0);
        let now = Instant::now();
        let state = State { maintained: None, caught_up: now, rested: now, left: 0 };
        Self { log, reader, worker, state: Mutex::new(state), gauges }
    }

    async fn run(&self) -> Report {
        let result = self.read_on().await;
        let caught_up = self.with(|state| state.caught_up);
        match result {
            Ok(0) => {
                self.gauges.lag_seconds.set(0.0);
                Report::new(Outcome::Done, "everything is read")
            }
            Ok(behind) => {
                self.gauges.lag_seconds.set(caught_up.elapsed().as_secs_f64());
                Report::new(Outcome::More, format!("{behind} events are left"))
            }
            Err(error) => {
                self.gauges.lag_seconds.set(caught_up.elapsed().as_secs_f64());
                Report::new(Outcome::Failed, error.to_string())
            }
        }
    }

    /// Reads for a while; how many events are left.
    async fn read_on(&self) -> Result<u64, LogError> {
        let (began, name) = (Instant::now(), self.reader.name());
        if self.with(|state| state.maintained).is_none_or(|last| last.elapsed() > MAINTENANCE) {
            self.reader.maintain(&self.log).await?;
            self.with(|state| state.maintained = Some(began));
        }
        let slots = self.log.lease_slots(name, &self.worker).await?;
        self.gauges.slots.set(slots.len() as f64);
        if began < self.with(|state| state.rested) {
            return Ok(self.with(|state| state.left));
        }
        let (mut after, mut left) = (None, 0);
        loop {
            let asked = Instant::now();
            let news = self.log.projector_news(name, &slots, after.as_ref(), TENANTS).await?;
            self.with(|state| state.rested = Instant::now() + asked.elapsed() * RESTS);
            after = news.last().map(|last: &News| last.tenant.clone());
            let whole = news.len() < TENANTS as usize;
            left += self.read(&slots, news, began).await?;
            self.gauges.lag_events.set(left as f64);
            if whole || began.elapsed() > RUN {
                let left = if whole { left } else { left.max(1) };
                self.with(|state| {
                    state.left = left;
                    // What came since it was asked for is not counted: it is as young as the question.
                    if left == 0 {
                        state.caught_up = began;
                    }
                });
                return Ok(left);
            }
        }
    }

    /// Reads a batch of each tenant in turn until nothing is left, or time is up; how many events are left then.
    async fn read(&self, slots: &[Slot], news: Vec<News>, began: Instant) -> Result<u64, LogError> {
        let held = |number: i16| slots.iter().find(|slot| slot.number == number).copied();
        let mut open: Vec<(TenantId, Slot, u64)> = news
            .into_iter()
            .filter_map(|news| held(news.slot).map(|slot| (news.tenant, slot, news.behind.max(1))))
            .collect();
        let mut fault = None;
        while !open.is_empty() && began.elapsed() < RUN {
            let mut still = Vec::new();
            for (tenant, slot, left) in open {
                if began.elapsed() >= RUN {
                    still.push((tenant, slot, left));
                    continue;
                }
                let turn = Turn { tenant: &tenant, slot, worker: &self.worker };
                let step = match self.log.project(&*self.reader, turn).await {
                    // One tenant's fault is not the others'.
                    Err(error) if !error.is_down() => {
                        tracing::warn!(%error, %tenant, projector = self.reader.name(), "a batch could not be read");
                        fault.get_or_insert(error);
                        continue;
                    }
                    step => step?,
                };
                match step {
                    Progress::Read { events, behind } => {
                        self.gauges.events.increment(events);
                        if behind > 0 {
                            still.push((tenant, slot, behind));
                        }
                    }
                    Progress::Rewound => still.push((tenant, slot, left)),
                    Progress::LeaseLost => {}
                }
            }
            open = still;
        }
        fault.map_or_else(|| Ok(open.iter().map(|(_, _, left)| left).sum()), Err)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
