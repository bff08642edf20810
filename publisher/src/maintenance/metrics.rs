//! What is counted about maintenance?

use carillon_platform::telemetry::{Metric, MetricKind, describe};
use metrics::{counter, gauge};
use std::time::Duration;

const AHEAD: Metric = Metric {
    name: "carillon_partitions_ahead_days",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Days from today on that have a partition to append to; at 0 nothing can be published",
};
const DUE: Metric = Metric {
    name: "carillon_partitions_due",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Partitions past retention that are not dropped yet",
};
const DROPPED: Metric = Metric {
    name: "carillon_partitions_dropped_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Partitions past retention that this process dropped",
};
const OVERDUE: Metric = Metric {
    name: "carillon_idempotency_keys_overdue_seconds",
    kind: MetricKind::Gauge,
    labels: "",
    what: "For how long the oldest idempotency key should have been forgotten, as the process sees it that forgets them; 0 elsewhere",
};
const FORGOTTEN: Metric = Metric {
    name: "carillon_idempotency_keys_forgotten_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Idempotency keys that this process forgot",
};

/// Every metric of maintenance, for `/metrics` and the reference page.
pub const ALL: &[Metric] = &[AHEAD, DUE, DROPPED, OVERDUE, FORGOTTEN];

/// Gives them their meaning, and the counters their zero.
pub(super) fn describe_all() {
    describe(ALL);
    counter!(DROPPED.name).increment(0);
    keys(0, Duration::ZERO);
}

pub(super) fn ahead(days: u32) {
    gauge!(AHEAD.name).set(f64::from(days));
}

pub(super) fn due(partitions: u32) {
    gauge!(DUE.name).set(f64::from(partitions));
}

/// One partition went, so many are left.
pub(super) fn dropped(left: u32) {
    counter!(DROPPED.name).increment(1);
    due(left);
}

pub(super) fn keys(forgotten: u64, overdue: Duration) {
    counter!(FORGOTTEN.name).increment(forgotten);
    gauge!(OVERDUE.name).set(overdue.as_secs_f64());
}
