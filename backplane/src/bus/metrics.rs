//! What does the bus count? Every metric of it, declared and described here and nowhere else.

use super::announcer::Carries;
use super::fred::PublishError;
use super::inbox::Interruption;
use ::metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const PUBLISHED: &str = "carillon_redis_published_total";
const PUBLISH_FAILED: &str = "carillon_redis_publish_failed_total";
const MESSAGES: &str = "carillon_redis_messages_total";
const DROPPED: &str = "carillon_redis_dropped_total";
const INTERRUPTIONS: &str = "carillon_redis_interruptions_total";
const UP: &str = "carillon_redis_up";
const SUBSCRIPTIONS: &str = "carillon_redis_subscriptions";

/// Gives the installed recorder the meaning of every metric of the bus.
pub fn describe() {
    describe_counter!(
        PUBLISHED,
        "Announcements Redis took over: of a publisher events, of a gateway signals."
    );
    describe_counter!(
        PUBLISH_FAILED,
        "Announcements that did not get to Redis, by reason: full (queue), stale (waited too long), refused (by Redis), \
         connection (lost while under way), stopped. Of a publisher nothing is lost, gateways find the events in the log; \
         of a gateway the signals reach its own clients alone."
    );
    describe_counter!(MESSAGES, "Announcements received from Redis.");
    describe_counter!(
        DROPPED,
        "Messages received but not handed on, by reason: overflow (the gateway was too slow), lagged (we were), foreign \
         (on a channel that is not ours)."
    );
    describe_counter!(
        INTERRUPTIONS,
        "Times messages may have been lost and the log was asked, by cause: reconnected, lagged, overflow."
    );
    describe_gauge!(
        UP,
        "1 while the Redis connection works (and, on a gateway, every subscription is confirmed)."
    );
    describe_gauge!(SUBSCRIPTIONS, "Tenants this node wants announcements of.");
}

/// Why an announcement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublishFault {
    Full,
    Stale,
    Refused,
    Connection,
    Stopped,
}

/// Handles are made once: recording through one is ten times cheaper than by name.
pub(super) struct AnnouncerMetrics {
    published: Counter,
    pub(super) up: Gauge,
    failed: [Counter; 5],
}

impl AnnouncerMetrics {
    pub(super) fn new(carries: Carries) -> Self {
        let failed = ["full", "stale", "refused", "connection", "stopped"];
        Self {
            published: counter!(PUBLISHED),
            // A gateway's listener has the gauge.
            up: if carries == Carries::Events { gauge!(UP) } else { Gauge::noop() },
            failed: failed.map(|reason| counter!(PUBLISH_FAILED, "reason" => reason)),
        }
    }

    /// How an announcement ended that was sent.
    pub(super) fn settled(&self, result: &Result<(), PublishError>) {
        match result {
            Ok(()) => self.published.increment(1),
            Err(PublishError::Refused(_)) => self.failed(PublishFault::Refused, 1),
            Err(PublishError::Lost(_)) => self.failed(PublishFault::Connection, 1),
        }
    }

    pub(super) fn failed(&self, fault: PublishFault, count: usize) {
        if count > 0 {
            self.failed[fault as usize].increment(count as u64);
        }
    }
}

pub(super) struct ListenerMetrics {
    pub(super) messages: Counter,
    pub(super) up: Gauge,
    pub(super) subscriptions: Gauge,
    pub(super) overflowed: Counter,
    pub(super) lagged: Counter,
    pub(super) foreign: Counter,
    interruptions: [Counter; 3],
}

impl ListenerMetrics {
    pub(super) fn new() -> Self {
        let causes = [Interruption::Reconnected, Interruption::Lagged, Interruption::Overflow];
        Self {
            messages: counter!(MESSAGES),
            up: gauge!(UP),
            subscriptions: gauge!(SUBSCRIPTIONS),
            overflowed: counter!(DROPPED, "reason" => "overflow"),
            lagged: counter!(DROPPED, "reason" => "lagged"),
            foreign: counter!(DROPPED, "reason" => "foreign"),
            interruptions: causes.map(|cause| counter!(INTERRUPTIONS, "cause" => cause.as_str())),
        }
    }

    pub(super) fn interrupted(&self, cause: Interruption) {
        self.interruptions[cause as usize].increment(1);
    }
}
