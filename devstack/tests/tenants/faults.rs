//! What becomes of several tenants when one of them, or the node, is in trouble?

use super::{attach, come_into, events_until, open, person, tell};
use crate::wire::{PATIENCE, ask, block_on, client};
use carillon_devstack::client::frame::{Cursor, Frame};
use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::find;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};

const SCHOOLS: [&str; 3] = ["school-1", "school-2", "school-3"];

/// The newest cursor of each tenant that these frames tell.
fn keep(cursors: &mut BTreeMap<String, (u64, String)>, frame: &Frame) {
    let (Some(tenant), Some(seq)) = (frame.text("tenant"), frame.seq()) else { return };
    let own = cursors.entry(tenant.to_owned()).or_default();
    own.0 = seq;
    if let Some(epoch) = frame.epoch() {
        own.1 = epoch.to_owned();
    }
}

#[test]
fn after_a_gateway_is_killed_all_tenants_are_resumed_at_another_without_a_gap_or_a_repeat() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let ana = person("ana", &SCHOOLS.map(|school| (school, "director")));
        let (mut socket, welcome) = Socket::open(&client(&stack, stack.gateway(0), &ana)).await.unwrap();
        let mut cursors = BTreeMap::from([(welcome.tenant, (welcome.seq, welcome.epoch))]);
        for school in &SCHOOLS[1..] {
            keep(&mut cursors, &come_into(&mut socket, attach(school)).await);
        }
        let mut sent: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut heard: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for round in 0..60 {
            for school in SCHOOLS {
                sent.entry(school).or_default().push(tell(&stack, school).await);
            }
            if round == 30 {
                stack.gateway(0).kill().unwrap();
            }
        }
        let end = loop {
            match socket.next_frame(PATIENCE).await {
                Ok(frame) => {
                    keep(&mut cursors, &frame);
                    if frame.is("event") {
                        heard
                            .entry(frame.text("tenant").unwrap().into())
                            .or_default()
                            .push(frame.seq().unwrap());
                    }
                }
                Err(end) => break end,
            }
        };
        assert!(!matches!(end, SocketError::Timeout), "{end}");
        let (seq, epoch) = cursors[SCHOOLS[0]].clone();
        let wanted = client(&stack, stack.gateway(1), &ana).since(Cursor::new(seq, epoch));
        let (mut again, _) = Socket::open(&wanted).await.unwrap();
        // What comes of the first while the others are not yet resumed stands before their welcomes.
        let mut frames = Vec::new();
        for school in &SCHOOLS[1..] {
            let (since, epoch) = cursors[*school].clone();
            let frame =
                json!({"type": "attach", "id": school, "tenant": school, "since": since, "epoch": epoch});
            again.send_json(&frame).await.unwrap();
            loop {
                let frame = again.next_frame(PATIENCE).await.unwrap();
                if frame.is("welcome") {
                    assert_eq!(
                        (frame.text("tenant"), frame.seq()),
                        (Some(*school), Some(since)),
                        "{frame:?}"
                    );
                    break;
                }
                frames.push(frame);
            }
        }
        let mut last = Vec::new();
        for school in SCHOOLS {
            last.push((school, tell(&stack, school).await));
            sent.get_mut(school).unwrap().push(last.last().unwrap().1);
        }
        let has_all = |heard: &BTreeMap<String, Vec<u64>>| {
            last.iter().all(|(school, seq)| heard.get(*school).is_some_and(|seqs| seqs.contains(seq)))
        };
        let mut frames = VecDeque::from(frames);
        while !frames.is_empty() || !has_all(&heard) {
            let event = match frames.pop_front() {
                Some(frame) => frame,
                None => again.next_of("event", PATIENCE).await.unwrap(),
            };
            if event.is("event") {
                let school = event.event()["data"]["of"].as_str().unwrap().to_owned();
                heard.entry(school).or_default().push(event.seq().unwrap());
            }
        }
        for school in SCHOOLS {
            assert_eq!(heard[school], sent[school], "{school}");
        }
        again.close().await;
        stack.stop().await.unwrap();
    });
}

#[test]
fn a_reset_of_one_of_sixteen_tenants_leaves_the_others_as_they_were() {
    /// As many as a connection may be in.
    const MOST: usize = 16;
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let names: Vec<String> = (1..=MOST + 1).map(|n| format!("school-{n}")).collect();
        let schools: Vec<&str> = names.iter().map(String::as_str).collect();
        let (schools, further) = (&schools[..MOST], schools[MOST]);
        let mut roles: Vec<(&str, &str)> = schools.iter().map(|school| (*school, "director")).collect();
        roles.push((further, "director"));
        let mut socket = open(&stack, 0, &person("ana", &roles)).await;
        let mut epochs = BTreeMap::new();
        for school in &schools[1..] {
            let welcome = come_into(&mut socket, attach(school)).await;
            epochs.insert(*school, welcome.epoch().unwrap().to_owned());
        }
        assert_eq!(ask(&mut socket, attach(further)).await.code(), Some("too_many_tenants"));
        let mut before = Vec::new();
        for school in schools {
            before.push((*school, tell(&stack, school).await));
        }
        events_until(&mut socket, &before).await;
        // An operator says that one school's log is another one now.
        let reset_one = schools[6];
        let mut rotate = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap());
        rotate.args(["rotate-epoch", "--tenant", reset_one]);
        let said = rotate.env("DATABASE_URL", stack.database_url()).output().await.unwrap();
        assert!(said.status.success(), "{said:?}");
        let reset = socket.next_of("reset", PATIENCE).await.unwrap();
        assert_eq!(
            (reset.text("tenant"), reset.text("reason")),
            (Some(reset_one), Some("epoch_changed")),
            "{reset:?}"
        );
        assert_ne!(reset.epoch(), Some(&*epochs[reset_one]));
        let mut after = Vec::new();
        for school in schools {
            after.push((*school, tell(&stack, school).await));
        }
        let mut heard = BTreeMap::new();
        while heard.len() < schools.len() {
            let frame = socket.next_frame(PATIENCE).await.unwrap();
            assert!(frame.is("event") || frame.is("heartbeat"), "nobody else is told: {frame:?}");
            if frame.is("event") {
                heard.insert(frame.text("tenant").unwrap().to_owned(), frame.seq().unwrap());
            }
        }
        for (school, seq) in after {
            assert_eq!(heard[school], seq, "{school}");
        }
        // The place of the one is still its own, and the others' epochs are what they were.
        assert_eq!(ask(&mut socket, attach(further)).await.code(), Some("too_many_tenants"));
        for school in schools.iter().skip(1).filter(|school| **school != reset_one).take(3) {
            let left = ask(&mut socket, json!({"type": "detach", "id": school, "tenant": school})).await;
            assert!(left.is("ok"), "{left:?}");
            let again = come_into(&mut socket, attach(school)).await;
            assert_eq!(again.epoch(), Some(&*epochs[*school]), "{school}");
        }
        socket.close().await;
        stack.stop().await.unwrap();
    });
}
