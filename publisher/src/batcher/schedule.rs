//! Whose requests go into the next batch? (pure)
//!
//! Each tenant has a queue of its own, and batches are put together by deficit round robin (Shreedhar and Varghese,
//! IEEE/ACM Transactions on Networking 4(3), 1996): in each round every tenant that waits may spend a [`QUANTUM`] more,
//! and what it does not spend is kept for its next turn. So a backlog of one tenant stands before nobody else, and a
//! large request waits no longer than its size. A request with several tenants waits in the queue of the first.
//!
//! A tenant is in one batch at a time: its requests keep their order, and two runners do not wait for each other's row
//! locks. A tenant whose row somebody else has locked ([`Schedule::set_aside`]) is left out of ordinary batches until
//! an append of its own succeeded ([`Schedule::release`]): it waits alone.
//!
//! A tenant that filled most of a batch ([`HEAVY`]) rests afterwards for as long as that batch took, while others publish
//! less: an import has half of the time at most, and processors are free when somebody's single event comes.

use super::assembly::{Assembly, BATCH_COST};
use super::request::Request;
use carillon_protocol::TenantId;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What a tenant may spend more in each round: the cost of 39 small events, or of one of the largest.
pub(super) const QUANTUM: usize = 64 * 1024;
/// Most requests of a tenant that a batch passes over because of their keys: bounds the work when many repeat one key.
const PASSED_OVER: usize = 64;
/// How long a tenant that was seen locked is remembered while it has no requests.
const REMEMBERED: Duration = Duration::from_secs(60);
/// A tenant whose part of a batch cost this much rests after it.
const HEAVY: usize = BATCH_COST / 2;
/// Longest rest: a batch that took longer waited for something else than processors.
const LONGEST_REST: Duration = Duration::from_millis(100);
/// How long after somebody's small part of a batch the heavy ones go on resting.
const OTHERS_ARE_HERE: Duration = Duration::from_secs(1);

/// Everything that waits for a batch.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    queues: HashMap<TenantId, Queue<T>>,
    /// Tenants with requests that may join the next batch, in turn.
    turn: VecDeque<TenantId>,
    /// Tenants with requests whose rows were seen locked, in turn.
    locked_turn: VecDeque<TenantId>,
    /// Tenants that rest, and until when.
    resting: Vec<(Instant, TenantId)>,
    /// When a batch last had a tenant with a small part.
    light: Option<Instant>,
}

/// The requests of one tenant.
#[derive(Debug)]
struct Queue<T> {
    requests: VecDeque<Request<T>>,
    deficit: usize,
    /// Whether it got this turn's quantum; a turn may last into the next batch.
    has_quantum: bool,
    place: Place,
    /// What its part of the batch under way costs.
    in_batch: usize,
    /// When its row was last seen locked.
    locked: Option<Instant>,
}

/// Where a tenant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has no requests.
    Idle,
    /// In one of the turns.
    InTurn,
    /// Requests of it are in a batch that has not ended.
    UnderWay,
    /// Its last batch was large, and others publish: it has its turn later.
    Resting,
}

/// A batch, and whose turn it was: they stay out of other batches until [`Schedule::done`].
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub(super) tenants: Vec<TenantId>,
    pub(super) requests: Vec<Request<T>>,
}

/// What a tenant's turn came to.
enum Served {
    /// It has nothing more.
    Empty,
    /// It has spent what it may: the next round.
    Spent,
    /// Its next request does not go with this batch: the next batch.
    Waits,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            turn: VecDeque::new(),
            locked_turn: VecDeque::new(),
            resting: Vec::new(),
            light: None,
        }
    }
}

impl<T> Schedule<T> {
    /// Adds a request behind its tenant's others.
    pub(super) fn push(&mut self, request: Request<T>) {
        let Some(tenant) = request.tenant() else { return };
        match self.queues.get_mut(tenant) {
            Some(queue) => {
                let tenant = (queue.place == Place::Idle).then(|| tenant.clone());
                queue.requests.push_back(request);
                if let Some(tenant) = tenant {
                    self.enlist(tenant);
                }
            }
            None => {
                let tenant = tenant.clone();
                self.queues.insert(tenant.clone(), Queue::of(request));
                self.enlist(tenant);
            }
        }
    }

    /// Whether somebody could join an ordinary batch now.
    pub(super) fn is_ready(&self) -> bool {
        !self.turn.is_empty()
    }

    /// The tenants that have requests and whose rows were seen locked, in turn.
    pub(super) fn locked(&self) -> impl Iterator<Item = &TenantId> {
        self.locked_turn.iter()
    }

    /// Whether this tenant's requests wait because its row is locked.
    pub(super) fn is_locked(&self, tenant: &TenantId) -> bool {
        self.queues.get(tenant).is_some_and(|queue| queue.locked.is_some())
    }

    /// When the first of those that rest has its turn again.
    pub(super) fn rested_at(&self) -> Option<Instant> {
        self.resting.iter().map(|(until, _)| *until).min()
    }

    /// Whoever has rested until `now` has its turn again.
    pub(super) fn wake(&mut self, now: Instant) {
        let resting = std::mem::take(&mut self.resting);
        let (rested, resting): (Vec<_>, Vec<_>) = resting.into_iter().partition(|(until, _)| *until <= now);
        self.resting = resting;
        rested.into_iter().for_each(|(_, tenant)| self.come_back(tenant));
    }

    /// The next batch. `begin` is asked once for each request taken; one it refuses is dropped.
    pub(super) fn take(&mut self, now: Instant, begin: impl Fn(&T) -> bool) -> Option<Taken<T>> {
        self.wake(now);
        let mut batch = Assembly::new();
        let mut served_out = Vec::new();
        let mut round = std::mem::take(&mut self.turn);
        let (mut next_round, mut next_batch) = (VecDeque::new(), VecDeque::new());
        while !batch.is_full() {
            let Some(tenant) = round.pop_front() else {
                if next_round.is_empty() {
                    break;
                }
                std::mem::swap(&mut round, &mut next_round);
                continue;
            };
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            let (before, cost) = (batch.requests.len(), batch.cost());
            let served = queue.serve(&mut batch, &begin);
            if batch.requests.len() > before {
                queue.place = Place::UnderWay;
                queue.in_batch += batch.cost() - cost;
            }
            match served {
                Served::Empty if queue.place == Place::UnderWay => served_out.push(tenant),
                Served::Empty => self.forget(&tenant),
                Served::Spent => next_round.push_back(tenant),
                Served::Waits => next_batch.push_back(tenant),
            }
        }
        // Whoever is in the batch comes back when it is done, in the order of the turns; the others keep theirs.
        let under_way =
            |tenant: &TenantId| self.queues.get(tenant).is_some_and(|queue| queue.place == Place::UnderWay);
        let order = next_batch.into_iter().chain(round).chain(next_round);
        let (taken, turn): (VecDeque<_>, VecDeque<_>) = order.partition(under_way);
        self.turn = turn;
        let tenants: Vec<_> = taken.into_iter().chain(served_out).collect();
        if tenants.iter().any(|tenant| self.queues.get(tenant).is_some_and(|queue| queue.in_batch < HEAVY)) {
            self.light = Some(now);
        }
        (!tenants.is_empty()).then_some(Taken { tenants, requests: batch.requests })
    }

    /// A batch of one tenant whose row was seen locked: the first in turn that is `free` again, else the first.
    pub(super) fn take_locked(
        &mut self,
        free: impl Fn(&TenantId) -> bool,
        begin: impl Fn(&T) -> bool,
    ) -> Option<Taken<T>> {
        loop {
            let at = self.locked_turn.iter().position(&free).unwrap_or(0);
            let tenant = self.locked_turn.remove(at)?;
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            let mut batch = Assembly::new();
            // Nobody else wants to be in this batch.
            queue.deficit = usize::MAX;
            queue.serve(&mut batch, &begin);
            queue.deficit = 0;
            if !batch.requests.is_empty() {
                queue.place = Place::UnderWay;
                return Some(Taken { tenants: vec![tenant], requests: batch.requests });
            }
            queue.place = Place::Idle;
        }
    }

    /// A batch has ended after so long, whatever its end: these tenants may be in another one, at once or after a rest.
    pub(super) fn done(&mut self, tenants: Vec<TenantId>, took: Duration, now: Instant) {
        let light = self.light.is_some_and(|at| now.saturating_duration_since(at) < OTHERS_ARE_HERE);
        for tenant in tenants {
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            if std::mem::take(&mut queue.in_batch) >= HEAVY && light {
                queue.place = Place::Resting;
                self.resting.push((now + took.min(LONGEST_REST), tenant));
            } else {
                self.come_back(tenant);
            }
        }
    }

    /// A tenant is in no batch and does not rest: it has its turn, if it has requests.
    fn come_back(&mut self, tenant: TenantId) {
        match self.queues.get(&tenant) {
            Some(queue) if queue.requests.is_empty() => self.forget(&tenant),
            Some(_) => self.enlist(tenant),
            None => {}
        }
    }

    /// Puts requests back, oldest first, because the row of a tenant is locked: they wait at the head of its queue.
    pub(super) fn set_aside(&mut self, tenant: &TenantId, requests: Vec<Request<T>>, now: Instant) {
        self.queues.retain(|_, queue| !queue.is_forgettable(now));
        let queue = self.queues.entry(tenant.clone()).or_insert_with(Queue::empty);
        let known = queue.locked.replace(now).is_some();
        for request in requests.into_iter().rev() {
            queue.requests.push_front(request);
        }
        match queue.place {
            Place::InTurn if !known => self.turn.retain(|in_turn| in_turn != tenant),
            Place::Idle => {}
            _ => return,
        }
        self.enlist(tenant.clone());
    }

    /// The tenant's row is no longer locked: it joins ordinary batches again.
    pub(super) fn release(&mut self, tenant: &TenantId) {
        if let Some(queue) = self.queues.get_mut(tenant) {
            queue.locked = None;
        }
    }

    /// Gives a tenant with requests its turn.
    fn enlist(&mut self, tenant: TenantId) {
        let Some(queue) = self.queues.get_mut(&tenant) else { return };
        queue.place = if queue.requests.is_empty() { Place::Idle } else { Place::InTurn };
        match (queue.place, queue.locked) {
            (Place::InTurn, None) => self.turn.push_back(tenant),
            (Place::InTurn, Some(_)) => self.locked_turn.push_back(tenant),
            _ => {}
        }
    }

    /// A tenant has no requests: nothing is kept of it unless its row is locked.
    fn forget(&mut self, tenant: &TenantId) {
        let Some(queue) = self.queues.get_mut(tenant) else { return };
        queue.place = Place::Idle;
        if queue.locked.is_none() {
            self.queues.remove(tenant);
        }
    }
}

impl<T> Queue<T> {
    fn empty() -> Self {
        Self {
            requests: VecDeque::new(),
            deficit: 0,
            has_quantum: false,
            place: Place::Idle,
            in_batch: 0,
            locked: None,
        }
    }

    fn of(request: Request<T>) -> Self {
        Self { requests: VecDeque::from([request]), ..Self::empty() }
    }

    /// One turn: gives the batch what the tenant may spend.
    fn serve(&mut self, batch: &mut Assembly<T>, begin: impl Fn(&T) -> bool) -> Served {
        let mut passed = 0;
        while let Some(next) = self.requests.get(passed) {
            if batch.has_a_key_of(next) {
                passed += 1;
                if passed == PASSED_OVER {
                    return Served::Waits;
                }
                continue;
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

    fn is_forgettable(&self, now: Instant) -> bool {
        let seen_long_ago = self.locked.is_some_and(|seen| now.saturating_duration_since(seen) >= REMEMBERED);
        self.place == Place::Idle && seen_long_ago
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
