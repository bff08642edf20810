//! Which API keys was it told of lately that they are used?

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is told of a key.
const PAUSE: Duration = Duration::from_secs(60);
/// Most keys that are remembered.
const KEYS: usize = 1_024;

/// The keys of the last minute.
#[derive(Default)]
pub struct KeyUses(Mutex<HashMap<String, Instant>>);

impl KeyUses {
    /// Whether to tell that this key, which was proven, is used.
    pub fn due(&self, id: &str, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(id).is_some_and(|at| now.duration_since(*at) < PAUSE) {
            return false;
        }
        if told.len() >= KEYS && !told.contains_key(id) {
            told.retain(|_, at| now.duration_since(*at) < PAUSE);
            if told.len() >= KEYS {
                // All of them within a minute: this one is told of later.
                return false;
            }
        }
        told.insert(id.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_of_once_a_minute_and_many_have_a_bound() {
        let (uses, now) = (KeyUses::default(), Instant::now());
        assert!(uses.due("a", now) && !uses.due("a", now) && uses.due("a", now + PAUSE));
        for n in 0..KEYS * 2 {
            uses.due(&format!("k{n}"), now + PAUSE);
        }
        assert!(uses.0.lock().unwrap().len() <= KEYS && !uses.due("late", now + PAUSE));
        assert!(uses.due("late", now + PAUSE + PAUSE));
    }
}
