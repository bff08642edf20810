//! What is counted about background work?

use super::task::{Outcome, Report};
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::time::Duration;

const RUNS: Metric = Metric {
    name: "carillon_task_runs_total",
    kind: MetricKind::Counter,
    labels: "task; outcome: done, more (and more is due), elsewhere (another publisher does it), postponed (somebody uses what is needed), failed, timed_out, panicked",
    what: "Runs of background tasks, by what they came to",
};
const SECONDS: Metric = Metric {
    name: "carillon_task_duration_seconds",
    kind: MetricKind::Histogram,
    labels: "task",
    what: "Time of one run of a background task",
};
const FAILURES: Metric = Metric {
    name: "carillon_task_consecutive_failures",
    kind: MetricKind::Gauge,
    labels: "task",
    what: "Failed runs of a background task since its last success",
};
const SUCCESS: Metric = Metric {
    name: "carillon_task_last_success_timestamp_seconds",
    kind: MetricKind::Gauge,
    labels: "task",
    what: "When a run of a background task last ended without a failure, seconds since 1970; 0 when none has since the process began",
};

/// Every metric of background work, for `/metrics` and the reference page.
pub const ALL: &[Metric] = &[RUNS, SECONDS, FAILURES, SUCCESS];

/// The handles of one task.
pub(super) struct TaskMetrics {
    runs: [Counter; Outcome::ALL.len()],
    seconds: Histogram,
    failures: Gauge,
    success: Gauge,
}

impl TaskMetrics {
    pub(super) fn of(task: &'static str) -> Self {
        describe(ALL);
        // There from the beginning: growth of a series that begins with its first count is not seen.
        let runs = Outcome::ALL.map(|outcome| {
            let runs = counter!(RUNS.name, "task" => task, "outcome" => outcome.label());
            runs.increment(0);
            runs
        });
        let (failures, success) =
            (gauge!(FAILURES.name, "task" => task), gauge!(SUCCESS.name, "task" => task));
        failures.set(0.0);
        success.set(0.0);
        Self { runs, seconds: histogram!(SECONDS.name, "task" => task), failures, success }
    }

    pub(super) fn ended(&self, report: &Report, took: Duration, failures: u32, now: Timestamp) {
        if let Some(at) = Outcome::ALL.iter().position(|known| *known == report.outcome) {
            self.runs[at].increment(1);
        }
        self.seconds.record(took.as_secs_f64());
        self.failures.set(f64::from(failures));
        if !report.outcome.is_failure() {
            self.success.set(now.as_second() as f64);
        }
    }
}
