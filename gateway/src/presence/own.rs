//! What does this node say about its own connections in a tenant?
//!
//! A person is here as long as they have a connection, and for their channel's grace after the last one broke off. What is to be
//! said gathers until the next change is written; the last word about somebody is what is said. Pure.

use carillon_protocol::presence::{Change, Entry, ITEMS, Item, What};
use carillon_protocol::{Channel, UserId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Time between two changes of somebody's `meta` that are passed on.
const META_MS: u64 = 1_000;
/// How long what Redis has stays without being prolonged.
const LEASE_MS: u64 = carillon_backplane::bus::LEASE_S * 1_000;
/// Changes of so long are written together.
const GATHERED_MS: u64 = 50;
/// How long a goodbye may be on its way from another node.
const ON_ITS_WAY_MS: u64 = 1_000;
/// Bytes of names and `meta` in one change.
const BYTES: usize = 256 * 1024;

/// Somebody in a channel of a tenant.
pub(super) type Place = (Channel, UserId);

/// This node's own people in a tenant.
#[derive(Debug)]
pub(super) struct Own {
    people: HashMap<Channel, HashMap<UserId, Mine>>,
    count: usize,
    /// Of the last change that was said.
    n: u64,
    /// Of the last one that Redis has confirmed; none: it may not have what was said before.
    confirmed: Option<u64>,
    /// When Redis last said that it has it.
    confirmed_ms: u64,
    /// Whether Redis may have anything of ours.
    has_said: bool,
    /// The people who are to be spoken of, and whether they said goodbye.
    unsaid: HashMap<Place, bool>,
    is_writing: bool,
    /// When something was last written.
    wrote_ms: u64,
    /// When somebody is gone, or their next `meta` is passed on.
    timers: BTreeSet<(u64, Channel, UserId)>,
}

#[derive(Debug)]
struct Mine {
    entry: Entry,
    connections: u32,
    /// When their grace is over, while they have no connection.
    gone_ms: Option<u64>,
    /// A `meta` that waits for its second.
    next_meta: Option<Option<Arc<str>>>,
    /// When `meta` was last passed on by their own wish.
    changed_ms: u64,
}

/// What is to be written to Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Writing {
    /// What is new.
    Change(Change),
    /// All there is, under this number.
    Anew {
        /// The number.
        n: u64,
        /// Everybody.
        people: Vec<(Channel, UserId, Entry)>,
    },
}

impl Own {
    /// Numbers begin with the time, so that those of a later stay in the tenant are higher.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            people: HashMap::new(),
            count: 0,
            n: now_ms,
            confirmed: None,
            confirmed_ms: now_ms,
            has_said: false,
            unsaid: HashMap::new(),
            is_writing: false,
            wrote_ms: 0,
            timers: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, channel: &Channel, user: &UserId) -> Option<&Entry> {
        self.people.get(channel)?.get(user).map(|mine| &mine.entry)
    }

    /// Everybody in a channel.
    pub(super) fn in_channel(&self, channel: &Channel) -> impl Iterator<Item = &UserId> {
        self.people.get(channel).into_iter().flat_map(HashMap::keys)
    }

    /// A connection of somebody is in a channel. `since_ms` is since when others say that they are, or now.
    pub(super) fn enter(
        &mut self,
        place: &Place,
        meta: Option<Arc<str>>,
        grace_ms: u32,
        since_ms: u64,
        now_ms: u64,
    ) {
        let people = self.people.entry(place.0.clone()).or_default();
        if let Some(mine) = people.get_mut(&place.1) {
            mine.connections += 1;
            mine.entry.grace_ms = grace_ms;
            if let Some(at) = mine.gone_ms.take() {
                self.timers.remove(&(at, place.0.clone(), place.1.clone()));
            }
            return;
        }
        let entry = Entry { since_ms, set_ms: now_ms, grace_ms, meta };
        let mine = Mine { entry, connections: 1, gone_ms: None, next_meta: None, changed_ms: 0 };
        people.insert(place.1.clone(), mine);
        self.count += 1;
        self.unsaid.insert(place.clone(), false);
    }

    /// A connection of somebody is not in a channel any more. Whether they are gone at once.
    pub(super) fn leave(&mut self, place: &Place, goodbye: bool, now_ms: u64) -> bool {
        let Some(mine) = self.people.get_mut(&place.0).and_then(|people| people.get_mut(&place.1)) else {
            return false;
        };
        mine.connections = mine.connections.saturating_sub(1);
        if mine.connections > 0 || mine.gone_ms.is_some() {
            return false;
        }
        if goodbye || mine.entry.grace_ms == 0 {
            self.remove(place, goodbye);
            return true;
        }
        let at = now_ms + u64::from(mine.entry.grace_ms);
        mine.gone_ms = Some(at);
        self.timers.insert((at, place.0.clone(), place.1.clone()));
        false
    }

    /// Somebody said goodbye elsewhere. Whether that ends their grace here: not if they broke off here just now, which may have been
    /// after they said it.
    pub(super) fn goodbye_elsewhere(&mut self, place: &Place, now_ms: u64) -> bool {
        let mine = self.people.get(&place.0).and_then(|people| people.get(&place.1));
        let waits = mine.is_some_and(|mine| {
            let since_ms = mine.gone_ms.map(|at| at - u64::from(mine.entry.grace_ms));
            since_ms.is_some_and(|since_ms| now_ms >= since_ms + ON_ITS_WAY_MS)
        });
        if waits {
            self.remove(place, true);
        }
        waits
    }

    fn remove(&mut self, place: &Place, goodbye: bool) {
        let Some(people) = self.people.get_mut(&place.0) else { return };
        if let Some(mine) = people.remove(&place.1) {
            self.count -= 1;
            if let Some(at) = mine.gone_ms {
                self.timers.remove(&(at, place.0.clone(), place.1.clone()));
            }
            self.unsaid.insert(place.clone(), goodbye);
        }
        if people.is_empty() {
            self.people.remove(&place.0);
        }
    }

    /// Others have known somebody for longer. Whether that is new.
    pub(super) fn known_since(&mut self, place: &Place, since_ms: u64) -> bool {
        let mine = self.people.get_mut(&place.0).and_then(|people| people.get_mut(&place.1));
        let Some(mine) = mine.filter(|mine| since_ms < mine.entry.since_ms) else { return false };
        mine.entry.since_ms = since_ms;
        self.unsaid.insert(place.clone(), false);
        true
    }

    /// Sets what somebody says about themselves. Whether it is passed on now: once a second it is.
    pub(super) fn set_meta(&mut self, place: &Place, meta: Option<Arc<str>>, now_ms: u64) -> bool {
        let mine = self.people.get_mut(&place.0).and_then(|people| people.get_mut(&place.1));
        let Some(mine) = mine else { return false };
        if now_ms < mine.changed_ms + META_MS {
            if mine.next_meta.replace(meta).is_none() {
                self.timers.insert((mine.changed_ms + META_MS, place.0.clone(), place.1.clone()));
            }
            return false;
        }
        mine.next_meta = None;
        (mine.entry.meta, mine.entry.set_ms, mine.changed_ms) = (meta, now_ms, now_ms);
        self.unsaid.insert(place.clone(), false);
        true
    }

    /// Does what is due; answers who has changed by it.
    pub(super) fn look_after(&mut self, now_ms: u64) -> Vec<Place> {
        let mut changed = Vec::new();
        while self.timers.first().is_some_and(|(at, ..)| *at <= now_ms) {
            let Some((_, channel, user)) = self.timers.pop_first() else { break };
            let place = (channel, user);
            let mine = self.people.get_mut(&place.0).and_then(|people| people.get_mut(&place.1));
            let Some(mine) = mine else { continue };
            if mine.gone_ms.is_some_and(|at| at <= now_ms) {
                self.remove(&place, false);
                changed.push(place);
            } else if let Some(meta) = mine.next_meta.take()
                && self.set_meta(&place, meta, now_ms)
            {
                changed.push(place);
            }
        }
        changed
    }

    /// What is to be written now, if anything is and nothing is on its way. Whoever takes it says how it went.
    pub(super) fn write(&mut self, now_ms: u64) -> Option<Writing> {
        if now_ms > self.confirmed_ms + LEASE_MS / 4 * 3 && self.has_said {
            // We may have stood still so long that what was there is gone.
            self.confirmed = None;
        }
        if self.is_writing || (self.unsaid.is_empty() && !self.is_to_be_written_anew()) {
            return None;
        }
        if now_ms < self.wrote_ms + GATHERED_MS {
            return None;
        }
        (self.is_writing, self.has_said, self.wrote_ms) = (true, true, now_ms);
        if self.confirmed.is_none() {
            // A jump: whoever hears of it reads everything again.
            self.n += 2;
            self.unsaid.clear();
            let all = self.people.iter().flat_map(|(channel, people)| {
                people.iter().map(|(user, mine)| (channel.clone(), user.clone(), mine.entry.clone()))
            });
            return Some(Writing::Anew { n: self.n, people: all.collect() });
        }
        self.n += 1;
        let (mut items, mut bytes) = (Vec::new(), 0);
        let places: Vec<Place> = self.unsaid.keys().take(ITEMS).cloned().collect();
        for place in places {
            if bytes > BYTES {
                break;
            }
            let goodbye = self.unsaid.remove(&place).unwrap_or_default();
            let what = match self.get(&place.0, &place.1) {
                Some(entry) => What::Here(entry.clone()),
                None => What::Gone { goodbye },
            };
            let (channel, user) = place;
            bytes += channel.as_str().len() + user.as_str().len() + 32;
            if let What::Here(Entry { meta: Some(meta), .. }) = &what {
                bytes += meta.len();
            }
            items.push(Item { channel, user, what });
        }
        Some(Writing::Change(Change { n: self.n, items }))
    }

    fn is_to_be_written_anew(&self) -> bool {
        self.confirmed.is_none() && (self.has_said || self.count > 0)
    }

    /// What was written is in Redis as a whole, or it may not be: then everything is written anew.
    pub(super) fn written(&mut self, done: bool, now_ms: u64) {
        self.is_writing = false;
        self.confirmed = done.then_some(self.n);
        self.confirmed_ms = now_ms;
    }

    /// Redis may have lost what it had.
    pub(super) fn doubt(&mut self) {
        self.confirmed = None;
    }

    /// Whether Redis has what it should, if `stored` is what it says our last change was.
    pub(super) fn agrees(&mut self, stored: Option<u64>, now_ms: u64) -> bool {
        self.confirmed_ms = now_ms;
        match (self.confirmed, stored) {
            (Some(confirmed), Some(stored)) => stored >= confirmed,
            // What is to be written anew is so already; who has nobody need not stand there.
            (Some(_), None) => self.count == 0,
            (None, _) => true,
        }
    }

    /// Redis is away: nothing is on its way any more.
    pub(super) fn interrupted(&mut self) {
        self.is_writing = false;
        self.confirmed = None;
    }

    /// Whether there is nothing to keep, to say or to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.count == 0 && self.unsaid.is_empty() && !self.is_writing && !self.is_to_be_written_anew()
    }
}
