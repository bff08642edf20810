//! What is counted about the archive?

use super::fault::Fault;
use super::manifest::Entry;
use carillon_backplane::log::ArchiveState;
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use metrics::{counter, gauge};

const WAITING: Metric = Metric {
    name: "carillon_archive_days_waiting",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Days past retention that are not in the archive; their partitions stay. 0 without an archive",
};
const FAILING: Metric = Metric {
    name: "carillon_archive_failing_seconds",
    kind: MetricKind::Gauge,
    labels: "",
    what: "For how long a day could not be archived, whichever publisher tried; 0 when none is held up",
};
const FAULTS: Metric = Metric {
    name: "carillon_archive_faults_total",
    kind: MetricKind::Counter,
    labels: "reason: place, owner, broken, conflict, moving, log, system",
    what: "Attempts of this process to archive a day that failed; the log and /v1/health/events say why",
};
const DAYS: Metric = Metric {
    name: "carillon_archive_days_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Days that this process found to be whole in the archive",
};
const EVENTS: Metric = Metric {
    name: "carillon_archive_events_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Events that this process copied into the archive and read back",
};
const BYTES: Metric = Metric {
    name: "carillon_archive_bytes_total",
    kind: MetricKind::Counter,
    labels: "form: lines, stored",
    what: "Bytes of these events, as lines of JSON and as they are stored",
};

const DAMAGED: Metric = Metric {
    name: "carillon_archive_damaged_objects_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Objects that this process found damaged when it wrote a manifest again that could not be read, and of which the log has nothing any more: nobody has their events. The manifest names them",
};

/// Every metric of the archive, for `/metrics` and the reference page.
pub const ALL: &[Metric] = &[WAITING, FAILING, FAULTS, DAYS, EVENTS, BYTES, DAMAGED];

/// Gives them their meaning, and the counters their zero.
pub(crate) fn describe_all() {
    describe(ALL);
    for reason in Fault::LABELS {
        counter!(FAULTS.name, "reason" => reason).increment(0);
    }
    counter!(DAYS.name).increment(0);
    counter!(EVENTS.name).increment(0);
    counter!(DAMAGED.name).increment(0);
    for form in ["lines", "stored"] {
        counter!(BYTES.name, "form" => form).increment(0);
    }
    state(&ArchiveState::default());
}

/// How the archive is, as the database says.
pub(crate) fn state(state: &ArchiveState) {
    gauge!(WAITING.name).set(f64::from(state.waiting));
    gauge!(FAILING.name).set(if state.fault.is_some() { state.seconds.max(0.001) } else { 0.0 });
}

/// An attempt failed.
pub(crate) fn failed(fault: &Fault) {
    counter!(FAULTS.name, "reason" => fault.label()).increment(1);
}

/// A tenant's day is in the archive.
pub(super) fn copied(entry: &Entry) {
    counter!(EVENTS.name).increment(entry.events);
    counter!(BYTES.name, "form" => "lines").increment(entry.bytes);
    counter!(BYTES.name, "form" => "stored").increment(entry.stored_bytes);
}

/// A day is in the archive.
pub(super) fn archived() {
    counter!(DAYS.name).increment(1);
}

/// So many objects are damaged, and nobody has what was in them.
pub(super) fn found_damaged(objects: usize) {
    counter!(DAMAGED.name).increment(objects as u64);
}
