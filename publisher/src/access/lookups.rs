//! Who may have an API key looked up now?
//!
//! A key that the cache does not know costs a question to the log, and whoever asks has not proven anything: made-up keys
//! cost nothing to invent. So addresses take turns, and one that invents keys waits behind its own.

use carillon_backplane::log::LogError;
use carillon_platform::share::{AddressGroup, FairPermit, FairPermits, Holder, PermitLimits, Refused};
use std::time::Duration;

/// Look-ups at a time: fewer than the log's connections for small questions.
const LIMITS: PermitLimits = PermitLimits {
    total: 4,
    per_group: 3,
    per_member: 3,
    waiting: 1_024,
    waiting_per_group: 512,
    waiting_per_member: 512,
};
/// Longest wait for a turn.
const TURN: Duration = Duration::from_secs(1);

/// The turns.
pub(super) struct Lookups(FairPermits<AddressGroup, ()>);

impl Default for Lookups {
    fn default() -> Self {
        Self(FairPermits::new(LIMITS))
    }
}

impl Lookups {
    /// Waits for a turn of this address.
    pub(super) async fn turn(&self, from: AddressGroup) -> Result<FairPermit<AddressGroup, ()>, LogError> {
        let waited = tokio::time::timeout(TURN, self.0.acquire(Holder::group(from))).await;
        waited
            .unwrap_or(Err(Refused::Total))
            .map_err(|refused| LogError::Busy(format!("too many API keys wait to be looked up: {refused}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(last: u8) -> AddressGroup {
        IpAddr::from([192, 0, 2, last]).into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_invents_keys_waits_behind_its_own() {
        let lookups = Lookups::default();
        let mut held = Vec::new();
        for _ in 0..LIMITS.per_group {
            held.push(lookups.turn(address(1)).await.unwrap());
        }
        let mut waiting: Vec<_> = (0..600).map(|_| Box::pin(lookups.turn(address(1)))).collect();
        let mut refused = 0;
        for turn in &mut waiting {
            refused += usize::from(futures_util::poll!(turn.as_mut()).is_ready());
        }
        assert_eq!(refused, 600 - LIMITS.waiting_per_group, "and so many at the most");
        assert!(lookups.turn(address(2)).await.is_ok(), "another address has its turn at once");
        drop(waiting);
        let waited = lookups.turn(address(1)).await.err();
        assert!(matches!(waited, Some(LogError::Busy(_))), "nobody waits for ever");
    }
}
