//! Who is in a channel, and what were its watchers told?
//!
//! Watchers are told what has changed since they were last told, together. In a channel of many they know how many there are and
//! the first [`LISTED`]; so what is told of a crowd does not grow with it. Pure.

use carillon_protocol::{Channel, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// People that watchers know by name: those who have been here longest.
pub(crate) const LISTED: usize = 200;
/// Time between two words about a channel.
pub(super) const TOGETHER_MS: u64 = 250;
/// Time between two words about a channel of more than [`LISTED`].
pub(super) const CROWD_MS: u64 = 1_000;

/// Somebody who is here, as watchers know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) since_ms: u64,
    pub(crate) meta: Option<Arc<str>>,
}

/// The people of a channel.
#[derive(Debug)]
pub(super) struct Roster {
    people: HashMap<UserId, Present>,
    order: BTreeSet<(u64, UserId)>,
    /// What watchers know: as many people, and these by name.
    told: Told,
    listed: BTreeMap<UserId, Present>,
    told_ms: u64,
    /// Who may be another by now.
    touched: HashSet<UserId>,
    /// Shards with watchers, one bit each.
    pub(super) shards: u64,
    limits: Limits,
}

/// How much is told, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) listed: usize,
}

/// What a watcher knows of a channel: what it is told at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) count: usize,
    /// The people as JSON, each by itself, in the order of their coming.
    pub(crate) members: Arc<[Box<str>]>,
}

/// What has changed for watchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) count: usize,
    pub(crate) joined: Vec<(UserId, Present)>,
    pub(crate) left: Vec<UserId>,
    pub(crate) updated: Vec<(UserId, Present)>,
    /// Whether there are more than watchers know by name.
    pub(crate) is_crowd: bool,
}

impl Roster {
    pub(super) fn new(people: HashMap<UserId, Present>, limits: Limits) -> Self {
        let order = people.iter().map(|(user, present)| (present.since_ms, user.clone())).collect();
        let told = Told { count: 0, members: Arc::default() };
        let mut roster = Self {
            people,
            order,
            told,
            listed: BTreeMap::new(),
            told_ms: 0,
            touched: HashSet::new(),
            shards: 0,
            limits,
        };
        roster.listed = roster.first();
        roster.note_told();
        roster
    }

    pub(super) fn touch(&mut self, user: &UserId) {
        self.touched.insert(user.clone());
    }

    /// Whether watchers may know something that is not so any more.
    pub(super) fn is_stale(&self) -> bool {
        !self.touched.is_empty() || self.people.len() != self.told.count
    }

    pub(super) fn is_crowd(&self) -> bool {
        self.told.count > self.limits.listed && self.people.len() > self.limits.listed
    }

    /// Whether it is time for a word.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let pause = if self.is_crowd() { CROWD_MS } else { TOGETHER_MS };
        self.is_stale() && now_ms >= self.told_ms + pause
    }

    /// Looks at everybody who may be another, and answers what watchers are to be told, if anything.
    pub(super) fn tell(&mut self, now_ms: u64, view: impl Fn(&UserId) -> Option<Present>) -> Option<Update> {
        for user in std::mem::take(&mut self.touched) {
            let now = view(&user);
            if let Some(before) = self.people.remove(&user) {
                self.order.remove(&(before.since_ms, user.clone()));
            }
            if let Some(present) = now {
                self.order.insert((present.since_ms, user.clone()));
                self.people.insert(user, present);
            }
        }
        let listed = self.first();
        let mut update = Update {
            count: self.people.len(),
            joined: Vec::new(),
            left: self.listed.keys().filter(|user| !listed.contains_key(*user)).cloned().collect(),
            updated: Vec::new(),
            is_crowd: self.people.len() > self.limits.listed,
        };
        for (user, present) in &listed {
            match self.listed.get(user) {
                None => update.joined.push((user.clone(), present.clone())),
                Some(before) if before != present => update.updated.push((user.clone(), present.clone())),
                Some(_) => {}
            }
        }
        update.joined.sort_by_key(|(_, present)| present.since_ms);
        let is_same_list = update.joined.is_empty() && update.left.is_empty() && update.updated.is_empty();
        if is_same_list && update.count == self.told.count {
            return None;
        }
        self.told_ms = now_ms;
        if is_same_list {
            self.told.count = update.count;
        } else {
            self.listed = listed;
            self.note_told();
        }
        Some(update)
    }

    fn first(&self) -> BTreeMap<UserId, Present> {
        let first = self.order.iter().take(self.limits.listed);
        first.filter_map(|(_, user)| Some((user.clone(), self.people.get(user)?.clone()))).collect()
    }

    fn note_told(&mut self) {
        let first = self.order.iter().take(self.limits.listed);
        let members = first.filter_map(|(_, user)| Some(member(user, self.people.get(user)?)));
        self.told = Told { count: self.people.len(), members: members.collect() };
    }

    /// What watchers know.
    pub(super) fn told(&self) -> Told {
        self.told.clone()
    }
}

/// Somebody as clients read it.
pub(crate) fn member(user: &UserId, present: &Present) -> Box<str> {
    #[derive(Serialize)]
    struct Member<'a> {
        user: &'a UserId,
        since: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<&'a RawValue>,
    }
    let meta = present.meta.as_deref().and_then(|meta| serde_json::from_str(meta).ok());
    let member = Member { user, since: present.since_ms, meta };
    serde_json::to_string(&member).unwrap_or_default().into()
}

/// A channel that nobody here watches, as it is told to who asks once.
pub(super) fn told_of(people: HashMap<UserId, Present>, limits: Limits) -> Told {
    Roster::new(people, limits).told()
}

/// One place for what a channel's people are kept by.
pub(super) type Rosters = HashMap<Channel, Roster>;
