//! How much may a tenant have and do?
//!
//! Set by whoever runs the installation, kept as JSON beside the tenant's rules. What is not set has no limit of this kind.

use serde::{Deserialize, Serialize};

/// The limits of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantLimits {
    /// Connections at a time, on all nodes together.
    pub connections: Option<u64>,
    /// Events a second that are published into its log.
    pub events_per_second: Option<u32>,
    /// Signals a second that its clients send.
    pub signals_per_second: Option<u32>,
    /// Notices a day of UTC.
    pub notices_per_day: Option<u32>,
}

impl TenantLimits {
    /// Most of each that can be set.
    pub const MOST: u64 = 1_000_000;

    /// As they are stored; what cannot be read, because a later release wrote it, limits nothing.
    pub fn stored(json: Option<&str>) -> Self {
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written_and_what_is_unknown_limits_nothing() {
        let limits = TenantLimits {
            connections: Some(2),
            events_per_second: Some(5),
            signals_per_second: None,
            notices_per_day: Some(9),
        };
        let json = serde_json::to_string(&limits).unwrap();
        assert_eq!(TenantLimits::stored(Some(&json)), limits);
        let later = json.replacen('{', "{\"tickets_per_hour\":5,", 1);
        assert_eq!(TenantLimits::stored(Some(&later)), limits);
        for nothing in [None, Some("{}"), Some("{\"connections\":\"many\"}"), Some("[]")] {
            assert!(TenantLimits::stored(nothing).is_empty(), "{nothing:?}");
        }
    }
}
