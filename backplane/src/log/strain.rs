//! Is the database out of memory, of places for locks, or of connections, for a kind of work?
//!
//! One statement may ask for too much, or come at a bad moment. But when a kind of work gets nothing else, time and again,
//! nobody who needs it is served although the database answers: readiness says so, until one of them succeeds or nobody
//! has been refused for a while.

use super::error::LogError;
use super::work::Work;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many in a row, and it is no chance.
const IN_A_ROW: u32 = 3;
/// How long the last of them is believed: without any that is asked nobody would find out that it is better.
const BELIEVED: Duration = Duration::from_secs(30);

/// What every kind of work got lately, shared by all of a log.
#[derive(Debug, Clone, Default)]
pub(super) struct Strain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there are any: looked at for every exchange.
    any: AtomicBool,
    refused: Mutex<HashMap<Work, Refused>>,
}

#[derive(Debug)]
struct Refused {
    in_a_row: u32,
    last: Instant,
    why: LogError,
}

impl Strain {
    /// Notes that a session could not be made. The server may have no connection left (53300).
    pub(super) fn no_session(&self, work: Work, why: &LogError, now: Instant) {
        if matches!(why, LogError::Exhausted(_) | LogError::Busy(_)) {
            self.refused(work, why, now);
        }
    }

    /// Notes how an exchange ended. One that was refused for another reason says nothing.
    pub(super) fn note(&self, work: Work, error: Option<&LogError>, now: Instant) {
        match error {
            Some(why @ LogError::Exhausted(_)) => self.refused(work, why, now),
            None if self.0.any.load(Ordering::Acquire) => {
                let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.remove(&work);
                self.0.any.store(!refused.is_empty(), Ordering::Release);
            }
            _ => {}
        }
    }

    fn refused(&self, work: Work, why: &LogError, now: Instant) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let in_a_row = refused.get(&work).map_or(0, |before| before.in_a_row) + 1;
        refused.insert(work, Refused { in_a_row, last: now, why: why.clone() });
        self.0.any.store(true, Ordering::Release);
    }

    /// Why a kind of work gets nothing, if there is one.
    pub(super) fn told(&self, now: Instant) -> Option<LogError> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = |refused: &&Refused| {
            refused.in_a_row >= IN_A_ROW && now.saturating_duration_since(refused.last) < BELIEVED
        };
        refused.values().find(lasting).map(|refused| refused.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_work_that_gets_nothing_time_and_again_is_told_until_it_does() {
        let (strain, now) = (Strain::default(), Instant::now());
        let full = LogError::Exhausted("out of shared memory (53200)".into());
        for _ in 1..IN_A_ROW {
            strain.note(Work::Resume, Some(&full), now);
        }
        assert_eq!(strain.told(now), None, "it may be chance");
        strain.note(Work::Watch, None, now);
        strain.note(Work::Resume, Some(&LogError::Busy("no connection".into())), now);
        strain.note(Work::Resume, Some(&full), now);
        assert_eq!(strain.told(now), Some(full.clone()), "what others get does not help it");
        assert_eq!(strain.told(now + BELIEVED), None, "nobody has asked since");
        strain.note(Work::Resume, None, now);
        assert_eq!(strain.told(now), None);
    }
}
