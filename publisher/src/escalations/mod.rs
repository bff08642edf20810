//! Who is told of people who have not taken note of a notice in time?
//!
//! A task of the driver: asks which steps are due, and takes each for a hundred people at a time (`carillon_backplane::log`,
//! escalations). Any publisher takes any step; what another one is at is passed over. What comes of it is an event in the tenant's log,
//! stored with the step's cursor, and the webhook that the step names sends it as it sends any other: signed, again when it fails.
//!
//! | module | question it answers |
//! |---|---|
//! | `plan` | who of these people is named, for whom is it quiet, and what does the event say? |
//! | `metrics` | what is counted? |

mod metrics;
mod plan;

use crate::projector;
use crate::webhooks::Hint;
use crate::worker::{Driver, Outcome, Report, Schedule, Task};
use carillon_backplane::log::{DueStep, Log, LogError};
use jiff::Timestamp;
pub use metrics::METRICS;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The name of the task, and of its lag.
pub const ESCALATIONS: &str = "escalations";
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_millis(500),
    more: Duration::from_millis(20),
    retry: Duration::from_millis(500),
    deadline: Duration::from_secs(60),
};
/// Steps that are asked for at a time.
const DUE: u32 = 200;
/// How long a run goes on while more is due.
const RUN: Duration = Duration::from_secs(10);
/// How long a tenant is left alone whose step could not be taken: the others are not to wait for it.
const PASSED: Duration = Duration::from_secs(2);

struct Escalations {
    log: Log,
    hint: Hint,
    /// Tenants whose steps could not be taken, and until when they are left alone.
    passed: Mutex<HashMap<String, Instant>>,
}

/// Starts the task. `hint` is told when a log has grown.
pub fn start(driver: &Driver, log: &Log, hint: Hint) {
    metrics::register();
    let escalations = Arc::new(Escalations { log: log.clone(), hint, passed: Mutex::default() });
    driver.start(Task::new(ESCALATIONS, SCHEDULE, move || {
        let escalations = escalations.clone();
        async move { escalations.run().await }
    }));
}

impl Escalations {
    async fn run(&self) -> Report {
        match self.pass().await {
            Ok(0) => Report::new(Outcome::Done, "nothing is due"),
            Ok(left) => Report::new(Outcome::More, format!("{left} steps are due")),
            Err(error) => Report::new(Outcome::Failed, error.to_string()),
        }
    }

    /// Takes what is due; how many steps have more to do.
    async fn pass(&self) -> Result<usize, LogError> {
        let began = Instant::now();
        let passed = self.left_alone(began);
        let due = self.log.escalations_due(&passed, DUE).await?;
        let waited = due.first().map_or(Duration::ZERO, |first| first.waited);
        projector::lag(ESCALATIONS, due.len() as u64, waited);
        let (mut left, mut fault) = (0, None);
        for (at, step) in due.iter().enumerate() {
            if began.elapsed() > RUN {
                left += due.len() - at;
                break;
            }
            match self.take(step).await {
                Ok(more) => left += usize::from(more),
                // One tenant's fault is not the others'.
                Err(error) if !error.is_down() => {
                    tracing::warn!(%error, tenant = %step.tenant, seq = step.seq.0, "a step could not be taken");
                    self.lock().insert(step.tenant.to_string(), Instant::now() + PASSED);
                    fault.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        if due.len() >= DUE as usize {
            left = left.max(1);
        }
        fault.filter(|_| left == 0).map_or(Ok(left), Err)
    }

    /// Takes a step for its next people; whether there are more.
    async fn take(&self, step: &DueStep) -> Result<bool, LogError> {
        let now = Timestamp::now();
        let done = self.log.escalate(step, |known| plan::plan(known, now)).await?;
        metrics::escalated(&done);
        if done.told > 0 {
            self.hint.log_has_grown();
            if !done.is_sent {
                tracing::warn!(tenant = %step.tenant, seq = step.seq.0, step = step.step, "the webhook of an escalation does not exist or is disabled");
            }
        }
        Ok(done.more)
    }

    fn left_alone(&self, now: Instant) -> Vec<String> {
        let mut passed = self.lock();
        passed.retain(|_, until| *until > now);
        passed.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
