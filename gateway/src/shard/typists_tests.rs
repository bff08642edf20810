//! Is typing passed on at its pace, and does it always end?

use super::*;
use crate::stream::ring::RingLimits;
use carillon_protocol::{Epoch, Seq};
use proptest::prelude::*;

fn stream() -> Arc<Stream> {
    let limits = RingLimits { events: 16, bytes: 1 << 10 };
    let (tenant, epoch) = (TenantId::new("acme").unwrap(), Epoch::new("e1").unwrap());
    Arc::new(Stream::new(tenant, epoch, Seq::ZERO, Seq(1), limits))
}

fn place() -> Place {
    let (tenant, channel) = (TenantId::new("acme").unwrap(), Channel::new("a").unwrap());
    Place { tenant, channel, user: UserId::new("mila").unwrap() }
}

fn connection(key: u32) -> ConnectionId {
    ConnectionId { shard: 0, key, number: key.into() }
}

const THERE: Source = Source { incarnation: 7, shard: 0 };

/// What was said: a letter for others, and one for those here.
fn said(typists: &mut Typists) -> String {
    let letter = |word: &Word, to: bool| match (to, word.state) {
        (false, _) => '-',
        (true, Typing::Start) => 'S',
        (true, Typing::Stop) => 'x',
    };
    let words = std::mem::take(&mut typists.words);
    words.iter().flat_map(|word| [letter(word, word.to_others), letter(word, word.here)]).collect()
}

fn at(typists: &mut Typists, now_ms: u64) -> String {
    typists.begin_turn(now_ms);
    typists.look_after();
    said(typists)
}

#[test]
fn a_start_is_passed_on_every_three_seconds_and_ends_six_after_the_last() {
    let (stream, mut typists) = (stream(), Typists::default());
    typists.start(&stream, place(), connection(1));
    assert_eq!(said(&mut typists), "SS");
    for now_ms in [500, 1_000, 2_900] {
        typists.begin_turn(now_ms);
        typists.start(&stream, place(), connection(1));
    }
    assert_eq!(said(&mut typists), "", "merged");
    assert_eq!(at(&mut typists, 2_999), "");
    assert_eq!(at(&mut typists, 3_000), "SS", "what was merged is passed on when it is time");
    assert_eq!(at(&mut typists, 8_899), "");
    assert_eq!(at(&mut typists, 8_900), "xx");
    assert_eq!(at(&mut typists, 20_000), "");
    assert!(typists.is_empty() && typists.next_ms().is_none());
}

#[test]
fn who_stops_and_starts_again_is_passed_on_no_sooner() {
    let (stream, mut typists) = (stream(), Typists::default());
    for now_ms in (0..6_000).step_by(100) {
        typists.begin_turn(now_ms);
        typists.look_after();
        typists.start(&stream, place(), connection(1));
        assert!(typists.stop(&place(), connection(1)));
        assert!(!typists.stop(&place(), connection(1)));
    }
    assert_eq!(said(&mut typists), "SSxxSSxx");
    typists.begin_turn(6_000);
    typists.start(&stream, place(), connection(1));
    assert_eq!(said(&mut typists), "SS", "it is the time again");
}

#[test]
fn two_tabs_type_as_long_as_one_does() {
    let (stream, mut typists) = (stream(), Typists::default());
    typists.start(&stream, place(), connection(1));
    typists.start(&stream, place(), connection(2));
    assert!(typists.stop(&place(), connection(1)));
    assert_eq!(said(&mut typists), "SS");
    typists.gone(connection(2));
    assert_eq!(said(&mut typists), "xx");
    // One here, one on another node.
    typists.begin_turn(10_000);
    typists.start(&stream, place(), connection(1));
    assert!(!typists.others_start(&stream, place(), THERE), "those here know");
    typists.gone(connection(1));
    assert_eq!(said(&mut typists), "SSx-", "others are told, those here are not");
    assert!(typists.others_stop(&place(), THERE));
    assert!(!typists.others_stop(&place(), THERE));
}

#[test]
fn others_who_fall_silent_type_no_more() {
    let (stream, mut typists) = (stream(), Typists::default());
    assert!(typists.others_start(&stream, place(), THERE));
    assert_eq!(at(&mut typists, 6_999), "");
    assert_eq!(at(&mut typists, 7_000), "-x");
    assert!(typists.is_empty());
}

/// Two shards that hear of each other, and what the clients of each believe.
#[derive(Default)]
struct Two {
    shards: [Typists; 2],
    believe: [bool; 2],
    /// When each passed a start on last.
    passed_ms: [Option<u64>; 2],
    now_ms: u64,
}

impl Two {
    /// Says the words of a shard: to its own clients, and to the other one unless they are lost.
    fn say(&mut self, shard: usize, lost: bool, stream: &Arc<Stream>) -> Result<(), TestCaseError> {
        for word in std::mem::take(&mut self.shards[shard].words) {
            let is_start = word.state == Typing::Start;
            if word.here {
                prop_assert!(is_start || self.believe[shard], "stop of somebody who does not type");
                self.believe[shard] = is_start;
            }
            if !word.to_others {
                continue;
            }
            if is_start {
                let before = self.passed_ms[shard].replace(self.now_ms);
                prop_assert!(before.is_none_or(|before| self.now_ms >= before + PACE_MS), "too often");
            }
            if !lost {
                let (other, source) = (1 - shard, Source { incarnation: 1, shard: shard as u16 });
                let told = match is_start {
                    true => self.shards[other].others_start(stream, word.place, source),
                    false => self.shards[other].others_stop(&word.place, source),
                };
                if told {
                    self.believe[other] = is_start;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, ms: u64, lost: bool, stream: &Arc<Stream>) -> Result<(), TestCaseError> {
        self.now_ms += ms;
        self.shards.iter_mut().for_each(|typists| typists.begin_turn(self.now_ms));
        for shard in 0..2 {
            self.shards[shard].look_after();
            self.say(shard, lost, stream)?;
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_nobody_types_for_ever(
        steps in prop::collection::vec((0..5u8, 0..2usize, 0..3u32, 1..4_000u64, any::<bool>()), 0..120),
        link_breaks in any::<bool>(),
    ) {
        let (stream, mut two) = (stream(), Two::default());
        let mut typing = [[None::<u64>; 3]; 2];
        for (step, shard, key, ms, lost) in steps {
            let lost = lost && link_breaks;
            match step {
                0 | 1 => {
                    two.shards[shard].start(&stream, place(), connection(key));
                    typing[shard][key as usize] = Some(two.now_ms);
                }
                2 => {
                    two.shards[shard].stop(&place(), connection(key));
                    typing[shard][key as usize] = None;
                }
                3 => {
                    two.shards[shard].gone(connection(key));
                    typing[shard][key as usize] = None;
                }
                _ => two.wait(ms, lost, &stream)?,
            }
            two.say(shard, lost, &stream)?;
            let is_due = |at: &Option<u64>| at.is_some_and(|at| two.now_ms < at + LIFE_MS);
            let types = typing.iter().flatten().any(is_due);
            if !link_breaks && !types {
                prop_assert_eq!(two.believe, [false; 2], "it is over everywhere");
            }
            // Who began three seconds ago and still types is seen to.
            let lasts = |at: &Option<u64>| is_due(at) && at.is_some_and(|at| two.now_ms >= at + PACE_MS);
            prop_assert!(step < 4 || !typing[shard].iter().any(lasts) || two.believe[shard]);
        }
        for _ in 0..20 {
            two.wait(1_000, false, &stream)?;
        }
        prop_assert_eq!(two.believe, [false; 2]);
        prop_assert!(two.shards.iter().all(|typists| typists.is_empty() && typists.of_connection.is_empty()));
    }
}
