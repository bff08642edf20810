//! Tests of `turns`: whose turn it is, and that nobody waits who could work.

use super::*;
use proptest::prelude::*;

const LIMITS: PermitLimits = PermitLimits {
    total: 4,
    per_group: 3,
    per_member: 2,
    waiting: 100,
    waiting_per_group: 50,
    waiting_per_member: 20,
};

fn holder(group: u8, member: u8) -> Holder<u8, u8> {
    Holder { group, member }
}

#[test]
fn a_newcomer_waits_for_one_turn_whoever_queues_before() {
    let mut turns = Turns::new(LIMITS);
    let hostile = holder(1, 1);
    let other = holder(2, 1);
    for _ in 0..2 {
        assert_eq!(turns.ask(&hostile, "hostile"), Ok(Asked::Granted));
        assert_eq!(turns.ask(&other, "other"), Ok(Asked::Granted));
    }
    for _ in 0..20 {
        assert!(matches!(turns.ask(&hostile, "hostile"), Ok(Asked::Waits(_))));
    }
    assert_eq!(turns.ask(&hostile, "hostile"), Err(Refused::Member), "one member's queue is bounded");
    assert!(matches!(turns.ask(&holder(3, 1), "innocent"), Ok(Asked::Waits(_))));
    turns.give_back(&hostile);
    assert_eq!(turns.next().map(|(_, who)| who), Some("hostile"), "it was first");
    turns.give_back(&hostile);
    assert_eq!(turns.next().map(|(_, who)| who), Some("innocent"), "before nineteen who came earlier");
}

#[test]
fn members_of_a_group_take_turns_too() {
    let limits = PermitLimits { total: 1, per_group: 1, per_member: 1, ..LIMITS };
    let mut turns = Turns::new(limits);
    assert_eq!(turns.ask(&holder(1, 1), 0), Ok(Asked::Granted));
    for waiter in 1..=3 {
        turns.ask(&holder(1, 1), waiter).unwrap();
    }
    turns.ask(&holder(1, 2), 10).unwrap();
    let mut served = Vec::new();
    let mut has = holder(1, 1);
    for _ in 0..4 {
        turns.give_back(&has);
        let (next, waiter) = turns.next().unwrap();
        served.push(waiter);
        has = next;
    }
    assert_eq!(served, [1, 10, 2, 3]);
}

#[test]
fn a_share_below_the_total_is_a_reserve() {
    let mut turns = Turns::<_, _, ()>::new(LIMITS);
    for member in [1, 1, 2] {
        turns.take(&holder(1, member)).unwrap();
    }
    assert_eq!(turns.take(&holder(1, 2)), Err(Refused::Group));
    assert_eq!(turns.take(&holder(2, 1)), Ok(()));
    assert_eq!(turns.take(&holder(3, 1)), Err(Refused::Total));
}

proptest! {
    /// Nobody waits who could have a permit, the bounds hold, a member is served in order, and nothing is left behind.
    #[test]
    fn nobody_waits_who_could_work(steps in prop::collection::vec((0u8..6, 0u8..4, 0u8..3), 1..300)) {
        let mut turns = Turns::<u8, u8, (u8, u8, u64)>::new(LIMITS);
        let mut held: Vec<Holder<u8, u8>> = Vec::new();
        let mut resting: Vec<Holder<u8, u8>> = Vec::new();
        let mut queued: Vec<(Holder<u8, u8>, Number, u64)> = Vec::new();
        let mut came = 0;
        let mut last_served = HashMap::new();
        for (action, group, member) in steps {
            match action {
                0 | 1 => {
                    came += 1;
                    match turns.ask(&holder(group, member), (group, member, came)) {
                        Ok(Asked::Granted) => held.push(holder(group, member)),
                        Ok(Asked::Waits(number)) => queued.push((holder(group, member), number, came)),
                        Err(_) => {}
                    }
                }
                2 if !held.is_empty() => {
                    let gone = held.swap_remove(usize::from(group) % held.len());
                    turns.give_back(&gone);
                }
                3 if !queued.is_empty() => {
                    let (who, number, _) = queued.swap_remove(usize::from(group) % queued.len());
                    turns.cancel(&who, number);
                }
                4 if !held.is_empty() => {
                    let tired = held.swap_remove(usize::from(group) % held.len());
                    turns.begin_rest(&tired);
                    resting.push(tired);
                }
                5 if !resting.is_empty() => {
                    let rested = resting.swap_remove(usize::from(group) % resting.len());
                    turns.end_rest(&rested.group);
                }
                _ => {}
            }
            while let Some((who, (group, member, came))) = turns.next() {
                let before = last_served.insert((group, member), came).unwrap_or(0);
                prop_assert!(before < came, "a member's callers are served in the order they came");
                let at = queued.iter().position(|(.., own)| *own == came).unwrap();
                queued.remove(at);
                held.push(who);
            }
            prop_assert_eq!(turns.usage(), (held.len(), queued.len()));
            prop_assert!(held.len() <= LIMITS.total);
            let of_group = |group| held.iter().chain(&resting).filter(|h| h.group == group).count();
            let of_member = |who: &Holder<u8, u8>| held.iter().filter(|h| *h == who).count();
            for who in held.iter().chain(&resting) {
                prop_assert!(of_group(who.group) <= LIMITS.per_group);
                prop_assert!(of_member(who) <= LIMITS.per_member);
            }
            for (who, ..) in &queued {
                let stuck = held.len() == LIMITS.total
                    || of_group(who.group) == LIMITS.per_group
                    || of_member(who) == LIMITS.per_member;
                prop_assert!(stuck, "{:?} waits although a permit is free for it", who);
            }
        }
        for (who, number, _) in queued {
            turns.cancel(&who, number);
        }
        for who in held {
            turns.give_back(&who);
        }
        for who in resting {
            turns.end_rest(&who.group);
        }
        prop_assert!(turns.groups.is_empty() && turns.order.is_empty());
    }
}
