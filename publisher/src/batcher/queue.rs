//! What waits in one queue, and how much of it may go into the batch that is being put together? (pure)

use super::assembly::Assembly;
use super::request::Request;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a queue may spend more in each round: the cost of 39 small events, or of one of the largest.
pub(super) const QUANTUM: usize = 64 * 1024;
/// Most requests of a queue that a batch passes over because of their keys: bounds the work when many repeat one key.
const PASSED_OVER: usize = 64;
/// How long a tenant that was seen locked is remembered while it has no requests.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

/// Requests that have their turn together, oldest first.
#[derive(Debug)]
pub(super) struct Queue<T> {
    pub(super) requests: VecDeque<Request<T>>,
    pub(super) place: Place,
    /// What its part of the batch under way costs.
    pub(super) in_batch: usize,
    /// When its tenant's row was last seen locked.
    pub(super) locked: Option<Instant>,
    deficit: usize,
    /// Whether it got this turn's quantum; a turn may last into the next batch.
    has_quantum: bool,
}

/// Where a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has no requests.
    Idle,
    /// In one of the turns.
    InTurn,
    /// Requests of it are in a batch that has not ended.
    UnderWay,
    /// Events of its tenant are in a batch of another queue that has not ended.
    Blocked,
    /// Its last batch was large, and others publish: it has its turn later.
    Resting,
}

/// What a queue's turn came to.
pub(super) enum Served {
    /// It has nothing more.
    Empty,
    /// It has spent what it may: the next round.
    Spent,
    /// Its next request does not go with this batch: the next batch.
    Waits,
    /// Its next request comes in bulk: it goes with no batch of others.
    InBulk,
}

/// Whether a request comes in bulk: with several events that cost more than a quantum.
fn in_bulk<T>(request: &Request<T>) -> bool {
    request.cost > QUANTUM && request.appends.len() > 1
}

impl<T> Queue<T> {
    pub(super) fn empty() -> Self {
        Self {
            requests: VecDeque::new(),
            place: Place::Idle,
            in_batch: 0,
            locked: None,
            deficit: 0,
            has_quantum: false,
        }
    }

    /// Whether its next request comes in bulk.
    pub(super) fn is_bulk(&self) -> bool {
        self.requests.front().is_some_and(in_bulk)
    }

    /// One turn: gives the batch what the queue may spend, up to what comes in bulk.
    pub(super) fn serve(&mut self, batch: &mut Assembly<T>, begin: impl Fn(&T) -> bool) -> Served {
        self.serve_until(in_bulk, batch, begin)
    }

    /// The same, up to a request that goes with no batch of others.
    fn serve_until(
        &mut self,
        goes_alone: impl Fn(&Request<T>) -> bool,
        batch: &mut Assembly<T>,
        begin: impl Fn(&T) -> bool,
    ) -> Served {
        let mut passed = 0;
        while let Some(next) = self.requests.get(passed) {
            if batch.has_a_key_of(next) {
                passed += 1;
                if passed == PASSED_OVER {
                    return Served::Waits;
                }
                continue;
            }
            if goes_alone(next) {
                return if passed == 0 { Served::InBulk } else { Served::Waits };
            }
            if !batch.fits(next) {
                return Served::Waits;
            }
            // Given only when it is needed: savings never grow beyond the next request's cost.
            if next.cost > self.deficit && !self.has_quantum {
                self.has_quantum = true;
                self.deficit += QUANTUM;
            }
            if next.cost > self.deficit {
                self.has_quantum = false;
                return Served::Spent;
            }
            let Some(request) = self.requests.remove(passed) else { break };
            if begin(&request.ticket) {
                self.deficit -= request.cost;
                batch.add(request);
            }
        }
        if passed > 0 {
            return Served::Waits;
        }
        (self.deficit, self.has_quantum) = (0, false);
        Served::Empty
    }

    /// Gives a batch that is only this queue's as much as it takes.
    pub(super) fn serve_alone(&mut self, batch: &mut Assembly<T>, begin: impl Fn(&T) -> bool) {
        self.deficit = usize::MAX;
        self.serve_until(|_| false, batch, begin);
        (self.deficit, self.has_quantum) = (0, false);
    }

    /// Whether it holds nothing that anybody asks for any more.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        let seen_long_ago = self.locked.is_some_and(|seen| now.saturating_duration_since(seen) >= REMEMBERED);
        self.place == Place::Idle && seen_long_ago
    }
}
