//! Which requests may share a batch?
//!
//! Up to a cost; one request alone may have more. Two events of one tenant with the same idempotency key never share
//! a batch: the append statement looks keys up before it inserts, so the second must come later to see the first.

use super::request::{EVENT_COST, Request};
use carillon_backplane::log::Append;
use carillon_protocol::TenantId;
use std::collections::{BTreeSet, HashSet};

/// Most events of a batch. The cost of an event falls up to here (docs/adr/0006).
pub(super) const BATCH_EVENTS: usize = 500;
/// Largest cost of a batch (800 KiB), unless it is one request; no more than [`BATCH_EVENTS`] can have less.
pub(super) const BATCH_COST: usize = BATCH_EVENTS * EVENT_COST;

/// A batch that is being put together.
#[derive(Debug)]
pub(super) struct Assembly<T> {
    pub(super) requests: Vec<Request<T>>,
    limit: usize,
    cost: usize,
    keys: HashSet<(TenantId, String)>,
}

impl<T> Assembly<T> {
    /// A batch of at most this cost, unless it is one request.
    pub(super) fn up_to(limit: usize) -> Self {
        Self { requests: Vec::new(), limit, cost: 0, keys: HashSet::new() }
    }

    /// Whether no request whatever fits any more.
    pub(super) fn is_full(&self) -> bool {
        self.cost + EVENT_COST > self.limit
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn fits(&self, request: &Request<T>) -> bool {
        self.requests.is_empty() || self.cost + request.cost <= self.limit
    }

    /// Whose events it has.
    pub(super) fn tenants(&self) -> Vec<TenantId> {
        let appends = self.requests.iter().flat_map(|request| &request.appends);
        let tenants: BTreeSet<_> = appends.map(|append| &append.tenant).collect();
        tenants.into_iter().cloned().collect()
    }

    /// Whether a request of the batch has a key that this one has too.
    pub(super) fn has_a_key_of(&self, request: &Request<T>) -> bool {
        !self.keys.is_empty() && request.appends.iter().filter_map(key).any(|key| self.keys.contains(&key))
    }

    pub(super) fn add(&mut self, request: Request<T>) {
        self.cost += request.cost;
        self.keys.extend(request.appends.iter().filter_map(key));
        self.requests.push(request);
    }
}

pub(super) fn key(append: &Append) -> Option<(TenantId, String)> {
    append.key.as_ref().map(|key| (append.tenant.clone(), key.name.clone()))
}
