//! How many are told to leave now?
//!
//! Pure: time passed in. What is due is paid out as it accrues, so however late a tick comes the rate holds.

use std::time::Duration;

/// A drain is never slower than this: few connections need no minute.
const LEAST_PER_SECOND: f64 = 50.0;
/// A tick that comes late pays out no more than this much time's worth, so that a node that was frozen does not
/// send everyone away at once.
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// A steady rate of departures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    per_second: f64,
    owed: f64,
}

impl Pace {
    /// Nobody leaves.
    pub(crate) const NOTHING: Self = Self::of(0.0);

    /// Fast enough for `connections` to be told within `window`, at least 50 a second, at most `most` a second.
    pub(crate) fn to_empty(connections: usize, window: Duration, most: u32) -> Self {
        let even = connections as f64 / window.as_secs_f64().max(0.001);
        Self::of(even.max(LEAST_PER_SECOND).min(f64::from(most)))
    }

    /// So many a second.
    pub(crate) const fn of(per_second: f64) -> Self {
        Self { per_second, owed: 0.0 }
    }

    /// Changes the rate without forgetting what is owed.
    pub(crate) fn becomes(&mut self, per_second: f64) {
        self.per_second = per_second;
    }

    /// How long it takes with so many.
    pub(crate) fn time_for(&self, connections: usize) -> Duration {
        Duration::from_secs_f64(connections as f64 / self.per_second.max(0.001))
    }

    /// How many are due after `elapsed` since the last call.
    pub(crate) fn due(&mut self, elapsed: Duration) -> usize {
        self.owed += self.per_second * elapsed.min(LONGEST_TICK).as_secs_f64();
        let whole = self.owed.floor();
        self.owed -= whole;
        whole as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn i8_everyone_is_told_within_the_window_and_few_sooner() {
        let window = Duration::from_secs(60);
        for (connections, ticks) in [(30_000, 600), (3_000, 600), (600, 120), (1, 1)] {
            let mut pace = Pace::to_empty(connections, window, 500);
            let told: usize = (0..ticks).map(|_| pace.due(TICK)).sum();
            assert!(told + 1 >= connections && told <= connections.max(5), "{told} of {connections}");
        }
    }

    #[test]
    fn i8_the_bound_holds_where_the_window_is_too_short() {
        let mut pace = Pace::to_empty(100_000, Duration::from_secs(10), 500);
        assert_eq!(pace.time_for(100_000), Duration::from_secs(200));
        assert_eq!((0..10).map(|_| pace.due(TICK)).sum::<usize>(), 500);
        assert!(pace.due(Duration::from_secs(3_600)) <= 501, "a frozen node does not catch up in one go");
    }

    proptest! {
        /// However the ticks fall, no second pays out more than the rate and what was owed.
        #[test]
        fn i8_the_rate_holds_for_any_ticks(
            per_second in 0.01_f64..5_000.0,
            ticks in proptest::collection::vec(0_u64..1_000, 1..200),
        ) {
            let mut pace = Pace::of(per_second);
            let (mut told, mut time) = (0, Duration::ZERO);
            for tick in ticks {
                let tick = Duration::from_millis(tick);
                told += pace.due(tick);
                time += tick;
                prop_assert!(told as f64 <= per_second * time.as_secs_f64() + 1e-6);
                prop_assert!(told as f64 >= per_second * time.as_secs_f64() - 1.0 - 1e-6);
            }
        }
    }
}
