//! What happened in the whole run?
//!
//! goose counts requests and their times. It does not know what an event is, so acknowledged and delivered events,
//! and what must not happen to them, are counted here.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::sequence::Sequence;

/// The one ledger: goose creates its users by itself and hands them nothing of ours.
pub(crate) static LEDGER: LazyLock<Ledger> = LazyLock::new(Ledger::default);

/// Counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counts: Mutex<Counts>,
    /// The highest acknowledged number of every tenant.
    heads: Mutex<BTreeMap<String, u64>>,
    times: Mutex<BTreeMap<&'static str, Histogram<u64>>>,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Counts {
    /// Events that a publisher has a receipt for.
    pub(crate) acknowledged: u64,
    /// Events that readers got.
    pub(crate) delivered: u64,
    /// Numbers that readers jumped over.
    pub(crate) gaps: u64,
    /// Events that came twice or out of order.
    pub(crate) repeats: u64,
    /// Acknowledged events that a reader waited for in vain at its end.
    pub(crate) missing: u64,
    /// Clients that were told that continuity is lost.
    pub(crate) resets: u64,
    /// Clients that were not welcomed.
    pub(crate) refused: u64,
    /// Connections that ended although the client wanted to stay.
    pub(crate) broken: u64,
    /// Receipts that did not ascend, or repeated requests with another receipt.
    pub(crate) disordered: u64,
    /// Clients that came back with their cursor.
    pub(crate) comebacks: u64,
    /// Readers that were welcomed for the first time.
    pub(crate) begun: u64,
    /// Readers whose end was added up.
    pub(crate) finished: u64,
}

/// What a reader or a publisher has to tell beside numbers of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A client was told that continuity is lost.
    Reset,
    /// A client was not welcomed.
    Refused,
    /// A connection ended although the client wanted to stay.
    Broken,
    /// Receipts of one publisher did not ascend, or a repeated request had another receipt.
    Disordered,
    /// A client came back with its cursor.
    Comeback,
    /// A client was welcomed for the first time.
    Begun,
}

impl Ledger {
    /// Events of a tenant have a receipt; `head` is the highest number.
    pub(crate) fn acknowledge(&self, tenant: &str, events: u64, head: u64) {
        lock(&self.counts).acknowledged += events;
        let mut heads = lock(&self.heads);
        match heads.get_mut(tenant) {
            Some(known) => *known = head.max(*known),
            None => _ = heads.insert(tenant.to_owned(), head),
        }
    }

    /// The highest number a publisher has a receipt for.
    pub(crate) fn head(&self, tenant: &str) -> u64 {
        lock(&self.heads).get(tenant).copied().unwrap_or_default()
    }

    /// A reader is done: what it saw, and how many events it waited for in vain.
    pub(crate) fn conclude(&self, seen: &Sequence, missing: u64) {
        let mut counts = lock(&self.counts);
        counts.finished += 1;
        counts.delivered += seen.events;
        counts.gaps += seen.gaps;
        counts.repeats += seen.repeats;
        counts.missing += missing;
    }

    /// Counts what happened.
    pub(crate) fn count(&self, what: Happening) {
        let mut counts = lock(&self.counts);
        let counter = match what {
            Happening::Reset => &mut counts.resets,
            Happening::Refused => &mut counts.refused,
            Happening::Broken => &mut counts.broken,
            Happening::Disordered => &mut counts.disordered,
            Happening::Comeback => &mut counts.comebacks,
            Happening::Begun => &mut counts.begun,
        };
        *counter += 1;
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.counts)
    }

    /// The times that were noted so far.
    pub(crate) fn times(&self) -> BTreeMap<&'static str, Histogram<u64>> {
        lock(&self.times).clone()
    }

    /// Notes how long something took, in milliseconds; beyond a minute it is a minute.
    pub(crate) fn time(&self, what: &'static str, ms: u64) {
        let mut times = lock(&self.times);
        if let Some(histogram) = times.get_mut(what) {
            histogram.saturating_record(ms);
        } else if let Ok(mut histogram) = Histogram::new_with_max(60_000, 3) {
            histogram.saturating_record(ms);
            times.insert(what, histogram);
        }
    }
}

/// A panicking user leaves numbers behind that are as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_highest_number_whoever_was_given_it_last() {
        let ledger = Ledger::default();
        ledger.acknowledge("acme", 2, 7);
        ledger.acknowledge("acme", 1, 6);
        assert_eq!((ledger.head("acme"), ledger.head("other"), ledger.counts().acknowledged), (7, 0, 3));
    }

    #[test]
    fn readers_are_added_up() {
        let ledger = Ledger::default();
        let seen = Sequence { cursor: 9, events: 5, gaps: 1, repeats: 2 };
        ledger.conclude(&seen, 3);
        ledger.conclude(&seen, 0);
        let Counts { delivered, gaps, repeats, missing, .. } = ledger.counts();
        assert_eq!((delivered, gaps, repeats, missing), (10, 2, 4, 3));
    }

    #[test]
    fn a_time_beyond_the_longest_is_the_longest() {
        let ledger = Ledger::default();
        [1, 3, 90_000].into_iter().for_each(|ms| ledger.time("welcome", ms));
        let times = ledger.times();
        assert_eq!((times["welcome"].len(), times["welcome"].min()), (3, 1));
        assert!((60_000..61_000).contains(&times["welcome"].max()));
    }
}
