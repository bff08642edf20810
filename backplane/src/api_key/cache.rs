//! Which API keys were looked up a moment ago?
//!
//! A hot key costs one query in ten seconds instead of one for each request; a revoked one works at most that long.
//! Unknown ids are remembered apart, so that guessing them cannot push the known ones out.

use crate::log::ApiKey;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of the database is believed.
const LIFETIME: Duration = Duration::from_secs(10);
/// Most keys of each kind (known, unknown).
const KEYS: usize = 1_024;

/// The answers of the last ten seconds.
#[derive(Default)]
pub(super) struct KeyCache {
    known: Mutex<HashMap<String, (Instant, ApiKey)>>,
    unknown: Mutex<HashMap<String, (Instant, ())>>,
}

impl KeyCache {
    /// What the database said of this id lately: `Some(None)` that there is no such key.
    pub(super) fn get(&self, id: &str, now: Instant) -> Option<Option<ApiKey>> {
        if let Some(key) = find(&self.known, id, now) {
            return Some(Some(key));
        }
        find(&self.unknown, id, now).map(|()| None)
    }

    /// Whether there was such a key when the database was asked last, however long ago.
    pub(super) fn was_known(&self, id: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// Remembers what the database said.
    pub(super) fn put(&self, id: &str, answer: Option<ApiKey>, now: Instant) {
        match answer {
            Some(key) => keep(&self.known, id, key, now),
            None => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                keep(&self.unknown, id, (), now);
            }
        }
    }
}

type Shelf<T> = Mutex<HashMap<String, (Instant, T)>>;

fn find<T: Clone>(shelf: &Shelf<T>, id: &str, now: Instant) -> Option<T> {
    let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    shelf.get(id).filter(|(at, _)| now.duration_since(*at) < LIFETIME).map(|(_, value)| value.clone())
}

fn keep<T>(shelf: &Shelf<T>, id: &str, value: T, now: Instant) {
    let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    if shelf.len() >= KEYS && !shelf.contains_key(id) {
        shelf.retain(|_, (at, _)| now.duration_since(*at) < LIFETIME);
        if shelf.len() >= KEYS {
            // All are fresh: beginning anew costs each hot key one query, and needs no order of ages.
            shelf.clear();
        }
    }
    shelf.insert(id.to_owned(), (now, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> ApiKey {
        ApiKey {
            id: id.to_owned(),
            hash: [0; 32],
            tenant: None,
            publish: true,
            read: true,
            admin: false,
            relay: false,
            expires_at_secs: None,
        }
    }

    #[test]
    fn answers_are_believed_for_ten_seconds() {
        let (cache, now) = (KeyCache::default(), Instant::now());
        cache.put("a", Some(key("a")), now);
        cache.put("b", None, now);
        assert_eq!(cache.get("a", now), Some(Some(key("a"))));
        assert_eq!(cache.get("b", now), Some(None));
        assert_eq!(cache.get("c", now), None);
        assert_eq!(cache.get("a", now + LIFETIME), None);
        assert!(cache.was_known("a") && !cache.was_known("b") && !cache.was_known("c"));
        cache.put("a", None, now + LIFETIME);
        assert!(cache.get("a", now + LIFETIME) == Some(None) && !cache.was_known("a"), "revoked");
    }

    #[test]
    fn guessing_ids_is_bounded_and_leaves_the_known_keys_alone() {
        let (cache, now) = (KeyCache::default(), Instant::now());
        cache.put("a", Some(key("a")), now);
        for n in 0..KEYS * 3 {
            cache.put(&format!("guess{n}"), None, now);
        }
        assert!(cache.unknown.lock().unwrap().len() <= KEYS);
        assert_eq!(cache.get("a", now), Some(Some(key("a"))));
    }
}
