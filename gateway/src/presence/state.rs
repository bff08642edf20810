//! What is to be done when something about presence happens?
//!
//! All tenants of this node. Events come in with the time, and what is to be done comes out as [`Effect`]s. Pure.

use super::other::Read;
use super::own::Writing;
use super::roster::{LISTED, Limits, Told, Update};
use super::tenant::{Tenant, Wish};
use carillon_protocol::presence::{Change, Origin};
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Something that is to be done.
#[derive(Debug)]
pub(crate) enum Effect<A> {
    /// Write it to Redis, and say how that went.
    Write(TenantId, Writing),
    /// Read the list of a tenant's heads, and prolong what is there of ours.
    ReadHeads(TenantId),
    /// Read a node's hash.
    Read(TenantId, Origin),
    /// Take what is there of a node away.
    Forget(TenantId, Origin),
    /// Tell the watchers of a channel, on these shards.
    Tell(TenantId, Channel, u64, Update),
    /// Answer a question; whether what is answered may be out of date.
    Answer(TenantId, A, Vec<(Channel, Told)>, bool),
}

/// Something that happened to a connection, or that it wants.
#[derive(Debug)]
pub(crate) enum Event<A> {
    /// Somebody's connection is in a channel.
    Enter { channel: Channel, user: UserId, meta: Option<Arc<str>>, grace_ms: u32 },
    /// It is not any more.
    Leave { channel: Channel, user: UserId, goodbye: bool },
    /// What somebody says about themselves.
    Meta { channel: Channel, user: UserId, meta: Option<Arc<str>> },
    /// A shard has its first watcher of a channel.
    Watch { channel: Channel },
    /// It has lost its last.
    Unwatch { channel: Channel },
    /// Somebody wants to know who is in channels.
    Ask { who: A, channels: Vec<Channel> },
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Changes that came twice.
    pub(crate) repeated: u64,
    /// Hashes that were read.
    pub(crate) reads: u64,
    /// Hashes that were written anew.
    pub(crate) rewrites: u64,
    /// Words about channels.
    pub(crate) told: u64,
}

/// Who is where, as this node knows it.
pub(crate) struct Presence<A> {
    me: Origin,
    tenants: HashMap<TenantId, Tenant<A>>,
    /// Who is living; none while that is not known.
    living: Option<HashSet<Origin>>,
    away: bool,
    limits: Limits,
    effects: Vec<Effect<A>>,
    wishes: Vec<Wish<A>>,
    pub(crate) tally: Tally,
}

impl<A> Presence<A> {
    pub(crate) fn new(me: Origin) -> Self {
        Self::with_limits(me, Limits { listed: LISTED })
    }

    pub(crate) fn with_limits(me: Origin, limits: Limits) -> Self {
        Self {
            me,
            tenants: HashMap::new(),
            living: None,
            away: true,
            limits,
            effects: Vec::new(),
            wishes: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What is to be done since this was last asked.
    pub(crate) fn effects(&mut self) -> Vec<Effect<A>> {
        std::mem::take(&mut self.effects)
    }

    /// Something happened to a connection of a shard.
    pub(crate) fn on(&mut self, shard: u16, tenant: &TenantId, event: Event<A>, now_ms: u64) {
        if !self.tenants.contains_key(tenant) {
            let is_new = matches!(event, Event::Enter { .. } | Event::Watch { .. } | Event::Ask { .. });
            if !is_new {
                return;
            }
            let mut new = Tenant::new(self.limits, now_ms);
            if self.away {
                new.interrupted();
            }
            self.tenants.insert(tenant.clone(), new);
        }
        let Some(state) = self.tenants.get_mut(tenant) else { return };
        match event {
            Event::Enter { channel, user, meta, grace_ms } => {
                state.enter(&(channel, user), meta, grace_ms, now_ms);
            }
            Event::Leave { channel, user, goodbye } => state.leave(&(channel, user), goodbye, now_ms),
            Event::Meta { channel, user, meta } => state.set_meta(&(channel, user), meta, now_ms),
            Event::Watch { channel } => state.watch(&channel, |shards| shards | 1 << shard),
            Event::Unwatch { channel } => state.watch(&channel, |shards| shards & !(1 << shard)),
            Event::Ask { who, channels } => state.ask(who, channels, now_ms),
        }
    }

    /// A node said something.
    pub(crate) fn heard(&mut self, tenant: &TenantId, from: Origin, change: Change, now_ms: u64) {
        // While Redis is away for us nothing can be read; when it is back, everything is.
        if from == self.me || self.away {
            return;
        }
        let Some(state) = self.tenants.get_mut(tenant) else { return };
        self.tally.repeated += u64::from(state.heard(from, change, now_ms, &mut self.wishes));
        self.take_wishes(tenant);
    }

    /// What was to be written is in Redis, or may not be.
    pub(crate) fn written(&mut self, tenant: &TenantId, done: bool, now_ms: u64) {
        if let Some(state) = self.tenants.get_mut(tenant).filter(|_| !self.away) {
            state.own.written(done, now_ms);
        }
    }

    /// A tenant's list of heads was read; none if it could not be.
    pub(crate) fn heads(&mut self, tenant: &TenantId, heads: Option<Vec<(Origin, u64)>>, now_ms: u64) {
        let Some(state) = self.tenants.get_mut(tenant).filter(|_| !self.away) else { return };
        state.heads(heads, &self.me, self.living.as_ref(), now_ms, &mut self.wishes);
        self.take_wishes(tenant);
    }

    /// A node's hash was read, or could not be.
    pub(crate) fn stored(&mut self, tenant: &TenantId, from: &Origin, read: Read, now_ms: u64) {
        let Some(state) = self.tenants.get_mut(tenant).filter(|_| !self.away) else { return };
        state.stored(from, read, now_ms, &mut self.wishes);
        self.take_wishes(tenant);
    }

    /// Who is living; none while nobody knows.
    pub(crate) fn living(&mut self, living: Option<HashSet<Origin>>, now_ms: u64) {
        self.living = living;
        for state in self.tenants.values_mut() {
            state.living(self.living.as_ref(), now_ms);
        }
    }

    /// Something of what others said may be lost.
    pub(crate) fn look_again(&mut self, now_ms: u64) {
        self.tenants.values_mut().for_each(|state| state.look_again(now_ms));
    }

    /// Redis is away, or back.
    pub(crate) fn redis(&mut self, up: bool, now_ms: u64) {
        match (self.away, up) {
            (false, false) => self.tenants.values_mut().for_each(Tenant::interrupted),
            (true, true) => {
                self.tenants.values_mut().for_each(|state| state.resume(now_ms));
                self.living(None, now_ms);
            }
            _ => {}
        }
        self.away = !up;
    }

    /// Does what is due in all tenants, and forgets those that nobody needs.
    pub(crate) fn look_after(&mut self, now_ms: u64) {
        let names: Vec<TenantId> = self.tenants.keys().cloned().collect();
        for tenant in names {
            let Some(state) = self.tenants.get_mut(&tenant) else { continue };
            state.look_after(self.away, now_ms, &mut self.wishes);
            let is_idle = state.is_idle();
            self.take_wishes(&tenant);
            if is_idle {
                // What is there of ours holds nobody, and goes with its lease.
                self.tenants.remove(&tenant);
            }
        }
    }

    fn take_wishes(&mut self, tenant: &TenantId) {
        for wish in self.wishes.drain(..) {
            let tenant = tenant.clone();
            self.effects.push(match wish {
                Wish::Write(writing) => {
                    self.tally.rewrites += u64::from(matches!(writing, Writing::Anew { .. }));
                    Effect::Write(tenant, writing)
                }
                Wish::ReadHeads => Effect::ReadHeads(tenant),
                Wish::Read(origin) => {
                    self.tally.reads += 1;
                    Effect::Read(tenant, origin)
                }
                Wish::Forget(origin) => Effect::Forget(tenant, origin),
                Wish::Tell(channel, shards, update) => {
                    self.tally.told += 1;
                    Effect::Tell(tenant, channel, shards, update)
                }
                Wish::Answer(who, told, stale) => Effect::Answer(tenant, who, told, stale),
            });
        }
    }

    /// Whether there is anything to look after.
    pub(crate) fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// People who are here, and channels that are watched here.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let counts = self.tenants.values().map(Tenant::counts);
        counts.fold((0, 0), |(people, channels), (p, c)| (people + p, channels + c))
    }
}
