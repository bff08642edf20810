//! Who is in the channels of one tenant, all nodes together?
//!
//! What this node says, what each of the others says, and of the channels that are watched here what watchers know. Pure.

use super::other::{Heard, Other, Read};
use super::own::{Own, Place, Writing};
use super::roster::{Limits, Present, Roster, Rosters, Told, Update, told_of};
use carillon_protocol::presence::{Change, Entry, Origin};
use carillon_protocol::{Channel, UserId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// How often a tenant's list of heads is read: what nothing has brought is noticed by it.
pub(super) const AUDIT_MS: u64 = 5_000;
/// How long whoever asks waits for what other nodes say.
const ANSWERED_WITHIN_MS: u64 = 2_000;

/// Somebody who wants to know who is in channels.
#[derive(Debug)]
struct Asking<A> {
    who: A,
    channels: Vec<Channel>,
    by_ms: u64,
}

/// A tenant of this node.
pub(super) struct Tenant<A> {
    pub(super) own: Own,
    others: BTreeMap<Origin, Other>,
    rosters: Rosters,
    asking: Vec<Asking<A>>,
    limits: Limits,
    /// When the list of heads is read next; never while it is being read.
    audit_ms: Option<u64>,
    /// Whether the list of heads was read since Redis is there, and so what is known is what is so.
    is_known: bool,
}

/// What a tenant wants done.
pub(super) enum Wish<A> {
    Write(Writing),
    ReadHeads,
    Read(Origin),
    Forget(Origin),
    Tell(Channel, u64, Update),
    Answer(A, Vec<(Channel, Told)>, bool),
}

impl<A> Tenant<A> {
    pub(super) fn new(limits: Limits, now_ms: u64) -> Self {
        Self {
            own: Own::new(now_ms),
            others: BTreeMap::new(),
            rosters: HashMap::new(),
            asking: Vec::new(),
            limits,
            audit_ms: Some(now_ms),
            is_known: false,
        }
    }

    fn view(
        own: &Own,
        others: &BTreeMap<Origin, Other>,
        channel: &Channel,
        user: &UserId,
    ) -> Option<Present> {
        let said = others.values().filter_map(|other| other.get(channel, user));
        let mut entries = said.chain(own.get(channel, user));
        let mut newest: &Entry = entries.next()?;
        let mut since_ms = newest.since_ms;
        for entry in entries {
            since_ms = since_ms.min(entry.since_ms);
            if (entry.set_ms, &entry.meta) > (newest.set_ms, &newest.meta) {
                newest = entry;
            }
        }
        Some(Present { since_ms, meta: newest.meta.clone() })
    }

    fn people(&self, channel: &Channel) -> HashMap<UserId, Present> {
        let users: HashSet<&UserId> = self
            .others
            .values()
            .flat_map(|other| other.in_channel(channel))
            .chain(self.own.in_channel(channel))
            .collect();
        let present = |user: &UserId| Self::view(&self.own, &self.others, channel, user);
        users.into_iter().filter_map(|user| Some((user.clone(), present(user)?))).collect()
    }

    pub(super) fn touch(&mut self, (channel, user): &Place) {
        if let Some(roster) = self.rosters.get_mut(channel) {
            roster.touch(user);
        }
    }

    pub(super) fn enter(&mut self, place: &Place, meta: Option<Arc<str>>, grace_ms: u32, now_ms: u64) {
        let since_ms =
            Self::view(&self.own, &self.others, &place.0, &place.1).map_or(now_ms, |known| known.since_ms);
        self.own.enter(place, meta, grace_ms, since_ms, now_ms);
        self.touch(place);
    }

    pub(super) fn leave(&mut self, place: &Place, goodbye: bool, now_ms: u64) {
        if self.own.leave(place, goodbye, now_ms) {
            if goodbye {
                self.end_dead(place);
            }
            self.touch(place);
        }
    }

    /// Somebody said goodbye: they are not waited for at nodes that are gone.
    fn end_dead(&mut self, place: &Place) {
        for other in self.others.values_mut() {
            other.goodbye_elsewhere(place);
        }
    }

    pub(super) fn set_meta(&mut self, place: &Place, meta: Option<Arc<str>>, now_ms: u64) {
        if self.own.set_meta(place, meta, now_ms) {
            self.touch(place);
        }
    }

    /// The shards that are told of a channel, as a function of those that were.
    pub(super) fn watch(&mut self, channel: &Channel, shards: impl FnOnce(u64) -> u64) {
        if !self.rosters.contains_key(channel) {
            let roster = Roster::new(self.people(channel), self.limits);
            self.rosters.insert(channel.clone(), roster);
        }
        let Some(roster) = self.rosters.get_mut(channel) else { return };
        roster.shards = shards(roster.shards);
        if roster.shards == 0 {
            self.rosters.remove(channel);
        }
    }

    pub(super) fn ask(&mut self, who: A, channels: Vec<Channel>, now_ms: u64) {
        self.asking.push(Asking { who, channels, by_ms: now_ms + ANSWERED_WITHIN_MS });
    }

    /// Another node said something. Answers whether it was known already.
    pub(super) fn heard(
        &mut self,
        from: Origin,
        change: Change,
        now_ms: u64,
        wishes: &mut Vec<Wish<A>>,
    ) -> bool {
        let heard = self.others.entry(from.clone()).or_default().heard(change);
        let repeated = heard.repeated;
        self.take(from, heard, now_ms, wishes);
        repeated
    }

    fn take(&mut self, from: Origin, heard: Heard, now_ms: u64, wishes: &mut Vec<Wish<A>>) {
        if heard.read {
            wishes.push(Wish::Read(from.clone()));
        }
        for place in &heard.goodbyes {
            if self.own.goodbye_elsewhere(place, now_ms) {
                self.touch(place);
            }
            self.end_dead(place);
        }
        for place in &heard.touched {
            let known = self.others.get(&from).and_then(|other| other.get(&place.0, &place.1));
            if let Some(since_ms) = known.map(|entry| entry.since_ms) {
                self.own.known_since(place, since_ms);
            }
            self.touch(place);
        }
    }

    pub(super) fn stored(&mut self, from: &Origin, read: Read, now_ms: u64, wishes: &mut Vec<Wish<A>>) {
        let Some(other) = self.others.get_mut(from) else { return };
        let is_gone = read == Read::Absent;
        let heard = other.stored(read, now_ms);
        let is_over = is_gone && other.is_absent() && other.is_empty() && !other.is_reading();
        self.take(from.clone(), heard, now_ms, wishes);
        if is_over {
            self.others.remove(from);
            wishes.push(Wish::Forget(from.clone()));
        }
    }

    /// The list of heads was read; none if it could not be.
    pub(super) fn heads(
        &mut self,
        heads: Option<Vec<(Origin, u64)>>,
        me: &Origin,
        living: Option<&HashSet<Origin>>,
        now_ms: u64,
        wishes: &mut Vec<Wish<A>>,
    ) {
        // Spread, so that tenants which began together are not asked for together for ever.
        self.audit_ms = Some(now_ms + AUDIT_MS + (self.own.len() as u64 * 37) % 500);
        let Some(heads) = heads else { return };
        let mine = heads.iter().find(|(origin, _)| origin == me).map(|(_, n)| *n);
        if !self.own.agrees(mine, now_ms) {
            self.own.doubt();
        }
        let is_sure = !std::mem::replace(&mut self.is_known, true);
        for (origin, other) in &mut self.others {
            if !heads.iter().any(|(listed, _)| listed == origin) && other.is_unlisted() {
                wishes.push(Wish::Read(origin.clone()));
            }
        }
        for (origin, n) in heads.into_iter().filter(|(origin, _)| origin != me) {
            let other = self.others.entry(origin.clone()).or_default();
            if let Some(living) = living {
                other.is_living(living.contains(&origin), now_ms);
            }
            if other.head(n, is_sure, now_ms) {
                wishes.push(Wish::Read(origin));
            }
        }
    }

    /// Who is living has been told; none: nobody knows.
    pub(super) fn living(&mut self, living: Option<&HashSet<Origin>>, now_ms: u64) {
        for (origin, other) in &mut self.others {
            match living {
                Some(living) => other.is_living(living.contains(origin), now_ms),
                None => other.unknown_whether_living(),
            }
        }
    }

    /// Redis is away.
    pub(super) fn interrupted(&mut self) {
        self.own.interrupted();
        self.others.values_mut().for_each(Other::interrupted);
        (self.audit_ms, self.is_known) = (None, false);
    }

    /// Something may not have been heard.
    pub(super) fn look_again(&mut self, now_ms: u64) {
        if self.audit_ms.is_some() {
            (self.audit_ms, self.is_known) = (Some(now_ms), false);
        }
    }

    /// Redis is back: everything is written anew and read again.
    pub(super) fn resume(&mut self, now_ms: u64) {
        self.interrupted();
        self.audit_ms = Some(now_ms);
    }

    /// Whether what others say is known.
    fn is_whole(&self) -> bool {
        self.is_known && !self.others.values().any(Other::is_reading)
    }

    /// Does what is due. While Redis is `away` nothing is told.
    pub(super) fn look_after(&mut self, away: bool, now_ms: u64, wishes: &mut Vec<Wish<A>>) {
        for place in self.own.look_after(now_ms) {
            self.touch(&place);
        }
        if !away {
            self.look_after_others(now_ms, wishes);
            if let Some(writing) = self.own.write(now_ms) {
                wishes.push(Wish::Write(writing));
            }
            if self.audit_ms.is_some_and(|at_ms| now_ms >= at_ms) {
                self.audit_ms = None;
                wishes.push(Wish::ReadHeads);
            }
        }
        let is_whole = self.is_whole() && !away;
        if is_whole {
            let (own, others) = (&self.own, &self.others);
            for (channel, roster) in self.rosters.iter_mut().filter(|(_, roster)| roster.is_due(now_ms)) {
                let view = |user: &UserId| Self::view(own, others, channel, user);
                if let Some(update) = roster.tell(now_ms, view) {
                    wishes.push(Wish::Tell(channel.clone(), roster.shards, update));
                }
            }
        }
        self.answer(away, is_whole, now_ms, wishes);
    }

    fn look_after_others(&mut self, now_ms: u64, wishes: &mut Vec<Wish<A>>) {
        let mut gone = Vec::new();
        for (origin, other) in &mut self.others {
            gone.extend(other.look_after(now_ms));
            if other.is_missing(now_ms) {
                wishes.push(Wish::Read(origin.clone()));
            }
        }
        gone.iter().for_each(|place| self.touch(place));
    }

    fn answer(&mut self, away: bool, is_whole: bool, now_ms: u64, wishes: &mut Vec<Wish<A>>) {
        for asking in std::mem::take(&mut self.asking) {
            // What it is told is what watchers know: so what they are told next is right for it, too.
            let waits = |channel: &Channel| {
                self.rosters.get(channel).is_some_and(|roster| roster.is_stale() && !roster.is_crowd())
            };
            let is_ready = away || (is_whole && !asking.channels.iter().any(waits));
            if !is_ready && now_ms < asking.by_ms {
                self.asking.push(asking);
                continue;
            }
            let told = |channel: Channel| {
                let told = match self.rosters.get(&channel) {
                    Some(roster) => roster.told(),
                    None => told_of(self.people(&channel), self.limits),
                };
                (channel, told)
            };
            let Asking { who, channels, .. } = asking;
            wishes.push(Wish::Answer(who, channels.into_iter().map(told).collect(), !is_whole));
        }
    }

    /// Whether nothing is kept for anybody here.
    pub(super) fn is_idle(&self) -> bool {
        self.own.is_idle() && self.rosters.is_empty() && self.asking.is_empty()
    }

    /// People here, people elsewhere's nodes, and channels that are watched.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.own.len(), self.rosters.len())
    }
}
