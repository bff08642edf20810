//! What is a limit of a tenant, what is left of it, and how do an answer's headers say so?

use crate::limits::{DayLeft, Left};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// What a limit of a tenant is and what is left of it, as an answer's headers say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// Which limit.
    name: &'static str,
    limit: u32,
    /// In so many seconds.
    window: u32,
    left: u64,
    /// When there is more, or what was asked for fits in.
    wait: Duration,
}

impl From<&Left> for Quota {
    fn from(left: &Left) -> Self {
        Self { name: "tenant", limit: left.limit, window: 1, left: left.events, wait: left.wait }
    }
}

impl From<&DayLeft> for Quota {
    fn from(left: &DayLeft) -> Self {
        Self { name: "notices", limit: left.limit, window: 86_400, left: left.notices, wait: left.wait }
    }
}

impl Quota {
    /// For `Retry-After`.
    pub(super) fn seconds(&self) -> u64 {
        self.wait.as_millis().div_ceil(1_000).max(1) as u64
    }
}

/// What a tenant's limit is and what is left of it (draft-ietf-httpapi-ratelimit-headers-10).
pub(super) fn rate_headers(quota: &Quota) -> [(HeaderName, HeaderValue); 2] {
    let Quota { name, limit, window, left, .. } = quota;
    let seconds = quota.seconds();
    [
        ("ratelimit-policy", format!("\"{name}\";q={limit};w={window}")),
        ("ratelimit", format!("\"{name}\";r={left};t={seconds}")),
    ]
    .map(|(name, text)| {
        // Digits and what stands above are text that a header may have.
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        (HeaderName::from_static(name), value)
    })
}
