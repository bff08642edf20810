//! How fast do we come back after losing Redis?

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Delays that double from `min` to `max`, each cut by up to a half so that many nodes do not return in step.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// Something worked: start again from `min`.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn next(&mut self) -> Duration {
        self.next_with(random())
    }

    fn next_with(&mut self, random: u64) -> Duration {
        let doubled = self.min.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        jittered(doubled.min(self.max), random).max(self.min)
    }
}

/// `whole` cut by up to a half.
pub(super) fn jittered(whole: Duration, random: u64) -> Duration {
    let half = whole / 2;
    half + half.mul_f64((random % 1_024) as f64 / 1_023.0)
}

/// A number nobody can foresee well enough to matter; the standard library's hasher keys are random per value.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_stay_within_bounds_and_start_again_after_success() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(min, max);
        let longest: Vec<_> = (0..8).map(|_| backoff.next_with(1_023)).collect();
        assert_eq!(longest[..5], [100, 200, 400, 800, 1_600].map(Duration::from_millis));
        assert_eq!(longest[5..], [max, max, max]);
        for _ in 0..100 {
            let delay = backoff.next();
            assert!(delay >= max / 2 && delay <= max, "{delay:?}");
        }
        backoff.reset();
        assert_eq!(backoff.next_with(0), min);
    }
}
