//! What is one request in the intake, and what does it cost?
//!
//! One measure for everything that is shared out (the intake, turns, batches): the bytes an event takes, but never less
//! than [`EVENT_COST`], because an event costs the database something however small it is.

use carillon_backplane::log::Append;
use carillon_protocol::TenantId;
use std::collections::BTreeSet;

/// Cost of everything that may be in the intake: 32 MiB.
pub(super) const INTAKE_COST: usize = 32 * 1024 * 1024;
/// Most events in the intake.
pub(super) const INTAKE_EVENTS: usize = 20_000;
/// Least cost of an event, so that [`INTAKE_EVENTS`] of whatever size fill the intake.
pub(super) const EVENT_COST: usize = INTAKE_COST / INTAKE_EVENTS;
/// What an event takes beside its body: columns, channels, the queue's own structures.
const OVERHEAD: usize = 512;

/// Events that are stored all or none, and whoever waits for it.
#[derive(Debug)]
pub(super) struct Request<T> {
    /// Its events; at least one.
    pub(super) appends: Vec<Append>,
    /// The sum of what they cost.
    pub(super) cost: usize,
    /// Who waits.
    pub(super) ticket: T,
}

impl<T> Request<T> {
    pub(super) fn new(appends: Vec<Append>, ticket: T) -> Self {
        let cost = appends.iter().map(cost).sum();
        Self { appends, cost, ticket }
    }

    /// The tenant that its first event names.
    pub(super) fn tenant(&self) -> Option<&TenantId> {
        self.appends.first().map(|append| &append.tenant)
    }

    /// Whether it has events of several tenants.
    pub(super) fn is_of_several(&self) -> bool {
        self.appends.iter().any(|append| Some(&append.tenant) != self.tenant())
    }

    /// The first of these tenants that it has events of.
    pub(super) fn names(&self, tenants: &BTreeSet<TenantId>) -> Option<&TenantId> {
        self.appends.iter().map(|append| &append.tenant).find(|tenant| tenants.contains(*tenant))
    }
}

/// What an event costs.
pub(super) fn cost(append: &Append) -> usize {
    (append.event.body.len() + OVERHEAD).max(EVENT_COST)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use carillon_backplane::log::IdempotencyKey;
    use carillon_protocol::event::NewEvent;
    use carillon_protocol::{Channel, EventId};

    pub(in crate::batcher) fn append(tenant: &str, key: Option<u8>, bytes: usize) -> Append {
        let event = NewEvent {
            id: EventId::new("e").unwrap(),
            kind: "t".into(),
            source: "s".into(),
            subject: None,
            actor: None,
            priority: None,
            channels: vec![Channel::tenant()],
            time: "1970-01-01T00:00:00Z".into(),
            body: "x".repeat(bytes),
            traceparent: None,
            latest: None,
            notice: None,
        };
        let key = key.map(|key| IdempotencyKey { name: format!("k:{key}"), hash: [0; 32] });
        Append { tenant: TenantId::new(tenant).unwrap(), request: 0, event, key, except: None }
    }

    #[test]
    fn a_small_event_costs_its_part_of_the_number_and_a_large_one_its_bytes() {
        assert_eq!(cost(&append("a", None, 2)), EVENT_COST);
        assert_eq!(cost(&append("a", None, 60_000)), 60_512);
    }
}
