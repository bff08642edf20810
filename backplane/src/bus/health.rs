//! Can the fast path be relied on right now?

use std::time::Instant;
use tokio::sync::watch;

/// Whether messages flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusHealth {
    /// Connected; for a listener also: every wanted subscription is confirmed.
    Up,
    /// Not connected, or not yet subscribed again. It heals by itself.
    Down {
        /// Since when there was no `Up`.
        since: Instant,
        /// The latest reason.
        cause: DownCause,
    },
}

impl BusHealth {
    /// Whether this is [`BusHealth::Up`].
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }
}

/// Why the bus is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownCause {
    /// The first connection is not made yet.
    Starting,
    /// No connection could be made.
    Unreachable,
    /// Redis refused the login or a command: password or ACL.
    Refused,
    /// The connection ended.
    Closed,
    /// Redis did not answer in time: frozen, overloaded, or the network lost it.
    Silent,
    /// The connection answered, but a message sent to ourselves did not arrive.
    Deaf,
    /// Slots moved within the cluster.
    Moved,
    /// The bus was stopped.
    Stopped,
}

impl DownCause {
    /// The cause as logs and readiness answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Deaf => "deaf",
            Self::Moved => "moved",
            Self::Stopped => "stopped",
        }
    }
}

/// A failure as the bus sees it: the cause decides, the detail is for the log only.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: DownCause,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(cause: DownCause, detail: impl AsRef<str>) -> Self {
        Self { cause, detail: plain(detail.as_ref()).to_owned() }
    }
}

/// The words of an error of the operating system or of TLS: the client library keeps only how Rust prints it for
/// debugging, `Os { code: 111, …, message: "…" }` or `Custom { …, error: … }`.
fn plain(detail: &str) -> &str {
    let message = detail.split_once("message: \"").and_then(|(_, rest)| rest.strip_suffix("\" }"));
    let error = detail.split_once("error: ").and_then(|(_, rest)| rest.strip_suffix(" }"));
    match detail {
        os if os.starts_with("Os {") => message.unwrap_or(detail),
        custom if custom.starts_with("Custom {") => error.unwrap_or(detail),
        _ => detail,
    }
}

/// The writing side. When it goes away, for whatever reason, readers see `Down(Stopped)` and not a stale `Up`.
pub(super) struct HealthCell {
    value: watch::Sender<BusHealth>,
    gauge: ::metrics::Gauge,
    /// `announcer` or `listener`, for the log.
    side: &'static str,
}

impl HealthCell {
    pub(super) fn new(side: &'static str, gauge: ::metrics::Gauge) -> Self {
        let starting = BusHealth::Down { since: Instant::now(), cause: DownCause::Starting };
        gauge.set(0.0);
        Self { value: watch::Sender::new(starting), gauge, side }
    }

    pub(super) fn watch(&self) -> watch::Receiver<BusHealth> {
        self.value.subscribe()
    }

    pub(super) fn up(&self) {
        let changed = self.value.send_if_modified(|health| {
            let was_down = !health.is_up();
            *health = BusHealth::Up;
            was_down
        });
        if changed {
            self.gauge.set(1.0);
            tracing::info!(side = self.side, "redis is up");
        }
    }

    /// Logs the first failure and each change of cause, not every attempt.
    pub(super) fn down(&self, failure: &Failure) {
        if self.failed(failure.cause) {
            let (cause, detail) = (failure.cause.as_str(), failure.detail.as_str());
            match failure.cause {
                DownCause::Stopped => tracing::info!(side = self.side, "redis is no longer used"),
                _ => tracing::warn!(side = self.side, cause, detail, "redis is down"),
            }
        }
    }

    /// Redis answers, and refuses what this side is for; `meaning` says what follows. Logged when it begins.
    pub(super) fn refused(&self, detail: &str, meaning: &str) {
        if self.failed(DownCause::Refused) {
            tracing::warn!(side = self.side, detail, "{meaning}");
        }
    }

    /// Whether that is news.
    fn failed(&self, now: DownCause) -> bool {
        let changed = self.value.send_if_modified(|health| {
            let (since, changed) = match *health {
                BusHealth::Up => (Instant::now(), true),
                BusHealth::Down { since, cause } => (since, cause != now),
            };
            *health = BusHealth::Down { since, cause: now };
            changed
        });
        if changed {
            self.gauge.set(0.0);
        }
        changed
    }
}

impl Drop for HealthCell {
    fn drop(&mut self) {
        self.down(&Failure::new(DownCause::Stopped, "the bus was stopped"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_words() {
        for (printed, words) in [
            (
                r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#,
                "Connection refused",
            ),
            (
                "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }",
                "InvalidCertificate(UnknownIssuer)",
            ),
            ("NOPERM this user has no permissions", "NOPERM this user has no permissions"),
            ("Os { code: 5 }", "Os { code: 5 }"),
            ("", ""),
        ] {
            assert_eq!(Failure::new(DownCause::Unreachable, printed).detail, words);
        }
    }

    #[test]
    fn a_lost_writer_is_down_and_an_outage_keeps_its_beginning() {
        let cell = HealthCell::new("listener", ::metrics::Gauge::noop());
        let watch = cell.watch();
        cell.up();
        assert!(watch.borrow().is_up());
        cell.down(&Failure::new(DownCause::Closed, ""));
        let BusHealth::Down { since: first, .. } = *watch.borrow() else { panic!("still up") };
        cell.down(&Failure::new(DownCause::Unreachable, ""));
        assert_eq!(*watch.borrow(), BusHealth::Down { since: first, cause: DownCause::Unreachable });
        cell.up();
        drop(cell);
        assert!(matches!(*watch.borrow(), BusHealth::Down { cause: DownCause::Stopped, .. }));
    }
}
