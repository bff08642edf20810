//! How do all who want the same at the same time get it by one of them?
//!
//! A lock for each name that is wanted now. Whoever holds it gets what is wanted; the others wait and find it in the cache,
//! or hear why there is none. If the holder stops (its client has gone), the next one takes over.

use crate::log::LogError;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

/// How long a failure is everybody's who waits.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Why it was not got, and when.
#[derive(Default)]
pub(super) struct Failure(Option<(Instant, LogError)>);

type Lock = Arc<AsyncMutex<Failure>>;

/// The names that somebody wants now.
pub(super) struct Flights<N: Name>(Mutex<HashMap<N, Lock>>);

/// What a flight is named by.
pub trait Name: Hash + Eq + Clone {}

impl<T: Hash + Eq + Clone> Name for T {}

/// Somebody's part in a flight. A name is forgotten with the last who has a part in it.
pub(super) struct Part<'a, N: Name> {
    flights: &'a Flights<N>,
    name: N,
    lock: Lock,
}

impl<N: Name> Default for Flights<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<N: Name> Flights<N> {
    /// Takes part in the flight of this name.
    pub(super) fn join(&self, name: N) -> Part<'_, N> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = all.entry(name.clone()).or_default().clone();
        Part { flights: self, name, lock }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl<N: Name> Part<'_, N> {
    /// Whether somebody is at it.
    pub(super) fn is_under_way(&self) -> bool {
        self.lock.try_lock().is_err()
    }

    /// Waits until nobody else is at it.
    pub(super) async fn turn(&self) -> MutexGuard<'_, Failure> {
        self.lock.lock().await
    }
}

impl<N: Name> Drop for Part<'_, N> {
    fn drop(&mut self) {
        let mut all = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's and ours: every other part has been dropped, and joining needs the table.
        if Arc::strong_count(&self.lock) == 2 {
            all.remove(&self.name);
        }
    }
}

impl Failure {
    /// Why it failed a moment ago, if it did.
    pub(super) fn recent(&self, now: Instant) -> Option<&LogError> {
        let (at, error) = self.0.as_ref()?;
        (now.saturating_duration_since(*at) < AFTER_FAILURE).then_some(error)
    }

    pub(super) fn note(&mut self, error: &LogError) {
        self.0 = Some((Instant::now(), error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_takes_over_from_whoever_stops_and_nothing_is_left_behind() {
        let flights = Flights::default();
        let (first, second) = (flights.join("a"), flights.join("a"));
        let other = flights.join("b");
        let held = first.turn().await;
        assert!(second.is_under_way() && !other.is_under_way());
        let mut waiting = Box::pin(second.turn());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        drop(first);
        waiting.await.note(&LogError::Busy("late".to_owned()));
        assert!(flights.join("a").turn().await.recent(Instant::now()).is_some());
        assert!(flights.join("a").turn().await.recent(Instant::now() + AFTER_FAILURE).is_none());
        drop((second, other));
        assert_eq!(flights.len(), 0);
    }
}
