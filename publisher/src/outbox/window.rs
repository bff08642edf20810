//! Which rows need not be looked at every time?
//!
//! A transaction that stays open keeps Postgres from forgetting rows that were moved since it began, and whoever looks for the oldest
//! row passes all of them. So the look that is made for each wake begins after a number that was reached two seconds ago. Rows
//! that become visible later than that with a smaller number (of transactions that took longer) are found by a look at
//! everything, which is made as often as it may cost a twentieth of the time, at least every 250 ms while it is quick.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a number is waited for.
const LAG: Duration = Duration::from_secs(2);
/// Shortest pause between two looks at everything.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// Of the time that looking at everything takes, so many times as much is rested.
const RESTS: u32 = 20;

/// Where the next look begins.
#[derive(Debug)]
pub(super) struct Window {
    after: i64,
    marks: VecDeque<(Instant, i64)>,
    due: Instant,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { after: 0, marks: VecDeque::new(), due: now }
    }

    /// After which number the next look begins, and whether it is at everything.
    pub(super) fn next(&mut self, now: Instant) -> (i64, bool) {
        while let Some((at, number)) = self.marks.front().copied()
            && now.saturating_duration_since(at) >= LAG
        {
            self.after = self.after.max(number);
            self.marks.pop_front();
        }
        (self.after, now >= self.due)
    }

    /// A look has found rows up to this number, if any. One at everything that found some is made again at once.
    pub(super) fn looked(&mut self, all: bool, newest: Option<i64>, took: Duration, now: Instant) {
        if let Some(newest) = newest
            && self.marks.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= LAG / 20)
        {
            self.marks.push_back((now, newest));
        }
        if all && newest.is_none() {
            self.due = now + PAUSE.max(took * RESTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_passed_two_seconds_after_it_was_reached() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Window::new(start);
        assert_eq!(window.next(start), (0, true), "at first everything");
        window.looked(true, Some(70), Duration::ZERO, start);
        assert!(window.next(start).1, "there may be more");
        window.looked(true, None, Duration::from_millis(1), at(1));
        assert_eq!(window.next(at(2)), (0, false));
        assert_eq!(window.next(at(251)), (0, true));
        window.looked(true, None, Duration::from_millis(100), at(251));
        assert_eq!(window.next(at(2_000)), (70, false), "one that is slow is made less often");
        assert_eq!(window.next(at(2_251)), (70, true));
    }

    #[test]
    fn there_are_few_marks_however_much_is_found() {
        let start = Instant::now();
        let mut window = Window::new(start);
        for ms in 0..4_000 {
            let now = start + Duration::from_millis(ms);
            window.next(now);
            window.looked(false, Some(ms as i64 + 1), Duration::ZERO, now);
            assert!(window.marks.len() <= 21);
        }
        assert!((1_800..2_000).contains(&window.after), "{}", window.after);
    }
}
