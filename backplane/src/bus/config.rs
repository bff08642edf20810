//! Where is Redis, and how long do we wait for it?

use super::BusError;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How the Redis servers are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BusMode {
    /// One server (or one address that always leads to the primary): `SUBSCRIBE` and `PUBLISH`.
    #[default]
    Standalone,
    /// The URL names sentinels, they name the primary: `SUBSCRIBE` and `PUBLISH`.
    Sentinel,
    /// Redis Cluster 7 or newer: `SSUBSCRIBE` and `SPUBLISH`, so that a message goes to one node only.
    Cluster,
}

impl BusMode {
    /// The values as configuration spells them.
    pub const ALLOWED: &'static str = "standalone, sentinel or cluster";

    fn suffix(self) -> &'static str {
        match self {
            Self::Standalone => "",
            Self::Sentinel => "-sentinel",
            Self::Cluster => "-cluster",
        }
    }
}

impl FromStr for BusMode {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Self, BusError> {
        match text {
            "standalone" => Ok(Self::Standalone),
            "sentinel" => Ok(Self::Sentinel),
            "cluster" => Ok(Self::Cluster),
            _ => Err(BusError::Config(format!("the redis mode must be {}", Self::ALLOWED))),
        }
    }
}

/// What the bus needs to know. [`BusConfig::new`] fills in defaults that fit production.
#[derive(Clone)]
pub struct BusConfig {
    /// `redis://[[user]:password@]host[:port]`, `rediss://` for TLS with the system's roots; a secret. Sentinel:
    /// `?sentinelServiceName=name` and further `&node=host:port`. Cluster: further `?node=host:port`. A database
    /// number is ignored: it does not separate channels, only the prefix does.
    pub url: String,
    /// How the servers are arranged.
    pub mode: BusMode,
    /// First part of every channel name: separates installations that share a Redis. 1–64 of `A-Z a-z 0-9 _ . -`.
    pub prefix: String,
    /// Waits and periods.
    pub timing: Timing,
    /// Most messages that wait between the bus and its user (either direction).
    pub queue_messages: usize,
    /// Most bytes of payload that wait between the bus and its user (either direction).
    pub queue_bytes: usize,
}

/// Waits and periods of the bus.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Longest time to make a connection, including TLS.
    pub connect: Duration,
    /// Longest time to log in on it, which takes three answers, one after the other (HELLO, CLIENT ID, INFO): as long as [`Self::answer`] for each, so that a Redis
    /// that is slow to answer is used as soon as it would be kept.
    pub login: Duration,
    /// Pause between two PINGs.
    pub ping: Duration,
    /// Longest silence after a PING before the connection is given up. `ping + answer` bounds the time in which a
    /// frozen Redis is noticed.
    pub answer: Duration,
    /// Pause between two proofs that the subscription is not deaf.
    pub probe: Duration,
    /// Longest time until such a proof must have come back.
    pub probe_answer: Duration,
    /// How long an announcement is worth sending. Gateways ask the log once a second, so an older one is old news.
    pub announcement_age: Duration,
    /// First pause before connecting again; it doubles, with jitter, up to `backoff_max`, for ever.
    pub backoff_min: Duration,
    /// Longest pause before connecting again.
    pub backoff_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(2_000),
            login: Duration::from_millis(4_500),
            ping: Duration::from_millis(700),
            answer: Duration::from_millis(1_500),
            probe: Duration::from_secs(5),
            probe_answer: Duration::from_secs(3),
            announcement_age: Duration::from_millis(1_500),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_millis(2_000),
        }
    }
}

impl BusConfig {
    /// A configuration with the default waits, 16,384 messages and 32 MiB of queue.
    pub fn new(url: impl Into<String>, mode: BusMode, prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            mode,
            prefix: prefix.into(),
            timing: Timing::default(),
            queue_messages: 16_384,
            queue_bytes: 32 * 1024 * 1024,
        }
    }

    /// Checks everything that can be checked without a connection. No message repeats a part of the URL.
    pub(super) fn check(&self) -> Result<CheckedUrl, BusError> {
        let fault = |text: String| Err(BusError::Config(text));
        let prefix_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.bytes().all(prefix_byte) {
            return fault("the redis prefix must be 1-64 characters of A-Z, a-z, 0-9, _, . and -".into());
        }
        if self.queue_messages == 0 || self.queue_bytes == 0 {
            return fault("the redis queue limits must be at least 1".into());
        }
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return fault("the redis url must start with redis:// or rediss://".into());
        };
        let suffix = self.mode.suffix();
        let tls = match scheme.strip_suffix(suffix).unwrap_or(scheme) {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            "redis-cluster" | "rediss-cluster" | "valkey-cluster" | "valkeys-cluster" | "redis-sentinel"
            | "rediss-sentinel" | "valkey-sentinel" | "valkeys-sentinel" => {
                return fault(
                    "the scheme of the redis url names another mode than the one configured".into(),
                );
            }
            _ => return fault("the redis url must start with redis:// or rediss://".into()),
        };
        if self.mode == BusMode::Sentinel && !rest.contains("sentinelServiceName=") {
            return fault("the redis url needs ?sentinelServiceName=<name> in sentinel mode".into());
        }
        Ok(CheckedUrl { plain: format!("redis{suffix}://{rest}"), tls })
    }
}

/// A URL whose scheme was understood: TLS is set up by us, so the scheme no longer says it.
pub(super) struct CheckedUrl {
    pub(super) plain: String,
    pub(super) tls: bool,
}

impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig")
            .field("mode", &self.mode)
            .field("prefix", &self.prefix)
            .field("timing", &self.timing)
            .field("queue_messages", &self.queue_messages)
            .field("queue_bytes", &self.queue_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, mode: BusMode) -> Result<CheckedUrl, BusError> {
        BusConfig::new(url, mode, "carillon").check()
    }

    #[test]
    fn schemes_follow_the_mode() {
        use BusMode::{Cluster, Sentinel, Standalone};
        for (url, mode, tls) in [
            ("redis://h", Standalone, false),
            ("valkey://h:1", Standalone, false),
            ("rediss://u:p@h", Standalone, true),
            ("redis://h", Cluster, false),
            ("rediss-cluster://h?node=i:1", Cluster, true),
            ("redis-sentinel://h?sentinelServiceName=m", Sentinel, false),
        ] {
            assert_eq!(check(url, mode).map(|c| c.tls).ok(), Some(tls), "{url}");
        }
        for (url, mode) in [
            ("redis-cluster://h", Standalone),
            ("redis-sentinel://h?sentinelServiceName=m", Cluster),
            ("redis://h", Sentinel),
            ("http://h", Standalone),
            ("h:6379", Standalone),
            ("", Standalone),
        ] {
            assert!(check(url, mode).is_err(), "{url}");
        }
    }

    #[test]
    fn no_fault_and_no_debug_text_shows_the_password() {
        for url in ["http://u:hunter2@h", "redis-cluster://u:hunter2@h", "u:hunter2@h"] {
            let fault = check(url, BusMode::Standalone).err().map(|e| format!("{e} {e:?}")).unwrap();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
        let config = BusConfig::new("redis://u:hunter2@h", BusMode::Standalone, "carillon");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn prefixes_cannot_disturb_the_hash_tag() {
        for bad in ["", "a b", "a{b", "a}", "a:b", "é"] {
            assert!(BusConfig::new("redis://h", BusMode::Standalone, bad).check().is_err(), "{bad:?}");
        }
    }
}
