//! What is counted of webhooks?

use carillon_platform::telemetry::{Metric, MetricKind, describe};
use metrics::{counter, gauge, histogram};
use std::time::Duration;

const ATTEMPTS: Metric = Metric {
    name: "carillon_webhook_attempts_total",
    kind: MetricKind::Counter,
    labels: "result",
    what: "Attempts to deliver an event to a tenant's endpoint: delivered, status (an answer that is no 2xx), timeout, address (its addresses are not public), connection",
};
const ATTEMPT_SECONDS: Metric = Metric {
    name: "carillon_webhook_attempt_seconds",
    kind: MetricKind::Histogram,
    labels: "",
    what: "How long an attempt took until the status was there",
};
const WAITED_SECONDS: Metric = Metric {
    name: "carillon_webhook_wait_seconds",
    kind: MetricKind::Histogram,
    labels: "",
    what: "How long a webhook that had something to send waited for its turn",
};
const TURNS: Metric = Metric {
    name: "carillon_webhook_turns",
    kind: MetricKind::Gauge,
    labels: "state",
    what: "Webhooks of this publisher's slots that are being sent to (running), and those that wait for their turn (waiting)",
};
const PARKED: Metric = Metric {
    name: "carillon_webhook_parked_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Deliveries that failed seven times and wait for a person",
};
const DISABLED: Metric = Metric {
    name: "carillon_webhook_disabled_total",
    kind: MetricKind::Counter,
    labels: "reason",
    what: "Webhooks that were disabled by the service: gone (410), failing (for five days), too_many_failed (1,000 deliveries are parked)",
};

/// Every metric of webhooks, for `/metrics` and the reference page.
pub const METRICS: &[Metric] = &[ATTEMPTS, ATTEMPT_SECONDS, WAITED_SECONDS, TURNS, PARKED, DISABLED];

/// Reasons to disable an endpoint.
pub(super) const REASONS: [&str; 3] = ["gone", "failing", "too_many_failed"];

/// What is counted of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Result {
    Delivered,
    Status,
    Fault(&'static str),
}

/// Says what there is, and begins every series at 0.
pub(super) fn register() {
    describe(METRICS);
    for result in ["delivered", "status", "timeout", "address", "connection"] {
        counter!(ATTEMPTS.name, "result" => result).increment(0);
    }
    for reason in REASONS {
        counter!(DISABLED.name, "reason" => reason).increment(0);
    }
    counter!(PARKED.name).increment(0);
    turns(0, 0);
}

pub(super) fn attempted(result: Result, took: Duration) {
    let label = match result {
        Result::Delivered => "delivered",
        Result::Status => "status",
        Result::Fault(label) => label,
    };
    counter!(ATTEMPTS.name, "result" => label).increment(1);
    histogram!(ATTEMPT_SECONDS.name).record(took.as_secs_f64());
}

pub(super) fn waited(waited: Duration) {
    histogram!(WAITED_SECONDS.name).record(waited.as_secs_f64());
}

pub(super) fn turns(running: usize, waiting: usize) {
    gauge!(TURNS.name, "state" => "running").set(running as f64);
    gauge!(TURNS.name, "state" => "waiting").set(waiting as f64);
}

pub(super) fn parked(count: u64) {
    counter!(PARKED.name).increment(count);
}

pub(super) fn disabled(reason: &'static str) {
    counter!(DISABLED.name, "reason" => reason).increment(1);
}
