use super::super::assembly::{BATCH_COST, key};
use super::super::queue::REMEMBERED;
use super::super::request::tests::append;
use super::super::request::{EVENT_COST, Request};
use super::super::shares::Publisher;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn request(of: &str, events: usize, key: Option<u8>, ticket: usize) -> Request<usize> {
    let key = |n: usize| key.filter(|_| n < 6).map(|first| first + n as u8);
    Request::new((0..events).map(|n| append(of, key(n), 10)).collect(), ticket)
}

fn tickets(taken: Option<&Taken<usize>>) -> Vec<usize> {
    taken.map_or_else(Vec::new, |taken| taken.requests.iter().map(|request| request.ticket).collect())
}

/// Adds a request that waits for its tenant's turn.
fn push(schedule: &mut Schedule<usize>, request: Request<usize>) {
    schedule.push(Flow::Tenant(request.tenant().unwrap().clone()), request);
}

/// Adds a request of one key for all tenants, with an event for each of these.
fn push_of_key(schedule: &mut Schedule<usize>, of: &[&str], ticket: usize) {
    let request = Request::new(of.iter().map(|of| append(of, None, 10)).collect(), ticket);
    let flow = Flow::of(&request, &Publisher { name: "key:k".into(), several_tenants: true });
    schedule.push(flow.unwrap(), request);
}

/// Takes a batch and ends it.
fn batch(schedule: &mut Schedule<usize>) -> Vec<usize> {
    let taken = schedule.take(Instant::now(), |_| true);
    let tickets = tickets(taken.as_ref());
    if let Some(taken) = taken {
        schedule.done(taken.turns, Duration::ZERO, Instant::now());
    }
    tickets
}

#[test]
fn a_backlog_stands_before_nobody_else() {
    let mut schedule = Schedule::default();
    for n in 0..40 {
        push(&mut schedule, request("importer", 500, None, n));
    }
    for n in 0..5 {
        push(&mut schedule, request(&format!("t{n}"), 1, None, 100 + n));
    }
    let backlog = schedule.take(Instant::now(), |_| true).unwrap();
    assert_eq!(tickets(Some(&backlog)), [0]);
    assert_eq!(batch(&mut schedule), [100, 101, 102, 103, 104], "not even for the first of them");
    schedule.done(backlog.turns, Duration::ZERO, Instant::now());
    assert_eq!(batch(&mut schedule), [1], "and the backlog goes on");
}

/// Takes a batch at `now` that takes 20 ms.
fn batch_at(schedule: &mut Schedule<usize>, now: Instant) -> Vec<usize> {
    let took = Duration::from_millis(20);
    let taken = schedule.take(now, |_| true);
    let tickets = tickets(taken.as_ref());
    if let Some(taken) = taken {
        schedule.done(taken.turns, took, now + took);
    }
    tickets
}

#[test]
fn an_import_rests_three_times_as_long_as_it_works_while_others_publish() {
    let mut schedule = Schedule::default();
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    for n in 0..10 {
        push(&mut schedule, request("importer", 490, None, n));
    }
    assert_eq!(batch_at(&mut schedule, at(0)), [0]);
    assert_eq!(batch_at(&mut schedule, at(20)), [1], "alone it has all of the time");
    push(&mut schedule, request("other", 1, None, 100));
    assert_eq!(batch_at(&mut schedule, at(40)), [100], "whoever brings little waits for no import");
    assert_eq!(batch_at(&mut schedule, at(60)), [2]);
    assert_eq!((schedule.is_ready(), schedule.rested_at()), (false, Some(at(140))));
    push(&mut schedule, request("other", 1, None, 101));
    assert_eq!(batch_at(&mut schedule, at(85)), [101], "nobody else rests");
    assert_eq!(batch_at(&mut schedule, at(139)), [] as [usize; 0]);
    assert_eq!(batch_at(&mut schedule, at(140)), [3]);
    assert_eq!(batch_at(&mut schedule, at(219)), [] as [usize; 0]);
    assert_eq!(batch_at(&mut schedule, at(1_220)), [4]);
    assert_eq!(batch_at(&mut schedule, at(1_240)), [5], "nobody else has come for a second");
}

#[test]
fn imports_among_themselves_do_not_rest() {
    let mut schedule = Schedule::default();
    let began = Instant::now();
    for n in 0..4 {
        push(&mut schedule, request("a", 500, None, n));
        push(&mut schedule, request("b", 500, None, 10 + n));
    }
    let taken: Vec<_> =
        (0..8).flat_map(|n| batch_at(&mut schedule, began + Duration::from_millis(20 * n))).collect();
    assert_eq!(taken.len(), 8);
    assert_eq!(schedule.rested_at(), None);
    assert!(schedule.queues.is_empty(), "nothing is kept of tenants without requests");
}

#[test]
fn whoever_is_alone_makes_way_for_nobody_not_even_for_its_own_small_batches() {
    let mut schedule = Schedule::default();
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    for n in 0..10 {
        push(&mut schedule, request("only", 1, None, n));
        assert_eq!(batch_at(&mut schedule, at(40 * n as u64)), [n]);
        push(&mut schedule, request("only", 490, None, 100 + n));
        assert_eq!(batch_at(&mut schedule, at(40 * n as u64 + 20)), [100 + n]);
        assert_eq!(schedule.rested_at(), None);
    }
    let several = ["a", "b", "c", "d"].repeat(25);
    for n in 0..10 {
        push_of_key(&mut schedule, &several, n);
    }
    assert_eq!(batch_at(&mut schedule, at(2_000)).len(), 5, "batches of a key for several tenants are large");
    push(&mut schedule, request("other", 1, None, 200));
    assert_eq!(batch_at(&mut schedule, at(2_020)), [200]);
    assert_eq!(batch_at(&mut schedule, at(2_040)), [5], "until others publish");
    assert_eq!(schedule.rested_at(), Some(at(2_120)));
}

#[test]
fn whoever_rests_with_nothing_left_is_forgotten_afterwards() {
    let mut schedule = Schedule::default();
    let now = Instant::now();
    push(&mut schedule, request("other", 1, None, 0));
    assert_eq!(batch_at(&mut schedule, now), [0]);
    push(&mut schedule, request("importer", 499, None, 1));
    assert_eq!(batch_at(&mut schedule, now), [1]);
    assert_eq!(schedule.queues.len(), 1);
    schedule.wake(now + Duration::from_millis(80));
    assert!(schedule.queues.is_empty() && !schedule.is_ready());
}

#[test]
fn two_backlogs_get_the_same() {
    let mut schedule = Schedule::default();
    for n in 0..2_000 {
        push(&mut schedule, request("a", 1, None, n));
    }
    for n in 0..200 {
        push(&mut schedule, request("b", 10, None, 10_000 + n));
    }
    let (mut a, mut b) = (0, 0);
    for _ in 0..4 {
        for ticket in batch(&mut schedule) {
            *if ticket < 10_000 { &mut a } else { &mut b } += if ticket < 10_000 { 1 } else { 10 };
        }
    }
    assert!(a.max(b) - a.min(b) <= 2 * QUANTUM / EVENT_COST, "{a} and {b} events");
}

#[test]
fn a_tenant_is_in_one_batch_at_a_time() {
    let mut schedule = Schedule::default();
    push(&mut schedule, request("a", 1, None, 0));
    let first = schedule.take(Instant::now(), |_| true).unwrap();
    push(&mut schedule, request("a", 1, None, 1));
    push(&mut schedule, request("b", 1, None, 2));
    let second = schedule.take(Instant::now(), |_| true).unwrap();
    assert_eq!(tickets(Some(&second)), [2]);
    assert!(schedule.take(Instant::now(), |_| true).is_none());
    schedule.done(first.turns, Duration::ZERO, Instant::now());
    assert_eq!(batch(&mut schedule), [1]);
}

#[test]
fn one_key_with_requests_for_many_tenants_has_one_turn_and_rests_after_it() {
    let mut schedule = Schedule::default();
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    let tenants: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    let of = |first: usize| -> Vec<&str> {
        tenants.iter().cycle().skip(first).take(100).map(String::as_str).collect()
    };
    for n in 0..20 {
        push_of_key(&mut schedule, &of(n), n);
    }
    push(&mut schedule, request("other", 1, None, 100));
    let of_key = schedule.take(at(0), |_| true).unwrap();
    assert_eq!(tickets(Some(&of_key)), [0], "a small batch, of nobody else");
    push(&mut schedule, request("t5", 1, None, 101));
    let of_other = schedule.take(at(1), |_| true).unwrap();
    assert_eq!(tickets(Some(&of_other)), [100], "the next one waits for no row of the first");
    assert!(
        schedule.take(at(2), |_| true).is_none() && !schedule.is_ready(),
        "the key has one batch at a time"
    );
    let took = Duration::from_millis(10);
    schedule.done(of_other.turns, took, at(11));
    assert!(schedule.take(at(11), |_| true).is_none());
    schedule.done(of_key.turns, took, at(12));
    assert_eq!(batch_at(&mut schedule, at(12)), [101], "whose row the key's batch had");
    assert!(batch_at(&mut schedule, at(41)).is_empty(), "the key rests three times as long as it worked");
    assert_eq!(batch_at(&mut schedule, at(42)), [1]);
    schedule.finish();
    let rest: Vec<usize> = (0..18).flat_map(|n| batch_at(&mut schedule, at(2_000 + n))).collect();
    assert_eq!(rest, (2..20).collect::<Vec<_>>(), "alone it has all of the time");
    assert!(schedule.queues.is_empty() && schedule.under_way.is_empty());
}

#[test]
fn publishers_of_several_tenants_and_tenants_take_turns() {
    let mut schedule = Schedule::default();
    for n in 0..3 {
        push_of_key(&mut schedule, &["a", "b"].repeat(60), n);
        push(&mut schedule, request("c", 30, None, 10 + n));
        push(&mut schedule, request("d", 490, None, 20 + n));
    }
    let taken: Vec<_> = (0..7).map(|_| batch(&mut schedule)).collect();
    let expected: [&[usize]; 7] = [&[0], &[10, 11, 12], &[20], &[1], &[21], &[2], &[22]];
    assert_eq!(taken, expected);
}

#[test]
fn a_statement_of_hundreds_of_events_has_one_runner_and_is_waited_for_by_nobody_else() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    for importer in ["a", "b"] {
        push(&mut schedule, request(importer, 1, None, 0));
        push(&mut schedule, request(importer, 490, None, 1));
        push(&mut schedule, request(importer, 1, None, 2));
    }
    push(&mut schedule, request("c", 1, None, 3));
    let taken = schedule.take(now, |_| true).unwrap();
    assert_eq!(tickets(Some(&taken)), [0, 0, 3], "up to what comes in bulk");
    schedule.done(taken.turns, Duration::ZERO, now);
    let import = schedule.take(now, |_| true).unwrap();
    assert_eq!(tickets(Some(&import)), [1], "alone, in its order");
    assert!(schedule.take(now, |_| true).is_none() && !schedule.is_ready(), "one at a time");
    push(&mut schedule, request("c", 1, None, 4));
    push(&mut schedule, request("a", 1, None, 5));
    assert_eq!(batch(&mut schedule), [4]);
    schedule.done(import.turns, Duration::ZERO, now);
    assert_eq!(batch(&mut schedule), [1], "the next importer's");
    assert_eq!(batch(&mut schedule), [2, 5, 2], "what is left is small");
    assert!(schedule.take(now, |_| true).is_none());
}

#[test]
fn one_large_event_is_not_bulk() {
    let mut schedule = Schedule::default();
    push(&mut schedule, Request::new(vec![append("a", None, 65_500)], 0));
    push(&mut schedule, request("b", 1, None, 1));
    assert_eq!(batch(&mut schedule), [1, 0]);
}

#[test]
fn the_last_batches_wait_for_nobody() {
    let mut schedule = Schedule::default();
    push_of_key(&mut schedule, &["a", "b"], 0);
    let under_way = schedule.take(Instant::now(), |_| true).unwrap();
    push(&mut schedule, request("a", 1, None, 1));
    assert!(schedule.take(Instant::now(), |_| true).is_none());
    schedule.finish();
    assert_eq!(batch(&mut schedule), [1]);
    schedule.done(under_way.turns, Duration::ZERO, Instant::now());
    assert!(schedule.queues.is_empty() && schedule.under_way.is_empty());
}

#[test]
fn a_repeated_key_waits_for_the_next_batch_and_keeps_its_place() {
    let mut schedule = Schedule::default();
    for (ticket, key) in [Some(1), Some(1), Some(1), None].into_iter().enumerate() {
        push(&mut schedule, request("a", 1, key, ticket));
    }
    assert_eq!(batch(&mut schedule), [0, 3]);
    assert_eq!(batch(&mut schedule), [1]);
    assert_eq!(batch(&mut schedule), [2]);
}

#[test]
fn a_large_request_behind_a_repeated_key_gets_its_turn() {
    let mut schedule = Schedule::default();
    for ticket in [0, 1] {
        push(&mut schedule, request("a", 1, Some(1), ticket));
    }
    push(&mut schedule, Request::new(vec![append("a", None, 65_000)], 2));
    assert_eq!(batch(&mut schedule), [0, 2]);
    assert_eq!(batch(&mut schedule), [1]);
}

#[test]
fn a_locked_tenant_waits_alone_until_an_append_succeeds() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    for (ticket, of) in ["a", "b", "a"].into_iter().enumerate() {
        push(&mut schedule, request(of, 1, None, ticket));
    }
    let taken = schedule.take(Instant::now(), |_| true).unwrap();
    let (locked, rest): (Vec<_>, Vec<_>) = taken.requests.into_iter().partition(|r| r.ticket != 1);
    assert_eq!(rest.len(), 1);
    schedule.set_aside(&tenant("a"), locked, now);
    schedule.done(taken.turns, Duration::ZERO, Instant::now());
    push(&mut schedule, request("a", 1, None, 3));
    push(&mut schedule, request("b", 1, None, 4));
    assert_eq!(batch(&mut schedule), [4], "nobody else waits");
    assert!(schedule.take(Instant::now(), |_| true).is_none() && schedule.is_locked(&tenant("a")));
    let alone = schedule.take_locked(now, |_| true, |_| true).unwrap();
    assert_eq!(tickets(Some(&alone)), [0, 2, 3], "in their order");
    schedule.release(&tenant("a"));
    schedule.done(alone.turns, Duration::ZERO, Instant::now());
    push(&mut schedule, request("a", 1, None, 5));
    assert_eq!(batch(&mut schedule), [5]);
}

#[test]
fn of_locked_tenants_the_first_free_one_is_tried_and_else_each_in_turn() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    for (ticket, of) in ["a", "b", "c"].into_iter().enumerate() {
        schedule.set_aside(&tenant(of), vec![request(of, 1, None, ticket)], now);
    }
    let locked = |schedule: &Schedule<usize>| schedule.locked().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(locked(&schedule), ["a", "b", "c"]);
    let taken = schedule.take_locked(now, |of| of.as_str() == "b", |_| true).unwrap();
    assert_eq!(tickets(Some(&taken)), [1]);
    let again = schedule.take_locked(now, |_| false, |_| true).unwrap();
    schedule.set_aside(&tenant("a"), again.requests, now);
    schedule.done(again.turns, Duration::ZERO, Instant::now());
    assert_eq!(locked(&schedule), ["c", "a"]);
}

#[test]
fn a_locked_tenant_without_requests_is_forgotten_after_a_minute() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.set_aside(&tenant("a"), vec![request("a", 1, None, 0)], now);
    let taken = schedule.take_locked(now, |_| true, |_| true).unwrap();
    schedule.done(taken.turns, Duration::ZERO, Instant::now());
    schedule.set_aside(&tenant("b"), vec![], now + REMEMBERED / 2);
    assert!(schedule.is_locked(&tenant("a")));
    schedule.set_aside(&tenant("b"), vec![], now + REMEMBERED);
    assert!(!schedule.is_locked(&tenant("a")) && schedule.is_locked(&tenant("b")));
}

/// Numbered requests and their flows, some with several tenants; a request's keys differ from each other, as validation
/// makes sure.
fn requests() -> impl Strategy<Value = Vec<(Flow, Request<usize>)>> {
    let events = prop_oneof![6 => 1..4usize, 2 => 1..100usize, 1 => 1..=500usize];
    let request = (
        events,
        0..4u8,
        prop::option::of(0..6u8),
        prop::bool::weighted(0.2),
        prop_oneof![8 => 0..2_000usize, 1 => 0..60_000usize],
    );
    prop::collection::vec(request, 0..60).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(ticket, (events, of, first_key, spread, bytes))| {
                let of =
                    |n: usize| format!("t{}", if spread { (usize::from(of) + n) % 4 } else { of.into() });
                let key = |n: usize| first_key.filter(|_| n < 6).map(|first| first + n as u8);
                let appends = (0..events).map(|n| append(&of(n), key(n), bytes)).collect();
                let request = Request::new(appends, ticket);
                let publisher = Publisher { name: "key:k".into(), several_tenants: spread };
                (Flow::of(&request, &publisher).unwrap(), request)
            })
            .collect()
    })
}

proptest! {
    /// Batches end in any order while others are under way, as with several runners.
    #[test]
    fn every_request_goes_out_once_whole_within_limits_in_the_order_of_its_flow(
        all in requests(),
        gone in prop::collection::hash_set(0..60usize, 0..10),
        ends in prop::collection::vec(0..3usize, 0..200),
    ) {
        let sizes: Vec<(Flow, usize, bool)> = all.iter()
            .map(|(flow, r)| (flow.clone(), r.appends.len(), r.appends.iter().any(|a| a.key.is_some())))
            .collect();
        let expected: Vec<usize> = (0..all.len()).filter(|ticket| !gone.contains(ticket)).collect();
        let mut schedule = Schedule::default();
        all.into_iter().for_each(|(flow, request)| schedule.push(flow, request));
        let mut under_way: Vec<Turns> = Vec::new();
        let mut out: Vec<usize> = Vec::new();
        let mut ends = ends.into_iter();
        loop {
            let others_wait = !schedule.bulk_was_last && !schedule.turn.is_empty();
            let Some(taken) = schedule.take(Instant::now(), |ticket| !gone.contains(ticket)) else {
                let Some(turns) = under_way.pop() else { break };
                schedule.done(turns, Duration::ZERO, Instant::now());
                continue;
            };
            let cost: usize = taken.requests.iter().map(|request| request.cost).sum();
            prop_assert!(taken.requests.len() == 1 || cost <= BATCH_COST);
            let keys: Vec<_> = taken.requests.iter().flat_map(|request| &request.appends).filter_map(key).collect();
            prop_assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "no key twice");
            let busy: HashSet<&TenantId> = under_way.iter().flat_map(|turns| &turns.tenants).collect();
            let is_publisher = |flow: &Flow| matches!(flow, Flow::Publisher(_));
            if taken.turns.in_bulk {
                prop_assert_eq!(taken.turns.flows.len(), 1);
                prop_assert!(!others_wait || taken.requests.len() == 1 || cost <= BULK_BATCH_COST);
                prop_assert!(!under_way.iter().any(|turns| turns.in_bulk));
            } else {
                prop_assert!(!taken.turns.flows.iter().any(is_publisher));
                prop_assert!(taken.requests.iter().all(|r| r.cost <= QUANTUM || r.appends.len() == 1));
            }
            if !taken.turns.flows.iter().any(is_publisher) {
                prop_assert!(taken.requests.iter().all(|r| !busy.contains(r.tenant().unwrap())));
            }
            for request in &taken.requests {
                prop_assert_eq!(request.appends.len(), sizes[request.ticket].1, "whole");
                out.push(request.ticket);
            }
            under_way.push(taken.turns);
            if let Some(end) = ends.next() && end < under_way.len() {
                schedule.done(under_way.remove(end), Duration::ZERO, Instant::now());
            }
        }
        // Whoever repeats no key is never overtaken by a later request of its flow.
        let place: BTreeMap<usize, usize> = out.iter().enumerate().map(|(place, ticket)| (*ticket, place)).collect();
        for (at, ticket) in out.iter().enumerate() {
            let (flow, _, keyed) = &sizes[*ticket];
            let earlier = (0..*ticket).filter(|other| sizes[*other].0 == *flow && !sizes[*other].2);
            for other in earlier.filter(|other| place.contains_key(other)) {
                prop_assert!(place[&other] < at, "{} after {} ({})", other, ticket, keyed);
            }
        }
        out.sort_unstable();
        prop_assert_eq!(out, expected);
        prop_assert!(schedule.queues.is_empty() && schedule.under_way.is_empty(), "nothing is kept of anybody");
    }

    /// However large the others' backlogs: whoever has a quantum's worth waiting is served within the first two batches.
    #[test]
    fn everybody_gets_a_quantum_before_anybody_gets_two_more(
        backlogs in prop::collection::vec((1..60usize, 1..=39usize), 1..8),
    ) {
        let mut schedule = Schedule::default();
        for (of, (count, events)) in backlogs.iter().enumerate() {
            (0..*count).for_each(|_| push(&mut schedule, request(&format!("t{of}"), *events, None, of)));
        }
        let mut got = vec![0; backlogs.len()];
        let mut left: Vec<usize> = backlogs.iter().map(|(count, _)| *count).collect();
        while left.iter().any(|left| *left > 0) {
            for of in batch(&mut schedule) {
                got[of] += backlogs[of].1 * EVENT_COST;
                left[of] -= 1;
            }
            let waiting = || (0..backlogs.len()).filter(|of| left[*of] > 0);
            let (least, most) = (waiting().map(|of| got[of]).min(), waiting().map(|of| got[of]).max());
            if let (Some(least), Some(most)) = (least, most) {
                // A request is taken as a whole, also when it is the last that fits.
                prop_assert!(most - least <= 4 * QUANTUM + 39 * EVENT_COST, "{} and {}", least, most);
            }
        }
    }
}
