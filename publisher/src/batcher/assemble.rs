//! Which of the waiting requests go into the next batch?
//!
//! First come, first served, up to a number of events and bytes. Two events of one tenant with the same idempotency
//! key never share a batch: the append statement looks keys up before it inserts, so the second must come later to
//! see the first. Such a request waits for the next batch; others may pass it.

use carillon_backplane::log::Append;
use carillon_protocol::TenantId;
use std::collections::{HashSet, VecDeque};

/// Most events of a batch. The cost of an event falls up to here (docs/adr/0006).
pub(super) const BATCH_EVENTS: usize = 500;
/// Most bytes of a batch; one request alone may have more.
pub(super) const BATCH_BYTES: usize = 512 * 1024;
/// Most requests one batch passes over because of their keys: bounds the work when many repeat the same key.
const PASSED_OVER: usize = 64;

/// One request: events that are stored all or none, and whoever waits for it.
#[derive(Debug)]
pub(super) struct Request<T> {
    /// Its events; at least one.
    pub(super) appends: Vec<Append>,
    /// What they weigh.
    pub(super) bytes: usize,
    /// Who waits.
    pub(super) ticket: T,
}

/// Takes the next batch out of `queue`. `begin` is asked once for each request taken; one it refuses is dropped.
pub(super) fn assemble<T>(queue: &mut VecDeque<Request<T>>, begin: impl Fn(&T) -> bool) -> Vec<Request<T>> {
    let (mut events, mut bytes) = (0, 0);
    let mut keys = HashSet::new();
    let mut batch: Vec<Request<T>> = Vec::new();
    let mut passed = VecDeque::new();
    while let Some(next) = queue.pop_front() {
        let fits = events + next.appends.len() <= BATCH_EVENTS && bytes + next.bytes <= BATCH_BYTES;
        if !fits && !batch.is_empty() {
            queue.push_front(next);
            break;
        }
        if next.appends.iter().filter_map(key).any(|key| keys.contains(&key)) {
            passed.push_back(next);
            if passed.len() == PASSED_OVER {
                break;
            }
            continue;
        }
        if !begin(&next.ticket) {
            continue;
        }
        events += next.appends.len();
        bytes += next.bytes;
        keys.extend(next.appends.iter().filter_map(key));
        batch.push(next);
    }
    while let Some(request) = passed.pop_back() {
        queue.push_front(request);
    }
    batch
}

fn key(append: &Append) -> Option<(TenantId, String)> {
    append.key.as_ref().map(|key| (append.tenant.clone(), key.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::IdempotencyKey;
    use carillon_protocol::event::NewEvent;
    use carillon_protocol::{Channel, EventId};
    use proptest::prelude::*;

    fn append(tenant: u8, key: Option<u8>) -> Append {
        let event = NewEvent {
            id: EventId::new("e").unwrap(),
            kind: "t".into(),
            source: "s".into(),
            subject: None,
            actor: None,
            priority: None,
            channels: vec![Channel::tenant()],
            time: "1970-01-01T00:00:00Z".into(),
            body: "{}".into(),
            traceparent: None,
        };
        let key = key.map(|key| IdempotencyKey { name: format!("k:{key}"), hash: [0; 32] });
        Append { tenant: TenantId::new(format!("t{tenant}")).unwrap(), request: 0, event, key }
    }

    /// Numbered requests; a request's keys differ from each other, as validation makes sure.
    fn requests() -> impl Strategy<Value = VecDeque<Request<usize>>> {
        let events = prop_oneof![4 => 1..4usize, 1 => 1..=500usize];
        let request = (events, 0..3u8, prop::option::of(0..6u8), prop_oneof![0..2_000usize, 0..400_000usize]);
        prop::collection::vec(request, 0..60).prop_map(|all| {
            let numbered = all.into_iter().enumerate();
            numbered
                .map(|(ticket, (events, tenant, first_key, bytes))| {
                    let key = |n: usize| first_key.filter(|_| n < 6).map(|first| first + n as u8);
                    let appends = (0..events).map(|n| append(tenant, key(n))).collect();
                    Request { appends, bytes, ticket }
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_request_goes_out_once_in_batches_within_limits_without_a_key_twice(
            mut queue in requests(), gone in prop::collection::hash_set(0..60usize, 0..10),
        ) {
            let expected: Vec<usize> = (0..queue.len()).filter(|ticket| !gone.contains(ticket)).collect();
            let mut taken = Vec::new();
            while !queue.is_empty() {
                let first = queue.iter().find(|request| !gone.contains(&request.ticket)).map(|request| request.ticket);
                let batch = assemble(&mut queue, |ticket| !gone.contains(ticket));
                prop_assert_eq!(batch.first().map(|request| request.ticket), first, "the oldest is never passed over");
                let events: usize = batch.iter().map(|request| request.appends.len()).sum();
                let bytes: usize = batch.iter().map(|request| request.bytes).sum();
                prop_assert!(batch.len() <= 1 || (events <= BATCH_EVENTS && bytes <= BATCH_BYTES));
                let keys: Vec<_> = batch.iter().flat_map(|request| &request.appends).filter_map(key).collect();
                let distinct: HashSet<_> = keys.iter().collect();
                prop_assert_eq!(distinct.len(), keys.len());
                taken.extend(batch.iter().map(|request| request.ticket));
            }
            taken.sort_unstable();
            prop_assert_eq!(taken, expected);
        }
    }

    #[test]
    fn what_is_passed_over_keeps_its_place() {
        let request = |ticket, key| Request { appends: vec![append(0, key)], bytes: 1, ticket };
        let mut queue: VecDeque<_> =
            [request(0, Some(1)), request(1, Some(1)), request(2, Some(1)), request(3, None)].into();
        let tickets = |batch: Vec<Request<usize>>| -> Vec<usize> { batch.iter().map(|r| r.ticket).collect() };
        assert_eq!(tickets(assemble(&mut queue, |_| true)), [0, 3]);
        assert_eq!(tickets(assemble(&mut queue, |_| true)), [1]);
        assert_eq!(tickets(assemble(&mut queue, |_| true)), [2]);
    }
}
