//! What is counted about the outbox?

use carillon_backplane::log::OutboxState;
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

const MOVED: Metric = Metric {
    name: "carillon_outbox_events_total",
    kind: MetricKind::Counter,
    labels: "result: stored, replayed (an event of that id was there), parked",
    what: "Events of applications' transactions that this publisher has taken out of the outbox",
};
const WAITING: Metric = Metric {
    name: "carillon_outbox_waiting",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Events of committed transactions that wait in the outbox, as every publisher sees it; of more than 10,000: 10,001",
};
const OLDEST: Metric = Metric {
    name: "carillon_outbox_oldest_seconds",
    kind: MetricKind::Gauge,
    labels: "",
    what: "How long ago the oldest of them was published; 0 when none waits",
};
const PARKED: Metric = Metric {
    name: "carillon_outbox_parked",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Events that could not be appended and wait for somebody to decide; of more than 10,000: 10,001",
};
const HELD: Metric = Metric {
    name: "carillon_outbox_held_total",
    kind: MetricKind::Counter,
    labels: "reason: rate (of the tenant), locked (another transaction holds its row)",
    what: "Times that a tenant's events were left in the outbox for a while",
};
const FAILED: Metric = Metric {
    name: "carillon_outbox_failures_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Moves that were rolled back; they are tried again",
};
const SECONDS: Metric = Metric {
    name: "carillon_outbox_delay_seconds",
    kind: MetricKind::Histogram,
    labels: "",
    what: "From `carillon.publish` to the commit in the log, by the oldest event of each move: with the application's own transaction",
};

/// Every metric of the outbox, for `/metrics` and the reference page.
pub const ALL: &[Metric] = &[MOVED, WAITING, OLDEST, PARKED, HELD, FAILED, SECONDS];

/// The handles.
pub(super) struct OutboxMetrics {
    pub(super) stored: Counter,
    pub(super) replayed: Counter,
    pub(super) parked: Counter,
    pub(super) over_rate: Counter,
    pub(super) locked: Counter,
    pub(super) failed: Counter,
    pub(super) delay: Histogram,
    waiting: Gauge,
    oldest: Gauge,
    parked_now: Gauge,
}

impl OutboxMetrics {
    /// Makes the handles; the recorder must be installed before.
    pub(super) fn new() -> Self {
        describe(ALL);
        let moved = |result: &'static str| counter!(MOVED.name, "result" => result);
        let held = |reason: &'static str| counter!(HELD.name, "reason" => reason);
        let metrics = Self {
            stored: moved("stored"),
            replayed: moved("replayed"),
            parked: moved("parked"),
            over_rate: held("rate"),
            locked: held("locked"),
            failed: counter!(FAILED.name),
            delay: histogram!(SECONDS.name),
            waiting: gauge!(WAITING.name),
            oldest: gauge!(OLDEST.name),
            parked_now: gauge!(PARKED.name),
        };
        for counter in [
            &metrics.stored,
            &metrics.replayed,
            &metrics.parked,
            &metrics.over_rate,
            &metrics.locked,
            &metrics.failed,
        ] {
            counter.increment(0);
        }
        metrics.set(OutboxState::default());
        metrics
    }

    /// How the outbox is now.
    pub(super) fn set(&self, state: OutboxState) {
        self.waiting.set(state.waiting as f64);
        self.oldest.set(state.seconds);
        self.parked_now.set(state.parked as f64);
    }
}
