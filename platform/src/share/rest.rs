//! How long does a group of holders rest after its work, while others want to work, too? (pure)
//!
//! Taking turns bounds how long others wait, and not how much of the processors and of the database one group has: who
//! asks again at once works all the time. After a rest of three times its work it has a quarter of the time of each of
//! its permits. Whoever is alone does not rest.

use std::time::Duration;
use tokio::time::Instant;

/// A rest is so many times as long as the work before it.
const TIMES: u32 = 3;
/// A shorter rest is none: a timer could not keep it.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest rest.
const LONGEST: Duration = Duration::from_millis(300);
/// Others want to work if one of them asked within so long.
const RECENT: Duration = Duration::from_secs(1);

/// The last two different groups that asked, the latest first, and when each did. A group is known by its hash: two that
/// have the same one, by an unlikely chance, are not told apart.
#[derive(Default)]
pub(super) struct LastAsked(Option<(u64, Instant)>, Option<(u64, Instant)>);

impl LastAsked {
    /// One asks.
    pub(super) fn note(&mut self, group: u64, now: Instant) {
        match &mut self.0 {
            Some((latest, at)) if *latest == group => *at = now,
            latest => self.1 = latest.replace((group, now)),
        }
    }

    /// How long a group rests now that has worked for so long.
    pub(super) fn rest(&self, group: u64, worked: Duration, now: Instant) -> Duration {
        let is_other = |asked: Option<(u64, Instant)>| {
            asked.is_some_and(|(who, at)| who != group && now.saturating_duration_since(at) < RECENT)
        };
        let rest = (worked * TIMES).min(LONGEST);
        if rest >= SHORTEST && (is_other(self.0) || is_other(self.1)) { rest } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(10);
    const GREEDY: u64 = 1;
    const OTHER: u64 = 2;

    #[test]
    fn a_group_rests_three_times_as_long_as_it_worked_while_another_asks() {
        let mut asked = LastAsked::default();
        let start = Instant::now();
        for n in 0..100 {
            asked.note(GREEDY, start + WORK * n);
        }
        let now = start + Duration::from_secs(1);
        assert_eq!(asked.rest(GREEDY, WORK, now), Duration::ZERO, "alone");
        asked.note(OTHER, now);
        for _ in 0..100 {
            asked.note(GREEDY, now);
        }
        assert_eq!(asked.rest(GREEDY, WORK, now), WORK * 3);
        assert_eq!(asked.rest(OTHER, WORK, now), WORK * 3, "everybody's rest follows from their own work");
        assert_eq!(asked.rest(GREEDY, Duration::from_secs(9), now), LONGEST);
        assert_eq!(asked.rest(GREEDY, SHORTEST / TIMES, now), Duration::ZERO);
        let later = now + RECENT;
        asked.note(GREEDY, later);
        assert_eq!(asked.rest(GREEDY, WORK, later), Duration::ZERO, "the other has asked for nothing since");
    }
}
