//! How does a history look in which every promise was kept? Made by chance, for the tests of the oracles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use super::history::{
    Counted, Delivered, Endpoint, Flags, History, Inbox, Logged, Memory, Presence, TenantLog,
};
use crate::client::dice::Dice;
use crate::client::ledger::{Ack, Mark, Received, Witness};
use crate::client::post::Post;

pub(super) const TENANTS: [&str; 3] = ["a", "a-b", "a_b"];
pub(super) const USERS: [&str; 3] = ["mila", "otto", "u:1"];
const EPOCH: &str = "e1";

/// Every history that this makes keeps every promise.
pub(super) fn sound(seed: u64) -> History {
    let mut dice = Dice::seeded(seed);
    let mut history = History::default();
    for tenant in TENANTS {
        let log = publish(&mut history, tenant, &mut dice);
        for user in USERS {
            history.clients.push(client(tenant, user, &log, &mut dice));
            history.inboxes.push(inbox(tenant, user, &log, &mut dice));
        }
        history.endpoints.push(endpoint(&log, &mut dice));
        let everyone: BTreeSet<String> = USERS.map(str::to_owned).into();
        let (listed, truth) = (everyone.clone(), everyone);
        history.presence.push(Presence { tenant: tenant.into(), channel: "room:1".into(), listed, truth });
        let length = log.events.len() as u64;
        let what = "analytics".to_owned();
        history.counts.push(Counted { tenant: tenant.into(), what, counted: length, in_log: length });
        history.logs.push(log);
    }
    history.memory.push(Memory { process: "gateway-1".into(), most: 40, bound: 400 });
    history
}

fn publish(history: &mut History, tenant: &str, dice: &mut Dice) -> TenantLog {
    let mut log = TenantLog { tenant: tenant.into(), events: Vec::new() };
    for seq in 1..=u64::from(dice.between(20, 60)) {
        let id = format!("{tenant}/{seq}");
        let post = Post::new(tenant, "t", json!({"n": seq, "of": tenant}));
        let post = match dice.below(3) {
            0 => post.tenant_wide(),
            1 => post.channel("room:1"),
            _ => post.user(USERS[dice.below(3)]).user(USERS[dice.below(3)]),
        };
        history.ledger.attempted(&id, &post, Instant::now());
        // Of some nobody was told what became of them.
        if dice.chance(95) {
            let ack = Ack { id: id.clone(), seq, epoch: EPOCH.into(), replayed: dice.chance(10) };
            history.ledger.acknowledged(tenant, &ack);
        }
        let (channels, digest) = (post.addressed(), post.digest());
        log.events.push(Logged { seq, epoch: EPOCH.into(), id, digest, channels });
    }
    log
}

fn own(user: &str) -> BTreeSet<String> {
    ["tenant".to_owned(), "room:1".into(), format!("user:{user}")].into()
}

fn client(tenant: &str, user: &str, log: &TenantLog, dice: &mut Dice) -> Witness {
    let mut witness = Witness::new(format!("{user} at gateway-1"), tenant);
    let channels = own(user);
    let welcome =
        |seq| Mark::Welcome { epoch: EPOCH.into(), seq, channels: channels.clone(), reset_follows: false };
    witness.note(welcome(0));
    witness.connected.push(Instant::now());
    let mut cursor = 0;
    for event in log.events.iter().filter(|event| !event.channels.is_disjoint(&channels)) {
        if dice.chance(10) {
            witness.losses.push("closed with 1012 restarting".into());
            witness.note(welcome(cursor));
            witness.connected.push(Instant::now() + Duration::from_secs(5));
        }
        let (seq, id, digest, at) = (event.seq, event.id.clone(), event.digest, Instant::now());
        witness.note(Mark::Event(Received { seq, id, digest, at }));
        cursor = seq;
    }
    witness
}

fn inbox(tenant: &str, user: &str, log: &TenantLog, dice: &mut Dice) -> Inbox {
    let channels: BTreeSet<String> = ["tenant".to_owned(), format!("user:{user}")].into();
    let theirs = log.events.iter().filter(|event| !event.channels.is_disjoint(&channels));
    let expected: BTreeMap<u64, String> = theirs.map(|event| (event.seq, event.id.clone())).collect();
    let mut marked = BTreeMap::new();
    for seq in expected.keys() {
        if dice.chance(50) {
            marked.insert(*seq, Flags { read: dice.chance(70), archived: dice.chance(30) });
        }
    }
    let flags = |seq| marked.get(seq).copied().unwrap_or_default();
    let listed: BTreeMap<_, _> = expected.iter().map(|(seq, id)| (*seq, (id.clone(), flags(seq)))).collect();
    let unread = listed.values().filter(|(_, flags)| !flags.read && !flags.archived).count() as u64;
    let (tenant, user) = (tenant.to_owned(), user.to_owned());
    Inbox { tenant, user, listed, listed_again: Vec::new(), unread, summary_unread: unread, marked, expected }
}

fn endpoint(log: &TenantLog, dice: &mut Dice) -> Endpoint {
    let after = u64::from(dice.between(0, 5));
    let mut messages: Vec<Delivered> = Vec::new();
    for event in log.events.iter().filter(|event| event.seq > after) {
        messages.push(Delivered { tenant: log.tenant.clone(), seq: event.seq, id: event.id.clone() });
        // At least once: some come again, also later.
        if dice.chance(15) {
            messages.push(messages[dice.below(messages.len())].clone());
        }
    }
    Endpoint { tenant: log.tenant.clone(), after, messages }
}
