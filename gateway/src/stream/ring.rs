//! Which recent events of a tenant are in memory, ready to be written?
//!
//! Every event is encoded once, here it waits for its readers: shards at the head, slow or returning connections
//! somewhere before it. Bounded by number and bytes (I10); what has left the ring is read from the log.

use super::entry::Entry;
use carillon_protocol::Seq;
use std::collections::VecDeque;
use std::sync::Arc;

/// How much a ring may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// Consecutive events that end at the head.
#[derive(Debug)]
pub(crate) struct Ring {
    limits: RingLimits,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// Memory of the entries, without the forms that some of their readers want.
    weight: usize,
    head: Seq,
}

impl Ring {
    /// An empty ring whose next event has the seq after `head`.
    pub(crate) fn new(limits: RingLimits, head: Seq) -> Self {
        Self { limits, entries: VecDeque::new(), bytes: 0, weight: 0, head }
    }

    pub(crate) fn head(&self) -> Seq {
        self.head
    }

    /// Appends the next event and lets the oldest go that no longer fit. The newest always stays.
    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        debug_assert_eq!(entry.seq, self.head.next(), "I2: a ring has no holes");
        self.head = entry.seq;
        self.bytes += entry.frame.len();
        self.weight += entry.base_weight();
        self.entries.push_back(entry);
        while self.entries.len() > self.limits.events.max(1)
            || (self.bytes > self.limits.bytes && self.entries.len() > 1)
        {
            self.let_oldest_go();
        }
    }

    fn let_oldest_go(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.frame.len();
            self.weight -= oldest.base_weight();
        }
    }

    /// What its events weigh, without the forms that some of their readers want.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Lets the oldest go until what is left weighs no more than `most`, all of them if need be. Answers how many went.
    pub(crate) fn trim(&mut self, most: usize) -> usize {
        let before = self.entries.len();
        while self.weight > most && !self.entries.is_empty() {
            self.let_oldest_go();
        }
        before - self.entries.len()
    }

    /// Appends up to `max` events after `cursor` to `out`; false when the ring no longer has the next one.
    pub(crate) fn after(&self, cursor: Seq, max: usize, out: &mut Vec<Arc<Entry>>) -> bool {
        if cursor >= self.head {
            return true;
        }
        let first = Seq(self.head.0 - self.entries.len() as u64 + 1);
        if cursor.next() < first {
            return false;
        }
        let skip = (cursor.next().0 - first.0) as usize;
        out.extend(self.entries.iter().skip(skip).take(max).cloned());
        true
    }

    /// The event of that seq, if it is still here.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Arc<Entry>> {
        let back = self.head.0.checked_sub(seq.0)? as usize;
        self.entries.len().checked_sub(back + 1).and_then(|index| self.entries.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn ring(events: usize, bytes: usize, pushed: std::ops::RangeInclusive<u64>) -> Ring {
        let mut ring = Ring::new(RingLimits { events, bytes }, Seq(pushed.start() - 1));
        for seq in pushed {
            let budget = Budget::new(usize::MAX);
            ring.push(Arc::new(Entry::new(Seq(seq), Box::new([]), b"12345678", 0, |bytes| {
                budget.charge(bytes)
            })));
        }
        ring
    }

    fn after(ring: &Ring, cursor: u64) -> Option<Vec<u64>> {
        let mut out = Vec::new();
        ring.after(Seq(cursor), 100, &mut out).then(|| out.iter().map(|e| e.seq.0).collect())
    }

    #[test]
    fn i10_a_ring_keeps_the_newest_within_its_limits() {
        assert_eq!(after(&ring(3, 1_000, 1..=9), 6), Some(vec![7, 8, 9]));
        assert_eq!(after(&ring(3, 1_000, 1..=9), 5), None, "6 has left");
        assert_eq!(after(&ring(100, 25, 1..=9), 7), Some(vec![8, 9]));
        assert_eq!(after(&ring(100, 5, 1..=9), 8), Some(vec![9]), "the newest stays, whatever its size");
        assert_eq!(after(&ring(100, 1_000, 5..=9), 9), Some(vec![]));
        assert_eq!(after(&ring(100, 1_000, 5..=9), 3), None, "before the ring began");
    }

    #[test]
    fn i10_a_ring_gives_way_to_the_budget_of_all() {
        let mut ring = ring(100, 1_000, 1..=9);
        let each = ring.get(Seq(9)).unwrap().weight();
        assert_eq!(ring.trim(each * 9), 0);
        assert_eq!(ring.trim(each * 4 - 1), 6);
        assert_eq!((after(&ring, 6), after(&ring, 5)), (Some(vec![7, 8, 9]), None));
        assert_eq!(ring.trim(0), 3);
        assert_eq!((after(&ring, 9), after(&ring, 8)), (Some(vec![]), None));
        assert_eq!((ring.bytes, ring.weight()), (0, 0));
        let budget = Budget::new(usize::MAX);
        ring.push(Arc::new(Entry::new(Seq(10), Box::new([]), b"{}", 0, |bytes| budget.charge(bytes))));
        assert_eq!(after(&ring, 9), Some(vec![10]), "it goes on from its head");
    }

    #[test]
    fn an_event_is_found_by_its_seq() {
        let ring = ring(3, 1_000, 1..=9);
        assert_eq!(ring.get(Seq(7)).map(|e| e.seq), Some(Seq(7)));
        assert!(ring.get(Seq(6)).is_none() && ring.get(Seq(10)).is_none());
    }
}
