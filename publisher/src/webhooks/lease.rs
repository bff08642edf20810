//! Which slots does this process hold, and until when?
//!
//! The database knows; here is what it said last. Whoever sends looks before each message: a process that was stopped for a while
//! sends nothing of what somebody else has taken over meanwhile.

use carillon_backplane::log::Slot;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A lease lasts ten seconds from when it was asked for; here a little less, for the clocks' sake.
const BELIEVED: Duration = Duration::from_secs(9);

/// The slots of this process.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    slots: Vec<Slot>,
    until: Option<Instant>,
}

impl Leases {
    /// These are held, as the answer to a question that was asked then.
    pub(super) fn renewed(&self, slots: Vec<Slot>, asked: Instant) {
        *self.lock() = Held { slots, until: Some(asked + BELIEVED) };
    }

    /// The slots that are held now.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let held = self.lock();
        if held.until.is_some_and(|until| Instant::now() < until) { held.slots.clone() } else { Vec::new() }
    }

    /// Whether this lease still holds.
    pub(super) fn holds(&self, slot: Slot) -> bool {
        let held = self.lock();
        held.until.is_some_and(|until| Instant::now() < until) && held.slots.contains(&slot)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_believed_for_less_than_it_lasts_and_by_its_number() {
        let (leases, now) = (Leases::default(), Instant::now());
        let slot = |number, fence| Slot { number, fence };
        assert!(!leases.holds(slot(1, 1)) && leases.slots().is_empty());
        leases.renewed(vec![slot(1, 1)], now);
        assert!(leases.holds(slot(1, 1)) && !leases.holds(slot(1, 2)) && !leases.holds(slot(2, 1)));
        leases.renewed(vec![slot(1, 1)], now.checked_sub(BELIEVED).unwrap());
        assert!(!leases.holds(slot(1, 1)) && leases.slots().is_empty());
    }
}
