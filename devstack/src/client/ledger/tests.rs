//! Does the judge acquit the innocent and catch every kind of fault?

use serde_json::json;

use super::*;

const EPOCH: &str = "e1";

fn post(tenant: &str, n: u64, channel: &str) -> Post {
    Post::new(tenant, "t", json!({"n": n, "of": tenant})).channel(channel)
}

fn id(tenant: &str, n: u64) -> String {
    format!("{tenant}-{n}")
}

fn ack(tenant: &str, seq: u64) -> Ack {
    Ack { id: id(tenant, seq), seq, epoch: EPOCH.into(), replayed: false }
}

/// Two tenants; `a` has 1 to 10 in channel `tenant` (9 and 10 in `role:boss`), `b` has 1 to 3.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    for (tenant, last) in [("a", 10), ("b", 3)] {
        for n in 1..=last {
            let channel = if n > 8 { "role:boss" } else { "tenant" };
            ledger.attempted(&id(tenant, n), &post(tenant, n, channel), Instant::now());
            ledger.acknowledged(tenant, &ack(tenant, n));
        }
    }
    ledger
}

fn event(tenant: &str, seq: u64) -> Mark {
    let digest = post(tenant, seq, "").digest();
    Mark::Event(Received { seq, id: id(tenant, seq), digest, at: Instant::now() })
}

fn welcome(seq: u64) -> Mark {
    let channels = ["tenant".to_owned(), "user:1".to_owned()].into();
    Mark::Welcome { epoch: EPOCH.into(), seq, channels, reset_follows: false }
}

fn reset(epoch: &str, seq: u64) -> Mark {
    Mark::Reset { epoch: epoch.into(), seq }
}

fn witness(marks: impl IntoIterator<Item = Mark>) -> Witness {
    Witness { marks: marks.into_iter().collect(), ..Witness::new("f", "a") }
}

/// Begins at 2 and sees 3 to 8.
fn innocent() -> Vec<Mark> {
    std::iter::once(welcome(2)).chain((3..=8).map(|n| event("a", n))).collect()
}

fn faults(witness: Witness) -> Vec<(u64, FaultKind)> {
    ledger().verify(&[witness]).faults.into_iter().map(|fault| (fault.seq, fault.kind)).collect()
}

#[test]
fn an_innocent_follower_is_clean_and_all_it_had_to_see_is_counted() {
    let verdict = ledger().verify(&[witness(innocent())]);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.expected, verdict.deliveries, verdict.followers), (6, 6, 1));
}

#[test]
fn a_follower_that_resumes_is_one_story() {
    let mut marks = innocent();
    marks.insert(4, welcome(5));
    assert_eq!(faults(witness(marks)), []);
}

#[test]
fn i4_a_missing_event_is_caught() {
    for at in 1..=6 {
        let mut marks = innocent();
        marks.remove(at);
        let seq = at as u64 + 2;
        assert_eq!(faults(witness(marks)), [(seq, FaultKind::Missing { id: id("a", seq) })]);
    }
}

#[test]
fn a_resumed_connection_may_not_begin_later_than_the_cursor() {
    let marks = [welcome(2), event("a", 3), welcome(5), event("a", 6), event("a", 7), event("a", 8)];
    let missing = |seq| (seq, FaultKind::Missing { id: id("a", seq) });
    assert_eq!(faults(witness(marks)), [missing(4), missing(5)]);
}

#[test]
fn who_left_needs_only_what_came_before() {
    let mut early = witness([welcome(2), event("a", 3), event("a", 4)]);
    early.left_at = Some(4);
    assert_eq!(faults(early.clone()), []);
    early.left_at = Some(5);
    assert_eq!(faults(early), [(5, FaultKind::Missing { id: id("a", 5) })]);
}

#[test]
fn i3_an_event_that_comes_twice_is_caught() {
    let mut marks = innocent();
    marks.push(event("a", 8));
    assert_eq!(faults(witness(marks)), [(8, FaultKind::Duplicated)]);
}

#[test]
fn i3_an_event_from_before_the_cursor_is_caught() {
    let mut marks = innocent();
    marks.insert(1, event("a", 2));
    assert_eq!(faults(witness(marks)), [(2, FaultKind::OutOfOrder { after: 2 })]);
}

#[test]
fn i2_two_events_that_changed_places_are_caught() {
    let mut marks = innocent();
    marks.swap(3, 4);
    assert_eq!(faults(witness(marks)), [(5, FaultKind::OutOfOrder { after: 6 })]);
}

#[test]
fn i5_another_tenant_s_event_is_caught() {
    let mut marks = innocent();
    marks.push(Mark::Event(Received { seq: 11, id: id("b", 1), digest: 0, at: Instant::now() }));
    assert_eq!(faults(witness(marks)), [(11, FaultKind::Foreign { of: "b".into() })]);
    // Also where the follower's own log has another event at that place.
    let mut marks = innocent();
    marks[6] = Mark::Event(Received { seq: 8, id: id("b", 3), digest: 0, at: Instant::now() });
    let foreign = (8, FaultKind::Foreign { of: "b".into() });
    assert!(faults(witness(marks)).contains(&foreign));
}

#[test]
fn an_event_for_other_people_is_caught() {
    let mut marks = innocent();
    marks.push(event("a", 9));
    assert_eq!(faults(witness(marks)), [(9, FaultKind::NotAddressed)]);
}

#[test]
fn an_event_nobody_published_or_that_changed_is_caught() {
    let mut marks = innocent();
    marks.push(Mark::Event(Received { seq: 11, id: "ghost".into(), digest: 0, at: Instant::now() }));
    assert_eq!(faults(witness(marks)), [(11, FaultKind::Unknown { id: "ghost".into() })]);
    let mut marks = innocent();
    marks[1] = Mark::Event(Received { seq: 3, id: id("a", 3), digest: 0, at: Instant::now() });
    assert_eq!(faults(witness(marks)), [(3, FaultKind::Altered)]);
    let mut marks = innocent();
    let digest = post("a", 4, "").digest();
    marks[1] = Mark::Event(Received { seq: 3, id: id("a", 4), digest, at: Instant::now() });
    assert_eq!(faults(witness(marks)), [(3, FaultKind::WrongEvent { id: id("a", 4) })]);
}

#[test]
fn a_reset_excuses_what_lies_between_and_nothing_else() {
    let honest = [welcome(2), event("a", 3), reset(EPOCH, 7), event("a", 8)];
    let verdict = ledger().verify(&[witness(honest)]);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.resets, 1);
    let late = [welcome(2), event("a", 3), event("a", 5), reset(EPOCH, 7), event("a", 8)];
    assert_eq!(faults(witness(late)), [(4, FaultKind::Missing { id: id("a", 4) })]);
}

#[test]
fn another_epoch_needs_a_reset() {
    let other = |reset_follows| {
        let channels = ["tenant".to_owned()].into();
        Mark::Welcome { epoch: "e2".into(), seq: 0, channels, reset_follows }
    };
    let mut marks = innocent();
    marks.push(other(true));
    marks.push(reset("e2", 0));
    assert_eq!(faults(witness(marks)), []);
    let mut marks = innocent();
    marks.push(other(false));
    assert_eq!(faults(witness(marks)), [(0, FaultKind::EpochWithoutReset)]);
    let mut marks = innocent();
    marks.push(reset("e2", 0));
    assert_eq!(faults(witness(marks)), []);
}

#[test]
fn an_unanswered_event_may_arrive_but_need_not() {
    let mut ledger = ledger();
    ledger.attempted("a-11", &post("a", 11, "tenant"), Instant::now());
    let mut marks = innocent();
    assert!(ledger.verify(&[witness(marks.clone())]).is_clean());
    marks.push(event("a", 11));
    assert!(ledger.verify(&[witness(marks)]).is_clean());
}

#[test]
fn i2_a_hole_in_the_log_needs_an_unanswered_publisher() {
    let mut ledger = ledger();
    ledger.attempted("a-12", &post("a", 12, "role:boss"), Instant::now());
    ledger.acknowledged("a", &ack("a", 12));
    let gap = ledger.verify(&[]).faults;
    assert_eq!(gap[0].kind, FaultKind::Gap { holes: 1, unanswered: 0 });
    ledger.attempted("a-11", &post("a", 11, "role:boss"), Instant::now());
    assert!(ledger.verify(&[]).is_clean());
}

#[test]
fn acknowledgements_that_contradict_each_other_are_caught() {
    let mut ledger = ledger();
    ledger.acknowledged("a", &Ack { seq: 5, ..ack("a", 4) });
    ledger.acknowledged("a", &Ack { replayed: true, ..ack("a", 4) });
    ledger.attempted("a-x", &post("a", 0, "tenant"), Instant::now());
    ledger.acknowledged("a", &Ack { id: "a-x".into(), ..ack("a", 4) });
    ledger.acknowledged("a", &ack("a", 99));
    let kinds: Vec<FaultKind> = ledger.verify(&[]).faults.into_iter().map(|fault| fault.kind).collect();
    assert_eq!(
        kinds,
        [
            FaultKind::AcknowledgedTwice { id: id("a", 4) },
            FaultKind::SeqUsedTwice { ids: [id("a", 4), "a-x".into()] },
            FaultKind::Unknown { id: id("a", 99) },
        ]
    );
}

#[test]
fn an_event_before_the_welcome_is_caught() {
    let early = witness([event("a", 3)]);
    assert_eq!(faults(early), [(3, FaultKind::BeforeWelcome)]);
}

#[test]
fn delays_count_from_the_first_attempt() {
    let ledger = ledger();
    let later = Instant::now() + Duration::from_secs(5);
    let digest = post("a", 3, "").digest();
    let late = Mark::Event(Received { seq: 3, id: id("a", 3), digest, at: later });
    let delays = ledger.delays(&witness([welcome(2), late]));
    assert!(delays.len() == 1 && delays[0] >= Duration::from_secs(4));
}
