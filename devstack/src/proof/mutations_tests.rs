//! Does each oracle turn red when its promise is broken, and only then?

use proptest::prelude::*;

use super::history::{Flags, History};
use super::oracle::{Oracle, check};
use super::sound_tests::{TENANTS, sound};
use crate::client::dice::Dice;
use crate::client::ledger::{Ack, Mark};

/// One way to break a promise in a history.
type Mutation = fn(&mut History, &mut Dice);

/// What is done, and which oracle must find it.
const MUTATIONS: [(&str, Oracle, Mutation); 29] = [
    ("the log loses an acknowledged event", Oracle::Durable, |history, dice| {
        let log = dice.below(3);
        let place = acknowledged_place(history, log, dice);
        history.logs[log].events.remove(place);
    }),
    ("the log has another event at an acknowledged place", Oracle::Durable, |history, dice| {
        let log = dice.below(3);
        let place = acknowledged_place(history, log, dice);
        history.logs[log].events[place].id = "another".into();
    }),
    ("the log has an acknowledged event with other data", Oracle::Durable, |history, dice| {
        let log = dice.below(3);
        let place = acknowledged_place(history, log, dice);
        history.logs[log].events[place].digest ^= 1;
    }),
    ("an acknowledged event has lost its channels", Oracle::Durable, |history, dice| {
        let log = dice.below(3);
        let place = acknowledged_place(history, log, dice);
        history.logs[log].events[place].channels.clear();
    }),
    ("a log was never read", Oracle::Durable, |history, dice| {
        history.logs.remove(dice.below(3));
    }),
    ("the log has a gap", Oracle::Order, |history, dice| {
        let events = &mut history.logs[dice.below(3)].events;
        let from = dice.below(events.len());
        events[from..].iter_mut().for_each(|event| event.seq += 1);
    }),
    ("two events of the log change places", Oracle::Order, |history, dice| {
        let events = &mut history.logs[dice.below(3)].events;
        let at = dice.below(events.len() - 1);
        events.swap(at, at + 1);
    }),
    ("a number is given out twice", Oracle::Order, |history, dice| {
        let tenant = TENANTS[dice.below(3)];
        let known: Vec<(u64, String)> = history
            .ledger
            .acknowledged_events(tenant)
            .map(|event| (event.seq, event.epoch.to_owned()))
            .collect();
        let (seq, epoch) = known[dice.below(known.len())].clone();
        let post = crate::client::post::Post::new(tenant, "t", serde_json::json!({})).user("nobody");
        history.ledger.attempted("second", &post, std::time::Instant::now());
        history.ledger.acknowledged(tenant, &Ack { id: "second".into(), seq, epoch, replayed: false });
    }),
    ("a client gets two events in the wrong order", Oracle::Order, |history, dice| {
        let marks = &mut history.clients[dice.below(9)].marks;
        let pairs: Vec<usize> = (1..marks.len())
            .filter(|at| matches!(marks[*at], Mark::Event(_)) && matches!(marks[*at - 1], Mark::Event(_)))
            .collect();
        let at = pairs[dice.below(pairs.len())];
        marks.swap(at - 1, at);
    }),
    ("a client gets an event again", Oracle::Once, |history, dice| {
        let marks = &mut history.clients[dice.below(9)].marks;
        let at = event_at(marks, dice);
        let again = marks[at].clone();
        marks.insert(at + 1, again);
    }),
    ("an event stands twice in the log", Oracle::Once, |history, dice| {
        let log = &mut history.logs[dice.below(3)];
        let mut again = log.events[dice.below(log.events.len())].clone();
        again.seq = log.events.len() as u64 + 1;
        log.events.push(again);
    }),
    ("an event is acknowledged at two places", Oracle::Once, |history, dice| {
        let tenant = TENANTS[dice.below(3)];
        let first = history.ledger.acknowledged_events(tenant).next().map(|event| event.id.to_owned());
        let ack = Ack { id: first.unwrap(), seq: 1_000, epoch: "e1".into(), replayed: true };
        history.ledger.acknowledged(tenant, &ack);
    }),
    ("a client never gets an event", Oracle::Whole, |history, dice| {
        let client = dice.below(9);
        let tenant = history.clients[client].tenant.clone();
        let known: std::collections::BTreeSet<String> =
            history.ledger.acknowledged_events(&tenant).map(|event| event.id.to_owned()).collect();
        let marks = &mut history.clients[client].marks;
        let acknowledged: Vec<usize> = (0..marks.len())
            .filter(|at| matches!(&marks[*at], Mark::Event(event) if known.contains(&event.id)))
            .collect();
        marks.remove(acknowledged[dice.below(acknowledged.len())]);
    }),
    ("a client gets an event with other data", Oracle::Whole, |history, dice| {
        let marks = &mut history.clients[dice.below(9)].marks;
        let at = event_at(marks, dice);
        if let Mark::Event(event) = &mut marks[at] {
            event.digest ^= 1;
        }
    }),
    ("a client is told reset although nothing was lost", Oracle::Whole, |history, dice| {
        let client = &mut history.clients[dice.below(9)];
        let end = history.logs.iter().find(|log| log.tenant == client.tenant).unwrap().events.len();
        client.marks.push(Mark::Reset { epoch: "e1".into(), seq: end as u64 });
    }),
    ("a client gets another tenant's event", Oracle::Isolation, |history, dice| {
        let client = dice.below(9);
        let stranger = (client + 3) % 9;
        let at = event_at(&history.clients[stranger].marks, dice);
        let mut foreign = history.clients[stranger].marks[at].clone();
        if let Mark::Event(event) = &mut foreign {
            event.seq = 10_000;
        }
        history.clients[client].marks.push(foreign);
    }),
    ("a client gets what is for another person", Oracle::Isolation, |history, dice| {
        let client = dice.below(9);
        history.clients[client].marks.iter_mut().for_each(|mark| {
            if let Mark::Welcome { channels, .. } = mark {
                *channels = ["user:nobody".to_owned()].into();
            }
        });
    }),
    ("a log has what nobody published in it", Oracle::Isolation, |history, dice| {
        let log = &mut history.logs[dice.below(3)];
        let mut stranger = log.events[0].clone();
        (stranger.seq, stranger.id) = (log.events.len() as u64 + 1, "stranger".into());
        log.events.push(stranger);
    }),
    ("a connection ends without a word", Oracle::Gentle, |history, dice| {
        history.clients[dice.below(9)].losses.push("connection lost: the stream ended".into());
    }),
    ("a client is told not to come back", Oracle::Gentle, |history, dice| {
        history.allowed.abrupt_ends = true;
        history.clients[dice.below(9)].over = Some("closed with 4403 tenant_forbidden".into());
    }),
    ("a process grows past its bound", Oracle::Bounded, |history, _| history.memory[0].most = 401),
    ("an inbox counts what it does not list", Oracle::Inbox, |history, dice| {
        let inbox = &mut history.inboxes[dice.below(9)];
        match dice.below(2) {
            0 => inbox.unread += 1,
            _ => inbox.summary_unread += 1,
        }
    }),
    ("a mark was taken and is not there", Oracle::Inbox, |history, dice| {
        let inbox = &mut history.inboxes[dice.below(9)];
        let seq = *inbox.expected.keys().next().unwrap();
        let Flags { read, archived } = inbox.listed[&seq].1;
        inbox.marked.insert(seq, Flags { read: !read, archived });
    }),
    ("an inbox lists an entry twice", Oracle::Inbox, |history, dice| {
        let inbox = &mut history.inboxes[dice.below(9)];
        inbox.listed_again.push("again".into());
    }),
    ("an endpoint gets another event under a number", Oracle::Webhook, |history, dice| {
        let messages = &mut history.endpoints[dice.below(3)].messages;
        let at = dice.below(messages.len());
        messages[at].id = "another".into();
    }),
    ("an endpoint gets what is not in the log", Oracle::Webhook, |history, dice| {
        let messages = &mut history.endpoints[dice.below(3)].messages;
        let mut stranger = messages[dice.below(messages.len())].clone();
        stranger.seq = 10_000;
        messages.push(stranger);
    }),
    ("an endpoint never gets an event", Oracle::Webhook, |history, dice| {
        let messages = &mut history.endpoints[dice.below(3)].messages;
        let seq = messages[dice.below(messages.len())].seq;
        messages.retain(|message| message.seq != seq);
    }),
    ("an endpoint gets an event for the first time after a later one", Oracle::Webhook, |history, dice| {
        let messages = &mut history.endpoints[dice.below(3)].messages;
        let seq = messages[dice.below(messages.len() - 1)].seq;
        let late = messages.iter().find(|message| message.seq == seq).unwrap().clone();
        let newest = messages.iter().map(|message| message.seq).max().unwrap();
        messages.retain(|message| message.seq != seq);
        match seq == newest {
            true => messages.insert(0, late),
            false => messages.push(late),
        }
    }),
    ("somebody is listed who is not there", Oracle::Presence, |history, dice| {
        let seen = &mut history.presence[dice.below(3)];
        match dice.below(2) {
            0 => drop(seen.listed.insert("ghost".into())),
            _ => drop(seen.listed.pop_first()),
        }
    }),
];

/// Where in a log an acknowledged event stands.
fn acknowledged_place(history: &History, log: usize, dice: &mut Dice) -> usize {
    let tenant = &history.logs[log].tenant;
    let known: Vec<u64> = history.ledger.acknowledged_events(tenant).map(|event| event.seq).collect();
    let seq = known[dice.below(known.len())];
    history.logs[log].events.iter().position(|event| event.seq == seq).unwrap()
}

fn event_at(marks: &[Mark], dice: &mut Dice) -> usize {
    let events: Vec<usize> = (0..marks.len()).filter(|at| matches!(marks[*at], Mark::Event(_))).collect();
    events[dice.below(events.len())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_history_in_which_every_promise_was_kept_is_green(seed: u64) {
        let report = check(&sound(seed));
        prop_assert!(report.findings.is_empty(), "{:?}", report.findings);
        prop_assert!(report.expected > 0 && report.acknowledged > 0 && report.messages > 0);
        prop_assert_eq!((report.lost, report.doubled), (0, 0));
    }

    #[test]
    fn each_oracle_turns_red_when_its_promise_is_broken(seed: u64) {
        for (what, oracle, mutate) in MUTATIONS {
            let mut history = sound(seed);
            mutate(&mut history, &mut Dice::seeded(seed ^ 1));
            let report = check(&history);
            prop_assert!(report.broken().contains(&oracle), "{what}: {:?}", report.findings);
        }
    }
}

#[test]
fn what_a_projector_counts_twice_is_found() {
    let mut history = sound(1);
    history.counts[0].counted += 1;
    assert_eq!(check(&history).broken(), [Oracle::Projector].into());
}

#[test]
fn every_oracle_has_a_mutation() {
    for oracle in Oracle::ALL {
        let broken = MUTATIONS.iter().any(|(_, of, _)| *of == oracle) || oracle == Oracle::Projector;
        assert!(broken, "{}", oracle.name());
    }
}

#[test]
fn what_a_run_allows_is_no_finding() {
    let mut history = sound(7);
    history.clients[0].losses.push("connection lost: reset by peer".into());
    assert_eq!(check(&history).broken(), [Oracle::Gentle].into());
    history.allowed.abrupt_ends = true;
    assert!(check(&history).findings.is_empty());
    // A log that has lost its end: clients are told, and what was lost is not there.
    let end = history.logs[0].events.pop().unwrap();
    history.counts[0].in_log -= 1;
    assert!(check(&history).broken().contains(&Oracle::Durable) || !acknowledged(&history, &end.id));
    history.allowed.resets = true;
    assert!(!check(&history).broken().contains(&Oracle::Durable));
}

fn acknowledged(history: &History, id: &str) -> bool {
    history.ledger.acknowledged_events("a").any(|event| event.id == id)
}

#[test]
fn what_came_before_its_connection_was_there_counts_as_replayed() {
    let (mut history, mut again) = (sound(3), None);
    for client in &mut history.clients {
        client.connected.iter_mut().for_each(|at| *at -= std::time::Duration::from_secs(60));
        again = again.or((client.connected.len() > 1).then_some(()));
    }
    assert_eq!(check(&history).replayed, 0);
    for client in &mut history.clients {
        client.connected.iter_mut().for_each(|at| *at += std::time::Duration::from_secs(120));
    }
    assert!(check(&history).replayed > 0 && again.is_some());
}
