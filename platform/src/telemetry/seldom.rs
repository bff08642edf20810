//! How is what goes on told once a minute (or second), with how often it came?

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines about the same cause, where nothing else is said.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts what goes on, by cause, and says when it is time for a line: a disk that is full shall not fill another one.
pub struct Seldom<K> {
    pause: Duration,
    told: Mutex<Vec<Told<K>>>,
}

struct Told<K> {
    cause: K,
    at: Instant,
    /// Since the line at that time.
    times: u64,
}

impl<K: PartialEq> Seldom<K> {
    /// Nothing has happened yet. A line a minute.
    pub const fn new() -> Self {
        Self::every(PAUSE)
    }

    /// The same with a line in each `pause`.
    pub const fn every(pause: Duration) -> Self {
        Self { pause, told: Mutex::new(Vec::new()) }
    }

    /// Counts one more of this cause. How many there were since the last line, when another one is due.
    pub fn due(&self, cause: K) -> Option<u64> {
        self.due_at(cause, Instant::now())
    }

    fn due_at(&self, cause: K, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = told.iter_mut().find(|known| known.cause == cause) else {
            told.push(Told { cause, at: now, times: 0 });
            return Some(1);
        };
        known.times += 1;
        if now.duration_since(known.at) < self.pause {
            return None;
        }
        known.at = now;
        Some(std::mem::take(&mut known.times))
    }
}

impl<K: PartialEq> Default for Seldom<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_for_each_cause_with_how_often_it_came() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let mut lines = Vec::new();
        for second in 0..=180 {
            for cause in ["full", "down"].into_iter().take(if second == 90 { 2 } else { 1 }) {
                lines.extend(
                    seldom.due_at(cause, start + Duration::from_secs(second)).map(|times| (cause, times)),
                );
            }
        }
        assert_eq!(lines, [("full", 1), ("full", 60), ("down", 1), ("full", 60), ("full", 60)]);
    }

    #[test]
    fn a_line_a_second_where_that_is_wanted() {
        let (seldom, start) = (Seldom::every(Duration::from_secs(1)), Instant::now());
        let at = |ms| seldom.due_at("full", start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(10), at(999), at(1_000), at(1_500), at(2_100)],
            [Some(1), None, None, Some(3), None, Some(2)]
        );
    }
}
