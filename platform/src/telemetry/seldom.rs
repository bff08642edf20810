//! How is a fault that goes on told once a minute, with how often it came?

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines about the same cause.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts what goes on, by cause, and says when it is time for a line: a disk that is full shall not fill another one.
pub struct Seldom<K>(Mutex<Vec<Told<K>>>);

struct Told<K> {
    cause: K,
    at: Instant,
    /// Since the line at that time.
    times: u64,
}

impl<K: PartialEq> Seldom<K> {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Counts one more of this cause. How many there were since the last line, when another one is due.
    pub fn due(&self, cause: K) -> Option<u64> {
        self.due_at(cause, Instant::now())
    }

    fn due_at(&self, cause: K, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = told.iter_mut().find(|known| known.cause == cause) else {
            told.push(Told { cause, at: now, times: 0 });
            return Some(1);
        };
        known.times += 1;
        if now.duration_since(known.at) < PAUSE {
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
}
