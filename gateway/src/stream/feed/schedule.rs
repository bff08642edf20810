//! When are the heads asked for next? (pure)
//!
//! One question is under way at a time. A wish to look sooner that comes meanwhile is not answered by it: what the wish
//! is about may have been committed after the question was read. So the wish stays, and leads to a question of its own.

use std::time::{Duration, Instant};

/// Least time from an answer to the next question: wishes of many clients cost one question.
const APART: Duration = Duration::from_millis(50);

/// When the heads are asked for.
#[derive(Debug)]
pub(super) struct HeadSchedule {
    state: State,
    /// Not before this time.
    earliest: Instant,
}

#[derive(Debug)]
enum State {
    Waiting { until: Instant },
    Asked { wished_since: bool },
}

impl HeadSchedule {
    /// Asks at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { state: State::Waiting { until: now }, earliest: now }
    }

    /// Somebody has a reason to look now.
    pub(super) fn wish(&mut self, now: Instant) {
        match &mut self.state {
            State::Waiting { until } => *until = now.max(self.earliest).min(*until),
            State::Asked { wished_since } => *wished_since = true,
        }
    }

    /// When [`begin`](Self::begin) should be called; never while a question is under way.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Asked { .. } => None,
        }
    }

    /// Whether it is time to ask; if so, a question is under way from now on.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.wakes_at().is_some_and(|until| now >= until);
        if due {
            self.state = State::Asked { wished_since: false };
        }
        due
    }

    /// The answer is there, or there is none. Without a wish the next question comes after `interval`.
    pub(super) fn answered(&mut self, now: Instant, interval: Duration) {
        let wished = matches!(self.state, State::Asked { wished_since: true });
        self.earliest = now + APART;
        let until = if wished { self.earliest } else { now + interval };
        self.state = State::Waiting { until };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn a_wish_is_not_satisfied_by_an_answer_that_was_asked_for_before_it() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut schedule = HeadSchedule::new(began);
        assert!(schedule.begin(began));
        schedule.wish(at(5));
        assert!(!schedule.begin(at(6)), "one at a time");
        schedule.answered(at(10), INTERVAL);
        assert_eq!(schedule.wakes_at(), Some(at(10) + APART));
        assert!(schedule.begin(at(60)));
        schedule.answered(at(65), INTERVAL);
        assert_eq!(schedule.wakes_at(), Some(at(1_065)), "the wish is fulfilled");
    }

    #[test]
    fn wishes_of_many_cost_one_question() {
        let began = Instant::now();
        let mut schedule = HeadSchedule::new(began);
        let questions = (0..1_000).filter(|ms| {
            let now = began + Duration::from_millis(*ms);
            schedule.wish(now);
            let asks = schedule.begin(now);
            if asks {
                schedule.answered(now, INTERVAL);
            }
            asks
        });
        assert_eq!(questions.count(), 20);
    }

    proptest! {
        /// Whatever happens when: after a wish a question is begun within [`APART`] of the answer under way.
        #[test]
        fn every_wish_leads_to_a_later_question(steps in proptest::collection::vec((0_u8..3, 0_u64..200), 0..60)) {
            let mut now = Instant::now();
            let mut schedule = HeadSchedule::new(now);
            let (mut asked, mut wished) = (false, false);
            for (step, ms) in steps {
                now += Duration::from_millis(ms);
                match step {
                    0 => {
                        schedule.wish(now);
                        wished = true;
                    }
                    1 if asked => {
                        schedule.answered(now, INTERVAL);
                        asked = false;
                    }
                    _ => {
                        if schedule.begin(now) {
                            prop_assert!(!asked, "one at a time");
                            (asked, wished) = (true, false);
                        }
                    }
                }
                prop_assert_eq!(schedule.wakes_at().is_none(), asked);
                if wished && !asked {
                    prop_assert!(schedule.wakes_at().is_some_and(|at| at <= now + APART));
                }
            }
        }
    }
}
