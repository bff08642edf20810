//! Which labelled series are there before anything was counted?

use super::{
    CANARY_RUNS, CLOSED, CURSORS_REFUSED, FRAMES_REFUSED, INBOXES_LEFT_OUT, RECORDS_DROPPED, RECORDS_FAILED,
    REJECTED, SIGNALS_DROPPED, TOLD_TO_LEAVE, TURNED_AWAY,
};
use crate::shard::Cause;
use carillon_platform::share::Refused;
use carillon_platform::telemetry::Metric;
use metrics::counter;

/// Labelled series that alerts look at are there from the beginning: of a counter that begins with its first count the first
/// burst would not be seen as growth.
pub(super) fn register_zero_series() {
    let begin = |metric: &Metric, label: &'static str, values: &[&'static str]| {
        for value in values {
            counter!(metric.name, label => *value).increment(0);
        }
    };
    begin(
        &REJECTED,
        "code",
        &[
            "over_capacity",
            "draining",
            "unavailable",
            "log_busy",
            "keys_unavailable",
            "too_many_connections",
            "too_many_unauthenticated",
        ],
    );
    begin(
        &TURNED_AWAY,
        "code",
        &[
            "token_missing",
            "token_expired",
            "unavailable",
            "log_busy",
            "keys_unavailable",
            "too_many_connections",
        ],
    );
    let refused =
        ["too_many_channel_changes", "too_many_histories", "too_many_tokens", "history_unavailable"];
    begin(&FRAMES_REFUSED, "code", &refused);
    for metric in [&CURSORS_REFUSED, &INBOXES_LEFT_OUT] {
        begin(metric, "bound", &[Refused::Total, Refused::Group, Refused::Member].map(Refused::label));
    }
    begin(&SIGNALS_DROPPED, "reason", &["behind", "busy", "redis"]);
    for metric in [&RECORDS_DROPPED, &RECORDS_FAILED] {
        begin(metric, "kind", &["devices", "sessions", "activity"]);
    }
    begin(&CLOSED, "reason", &["stalled", "silent", "restart", "over_capacity"]);
    begin(&TOLD_TO_LEAVE, "cause", &[Cause::Drain, Cause::Rebalance, Cause::Evacuate].map(Cause::name));
    begin(&CANARY_RUNS, "result", &["ok", "publish_failed", "not_received", "not_connected"]);
}
