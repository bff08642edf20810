//! What is counted of escalations?

use carillon_backplane::log::Escalated;
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use metrics::counter;

const ESCALATIONS: Metric = Metric {
    name: "carillon_escalations_total",
    kind: MetricKind::Counter,
    labels: "result",
    what: "Pages of people that a due step of a notice came to: told (an event names some of them), no_webhook (the same, but its webhook does not exist or is disabled), nobody (all have taken note, want no such word, or are in quiet hours)",
};
const PEOPLE: Metric = Metric {
    name: "carillon_escalated_people_total",
    kind: MetricKind::Counter,
    labels: "result",
    what: "People who had missed a notice when a step was due: told (named in an event), held (it is quiet for them: they are looked at again)",
};

/// Every metric of escalations, for `/metrics` and the reference page.
pub const METRICS: &[Metric] = &[ESCALATIONS, PEOPLE];

/// Says what there is, and begins every series at 0.
pub(super) fn register() {
    describe(METRICS);
    for result in ["told", "no_webhook", "nobody"] {
        counter!(ESCALATIONS.name, "result" => result).increment(0);
    }
    for result in ["told", "held"] {
        counter!(PEOPLE.name, "result" => result).increment(0);
    }
}

pub(super) fn escalated(done: &Escalated) {
    let result = match (done.told, done.is_sent) {
        (0, _) => "nobody",
        (_, true) => "told",
        (_, false) => "no_webhook",
    };
    counter!(ESCALATIONS.name, "result" => result).increment(1);
    counter!(PEOPLE.name, "result" => "told").increment(done.told);
    counter!(PEOPLE.name, "result" => "held").increment(done.held);
}
