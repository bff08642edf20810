//! Who may have a large body parsed now?
//!
//! Parsing and checking 500 events takes a processor for milliseconds, and forty importers at a time would take all of
//! them. So large bodies are parsed on half of the processors at the most, and keys and users take turns; the other half
//! is free for everybody who sends little.

use super::problem::{Code, Problem};
use crate::metrics::Metrics;
use carillon_platform::share::{FairPermit, FairPermits, Holder, PermitLimits, Refused};
use std::sync::Arc;

/// From this many bytes on a body takes a turn. A hundred small events have less.
const LARGE: usize = 32 * 1024;

/// Whether a body of so many bytes takes a turn.
pub(super) fn is_large(bytes: usize) -> bool {
    bytes >= LARGE
}

/// The turns.
#[derive(Clone)]
pub struct Parsing {
    turns: FairPermits,
    metrics: Arc<Metrics>,
}

impl Parsing {
    /// On a machine with so many processors.
    pub fn new(processors: usize, metrics: Arc<Metrics>) -> Self {
        let total = (processors / 2).max(1);
        // Requests that wait have their bodies in memory already, and those are bounded.
        let limits = PermitLimits {
            total,
            per_group: total,
            per_member: total,
            waiting: 1_024,
            waiting_per_group: 256,
            waiting_per_member: 256,
        };
        Self { turns: FairPermits::new(limits), metrics }
    }

    /// Waits for a turn, if the body is large. `who` is an API key or a user.
    pub(super) async fn turn(&self, bytes: usize, who: &str) -> Result<Option<FairPermit>, Problem> {
        if !is_large(bytes) {
            return Ok(None);
        }
        self.turns.acquire(Holder::new(who, who)).await.map(Some).map_err(|refused| {
            self.metrics.parsing_refused(refused);
            match refused {
                Refused::Total => {
                    Problem::new(Code::Overloaded, "too many large requests wait; nothing was stored")
                }
                Refused::Group | Refused::Member => Problem::new(
                    Code::CallerShareFull,
                    "this key or user has as many large requests waiting as it may; nothing was stored",
                ),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn large_bodies_take_turns_and_small_ones_pass() {
        let parsing = Parsing::new(2, Arc::new(Metrics::new()));
        let importing = parsing.turn(LARGE, "key:a").await.ok().flatten().unwrap();
        assert!(matches!(parsing.turn(LARGE - 1, "key:a").await, Ok(None)));
        let waits = tokio::time::timeout(Duration::from_secs(1), parsing.turn(LARGE, "key:b")).await;
        assert!(waits.is_err(), "one at a time on two processors");
        drop(importing);
        assert!(matches!(parsing.turn(LARGE, "key:b").await, Ok(Some(_))));
    }
}
