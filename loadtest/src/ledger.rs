//! Did one client, over all its connections, get every event of its tenant once and in order?

use serde::{Deserialize, Serialize};

/// Where a client stands in its tenant's log, and what went wrong on the way there.
///
/// For clients who are to get every event of their tenant: a number that is left out is a loss until it comes late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    first: u64,
    cursor: u64,
    epoch: String,
    /// Numbers that were left out, as ranges with both ends; almost always none.
    holes: Vec<(u64, u64)>,
    delivered: u64,
    duplicates: u64,
    out_of_order: u64,
    resets: u64,
}

/// What clients got, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Events after each client's first position, up to the last one acknowledged.
    pub(crate) expected: u64,
    /// Of these: how many came at least once.
    pub(crate) delivered: u64,
    /// Events that came again.
    pub(crate) duplicates: u64,
    /// Events that came after a later one.
    pub(crate) out_of_order: u64,
    /// Times a client was told that continuity is lost.
    pub(crate) resets: u64,
}

impl Account {
    /// How many events never came.
    pub(crate) fn missed(&self) -> u64 {
        self.expected.saturating_sub(self.delivered)
    }

    /// Adds another client's account.
    pub(crate) fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.resets += other.resets;
    }

    /// Whether everything came once, in order, without a break.
    pub(crate) fn is_whole(&self) -> bool {
        self.delivered == self.expected && (self.duplicates, self.out_of_order, self.resets) == (0, 0, 0)
    }
}

impl Ledger {
    /// For a client whose first connection begins after `cursor`.
    pub(crate) fn new(cursor: u64, epoch: String) -> Self {
        let (holes, first) = (Vec::new(), cursor);
        Self { first, cursor, epoch, holes, delivered: 0, duplicates: 0, out_of_order: 0, resets: 0 }
    }

    /// Everything up to here was seen (or is known to be missing).
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What the next connection asks for.
    pub(crate) fn resume(&self) -> (u64, &str) {
        (self.cursor, &self.epoch)
    }

    /// An event came. An error says what is wrong with its number.
    pub(crate) fn event(&mut self, seq: u64) -> Result<(), String> {
        let cursor = self.cursor;
        if seq > cursor {
            self.cursor = seq;
            self.delivered += 1;
            if seq == cursor + 1 {
                return Ok(());
            }
            self.holes.push((cursor + 1, seq - 1));
        } else if let Some(at) = self.holes.iter().position(|&(from, to)| (from..=to).contains(&seq)) {
            let (from, to) = self.holes.swap_remove(at);
            self.holes.extend([(from, seq - 1), (seq + 1, to)].into_iter().filter(|(from, to)| from <= to));
            self.out_of_order += 1;
            self.delivered += 1;
        } else {
            self.duplicates += 1;
        }
        Err(format!("seq {seq} after {cursor}"))
    }

    /// The server says that continuity is lost: what lies before `seq` and was not seen is missing.
    pub(crate) fn reset(&mut self, seq: u64, epoch: &str) {
        self.resets += 1;
        self.cursor = seq;
        self.epoch = epoch.to_owned();
    }

    /// The account when `head` is the last event acknowledged.
    pub(crate) fn account(&self, head: u64) -> Account {
        let &Self { first, delivered, duplicates, out_of_order, resets, .. } = self;
        Account { expected: head.saturating_sub(first), delivered, duplicates, out_of_order, resets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(first: u64, seqs: &[u64]) -> Ledger {
        let mut ledger = Ledger::new(first, "e".into());
        for seq in seqs {
            let _ = ledger.event(*seq);
        }
        ledger
    }

    #[test]
    fn an_unbroken_sequence_is_whole() {
        let ledger = after(4, &[5, 6, 7]);
        assert!(ledger.account(7).is_whole() && ledger.resume() == (7, "e"));
        assert_eq!(ledger.account(9).missed(), 2, "the end may be missing too");
    }

    #[test]
    fn holes_repeats_and_late_events_are_told_apart() {
        let mut ledger = after(0, &[1, 4]);
        assert_eq!(ledger.event(4), Err("seq 4 after 4".into()));
        let account = ledger.account(4);
        assert_eq!((account.missed(), account.duplicates, account.out_of_order), (2, 1, 0));
        assert!(ledger.event(3).is_err() && ledger.event(3).is_err() && ledger.event(1).is_err());
        let account = ledger.account(4);
        assert_eq!((account.missed(), account.duplicates, account.out_of_order), (1, 3, 1));
        assert!(ledger.event(2).is_err() && ledger.event(5).is_ok());
        let account = ledger.account(5);
        assert_eq!((account.missed(), account.out_of_order, account.is_whole()), (0, 2, false));
    }

    #[test]
    fn a_late_event_splits_its_hole() {
        let ledger = after(0, &[9, 5]);
        let mut holes = ledger.holes.clone();
        holes.sort_unstable();
        assert_eq!(holes, [(1, 4), (6, 8)]);
    }

    #[test]
    fn after_a_reset_the_sequence_goes_on_from_there() {
        let mut ledger = after(2, &[3]);
        ledger.reset(10, "f");
        assert!(ledger.event(11).is_ok() && ledger.resume() == (11, "f"));
        let mut account = ledger.account(11);
        assert_eq!((account.missed(), account.resets), (7, 1));
        account.add(after(0, &[1]).account(1));
        assert_eq!((account.expected, account.delivered, account.is_whole()), (10, 3, false));
    }
}
