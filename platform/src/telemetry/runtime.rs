//! How busy is the asynchronous runtime?

use super::metrics::{Metric, MetricKind, describe};
use metrics::{Gauge, gauge};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const BUSY: Metric = Metric {
    name: "carillon_runtime_busy_ratio",
    kind: MetricKind::Gauge,
    labels: "",
    what: "share of their time that the runtime's workers worked, over the last five seconds; 1 is all of them all the time",
};
const QUEUE: Metric = Metric {
    name: "carillon_runtime_global_queue",
    kind: MetricKind::Gauge,
    labels: "",
    what: "tasks that wait for any worker",
};
const TASKS: Metric = Metric {
    name: "carillon_runtime_alive_tasks",
    kind: MetricKind::Gauge,
    labels: "",
    what: "tasks that have begun and not ended",
};

/// What is told of the runtime.
pub const METRICS: &[Metric] = &[BUSY, QUEUE, TASKS];

/// Looks at the runtime every now and then.
pub(super) struct RuntimeWatch {
    runtime: Handle,
    busy: Gauge,
    queue: Gauge,
    tasks: Gauge,
    worked: Duration,
    at: Instant,
}

impl RuntimeWatch {
    /// Of the runtime this is called on.
    pub(super) fn new() -> Self {
        describe(METRICS);
        let mut watch = Self {
            runtime: Handle::current(),
            busy: gauge!(BUSY.name),
            queue: gauge!(QUEUE.name),
            tasks: gauge!(TASKS.name),
            worked: Duration::ZERO,
            at: Instant::now(),
        };
        watch.worked = watch.worked();
        watch
    }

    /// Tells how it has been since the last look.
    pub(super) fn look(&mut self) {
        let metrics = self.runtime.metrics();
        let (now, worked) = (Instant::now(), self.worked());
        let possible = now.duration_since(self.at).as_secs_f64() * metrics.num_workers() as f64;
        self.busy.set(worked.saturating_sub(self.worked).as_secs_f64() / possible.max(1e-3));
        self.queue.set(metrics.global_queue_depth() as f64);
        self.tasks.set(metrics.num_alive_tasks() as f64);
        (self.worked, self.at) = (worked, now);
    }

    fn worked(&self) -> Duration {
        let metrics = self.runtime.metrics();
        (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
    }
}
