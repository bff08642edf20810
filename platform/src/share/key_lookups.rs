//! Who may have an API key looked up now?
//!
//! A key that the cache does not know costs a question to the log, and whoever asks has not proven anything: made-up keys
//! cost nothing to invent. So addresses take turns, and one that invents keys waits behind its own. Keys that were known
//! when they were asked for last take turns apart: each is asked for once in ten seconds, and whoever guesses from the
//! address they come from (a balancer's, an office's) does not hold them up.

use super::{AddressGroup, FairPermit, FairPermits, Holder, PermitLimits, Refused};
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

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asker {
    /// Who brings a key that was known.
    Known,
    /// Who brings any other from this address.
    Stranger(AddressGroup),
}

/// The turns.
pub struct KeyLookups(FairPermits<Asker, ()>);

/// The right to look a key up; given back when dropped.
pub struct KeyLookup {
    _permit: FairPermit<Asker, ()>,
}

impl Default for KeyLookups {
    fn default() -> Self {
        Self(FairPermits::new(LIMITS))
    }
}

impl KeyLookups {
    /// Waits for a turn, a second at the longest, for a key that comes from this address.
    pub async fn turn(&self, from: AddressGroup, known: bool) -> Result<KeyLookup, Refused> {
        let asker = if known { Asker::Known } else { Asker::Stranger(from) };
        let waited = tokio::time::timeout(TURN, self.0.acquire(Holder::group(asker))).await;
        waited.unwrap_or(Err(Refused::Total)).map(|permit| KeyLookup { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(text: &str) -> AddressGroup {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_invents_keys_waits_behind_its_own() {
        let lookups = KeyLookups::default();
        let (hostile, neighbour) = (address("2001:db8::1"), address("2001:db8::ffff"));
        let mut held = Vec::new();
        for _ in 0..LIMITS.per_group {
            held.push(lookups.turn(hostile, false).await.unwrap());
        }
        let mut waiting: Vec<_> = (0..600).map(|_| Box::pin(lookups.turn(neighbour, false))).collect();
        let mut refused = 0;
        for turn in &mut waiting {
            refused += usize::from(futures_util::poll!(turn.as_mut()).is_ready());
        }
        assert_eq!(refused, 600 - LIMITS.waiting_per_group, "and so many of the /64 at the most");
        assert!(lookups.turn(address("2001:db8:0:1::1"), false).await.is_ok(), "another address");
        assert!(lookups.turn(hostile, true).await.is_ok(), "a known key of the same address");
        drop(waiting);
        assert_eq!(lookups.turn(hostile, false).await.err(), Some(Refused::Total), "nobody waits for ever");
    }
}
