//! What did a client see that it should not have seen?
//!
//! Pure: the seq of every event that was acknowledged and of every event that came go in. All events of its channel are
//! its own, so nothing else can be missing.

use std::collections::BTreeSet;

/// Events that may be there before their acknowledgements: a client has one request under way.
const EARLY: usize = 16;

/// What went wrong so far, counted up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged events that never came though a later one did.
    pub gaps: u64,
    /// Events that came twice, or after a later one.
    pub duplicates: u64,
}

/// Compares what was acknowledged with what came.
#[derive(Debug, Default)]
pub(super) struct Witness {
    awaited: BTreeSet<u64>,
    /// Came before its acknowledgement did.
    early: BTreeSet<u64>,
    last: u64,
    findings: Findings,
}

impl Witness {
    /// An event was acknowledged. True when it has come already.
    pub(super) fn acknowledged(&mut self, seq: u64) -> bool {
        if self.early.remove(&seq) {
            return true;
        }
        if seq <= self.last {
            // A later one came before this one's acknowledgement, and this one did not.
            self.findings.gaps += 1;
        } else {
            self.awaited.insert(seq);
        }
        false
    }

    /// An event came. True when it had been acknowledged.
    pub(super) fn came(&mut self, seq: u64) -> bool {
        if seq <= self.last {
            self.findings.duplicates += 1;
            return false;
        }
        self.last = seq;
        let was_awaited = self.awaited.remove(&seq);
        let later = self.awaited.split_off(&seq);
        self.findings.gaps += self.awaited.len() as u64;
        self.awaited = later;
        if !was_awaited {
            self.early.insert(seq);
            // One whose acknowledgement was lost on its way is never asked for.
            while self.early.len() > EARLY {
                self.early.pop_first();
            }
        }
        was_awaited
    }

    /// The server said that continuity is lost: nothing from before is awaited any more.
    pub(super) fn start_over(&mut self, seq: u64) {
        (self.awaited, self.early, self.last) = (BTreeSet::new(), BTreeSet::new(), seq);
    }

    pub(super) fn findings(&self) -> Findings {
        self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_order_leave_nothing_to_find_whichever_of_ack_and_event_is_first() {
        let mut witness = Witness::default();
        assert!(!witness.acknowledged(3) && witness.came(3));
        assert!(!witness.came(7) && witness.acknowledged(7));
        assert_eq!(witness.findings(), Findings::default());
    }

    #[test]
    fn an_event_that_never_came_is_a_gap_once_a_later_one_is_there() {
        let mut witness = Witness::default();
        witness.acknowledged(3);
        assert_eq!(witness.findings().gaps, 0, "it may still be on its way");
        witness.acknowledged(5);
        witness.came(5);
        assert_eq!(witness.findings(), Findings { gaps: 1, duplicates: 0 });
        witness.acknowledged(4);
        assert_eq!(witness.findings().gaps, 2, "acknowledged late, passed over all the same");
    }

    #[test]
    fn acknowledgements_that_never_come_do_not_pile_up() {
        let mut witness = Witness::default();
        assert!(!(1..=1_000).any(|seq| witness.came(seq)), "none was awaited");
        assert_eq!((witness.early.len(), witness.findings()), (EARLY, Findings::default()));
        assert!(witness.acknowledged(1_000));
    }

    #[test]
    fn an_event_that_comes_again_or_late_is_a_duplicate() {
        let mut witness = Witness::default();
        witness.acknowledged(3);
        witness.came(3);
        witness.came(3);
        witness.came(2);
        assert_eq!(witness.findings(), Findings { gaps: 0, duplicates: 2 });
        witness.start_over(0);
        witness.acknowledged(1);
        assert!(witness.came(1), "a new epoch counts from one");
    }
}
