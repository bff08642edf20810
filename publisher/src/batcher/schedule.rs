//! Whose requests go into the next batch? (pure)
//!
//! Each [`Flow`] has a queue of its own, and batches are put together by deficit round robin (Shreedhar and Varghese,
//! IEEE/ACM Transactions on Networking 4(3), 1996): in each round every tenant that waits may spend a [`QUANTUM`] more,
//! and what it does not spend is kept for its next turn. So a backlog of one tenant stands before nobody else, and a
//! large request waits no longer than its size.
//!
//! A tenant is in one batch at a time: its requests keep their order, and two runners do not wait for each other's row
//! locks. A tenant whose row somebody else has locked ([`Schedule::set_aside`]) is left out of ordinary batches until
//! an append of its own succeeded ([`Schedule::release`]): it waits alone.
//!
//! What comes in bulk, a request of more than a quantum or the flow of a publisher with several tenants, has batches of its own,
//! one at a time, and small ones while others publish: nobody's single event waits for a statement of hundreds, nor for the rows
//! of many tenants, and one runner is always left for it.
//!
//! After such a batch, or one that a tenant filled with small requests ([`HEAVY`]), its flow rests for three times as long as the
//! batch took ([`REST`]), while others publish less: an import has a quarter of the time at most, and processors are free when
//! somebody's single event comes.

use super::assembly::{Assembly, BATCH_COST};
use super::flow::Flow;
use super::light::Light;
use super::queue::{Place, QUANTUM, Queue, Served};
use super::request::Request;
use carillon_protocol::TenantId;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A tenant whose part of a shared batch cost this much rests after it.
const HEAVY: usize = BATCH_COST / 2;
/// Largest cost of a batch in bulk while others publish, unless it is one request: so long may a tenant's single event wait for
/// its row.
const BULK_BATCH_COST: usize = BATCH_COST / 4;
/// A rest is so many times as long as the batch before it.
const REST: u32 = 3;
/// What counts of a batch at most: one that took longer waited for something else than processors.
const LONGEST_WORK: Duration = Duration::from_millis(100);

/// Everything that waits for a batch.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    queues: HashMap<Flow, Queue<T>>,
    /// Tenants with requests that may join the next batch, in turn.
    turn: VecDeque<TenantId>,
    /// Flows whose next request comes in bulk, in turn.
    bulk_turn: VecDeque<Flow>,
    /// Tenants with requests whose rows were seen locked, in turn.
    locked_turn: VecDeque<TenantId>,
    /// Flows that rest, and until when.
    resting: Vec<(Instant, Flow)>,
    /// Tenants with requests that wait for another queue's batch with events of theirs.
    blocked: Vec<TenantId>,
    /// In how many batches under way a tenant has events.
    under_way: HashMap<TenantId, usize>,
    /// Whether a batch in bulk is under way.
    bulk_is_under_way: bool,
    /// Whether the last batch was one in bulk: the others have the next one.
    bulk_was_last: bool,
    /// Who publishes a little now and then.
    light: Light,
}

/// A batch, and whose it is.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub(super) turns: Turns,
    pub(super) requests: Vec<Request<T>>,
}

/// Whose turn a batch was, and whose events it has: they stay out of other batches until [`Schedule::done`].
#[derive(Debug)]
pub(super) struct Turns {
    flows: Vec<Flow>,
    pub(super) tenants: Vec<TenantId>,
    in_bulk: bool,
    pub(super) began: Instant,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            turn: VecDeque::new(),
            bulk_turn: VecDeque::new(),
            locked_turn: VecDeque::new(),
            resting: Vec::new(),
            blocked: Vec::new(),
            under_way: HashMap::new(),
            bulk_is_under_way: false,
            bulk_was_last: false,
            light: Light::default(),
        }
    }
}

impl<T> Schedule<T> {
    /// Adds a request behind the others of its flow.
    pub(super) fn push(&mut self, flow: Flow, request: Request<T>) {
        let queue = self.queues.entry(flow.clone()).or_insert_with(Queue::empty);
        queue.requests.push_back(request);
        if queue.place == Place::Idle {
            self.enlist(flow);
        }
    }

    /// Whether somebody could join an ordinary batch now, or has one of its own.
    pub(super) fn is_ready(&self) -> bool {
        !self.turn.is_empty() || (!self.bulk_turn.is_empty() && !self.bulk_is_under_way)
    }

    /// The tenants that have requests and whose rows were seen locked, in turn.
    pub(super) fn locked(&self) -> impl Iterator<Item = &TenantId> {
        self.locked_turn.iter()
    }

    /// Whether this tenant's requests wait because its row is locked.
    pub(super) fn is_locked(&self, tenant: &TenantId) -> bool {
        self.queues.get(&Flow::Tenant(tenant.clone())).is_some_and(|queue| queue.locked.is_some())
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
        rested.into_iter().for_each(|(_, flow)| self.come_back(flow));
    }

    /// Nobody rests any more, or waits for another batch: what is left is stored as soon as possible.
    pub(super) fn finish(&mut self) {
        self.under_way.clear();
        let resting = std::mem::take(&mut self.resting).into_iter().map(|(_, flow)| flow);
        let blocked = std::mem::take(&mut self.blocked).into_iter().map(Flow::Tenant);
        resting.chain(blocked).for_each(|flow| self.come_back(flow));
    }

    /// The next batch. `begin` is asked once for each request taken; one it refuses is dropped.
    pub(super) fn take(&mut self, now: Instant, begin: impl Fn(&T) -> bool) -> Option<Taken<T>> {
        self.wake(now);
        let others_first = self.bulk_was_last;
        let taken = if others_first { None } else { self.take_of_bulk(now, &begin) };
        let taken = taken.or_else(|| self.take_of_tenants(now, &begin));
        // Also what was found only now to come in bulk.
        taken.or_else(|| self.take_of_bulk(now, &begin))
    }

    /// A batch to which every tenant that waits contributes in turn.
    fn take_of_tenants(&mut self, now: Instant, begin: impl Fn(&T) -> bool) -> Option<Taken<T>> {
        let mut batch = Assembly::up_to(BATCH_COST);
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
            let flow = Flow::Tenant(tenant.clone());
            let Some(queue) = self.queues.get_mut(&flow) else { continue };
            if self.under_way.contains_key(&tenant) {
                queue.place = Place::Blocked;
                self.blocked.push(tenant);
                continue;
            }
            let (before, cost) = (batch.requests.len(), batch.cost());
            let served = queue.serve(&mut batch, &begin);
            if batch.requests.len() > before {
                queue.place = Place::UnderWay;
                queue.in_batch += batch.cost() - cost;
            }
            match served {
                Served::Empty if queue.place == Place::UnderWay => served_out.push(tenant),
                Served::Empty => self.forget(&flow),
                Served::InBulk if queue.place != Place::UnderWay => self.enlist(flow),
                Served::Spent => next_round.push_back(tenant),
                Served::Waits | Served::InBulk => next_batch.push_back(tenant),
            }
        }
        // Whoever is in the batch comes back when it is done, in the order of the turns; the others keep theirs.
        let order = next_batch.into_iter().chain(round).chain(next_round).map(Flow::Tenant);
        let is_under_way =
            |flow: &Flow| self.queues.get(flow).is_some_and(|queue| queue.place == Place::UnderWay);
        let (in_batch, turn): (Vec<_>, Vec<_>) = order.partition(is_under_way);
        self.turn = turn.into_iter().filter_map(Flow::into_tenant).collect();
        let flows: Vec<_> = in_batch.into_iter().chain(served_out.into_iter().map(Flow::Tenant)).collect();
        let is_light = |flow: &&Flow| self.queues.get(flow).is_some_and(|queue| queue.in_batch < HEAVY);
        flows.iter().filter(is_light).for_each(|flow| self.light.saw(flow, now));
        self.bulk_was_last = false;
        (!flows.is_empty()).then(|| self.begin(flows, batch, (false, now)))
    }

    /// A batch of one flow, unless one is under way.
    fn take_of_bulk(&mut self, now: Instant, begin: impl Fn(&T) -> bool) -> Option<Taken<T>> {
        while !self.bulk_is_under_way {
            let flow = self.bulk_turn.pop_front()?;
            let Some(queue) = self.queues.get_mut(&flow) else { continue };
            if let Flow::Tenant(tenant) = &flow
                && self.under_way.contains_key(tenant)
            {
                queue.place = Place::Blocked;
                self.blocked.push(tenant.clone());
                continue;
            }
            let others_publish = !self.turn.is_empty() || self.light.others_than(&flow, now);
            let mut batch = Assembly::up_to(if others_publish { BULK_BATCH_COST } else { BATCH_COST });
            queue.serve_alone(&mut batch, &begin);
            if batch.requests.is_empty() {
                self.forget(&flow);
                continue;
            }
            (queue.place, queue.in_batch) = (Place::UnderWay, batch.cost());
            if batch.cost() <= QUANTUM {
                self.light.saw(&flow, now);
            }
            (self.bulk_is_under_way, self.bulk_was_last) = (true, true);
            return Some(self.begin(vec![flow], batch, (true, now)));
        }
        None
    }

    /// A batch of one tenant whose row was seen locked: the first in turn that is `free` again, else the first.
    pub(super) fn take_locked(
        &mut self,
        now: Instant,
        free: impl Fn(&TenantId) -> bool,
        begin: impl Fn(&T) -> bool,
    ) -> Option<Taken<T>> {
        loop {
            let at = self.locked_turn.iter().position(&free).unwrap_or(0);
            let flow = Flow::Tenant(self.locked_turn.remove(at)?);
            let Some(queue) = self.queues.get_mut(&flow) else { continue };
            let mut batch = Assembly::up_to(BATCH_COST);
            queue.serve_alone(&mut batch, &begin);
            if !batch.requests.is_empty() {
                queue.place = Place::UnderWay;
                return Some(self.begin(vec![flow], batch, (false, now)));
            }
            queue.place = Place::Idle;
        }
    }

    /// A batch is under way from now on.
    fn begin(&mut self, flows: Vec<Flow>, batch: Assembly<T>, (in_bulk, began): (bool, Instant)) -> Taken<T> {
        let tenants = batch.tenants();
        for tenant in &tenants {
            *self.under_way.entry(tenant.clone()).or_default() += 1;
        }
        Taken { turns: Turns { flows, tenants, in_bulk, began }, requests: batch.requests }
    }

    /// A batch has ended after so long, whatever its end: these may be in another one, at once or after a rest.
    pub(super) fn done(&mut self, turns: Turns, took: Duration, now: Instant) {
        for tenant in turns.tenants {
            if let Entry::Occupied(mut batches) = self.under_way.entry(tenant) {
                *batches.get_mut() -= 1;
                if *batches.get() == 0 {
                    batches.remove();
                }
            }
        }
        let blocked = std::mem::take(&mut self.blocked);
        blocked.into_iter().for_each(|tenant| self.come_back(Flow::Tenant(tenant)));
        self.bulk_is_under_way &= !turns.in_bulk;
        let heavy = if turns.in_bulk { QUANTUM + 1 } else { HEAVY };
        for flow in turns.flows {
            let Some(queue) = self.queues.get_mut(&flow) else { continue };
            if std::mem::take(&mut queue.in_batch) >= heavy && self.light.others_than(&flow, now) {
                queue.place = Place::Resting;
                self.resting.push((now + REST * took.min(LONGEST_WORK), flow));
            } else {
                self.come_back(flow);
            }
        }
    }

    /// A flow is in no batch and does not rest: it has its turn, if it has requests.
    fn come_back(&mut self, flow: Flow) {
        match self.queues.get(&flow) {
            Some(queue) if queue.requests.is_empty() => self.forget(&flow),
            Some(_) => self.enlist(flow),
            None => {}
        }
    }

    /// Puts requests back, oldest first, because the row of a tenant is locked: they wait at the head of its queue.
    pub(super) fn set_aside(&mut self, tenant: &TenantId, requests: Vec<Request<T>>, now: Instant) {
        self.queues.retain(|_, queue| !queue.is_forgettable(now));
        let flow = Flow::Tenant(tenant.clone());
        let queue = self.queues.entry(flow.clone()).or_insert_with(Queue::empty);
        let known = queue.locked.replace(now).is_some();
        for request in requests.into_iter().rev() {
            queue.requests.push_front(request);
        }
        match queue.place {
            Place::InTurn if !known => {
                self.turn.retain(|in_turn| in_turn != tenant);
                self.bulk_turn.retain(|in_turn| *in_turn != flow);
            }
            Place::Idle => {}
            _ => return,
        }
        self.enlist(flow);
    }

    /// The tenant's row is no longer locked: it joins ordinary batches again.
    pub(super) fn release(&mut self, tenant: &TenantId) {
        let flow = Flow::Tenant(tenant.clone());
        if let Some(queue) = self.queues.get_mut(&flow) {
            queue.locked = None;
            if queue.place == Place::Idle {
                self.queues.remove(&flow);
            }
        }
    }

    /// Gives a flow with requests its turn.
    fn enlist(&mut self, flow: Flow) {
        let Some(queue) = self.queues.get_mut(&flow) else { return };
        queue.place = if queue.requests.is_empty() { Place::Idle } else { Place::InTurn };
        match (queue.place, flow, queue.locked) {
            (Place::InTurn, Flow::Tenant(tenant), Some(_)) => self.locked_turn.push_back(tenant),
            (Place::InTurn, Flow::Tenant(tenant), None) if !queue.is_bulk() => self.turn.push_back(tenant),
            (Place::InTurn, flow, _) => self.bulk_turn.push_back(flow),
            _ => {}
        }
    }

    /// A flow has no requests: nothing is kept of it unless its tenant's row is locked.
    fn forget(&mut self, flow: &Flow) {
        let Some(queue) = self.queues.get_mut(flow) else { return };
        queue.place = Place::Idle;
        if queue.locked.is_none() {
            self.queues.remove(flow);
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
