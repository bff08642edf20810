//! Who types where, and what are others told of it?
//!
//! Typing has an end: `start` is passed on at most every [`PACE_MS`] for a person and channel, and `stop` comes [`LIFE_MS`] after the last
//! one, when the connection leaves the channel, and when it goes. A person types as long as one of their connections does. Each shard
//! says so of its own connections, to the rest of its node and to the other nodes; of what others say it keeps until when it holds, so
//! that typing ends also where no word comes any more, because a node is dead. Here are values only; the shard says the words.

use super::messages::ConnectionId;
use crate::live::Source;
use crate::stream::Stream;
use carillon_platform::auth::Identity;
use carillon_protocol::{Channel, TenantId, Typing, UserId};
use slab::Slab;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How long somebody types after a `start`.
pub(super) const LIFE_MS: u64 = 6_000;
/// How often a `start` is passed on.
pub(super) const PACE_MS: u64 = 3_000;
/// How long a `start` of others holds: their own `stop` comes before, if they live.
pub(super) const OTHERS_MS: u64 = 7_000;
/// A `start` of others that comes sooner than this after one that was told here says nothing new.
const REPEATED_MS: u64 = 2_000;

/// Where somebody types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) tenant: TenantId,
    pub(super) channel: Channel,
    pub(super) user: UserId,
}

impl Place {
    /// Somebody in a channel.
    pub(super) fn of(identity: &Identity, channel: &Channel) -> Self {
        let (tenant, user) = (&identity.tenant, &identity.user);
        Self { tenant: tenant.clone(), channel: channel.clone(), user: user.clone() }
    }
}

/// What is to be said.
pub(super) struct Word {
    /// Of the tenant that it is in; keeps it alive until the last word is said.
    pub(super) stream: Arc<Stream>,
    pub(super) place: Place,
    pub(super) state: Typing,
    /// To the other shards and nodes.
    pub(super) to_others: bool,
    /// To those who are in the channel here.
    pub(super) here: bool,
    /// The connection whose typing it is.
    pub(super) except: Option<ConnectionId>,
}

struct Typist {
    stream: Arc<Stream>,
    place: Place,
    /// Connections of this shard that type, and until when.
    mine: Vec<(ConnectionId, u64)>,
    /// Others who say that this person types, and until when that holds.
    others: Vec<(Source, u64)>,
    /// When others were told of a `start` last.
    announced_ms: Option<u64>,
    /// Whether they believe it.
    is_believed: bool,
    /// Whether a `start` came since that was not passed on.
    owed: bool,
    /// When those here were told of a `start`, while they believe it.
    told_ms: Option<u64>,
    /// The one connection here that was told of none of these: its own.
    untold: Option<ConnectionId>,
    /// Its place among those that are due.
    due_ms: u64,
}

/// All who type, as one shard knows it. Owns nothing while nobody does.
#[derive(Default)]
pub(super) struct Typists {
    by_place: HashMap<Place, u32>,
    all: Slab<Typist>,
    due: BTreeSet<(u64, u32)>,
    /// The typing of each connection here that types.
    of_connection: HashMap<ConnectionId, Vec<u32>>,
    /// The time of this turn.
    now_ms: u64,
    /// What is to be said, in this order.
    pub(super) words: Vec<Word>,
}

impl Typists {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// When something is due next.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Whether a `start` of somebody would be passed on, now or as soon as it is time. One that came before may be owed already.
    pub(super) fn counts(&self, place: &Place) -> bool {
        let known = self.by_place.get(place).and_then(|key| self.all.get(*key as usize));
        known.is_none_or(|typist| !typist.owed)
    }

    /// Whose `start` is owed and due now, by the connections that type.
    pub(super) fn owing(&self) -> Vec<(ConnectionId, Place)> {
        let due = self.due.iter().take_while(|(at_ms, _)| *at_ms <= self.now_ms);
        let owing = due.filter_map(|(_, key)| self.all.get(*key as usize)).filter(|typist| typist.owed);
        let each = |typist: &'_ Typist| -> Vec<(ConnectionId, Place)> {
            typist.mine.iter().map(|(own, _)| (*own, typist.place.clone())).collect()
        };
        owing.flat_map(each).collect()
    }

    /// A connection here says `start`.
    pub(super) fn start(&mut self, stream: &Arc<Stream>, place: Place, connection: ConnectionId) {
        let (key, now_ms) = (self.entry(stream, place), self.now_ms);
        let Some(typist) = self.all.get_mut(key as usize) else { return };
        let until_ms = now_ms + LIFE_MS;
        match typist.mine.iter_mut().find(|(own, _)| *own == connection) {
            Some((_, until)) => *until = until_ms,
            None => {
                typist.mine.push((connection, until_ms));
                self.of_connection.entry(connection).or_default().push(key);
            }
        }
        typist.owed = true;
        self.words.extend(typist.pay(now_ms, Some(connection)));
        self.settle(key);
    }

    /// A connection here says `stop`, or is not in the channel any more. False if it did not type.
    pub(super) fn stop(&mut self, place: &Place, connection: ConnectionId) -> bool {
        let Some(key) = self.by_place.get(place).copied() else { return false };
        let is_one = self
            .all
            .get(key as usize)
            .is_some_and(|typist| typist.mine.iter().any(|(own, _)| *own == connection));
        if is_one {
            self.end(key, connection);
        }
        is_one
    }

    /// A connection is gone, and types nowhere.
    pub(super) fn gone(&mut self, connection: ConnectionId) {
        for key in self.of_connection.get(&connection).cloned().unwrap_or_default() {
            self.end(key, connection);
        }
    }

    /// A connection has left a tenant, and types nowhere there.
    pub(super) fn gone_from(&mut self, connection: ConnectionId, tenant: &TenantId) {
        for key in self.of_connection.get(&connection).cloned().unwrap_or_default() {
            if self.all.get(key as usize).is_some_and(|typist| typist.place.tenant == *tenant) {
                self.end(key, connection);
            }
        }
    }

    /// Others say `start`. Whether those here are to be told.
    pub(super) fn others_start(&mut self, stream: &Arc<Stream>, place: Place, source: Source) -> bool {
        let (key, now_ms) = (self.entry(stream, place), self.now_ms);
        let Some(typist) = self.all.get_mut(key as usize) else { return false };
        let until_ms = now_ms + OTHERS_MS;
        match typist.others.iter_mut().find(|(other, _)| *other == source) {
            Some((_, until)) => *until = until_ms,
            None => typist.others.push((source, until_ms)),
        }
        let is_new = typist.told_ms.is_none_or(|told_ms| now_ms >= told_ms + REPEATED_MS);
        if is_new {
            typist.told(now_ms, None);
        }
        self.settle(key);
        is_new
    }

    /// Others say `stop`. Whether those here are to be told.
    pub(super) fn others_stop(&mut self, place: &Place, source: Source) -> bool {
        let Some(key) = self.by_place.get(place).copied() else { return false };
        let Some(typist) = self.all.get_mut(key as usize) else { return false };
        typist.others.retain(|(other, _)| *other != source);
        let ends = typist.has_ended_here();
        self.settle(key);
        ends
    }

    /// Does what is due.
    pub(super) fn look_after(&mut self) {
        let now_ms = self.now_ms;
        while let Some((at_ms, key)) = self.due.first().copied().filter(|(at_ms, _)| *at_ms <= now_ms) {
            self.due.remove(&(at_ms, key));
            let Some(typist) = self.all.get_mut(key as usize) else { continue };
            typist.due_ms = u64::MAX;
            typist.others.retain(|(_, until_ms)| *until_ms > now_ms);
            let over: Vec<ConnectionId> =
                typist.mine.iter().filter(|(_, until_ms)| *until_ms <= now_ms).map(|(own, _)| *own).collect();
            for connection in &over {
                self.end(key, *connection);
            }
            let Some(typist) = self.all.get_mut(key as usize) else { continue };
            if typist.has_ended_here() {
                let word = typist.word(Typing::Stop, false, true, typist.untold);
                self.words.push(word);
            }
            self.words.extend(typist.pay(now_ms, None));
            self.settle(key);
        }
    }

    /// A connection here does not type there any more.
    fn end(&mut self, key: u32, connection: ConnectionId) {
        if let Some(own) = self.of_connection.get_mut(&connection) {
            own.retain(|typing| *typing != key);
            if own.is_empty() {
                self.of_connection.remove(&connection);
            }
        }
        let Some(typist) = self.all.get_mut(key as usize) else { return };
        typist.mine.retain(|(own, _)| *own != connection);
        if typist.mine.is_empty() {
            typist.owed = false;
            let to_others = std::mem::take(&mut typist.is_believed);
            let here = typist.has_ended_here();
            if to_others || here {
                let word = typist.word(Typing::Stop, to_others, here, typist.untold);
                self.words.push(word);
            }
        }
        self.settle(key);
    }

    fn entry(&mut self, stream: &Arc<Stream>, place: Place) -> u32 {
        if let Some(key) = self.by_place.get(&place) {
            return *key;
        }
        let typist = Typist {
            stream: stream.clone(),
            place: place.clone(),
            mine: Vec::new(),
            others: Vec::new(),
            announced_ms: None,
            is_believed: false,
            owed: false,
            told_ms: None,
            untold: None,
            due_ms: u64::MAX,
        };
        let key = self.all.insert(typist) as u32;
        self.by_place.insert(place, key);
        key
    }

    /// Notes when it is due again, or forgets it.
    fn settle(&mut self, key: u32) {
        let now_ms = self.now_ms;
        let Some(typist) = self.all.get_mut(key as usize) else { return };
        let due_ms = typist.next_ms(now_ms);
        if due_ms != Some(typist.due_ms) {
            self.due.remove(&(typist.due_ms, key));
        }
        match due_ms {
            Some(due_ms) => {
                typist.due_ms = due_ms;
                self.due.insert((due_ms, key));
            }
            None => {
                let typist = self.all.remove(key as usize);
                self.by_place.remove(&typist.place);
                // A map that was large once is no smaller for being empty.
                if self.all.is_empty() {
                    (self.by_place, self.all, self.of_connection) = Default::default();
                }
            }
        }
    }
}

impl Typist {
    fn word(&self, state: Typing, to_others: bool, here: bool, except: Option<ConnectionId>) -> Word {
        let (stream, place) = (self.stream.clone(), self.place.clone());
        Word { stream, place, state, to_others, here, except }
    }

    /// Passes a `start` on that came, if it is time.
    fn pay(&mut self, now_ms: u64, by: Option<ConnectionId>) -> Option<Word> {
        if !self.owed || self.announced_ms.is_some_and(|at_ms| now_ms < at_ms + PACE_MS) {
            return None;
        }
        (self.owed, self.is_believed, self.announced_ms) = (false, true, Some(now_ms));
        let here = self.told_ms.is_none_or(|told_ms| now_ms >= told_ms + REPEATED_MS);
        let only = self.mine.first().filter(|_| self.mine.len() == 1).map(|(own, _)| *own);
        let except = by.or(only);
        if here {
            self.told(now_ms, except);
        }
        Some(self.word(Typing::Start, true, here, except))
    }

    /// Those here are told of a `start`, but for one.
    fn told(&mut self, now_ms: u64, except: Option<ConnectionId>) {
        let is_first = self.told_ms.replace(now_ms).is_none();
        if is_first || self.untold != except {
            self.untold = except.filter(|_| is_first);
        }
    }

    /// Whether those here are to be told now that nobody says any more that this person types.
    fn has_ended_here(&mut self) -> bool {
        self.mine.is_empty() && self.others.is_empty() && self.told_ms.take().is_some()
    }

    /// When it must be looked at next; never, once it may be forgotten.
    fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let until =
            self.mine.iter().map(|(_, until)| *until).chain(self.others.iter().map(|(_, until)| *until));
        let paced = self.announced_ms.map(|at_ms| at_ms + PACE_MS);
        let is_quiet = self.mine.is_empty() && self.others.is_empty();
        // What is owed is due, however late. Who stops and starts again at once is not passed on sooner: that is remembered so long.
        let due = paced.filter(|at_ms| self.owed || (is_quiet && *at_ms > now_ms));
        until.chain(due).min()
    }
}

#[cfg(test)]
#[path = "typists_tests.rs"]
mod tests;
