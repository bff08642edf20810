//! Which part of the log does a search look at next?
//!
//! No statement may look at more than a window of the log, so a search is a row of small statements and a place where
//! it goes on. Events up to `indexed` are found through the channel index, when the question names channels; the rest
//! of the log is walked in windows. The size of a window follows from how long the one before took. Of the index a
//! statement looks up a few channels in all of the log, and many in windows, too: a thousand busy ones have a thousand
//! times as many candidates as a page has events. Pure.

use carillon_protocol::Seq;
use std::time::Duration;

/// Which way a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// One statement's part of the log: `after < seq <= upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// Candidates from the channel index.
    Index { after: Seq, upto: Seq },
    /// Each event of a window is looked at.
    Walk { after: Seq, upto: Seq },
}

/// Events in the first window of a walk, when looking at one reads no body.
const FIRST_WINDOW: u64 = 8_192;
/// The same, when each body is searched.
const FIRST_TEXT_WINDOW: u64 = 512;
/// Largest window of a walk.
const MOST: u64 = 32_768;
/// Channels that are looked up in all of the log at once.
const FEW_CHANNELS: usize = 64;
/// Events in the first window in which more are looked up.
const FIRST_INDEX_WINDOW: u64 = 4_096;
/// Smallest window.
const LEAST: u64 = 64;
/// How long the statement for a window should take.
const AIM: Duration = Duration::from_millis(50);

/// What of the log is still to be looked at, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    order: Order,
    after: Seq,
    upto: Seq,
    /// The channel index knows everything up to here that this search may ask for.
    indexed: Seq,
    window: u64,
    /// Of the index; none when it is looked up in all of the log.
    index_window: Option<u64>,
}

impl Route {
    /// Through `after < seq <= upto`, for events in so many channels.
    pub(super) fn new(
        order: Order,
        (after, upto): (Seq, Seq),
        indexed: Seq,
        channels: usize,
        reads_bodies: bool,
    ) -> Self {
        let window = if reads_bodies { FIRST_TEXT_WINDOW } else { FIRST_WINDOW };
        let index_window = (channels > FEW_CHANNELS).then_some(FIRST_INDEX_WINDOW);
        Self { order, after: after.min(upto), upto, indexed, window, index_window }
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// What is left: `after < seq <= upto`; nothing when both are the same.
    pub(super) fn left(&self) -> (Seq, Seq) {
        (self.after, self.upto)
    }

    /// The next statement's part; none when all was looked at.
    pub(super) fn next(&self) -> Option<Leg> {
        let Self { after, upto, indexed, window, .. } = *self;
        if after >= upto {
            return None;
        }
        let index_window = self.index_window.unwrap_or(u64::MAX);
        Some(match self.order {
            Order::Ascending if after < indexed => {
                Leg::Index { after, upto: Seq(after.0.saturating_add(index_window)).min(upto).min(indexed) }
            }
            Order::Ascending => Leg::Walk { after, upto: Seq(after.0.saturating_add(window)).min(upto) },
            Order::Descending if upto <= indexed => {
                Leg::Index { after: Seq(upto.0.saturating_sub(index_window)).max(after), upto }
            }
            Order::Descending => {
                let lowest = Seq(upto.0.saturating_sub(window)).max(indexed).max(after);
                Leg::Walk { after: lowest, upto }
            }
        })
    }

    /// Notes how far a statement got: everything before this place, in the search's order, was looked at.
    pub(super) fn reached(&mut self, place: Seq) {
        match self.order {
            Order::Ascending => self.after = place.clamp(self.after, self.upto),
            Order::Descending => self.upto = place.clamp(self.after, self.upto),
        }
    }

    /// The index is not asked any more: all that is left is walked.
    pub(super) fn distrust_index(&mut self) {
        self.indexed = Seq::ZERO;
    }

    /// Whether a leg of the index ends where its window does.
    pub(super) fn has_index_windows(&self) -> bool {
        self.index_window.is_some()
    }

    /// Makes the next window much smaller, for this one took too long; false when it cannot be.
    pub(super) fn smaller(&mut self) -> bool {
        let (after, upto) = (self.after, self.upto);
        match self.next() {
            None => false,
            Some(Leg::Walk { .. }) => {
                let shrinks = self.window > LEAST;
                self.window = (self.window / 8).max(LEAST);
                shrinks
            }
            Some(Leg::Index { .. }) => {
                let window = self.index_window.unwrap_or(u64::MAX).min(upto.0 - after.0);
                self.index_window = Some((window / 8).max(LEAST));
                window > LEAST
            }
        }
    }

    /// Notes how many rows a window of the index had, of the `most` that a statement gives: as long as there are few, the
    /// next window is larger, so that rare channels soon have all of the log. How long it took says little: a thousand
    /// channels are a thousand look-ups in each partition, however small the window is.
    pub(super) fn looked_up(&mut self, rows: usize, most: usize) {
        let times = match rows {
            rows if rows <= most / 16 => 16,
            rows if rows < most => 2,
            _ => 1,
        };
        self.index_window = self.index_window.map(|window| window.saturating_mul(times));
    }

    /// Notes how long a window took.
    pub(super) fn walked(&mut self, took: Duration) {
        let fair = self.window as f64 * AIM.as_secs_f64() / took.as_secs_f64().max(1e-6);
        // Twice as large at most: what comes next may be dearer than what was cheap.
        self.window = (fair as u64).clamp(LEAST, (self.window * 2).min(MOST));
    }
}

/// What an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How many of its rows are used.
    pub(super) used: usize,
    /// How far the search has come with them.
    pub(super) reached: Seq,
    /// Whether nothing more is to be found where the statement looked.
    pub(super) exhausted: bool,
}

/// One row of a statement's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) seq: Seq,
    /// Whether it is what is looked for.
    pub(super) matches: bool,
    /// Whether its body came along: not when those before it fill the page.
    pub(super) whole: bool,
}

/// Judges an answer. `most` is how many rows the statement gives at most, `limit` how many events are wanted. A statement
/// that is not the `last` looked at some of the days in which events of the leg may be.
pub(super) fn judge(
    leg: Leg,
    order: Order,
    rows: &[Candidate],
    (most, limit): (usize, usize),
    last: bool,
) -> Verdict {
    let (Leg::Index { after, upto } | Leg::Walk { after, upto }) = leg;
    let (begin, end) = if order == Order::Ascending { (after, upto) } else { (upto, after) };
    let past = |seq: Seq| if order == Order::Ascending { seq } else { seq.previous() };
    let before = |seq: Seq| if order == Order::Ascending { seq.previous() } else { seq };
    let mut found = 0;
    for (at, row) in rows.iter().enumerate() {
        if row.matches && !row.whole {
            return Verdict { used: at, reached: before(row.seq), exhausted: false };
        }
        found += usize::from(row.matches);
        if found == limit {
            return Verdict { used: at + 1, reached: past(row.seq), exhausted: false };
        }
    }
    let exhausted = rows.len() < most;
    let furthest = rows.last().map_or(begin, |row| past(row.seq));
    let reached = if exhausted && last { end } else { furthest };
    Verdict { used: rows.len(), reached, exhausted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A log whose every event is a number; `matching` are looked for. The index knows no more than `indexed`.
    fn answer(leg: Leg, order: Order, matching: &BTreeSet<u64>, most: usize, cut: usize) -> Vec<Candidate> {
        let (Leg::Index { after, upto } | Leg::Walk { after, upto }) = leg;
        let mut seqs: Vec<u64> = matching.range(after.0 + 1..=upto.0).copied().collect();
        if order == Order::Descending {
            seqs.reverse();
        }
        seqs.truncate(most);
        let row = |(at, seq): (usize, &u64)| Candidate {
            seq: Seq(*seq),
            // The index may name events that are not there any more, or are others now.
            matches: matches!(leg, Leg::Walk { .. }) || !seq.is_multiple_of(7),
            whole: at < cut,
        };
        seqs.iter().enumerate().map(row).collect()
    }

    proptest! {
        #[test]
        fn every_match_is_found_once_in_order_by_bounded_statements(
            matching in proptest::collection::btree_set(1..5_000u64, 0..200),
            (after, upto, indexed) in (0..5_000u64, 0..5_000u64, 0..6_000u64),
            (most, limit, cut) in (1..20usize, 1..20usize, 1..20usize),
            millis in proptest::collection::vec(0..400u64, 1..20),
            (ascending, channels) in (any::<bool>(), prop_oneof![Just(1), Just(1_000usize)]),
        ) {
            let order = if ascending { Order::Ascending } else { Order::Descending };
            // What stands at a multiple of seven is a wrong row of the index, and nothing in the log.
            let matching: BTreeSet<u64> = matching.into_iter().filter(|seq| *seq > indexed || seq % 7 != 0).collect();
            let mut named = matching.clone();
            named.extend((0..=indexed).filter(|seq| seq % 7 == 0 && seq % 3 == 0));
            let mut route = Route::new(order, (Seq(after), Seq(upto)), Seq(indexed), channels, false);
            let (mut found, mut statements) = (Vec::new(), 0);
            while let Some(leg) = route.next() {
                statements += 1;
                let (Leg::Index { after, upto } | Leg::Walk { after, upto }) = leg;
                prop_assert!(after < upto);
                let most = match leg {
                    Leg::Index { .. } => { prop_assert!(upto.0 <= indexed); most }
                    Leg::Walk { .. } => { prop_assert!(upto.0 - after.0 <= MOST); limit }
                };
                let rows = answer(leg, order, &named, most, cut);
                let Verdict { used, reached, .. } = judge(leg, order, &rows, (most, limit), true);
                found.extend(rows[..used].iter().filter(|row| row.matches).map(|row| row.seq.0));
                let before = route.left();
                route.reached(reached);
                prop_assert_ne!(before, route.left(), "each statement gets further");
                match leg {
                    Leg::Walk { .. } => route.walked(Duration::from_millis(millis[statements % millis.len()])),
                    Leg::Index { .. } => route.looked_up(rows.len(), most),
                }
            }
            let mut expected: Vec<u64> = if after < upto { matching.range(after + 1..=upto).copied().collect() } else { vec![] };
            if !ascending { expected.reverse(); }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_was_looked_at_in_some_of_the_days_reaches_as_far_as_its_rows() {
        let leg = Leg::Index { after: Seq(10), upto: Seq(100) };
        let rows = [70, 40].map(|seq| Candidate { seq: Seq(seq), matches: true, whole: true });
        let verdict = |rows: &[Candidate], last| judge(leg, Order::Descending, rows, (5, 5), last);
        assert_eq!(verdict(&rows, false), Verdict { used: 2, reached: Seq(39), exhausted: true });
        assert_eq!(verdict(&[], false), Verdict { used: 0, reached: Seq(100), exhausted: true });
        assert_eq!(verdict(&rows, true).reached, Seq(10));
        let mut route = Route::new(Order::Descending, (Seq(0), Seq(10)), Seq(10), 1, false);
        route.distrust_index();
        assert_eq!(route.next(), Some(Leg::Walk { after: Seq(0), upto: Seq(10) }));
    }

    #[test]
    fn a_window_that_took_long_is_followed_by_a_smaller_one() {
        let mut route = Route::new(Order::Descending, (Seq(0), Seq(1_000_000)), Seq(0), 1, false);
        route.walked(Duration::from_millis(500));
        assert_eq!(route.window, FIRST_WINDOW / 10);
        route.walked(Duration::ZERO);
        assert_eq!(route.window, FIRST_WINDOW / 5, "twice as large at most");
        (0..20).for_each(|_| route.walked(Duration::ZERO));
        assert_eq!(route.window, MOST);
        (0..20).for_each(|_| route.walked(Duration::from_secs(2)));
        assert_eq!(route.window, LEAST);
        assert!(!route.smaller());
        let mut route = Route::new(Order::Ascending, (Seq(0), Seq(1_000_000)), Seq(0), 1, true);
        assert!(route.smaller() && route.window == LEAST);
    }

    #[test]
    fn many_channels_are_looked_up_in_windows_and_few_when_that_takes_too_long() {
        let range = (Seq(0), Seq(1_000_000));
        let mut few = Route::new(Order::Descending, range, Seq(1_000_000), FEW_CHANNELS, false);
        assert_eq!(few.next(), Some(Leg::Index { after: Seq(0), upto: Seq(1_000_000) }));
        few.looked_up(0, 300);
        assert_eq!(few.next(), Some(Leg::Index { after: Seq(0), upto: Seq(1_000_000) }));
        assert!(few.smaller());
        assert_eq!(few.next(), Some(Leg::Index { after: Seq(875_000), upto: Seq(1_000_000) }));
        let mut many = Route::new(Order::Ascending, range, Seq(900_000), FEW_CHANNELS + 1, false);
        assert_eq!(many.next(), Some(Leg::Index { after: Seq(0), upto: Seq(FIRST_INDEX_WINDOW) }));
        many.looked_up(300, 300);
        assert_eq!(many.next(), Some(Leg::Index { after: Seq(0), upto: Seq(FIRST_INDEX_WINDOW) }));
        many.looked_up(150, 300);
        assert_eq!(many.next(), Some(Leg::Index { after: Seq(0), upto: Seq(2 * FIRST_INDEX_WINDOW) }));
        (0..2).for_each(|_| many.looked_up(3, 300));
        assert_eq!(many.next(), Some(Leg::Index { after: Seq(0), upto: Seq(900_000) }), "nothing was found");
        while many.smaller() {}
        assert_eq!(many.next(), Some(Leg::Index { after: Seq(0), upto: Seq(LEAST) }));
        assert!(!many.smaller());
    }
}
