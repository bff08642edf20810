use super::*;
use carillon_protocol::TenantId;
use proptest::prelude::*;

fn epoch() -> Epoch {
    Epoch::new("e1").unwrap()
}

fn event(seq: u64) -> EnvelopeEvent {
    EnvelopeEvent { channels: Vec::new(), body: Bytes::from(seq.to_string()), except: None }
}

fn batch(first: u64, count: u64) -> Batch {
    Batch {
        tenant: TenantId::new("t").unwrap(),
        epoch: epoch(),
        first: Seq(first),
        before: Tag::of((first - 1).to_string().as_bytes()).filter(|_| first > 1),
        at_micros: 1,
        events: (first..first + count).map(event).collect(),
    }
}

fn seqs(out: &[Sequenced]) -> Vec<u64> {
    out.iter().map(|s| s.seq.0).collect()
}

/// What a log with events 1..=head answers.
fn read(missing: Missing, head: u64, page: u64) -> Vec<(Seq, EnvelopeEvent)> {
    let upto = missing.upto.0.min(head).min(missing.after.0 + page);
    (missing.after.0 + 1..=upto).map(|seq| (Seq(seq), event(seq))).collect()
}

#[test]
fn an_overtaken_batch_passes_without_a_read_when_the_first_comes_in_time() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(10), None);
    assert_eq!(sequencer.offer(batch(13, 2), now, &mut out), Offered::New);
    assert!(out.is_empty());
    assert_eq!(sequencer.due(now + PATIENCE / 2), None);
    sequencer.offer(batch(11, 2), now + PATIENCE / 2, &mut out);
    assert_eq!(seqs(&out), [11, 12, 13, 14]);
    assert_eq!(sequencer.due(now + PATIENCE * 9), None);
}

#[test]
fn i4_a_hole_is_read_from_the_log_when_patience_runs_out() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(0), None);
    sequencer.offer(batch(3, 1), now, &mut out);
    sequencer.offer(batch(6, 1), now, &mut out);
    let missing = sequencer.due(now + PATIENCE).unwrap();
    assert_eq!(missing, Missing { after: Seq(0), upto: Seq(2) });
    assert_eq!(sequencer.due(now + PATIENCE * 2), None, "one read at a time");
    assert_eq!(sequencer.repaired(read(missing, 6, 9), now, &mut out), Repaired::Continued);
    assert_eq!(seqs(&out), [1, 2, 3]);
    assert_eq!(sequencer.due(now), Some(Missing { after: Seq(3), upto: Seq(5) }));
}

#[test]
fn a_head_from_the_database_finds_a_lost_last_message() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(5), None);
    let asked = (epoch(), Seq(5));
    assert_eq!(sequencer.observe(&epoch(), Seq(5), None, &asked, now), HeadVerdict::Level);
    assert_eq!(sequencer.observe(&epoch(), Seq(7), None, &asked, now), HeadVerdict::Behind);
    let missing = sequencer.due(now).unwrap();
    sequencer.repair_failed(now);
    assert_eq!(sequencer.due(now), None);
    assert_eq!(sequencer.due(now + RETRY), Some(missing));
    sequencer.repaired(read(missing, 7, 9), now, &mut out);
    assert_eq!(seqs(&out), [6, 7]);
}

#[test]
fn only_a_head_older_than_the_question_proves_that_the_log_lost_its_end() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(5), None);
    let asked = (epoch(), Seq(5));
    sequencer.offer(batch(6, 3), now, &mut out);
    assert_eq!(sequencer.observe(&epoch(), Seq(6), None, &asked, now), HeadVerdict::Level, "an old answer");
    assert_eq!(sequencer.observe(&epoch(), Seq(4), None, &asked, now), HeadVerdict::Regressed);
    let other = Epoch::new("e2").unwrap();
    assert_eq!(sequencer.observe(&other, Seq(4), None, &asked, now), HeadVerdict::OtherEpoch);
    sequencer.restart(other.clone(), Seq(4), None);
    assert_eq!(
        sequencer.observe(&epoch(), Seq(9), None, &asked, now),
        HeadVerdict::Level,
        "about the old life"
    );
    assert_eq!(sequencer.offer(batch(5, 1), now, &mut out), Offered::OtherEpoch);
}

/// The log lost its end and has grown again: the numbers fit, what stands before them does not.
#[test]
fn i4_what_follows_another_event_does_not_pass() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let other = Tag::of(b"another event 10");
    let mut sequencer = Sequencer::new(epoch(), Seq(10), other);
    assert_eq!(sequencer.offer(batch(11, 2), now, &mut out), Offered::Contradicts);
    assert!(out.is_empty() && sequencer.head() == Seq(10));
    // The same when the batch begins before the head and has another event there.
    assert_eq!(sequencer.offer(batch(6, 7), now, &mut out), Offered::Contradicts);
    assert!(out.is_empty() && sequencer.head() == Seq(10));
    let mut sequencer = Sequencer::new(epoch(), Seq(10), Tag::of(b"10"));
    assert!(
        matches!(sequencer.offer(batch(6, 7), now, &mut out), Offered::Repeated(bodies) if bodies.len() == 5)
    );
    assert_eq!(seqs(&out), [11, 12]);
    out.clear();
    // The same when it was held until what lies between came.
    let mut sequencer = Sequencer::new(epoch(), Seq(10), None);
    sequencer.offer(batch(12, 1), now, &mut out);
    let mut between = batch(11, 1);
    between.events[0].body = Bytes::from_static(b"another event 11");
    assert_eq!(sequencer.offer(between, now, &mut out), Offered::Contradicts);
    assert_eq!((seqs(&out), sequencer.tag()), (vec![11], Tag::of(b"another event 11")));
    // And when it is read.
    let mut sequencer = Sequencer::new(epoch(), Seq(10), other);
    let asked = (epoch(), Seq(10));
    assert_eq!(sequencer.observe(&epoch(), Seq(10), Tag::of(b"10"), &asked, now), HeadVerdict::Contradicts);
    assert_eq!(sequencer.observe(&epoch(), Seq(12), Tag::of(b"12"), &asked, now), HeadVerdict::Behind);
    let missing = sequencer.due(now).unwrap();
    let page = (10..=12).map(|seq| (Seq(seq), event(seq)));
    out.clear();
    assert_eq!(sequencer.repaired(page, now, &mut out), Repaired::Contradicts);
    assert!(out.is_empty() && sequencer.due(now).is_none());
    assert_eq!(sequencer.due(now + RETRY), Some(missing), "it asks again until the log has decided");
}

#[test]
fn another_epoch_that_has_everything_is_gone_on_with() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(5), None);
    sequencer.offer(batch(6, 2), now, &mut out);
    sequencer.offer(batch(9, 1), now, &mut out);
    let new = Epoch::new("e2").unwrap();
    sequencer.renew(new.clone());
    assert_eq!((sequencer.head(), sequencer.wakes_at()), (Seq(7), None), "what was held is forgotten");
    let next = Batch { epoch: new, ..batch(8, 1) };
    assert_eq!(sequencer.offer(next, now, &mut out), Offered::New);
    assert_eq!(seqs(&out), [6, 7, 8]);
}

#[test]
fn a_hole_the_log_cannot_fill_is_told() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(5), None);
    sequencer.offer(batch(9, 1), now, &mut out);
    sequencer.due(now + PATIENCE).unwrap();
    assert_eq!(sequencer.repaired([(Seq(8), event(8))], now, &mut out), Repaired::Gone);
}

#[test]
fn an_answer_that_was_overtaken_does_not_say_that_the_log_has_a_hole() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(5), None);
    sequencer.offer(batch(8, 1), now, &mut out);
    let missing = sequencer.due(now + PATIENCE).unwrap();
    sequencer.offer(batch(6, 2), now + PATIENCE, &mut out);
    sequencer.offer(batch(11, 1), now + PATIENCE, &mut out);
    assert_eq!(sequencer.repaired(read(missing, 7, 9), now + PATIENCE, &mut out), Repaired::Continued);
    assert_eq!(seqs(&out), [6, 7, 8]);
    let missing = sequencer.due(now + PATIENCE).unwrap();
    assert_eq!(missing, Missing { after: Seq(8), upto: Seq(10) });
    assert_eq!(sequencer.repaired([], now, &mut out), Repaired::Gone, "asked again, it does");
}

#[test]
fn i10_what_is_held_is_bounded_and_the_rest_is_read_again() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(0), None);
    for first in (2..20_000).step_by(100) {
        sequencer.offer(batch(first, 100), now, &mut out);
    }
    assert!(sequencer.held.len() <= HELD_EVENTS && sequencer.held_bytes <= HELD_BYTES);
    assert_eq!(sequencer.take_let_go(), 20_000 - HELD_EVENTS);
    while let Some(missing) = sequencer.due(now + PATIENCE) {
        sequencer.repaired(read(missing, 30_000, 500), now, &mut out);
    }
    assert!(seqs(&out).into_iter().eq(1..=20_001));
}

#[test]
fn i10_what_is_held_weighs_what_it_takes_and_pins_no_wire_buffer() {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut sequencer = Sequencer::new(epoch(), Seq(0), None);
    let wire = Bytes::from(vec![b'1'; 60_000]);
    let mut early = batch(3, 1);
    early.events[0].body = wire.slice(10..20);
    sequencer.offer(early, now, &mut out);
    assert!(sequencer.held.values().all(|held| !wire.as_ptr_range().contains(&held.event.body.as_ptr())));
    assert!((10..1_000).contains(&sequencer.held_bytes()));
    sequencer.let_go_of_held();
    assert_eq!((sequencer.held_bytes(), sequencer.take_let_go(), sequencer.take_let_go()), (0, 1, 0));
    let missing = sequencer.due(now + PATIENCE).unwrap();
    assert_eq!(missing, Missing { after: Seq(0), upto: Seq(3) }, "the log has it");
    sequencer.repaired(read(missing, 3, 500), now, &mut out);
    assert_eq!(seqs(&out), [1, 2, 3]);
}

#[derive(Debug, Clone)]
enum Step {
    Deliver { first: u64, count: u64 },
    Head { lag: u64 },
    Wait,
    AnswerRead { page: u64 },
    FailRead,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..200u64, 1..6u64).prop_map(|(first, count)| Step::Deliver { first, count }),
        1 => (0..5u64).prop_map(|lag| Step::Head { lag }),
        2 => Just(Step::Wait),
        2 => (1..50u64).prop_map(|page| Step::AnswerRead { page }),
        1 => Just(Step::FailRead),
    ]
}

proptest! {
    /// Any interleaving of batches, duplicates, losses, reorderings, heads, reads and failures: each seq passes once,
    /// in order, and when the log is reachable in the end, all of it has passed.
    #[test]
    fn i2_i3_i4_each_event_passes_once_in_order_whatever_happens(steps in prop::collection::vec(step(), 0..150)) {
        const HEAD: u64 = 205;
        let mut now = Instant::now();
        let mut sequencer = Sequencer::new(epoch(), Seq(0), None);
        let (mut out, mut reading) = (Vec::new(), None);
        for step in steps {
            match step {
                Step::Deliver { first, count } => drop(sequencer.offer(batch(first, count), now, &mut out)),
                Step::Head { lag } => {
                    let asked = (epoch(), sequencer.head());
                    let head = Seq((sequencer.head().0 + lag).min(HEAD));
                    let verdict = sequencer.observe(&epoch(), head, Tag::of(head.0.to_string().as_bytes()), &asked, now + PATIENCE);
                    prop_assert!(matches!(verdict, HeadVerdict::Level | HeadVerdict::Behind));
                }
                Step::Wait => now += PATIENCE,
                Step::AnswerRead { page } => if let Some(missing) = reading.take() {
                    let read = read(missing, HEAD, page);
                    prop_assert_eq!(sequencer.repaired(read, now, &mut out), Repaired::Continued);
                },
                Step::FailRead => if reading.take().is_some() {
                    sequencer.repair_failed(now);
                },
            }
            if reading.is_none() {
                reading = sequencer.due(now);
            }
        }
        if reading.take().is_some() {
            sequencer.repair_failed(now);
        }
        let asked = (epoch(), sequencer.head());
        sequencer.observe(&epoch(), Seq(HEAD), None, &asked, now);
        for _ in 0..HEAD {
            now += RETRY;
            if let Some(missing) = sequencer.due(now) {
                sequencer.repaired(read(missing, HEAD, 16), now, &mut out);
            }
        }
        prop_assert!(seqs(&out).into_iter().eq(1..=HEAD));
        prop_assert!(out.iter().all(|s| s.event.body == s.seq.0.to_string()));
    }
}
