//! When did this publisher last commit events, and how long did it take?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last commit. Two that end in the same moment may be mixed up, which nobody can tell.
#[derive(Debug, Default)]
pub struct Commits {
    /// Milliseconds since 1970; 0: none.
    at_ms: AtomicU64,
    took_us: AtomicU64,
}

impl Commits {
    /// Events were committed now, and the database took so long.
    pub fn note(&self, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
        self.took_us.store(number(took.as_micros()), Ordering::Relaxed);
        self.at_ms.store(number(now.as_millis()).max(1), Ordering::Relaxed);
    }

    /// When, in milliseconds since 1970, and how many milliseconds it took; none before the first.
    pub fn last(&self) -> Option<(u64, f64)> {
        let at = self.at_ms.load(Ordering::Relaxed);
        (at > 0).then(|| (at, self.took_us.load(Ordering::Relaxed) as f64 / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_none_before_the_first_and_then_the_last() {
        let commits = Commits::default();
        assert_eq!(commits.last(), None);
        commits.note(Duration::from_millis(7));
        commits.note(Duration::from_micros(2_500));
        let (at, took) = commits.last().unwrap();
        assert!(at > 1_700_000_000_000 && (took - 2.5).abs() < 1e-9, "{at} {took}");
    }
}
