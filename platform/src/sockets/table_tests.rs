//! Tests of `table`: an address that takes much makes room for the others, and nobody else is hurt.

use super::super::slot::Waiting;
use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

const LIMITS: SocketLimits = SocketLimits { total: 12, unproven: 8 };

fn slot(address: u8, now_ms: u64) -> Arc<Slot> {
    Arc::new(Slot::new(IpAddr::from([192, 0, 2, address]).into(), false, now_ms))
}

/// Lets a socket in that must not have to wait; returns it and who had to go.
fn comes(table: &mut Table, address: u8, now_ms: u64) -> (Arc<Slot>, Option<Arc<Slot>>) {
    let slot = slot(address, now_ms);
    match table.enter(&slot, now_ms, 0) {
        Entry::In => (slot, None),
        Entry::Instead(victim) => (slot, Some(victim)),
        Entry::Wait { until_ms } => panic!("{address} must wait until {until_ms}"),
    }
}

fn waits(table: &mut Table, address: u8, now_ms: u64) -> u64 {
    match table.enter(&slot(address, now_ms), now_ms, 0) {
        Entry::Wait { until_ms } => until_ms,
        other => panic!("{address} need not wait: {other:?}"),
    }
}

#[test]
fn silent_sockets_of_one_address_make_room_for_every_other_at_once() {
    let mut table = Table::new(LIMITS);
    let hostile: Vec<_> = (0..8).map(|n| comes(&mut table, 1, n).0).collect();
    for newcomer in 2..=7 {
        let (_, victim) = comes(&mut table, newcomer, 10);
        assert!(Arc::ptr_eq(&victim.unwrap(), &hostile[usize::from(newcomer) - 2]), "the oldest goes");
    }
    assert_eq!(table.unproven(), 8);
    // What is left to the first is its share, and that is not taken away at once.
    assert_eq!(waits(&mut table, 8, 10), 6 + PATIENCE_MS);
}

#[test]
fn a_burst_of_one_address_does_not_cut_itself_off() {
    let mut table = Table::new(LIMITS);
    let first = comes(&mut table, 1, 1_000).0;
    for _ in 1..8 {
        comes(&mut table, 1, 1_000);
    }
    assert_eq!(waits(&mut table, 1, 1_040), 1_000 + OWN_PATIENCE_MS);
    let (_, victim) = comes(&mut table, 1, 1_000 + OWN_PATIENCE_MS);
    assert!(Arc::ptr_eq(&victim.unwrap(), &first));
}

#[test]
fn a_flood_of_one_address_has_less_and_less_patience_with_itself_and_nobody_else_goes_for_it() {
    let mut table = Table::new(LIMITS);
    let other = comes(&mut table, 2, 0).0;
    let (mut now_ms, mut waited_ms) = (0, 0);
    // As many as come in, one after the other, four a millisecond.
    for n in 0..8_000 {
        now_ms += u64::from(n % 4 == 0);
        let (newcomer, came_ms) = (slot(1, now_ms), now_ms);
        while let Entry::Wait { until_ms } = table.enter(&newcomer, now_ms, now_ms - came_ms) {
            now_ms = until_ms;
        }
        waited_ms += now_ms - came_ms;
    }
    let free_ms = now_ms - waited_ms;
    assert!(waited_ms <= OWN_PATIENCE_MS + free_ms / (FORGOTTEN - 1), "{waited_ms} of {now_ms} ms");
    assert_eq!((table.unproven(), other.standing()), (8, Standing::Unproven));
    now_ms += FORGOTTEN * OWN_PATIENCE_MS;
    table.leave(&other);
    (0..8).for_each(|_| drop(comes(&mut table, 1, now_ms)));
    assert_eq!(waits(&mut table, 1, now_ms), now_ms + OWN_PATIENCE_MS, "then it is as before");
}

#[test]
fn what_was_waited_counts_so_nobody_keeps_others_out_by_being_busy() {
    let mut table = Table::new(LIMITS);
    for address in 1..=8 {
        comes(&mut table, address, 0).0.begin_answer(5_000);
    }
    let newcomer = slot(9, 5_000);
    assert!(matches!(table.enter(&newcomer, 5_000, 0), Entry::Wait { until_ms: 6_000 }));
    assert!(matches!(table.enter(&newcomer, 5_500, 500), Entry::Instead(_)));
}

#[test]
fn busy_sockets_of_many_addresses_do_not_let_one_newcomer_in_a_moment() {
    let mut table = Table::new(LIMITS);
    // Four addresses within their shares, whose sockets are never silent.
    let mut hostile: Vec<_> = (0..8).map(|n| comes(&mut table, 1 + n % 4, 0).0).collect();
    let (mut now_ms, mut waited) = (0, Vec::new());
    for n in 0..6 {
        let (newcomer, came_ms) = (slot(9, now_ms), now_ms);
        let victim = loop {
            hostile.iter().for_each(|slot| slot.begin_answer(now_ms));
            match table.enter(&newcomer, now_ms, now_ms - came_ms) {
                Entry::In => panic!("there is no room"),
                Entry::Instead(victim) => break victim,
                Entry::Wait { until_ms } => assert!(until_ms > now_ms),
            }
            now_ms += 10;
        };
        assert!(hostile.iter().any(|slot| Arc::ptr_eq(slot, &victim)), "of who has more");
        waited.push(now_ms - came_ms);
        // It proves itself, and another of the hostile has its place at once.
        table.leave(&newcomer);
        hostile.push(comes(&mut table, 1 + n % 4, now_ms).0);
        now_ms += 100;
    }
    assert!(waited[0] >= PATIENCE_MS / 2 && waited[1..].iter().all(|ms| *ms <= 30), "{waited:?}");
    now_ms += FORGOTTEN * PATIENCE_MS;
    hostile.iter().for_each(|slot| slot.begin_answer(now_ms));
    assert_eq!(waits(&mut table, 9, now_ms), now_ms + PATIENCE_MS, "then it is as before");
}

#[test]
fn proven_sockets_do_not_count_as_unproven_and_go_last() {
    let mut table = Table::new(LIMITS);
    for _ in 0..8 {
        let (proven, _) = comes(&mut table, 1, 0);
        table.prove(&proven);
        proven.begin_answer(0);
    }
    let idle: Vec<_> = (0..4).map(|n| comes(&mut table, 2, n).0).collect();
    for slot in &idle {
        table.prove(slot);
        slot.begin_answer(10);
        slot.end_answer(20);
    }
    assert_eq!(table.unproven(), 0);
    // The listener is full: one between two requests goes, none that is at work, though their address has more of them.
    let (newcomer, victim) = comes(&mut table, 3, 2_000);
    assert!(Arc::ptr_eq(&victim.unwrap(), &idle[0]));
    // Unproven ones go before them.
    let (_, victim) = comes(&mut table, 4, 4_000);
    assert!(Arc::ptr_eq(&victim.unwrap(), &newcomer));
}

#[test]
fn a_trusted_balancer_has_no_share_but_patience() {
    let mut table = Table::new(LIMITS);
    let trusted = |now_ms| Arc::new(Slot::new(IpAddr::from([192, 0, 2, 1]).into(), true, now_ms));
    let first = trusted(0);
    assert!(matches!(table.enter(&first, 0, 0), Entry::In));
    for _ in 1..8 {
        assert!(matches!(table.enter(&trusted(0), 0, 0), Entry::In));
    }
    assert_eq!(waits(&mut table, 2, 10), PATIENCE_MS);
    let client = slot(3, 20);
    table.replace(&first, &client);
    assert_eq!((table.unproven(), first.standing()), (8, Standing::Gone));
}

#[test]
fn a_request_that_arrived_meanwhile_saves_nobody_who_was_busy_before() {
    let (quick, busy) = (slot(1, 0), slot(1, 0));
    assert_eq!(quick.waiting(), Some(Waiting::Head));
    busy.begin_answer(1);
    quick.evict();
    busy.evict();
    assert!(!quick.was_quicker());
    quick.begin_answer(2);
    assert!(quick.was_quicker() && !busy.was_quicker());
}

proptest! {
    /// The sums agree with the sockets, the bounds hold, what goes was counted, and nobody within their share loses a
    /// socket that is younger than the patience.
    #[test]
    fn bounds_hold_and_only_the_greedy_lose_young_sockets(
        steps in prop::collection::vec((0u8..5, 1u8..6, 0usize..16, 0u64..400), 1..300),
    ) {
        let mut table = Table::new(LIMITS);
        let mut here: Vec<Arc<Slot>> = Vec::new();
        let mut now_ms = 0;
        for (action, address, index, later_ms) in steps {
            now_ms += later_ms;
            let chosen = (!here.is_empty()).then(|| here[index % here.len().max(1)].clone());
            match (action, chosen) {
                (0 | 1, _) => {
                    let newcomer = slot(address, now_ms);
                    let before = here.iter().filter(|one| one.standing() == Standing::Unproven);
                    let own: Vec<AddressGroup> = before.map(|one| one.group).collect();
                    match table.enter(&newcomer, now_ms, 0) {
                        Entry::In => here.push(newcomer),
                        Entry::Instead(victim) => {
                            prop_assert_eq!(victim.standing(), Standing::Gone);
                            let held = own.iter().filter(|group| **group == victim.group).count();
                            let greedy = held > LIMITS.unproven / SHARES;
                            let age = now_ms - victim.since_ms();
                            prop_assert!(greedy || age >= PATIENCE_MS, "{held} held, {age} ms");
                            let position = here.iter().position(|one| Arc::ptr_eq(one, &victim));
                            prop_assert!(position.is_some(), "only who is counted goes");
                            here.swap_remove(position.unwrap_or_default());
                            here.push(newcomer);
                        }
                        Entry::Wait { until_ms } => prop_assert!(until_ms > now_ms),
                    }
                }
                (2, Some(slot)) => {
                    table.leave(&slot);
                    table.leave(&slot);
                    here.retain(|one| !Arc::ptr_eq(one, &slot));
                }
                (3, Some(slot)) => table.prove(&slot),
                (_, Some(slot)) if slot.waiting().is_some() => slot.begin_answer(now_ms),
                (_, Some(slot)) => slot.end_answer(now_ms),
                (_, None) => {}
            }
            let unproven = here.iter().filter(|slot| slot.standing() == Standing::Unproven).count();
            prop_assert_eq!((table.unproven, table.proven), (unproven, here.len() - unproven));
            prop_assert!(table.unproven <= LIMITS.unproven && here.len() <= LIMITS.total);
        }
        for slot in here {
            table.leave(&slot);
        }
        prop_assert!(table.groups.is_empty() && table.unproven + table.proven == 0);
    }
}
