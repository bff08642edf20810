//! Does everybody know who is here, whatever happens?
//!
//! Several nodes with their own state, one Redis and a network that loses, doubles and reorders what is said. People come with
//! several tabs, break off, say goodbye, come back elsewhere; nodes die, freeze and are cut off; Redis goes away and comes back
//! empty. After some quiet seconds every node and every watcher knows exactly who is here. `PRESENCE_SEED=n` runs one seed again,
//! `PRESENCE_SEEDS=n` so many.

use super::other::{Read, Stored};
use super::own::Writing;
use super::roster::{Limits, Update};
use super::state::{Effect, Event, Presence};
use carillon_protocol::presence::{Change, Entry, Origin, What};
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::{BTreeMap, BTreeSet, HashSet};

mod redis;

const TICK_MS: u64 = 100;
/// People that watchers know by name here, so that crowds are small.
const LISTED: usize = 4;
const GRACE_MS: u64 = 10_000;
const BEAT_MS: u64 = 2_000;
const STILL_MS: u64 = 10_000;
const LEASE_MS: u64 = 20_000;

type Place = (Channel, UserId);

/// What a Redis has.
#[derive(Default)]
struct Redis {
    hashes: BTreeMap<Origin, Hash>,
    heads: BTreeMap<Origin, u64>,
    /// When each node last told that it lives.
    cards: BTreeMap<Origin, u64>,
}

#[derive(Default, Clone)]
struct Hash {
    n: Option<u64>,
    people: BTreeMap<Place, (u64, Entry)>,
    until_ms: u64,
}

/// A client that is connected to a node.
struct Client {
    user: UserId,
    channel: Channel,
    /// What it was told, if it watches.
    list: Option<BTreeMap<UserId, u64>>,
    count: usize,
    watches: bool,
    /// It did not take what it was told, and asks again when it reads.
    missed: bool,
    asked: bool,
}

struct Node {
    origin: Origin,
    presence: Presence<usize>,
    clients: BTreeMap<usize, Client>,
    /// Until when it does nothing, and until when it cannot reach Redis.
    frozen_ms: u64,
    cut_ms: u64,
    was_up: bool,
    beat_ms: u64,
    /// What is asked of Redis: done then, in this order.
    under_way: Vec<(u64, Asked)>,
    heard: Vec<(u64, Origin, Change)>,
}

enum Asked {
    Write(Writing),
    /// The second part of writing everything anew: the number, and the word to all.
    End {
        n: u64,
        first: Option<(Place, Entry)>,
    },
    Heads,
    Read {
        of: Origin,
        n: Option<u64>,
        half: Vec<(Channel, UserId, u64, Entry)>,
        phase: u8,
    },
    Forget(Origin),
}

struct World {
    rng: fastrand::Rng,
    now_ms: u64,
    redis: Redis,
    redis_away_ms: u64,
    nodes: Vec<Option<Node>>,
    number: u64,
    faults: bool,
    /// Everything that watchers were told of by name.
    noise: Vec<String>,
    tenant: TenantId,
}

fn channel(n: u8) -> Channel {
    Channel::new(format!("branch:{n}")).unwrap()
}

fn user(n: u8) -> UserId {
    UserId::new(format!("user-{n}")).unwrap()
}

impl World {
    fn new(seed: u64, nodes: usize) -> Self {
        let mut world = Self {
            rng: fastrand::Rng::with_seed(seed),
            now_ms: 1_800_000_000_000,
            redis: Redis::default(),
            redis_away_ms: 0,
            nodes: Vec::new(),
            number: 0,
            faults: true,
            noise: Vec::new(),
            tenant: TenantId::new("acme").unwrap(),
        };
        for place in 0..nodes {
            world.nodes.push(None);
            world.start(place);
        }
        world
    }

    fn start(&mut self, place: usize) {
        self.number += 1;
        let origin = Origin { node: format!("gateway-{place}").into(), incarnation: self.number };
        self.nodes[place] = Some(Node {
            presence: Presence::with_limits(origin.clone(), Limits { listed: LISTED }),
            origin,
            clients: BTreeMap::new(),
            frozen_ms: 0,
            cut_ms: 0,
            was_up: false,
            beat_ms: 0,
            under_way: Vec::new(),
            heard: Vec::new(),
        });
    }

    fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|place| self.nodes[*place].is_some()).collect()
    }

    /// A client connects.
    fn connect(&mut self, place: usize, user: UserId, channel: Channel, watches: bool) {
        self.number += 1;
        let (number, now_ms, tenant) = (self.number as usize, self.now_ms, self.tenant.clone());
        let Some(node) = &mut self.nodes[place] else { return };
        let enter = Event::Enter {
            channel: channel.clone(),
            user: user.clone(),
            meta: None,
            grace_ms: GRACE_MS as u32,
        };
        node.presence.on(0, &tenant, enter, now_ms);
        if watches {
            node.presence.on(0, &tenant, Event::Watch { channel: channel.clone() }, now_ms);
            node.presence.on(0, &tenant, Event::Ask { who: number, channels: vec![channel.clone()] }, now_ms);
        }
        let client = Client { user, channel, list: None, count: 0, watches, missed: false, asked: watches };
        node.clients.insert(number, client);
    }

    /// A client goes.
    fn disconnect(&mut self, place: usize, number: usize, goodbye: bool) -> Option<Client> {
        let (now_ms, tenant) = (self.now_ms, self.tenant.clone());
        let node = self.nodes[place].as_mut()?;
        let client = node.clients.remove(&number)?;
        let (channel, user) = (client.channel.clone(), client.user.clone());
        node.presence.on(0, &tenant, Event::Leave { channel: channel.clone(), user, goodbye }, now_ms);
        let is_watched = |client: &Client| client.watches && client.channel == channel;
        if client.watches && !node.clients.values().any(is_watched) {
            node.presence.on(0, &tenant, Event::Unwatch { channel }, now_ms);
        }
        Some(client)
    }

    /// Time passes.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / TICK_MS {
            self.now_ms += TICK_MS;
            let now_ms = self.now_ms;
            self.redis.hashes.retain(|_, hash| hash.until_ms > now_ms);
            for place in self.living() {
                self.turn(place);
            }
        }
    }

    fn turn(&mut self, place: usize) {
        let Some(mut node) = self.nodes[place].take() else { return };
        let now_ms = self.now_ms;
        if now_ms >= node.frozen_ms {
            let up = now_ms >= node.cut_ms && now_ms >= self.redis_away_ms;
            if up != node.was_up {
                node.was_up = up;
                node.presence.redis(up, now_ms);
                node.under_way.clear();
                if !up {
                    node.heard.clear();
                }
            }
            if up {
                self.beat(&mut node);
                let (due, later) =
                    std::mem::take(&mut node.under_way).into_iter().partition(|(at, _)| *at <= now_ms);
                node.under_way = later;
                let due: Vec<(u64, Asked)> = due;
                for (_, asked) in due {
                    self.carry_out(&mut node, place, asked);
                }
            } else {
                node.presence.living(None, now_ms);
            }
            let (due, later) =
                std::mem::take(&mut node.heard).into_iter().partition(|(at, ..)| *at <= now_ms);
            node.heard = later;
            let due: Vec<(u64, Origin, Change)> = due;
            for (_, from, change) in due {
                node.presence.heard(&self.tenant, from, change, now_ms);
            }
            self.read_again(&mut node);
            node.presence.look_after(now_ms);
            for effect in node.presence.effects() {
                self.effect(&mut node, effect);
            }
        }
        self.nodes[place] = Some(node);
    }

    /// Clients that missed something ask when they read again.
    fn read_again(&mut self, node: &mut Node) {
        for (number, client) in &mut node.clients {
            if client.missed && !client.asked && (!self.faults || self.rng.u8(..8) == 0) {
                (client.missed, client.asked) = (false, true);
                let ask = Event::Ask { who: *number, channels: vec![client.channel.clone()] };
                node.presence.on(0, &self.tenant, ask, self.now_ms);
            }
        }
    }

    fn beat(&mut self, node: &mut Node) {
        if self.now_ms < node.beat_ms + BEAT_MS {
            return;
        }
        node.beat_ms = self.now_ms;
        self.redis.cards.insert(node.origin.clone(), self.now_ms);
        let is_living = |(_, at): &(&Origin, &u64)| self.now_ms - **at <= STILL_MS;
        let living: HashSet<Origin> =
            self.redis.cards.iter().filter(is_living).map(|(origin, _)| origin.clone()).collect();
        node.presence.living(Some(living), self.now_ms);
    }

    fn effect(&mut self, node: &mut Node, effect: Effect<usize>) {
        let at_ms = self.now_ms + if self.faults { self.rng.u64(0..4) * TICK_MS } else { 0 };
        match effect {
            Effect::Write(_, writing) => node.under_way.push((at_ms, Asked::Write(writing))),
            Effect::ReadHeads(_) => node.under_way.push((at_ms, Asked::Heads)),
            Effect::Read(_, of) => {
                let asked = Asked::Read { of, n: None, half: Vec::new(), phase: 0 };
                node.under_way.push((at_ms, asked));
            }
            Effect::Forget(_, origin) => node.under_way.push((at_ms, Asked::Forget(origin))),
            Effect::Tell(_, channel, shards, update) => {
                assert_eq!(shards, 1, "only shards with watchers are told");
                self.tell(node, &channel, &update);
            }
            Effect::Answer(_, who, told, stale) => {
                let Some(client) = node.clients.get_mut(&who) else { return };
                client.asked = false;
                let (_, told) = told.into_iter().next().unwrap();
                client.count = told.count;
                let member = |json: &str| {
                    let value: serde_json::Value = serde_json::from_str(json).unwrap();
                    (UserId::new(value["user"].as_str().unwrap()).unwrap(), value["since"].as_u64().unwrap())
                };
                client.list = Some(told.members.iter().map(|json| member(json)).collect());
                assert!(stale || told.count >= told.members.len());
            }
        }
    }

    fn tell(&mut self, node: &mut Node, channel: &Channel, update: &Update) {
        for client in node.clients.values_mut().filter(|client| client.watches && client.channel == *channel)
        {
            if self.faults && self.rng.u8(..16) == 0 {
                client.missed = true;
            }
            // Whoever is behind gets nothing until it has asked again.
            let Some(list) = client.list.as_mut().filter(|_| !client.missed) else { continue };
            let named = |verb: &str, user: &UserId| format!("{} hears that {user} {verb}", client.user);
            self.noise.extend(update.joined.iter().map(|(user, _)| named("joined", user)));
            self.noise.extend(update.updated.iter().map(|(user, _)| named("is another", user)));
            self.noise.extend(update.left.iter().map(|user| named("left", user)));
            client.count = update.count;
            for (user, present) in update.joined.iter().chain(&update.updated) {
                list.insert(user.clone(), present.since_ms);
            }
            for user in &update.left {
                list.remove(user);
            }
        }
    }

    /// Something happens.
    fn happen(&mut self) {
        let living = self.living();
        let place = living[self.rng.usize(..living.len())];
        let clients: Vec<usize> =
            self.nodes[place].as_ref().map_or(Vec::new(), |node| node.clients.keys().copied().collect());
        let some = (!clients.is_empty()).then(|| clients[self.rng.usize(..clients.len())]);
        match (self.rng.u8(..60), some) {
            (0..24, _) => {
                let (who, to, watches) = (self.rng.u8(..9), self.rng.u8(..2), self.rng.bool());
                self.connect(place, user(who), channel(to), watches);
            }
            (24..34, Some(number)) => {
                let goodbye = self.rng.bool();
                drop(self.disconnect(place, number, goodbye));
            }
            (34..48, Some(number)) => {
                // A page that is loaded again, perhaps at another node.
                if let Some(client) = self.disconnect(place, number, false) {
                    let to = living[self.rng.usize(..living.len())];
                    self.connect(to, client.user, client.channel, client.watches);
                }
            }
            (48..51, Some(number)) => {
                let meta = Some(format!("{{\"busy\":{}}}", self.rng.u8(..4)).into());
                if let Some(node) = &mut self.nodes[place] {
                    let Client { user, channel, .. } = &node.clients[&number];
                    let event = Event::Meta { channel: channel.clone(), user: user.clone(), meta };
                    node.presence.on(0, &self.tenant, event, self.now_ms);
                }
            }
            (51, _) if living.len() > 1 => {
                // It is killed: its clients come back elsewhere, or do not.
                let node = self.nodes[place].take().unwrap();
                let elsewhere = self.living();
                for client in node.clients.into_values() {
                    let (comes, to) = (self.rng.bool(), elsewhere[self.rng.usize(..elsewhere.len())]);
                    if comes {
                        self.connect(to, client.user, client.channel, client.watches);
                    }
                }
            }
            (52, _) => {
                if let Some(place) = (0..self.nodes.len()).find(|place| self.nodes[*place].is_none()) {
                    self.start(place);
                }
            }
            (53, _) => {
                let ms = self.rng.u64(0..40_000);
                if let Some(node) = &mut self.nodes[place] {
                    node.frozen_ms = self.now_ms + ms;
                }
            }
            (54 | 55, _) => {
                let ms = self.rng.u64(0..30_000);
                if let Some(node) = &mut self.nodes[place] {
                    node.cut_ms = self.now_ms + ms;
                }
            }
            (56, _) => self.redis_away_ms = self.now_ms + self.rng.u64(0..20_000),
            (57, _) => {
                self.redis = Redis::default();
                self.redis_away_ms = self.now_ms + self.rng.u64(100..5_000);
            }
            _ => {}
        }
        let ms = self.rng.u64(0..20) * TICK_MS;
        self.pass(ms);
    }

    fn truth(&self, channel: &Channel) -> BTreeSet<UserId> {
        let clients = self.nodes.iter().flatten().flat_map(|node| node.clients.values());
        clients.filter(|client| client.channel == *channel).map(|client| client.user.clone()).collect()
    }

    /// Every watcher knows who is here.
    fn check(&self, seed: u64) {
        for node in self.nodes.iter().flatten() {
            for client in node.clients.values().filter(|client| client.watches) {
                let (truth, at) = (self.truth(&client.channel), &node.origin.node);
                let known: BTreeSet<UserId> =
                    client.list.as_ref().map(|list| list.keys().cloned().collect()).unwrap_or_default();
                let said = format!("PRESENCE_SEED={seed}: {} at {at} in {}", client.user, client.channel);
                assert_eq!(client.count, truth.len(), "{said} counts others: {known:?}, not {truth:?}");
                if truth.len() <= LISTED {
                    assert_eq!(known, truth, "{said}");
                } else {
                    assert!(known.is_subset(&truth) && known.len() == LISTED, "{said}: {known:?}, {truth:?}");
                }
            }
        }
    }
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("PRESENCE_SEED"), number("PRESENCE_SEEDS")) {
        (Some(one), _) => one..one + 1,
        (None, many) => 0..many.unwrap_or(usual),
    }
}

#[test]
fn after_some_quiet_everybody_knows_who_is_here_whatever_happened() {
    for seed in seeds(300) {
        let mut world = World::new(seed, 2 + seed as usize % 3);
        for _ in 0..world.rng.usize(10..120) {
            world.happen();
        }
        world.faults = false;
        world.redis_away_ms = 0;
        for node in world.nodes.iter_mut().flatten() {
            (node.frozen_ms, node.cut_ms) = (0, 0);
        }
        world.pass(40_000);
        world.check(seed);
    }
}

/// Every node is replaced, one after the other; clients come back elsewhere within seconds. Watchers hear of nobody.
#[test]
fn while_all_nodes_are_replaced_nobody_who_comes_back_is_told_of() {
    for seed in seeds(100) {
        let mut world = World::new(seed, 3);
        world.faults = false;
        world.pass(3_000);
        for n in 0..8 {
            let place = world.rng.usize(..3);
            world.connect(place, user(n % 4), channel(0), n % 2 == 0);
        }
        world.pass(3_000);
        world.noise.clear();
        for place in 0..3 {
            let numbers: Vec<usize> = world.nodes[place].as_ref().unwrap().clients.keys().copied().collect();
            for number in numbers {
                let client = world.disconnect(place, number, false).unwrap();
                let ms = world.rng.u64(0..8) * TICK_MS;
                world.pass(ms);
                let to = (place + 1 + world.rng.usize(..2)) % 3;
                world.connect(to, client.user, client.channel, client.watches);
            }
            world.pass(1_000);
            // It takes its card away; its hash stays until its lease ends.
            let gone = world.nodes[place].take().unwrap();
            world.redis.cards.remove(&gone.origin);
            world.pass(2_000);
            world.start(place);
            world.pass(2_000);
        }
        world.pass(40_000);
        world.check(seed);
        assert_eq!(world.noise, Vec::<String>::new(), "PRESENCE_SEED={seed}");
    }
}
