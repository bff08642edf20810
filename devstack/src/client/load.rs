//! How does a test keep publishing while the system is in trouble, and know what was acknowledged?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::dice::Dice;
use super::ledger::Ledger;
use super::post::Post;
use super::publish::{PublishError, Publisher};

/// A ledger that publishers write while a test runs.
pub type SharedLedger = Arc<Mutex<Ledger>>;

/// Makes the `n`-th event of a load.
pub type MakePost = Arc<dyn Fn(u64) -> Post + Send + Sync>;

/// What to publish and how fast.
#[derive(Clone)]
pub struct LoadPlan {
    /// How many publish at the same time.
    pub tasks: usize,
    /// Events for each second over all tasks; none publishes as fast as the answers come.
    pub rate: Option<f64>,
    /// End after this many events; none goes on until stopped.
    pub total: Option<u64>,
    /// Makes the events; each gets a name of its own.
    pub make: MakePost,
    /// How long one event is tried before it is given up.
    pub patience: Duration,
}

impl LoadPlan {
    /// Until stopped, by four tasks, each event tried for a minute.
    pub fn new(rate: Option<f64>, make: impl Fn(u64) -> Post + Send + Sync + 'static) -> Self {
        Self { tasks: 4, rate, total: None, make: Arc::new(make), patience: Duration::from_secs(60) }
    }

    /// Ends by itself after this many events.
    #[must_use]
    pub fn total(mut self, events: u64) -> Self {
        self.total = Some(events);
        self
    }

    /// Published by this many at the same time.
    #[must_use]
    pub fn tasks(mut self, tasks: usize) -> Self {
        self.tasks = tasks.max(1);
        self
    }
}

/// How a load went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// Attempts that failed and were repeated.
    pub retried: u64,
    /// Events given up: refused for good, or tried for longer than the plan's patience.
    pub abandoned: u64,
    /// The first reason an event was given up for.
    pub first_refusal: Option<String>,
    /// The longest time one event took from the first attempt to its acknowledgement.
    pub slowest: Duration,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    stopping: AtomicBool,
    report: Mutex<LoadReport>,
}

/// A load that runs. Dropping it ends it at once, in the middle of requests.
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Begins to publish, to `publishers` in turn.
    pub fn start(publishers: &[Publisher], ledger: &SharedLedger, plan: &LoadPlan) -> Self {
        let shared = Arc::new(Shared::default());
        let run = uuid::Uuid::new_v4().simple().to_string();
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..plan.tasks {
            tasks.spawn(
                Worker {
                    publishers: publishers.to_vec(),
                    ledger: Arc::clone(ledger),
                    plan: plan.clone(),
                    shared: Arc::clone(&shared),
                    run: run.clone(),
                    begun,
                    dice: Dice::fresh(),
                }
                .run(),
            );
        }
        Self { shared, tasks }
    }

    /// How it goes so far.
    pub fn report(&self) -> LoadReport {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins no further event, waits for the open ones, and reports.
    pub async fn stop(self) -> LoadReport {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.finished().await
    }

    /// Waits until a load with a total is through, and reports.
    pub async fn finished(mut self) -> LoadReport {
        while self.tasks.join_next().await.is_some() {}
        self.report()
    }
}

struct Worker {
    publishers: Vec<Publisher>,
    ledger: SharedLedger,
    plan: LoadPlan,
    shared: Arc<Shared>,
    run: String,
    begun: Instant,
    dice: Dice,
}

impl Worker {
    async fn run(mut self) {
        while !self.shared.stopping.load(Ordering::Relaxed) {
            let n = self.shared.next.fetch_add(1, Ordering::Relaxed);
            if self.plan.total.is_some_and(|total| n >= total) {
                return;
            }
            if let Some(rate) = self.plan.rate {
                sleep_until(self.begun + Duration::from_secs_f64(n as f64 / rate)).await;
                if self.shared.stopping.load(Ordering::Relaxed) {
                    return;
                }
            }
            self.publish(n).await;
        }
    }

    /// Publishes one event, repeating it under the same key until it is acknowledged or given up.
    async fn publish(&mut self, n: u64) {
        let id = format!("load-{}-{n}", self.run);
        let post = (self.plan.make)(n).id(&id);
        let begun = Instant::now();
        self.ledger().attempted(&id, &post, begun.into_std());
        for attempt in 0u32.. {
            let Some(publisher) =
                self.publishers.get((n as usize + attempt as usize) % self.publishers.len().max(1))
            else {
                return self.give_up("no publisher was given");
            };
            let error = match publisher.publish(&post, Some(&id)).await {
                Ok(ack) => {
                    self.ledger().acknowledged(&post.tenant, &ack);
                    let mut report = self.shared.report.lock().unwrap_or_else(PoisonError::into_inner);
                    report.acknowledged += 1;
                    report.slowest = report.slowest.max(begun.elapsed());
                    return;
                }
                Err(error) => error,
            };
            if !error.is_retryable() || begun.elapsed() > self.plan.patience {
                return self.give_up(&error.to_string());
            }
            self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).retried += 1;
            sleep(self.pause(attempt, &error)).await;
        }
    }

    /// Twenty milliseconds, doubling up to half a second, half of it random; never longer than asked for plus that.
    fn pause(&mut self, attempt: u32, error: &PublishError) -> Duration {
        let most =
            Duration::from_millis(20).saturating_mul(1 << attempt.min(5)).min(Duration::from_millis(500));
        let asked = error.problem().and_then(|problem| problem.retry_after).unwrap_or_default();
        asked.min(Duration::from_secs(1)) + most / 2 + self.dice.up_to(most / 2)
    }

    fn give_up(&self, why: &str) {
        let mut report = self.shared.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.abandoned += 1;
        report.first_refusal.get_or_insert_with(|| why.to_owned());
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
