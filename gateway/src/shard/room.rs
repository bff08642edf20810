//! Who of a tenant is here, and who is in which channel?
//!
//! One room for each tenant and shard: the only meaning of the word here. An event finds its connections through the
//! index from channel to members; joining and leaving cost the same however many there are. Services may have patterns
//! instead of channels; each different pattern of a room costs every event a comparison, and nothing where there is none.
//! Who wants only events of some types is in a group of the channel ([`groups`](super::groups)).

use super::groups::{Groups, Source};
use super::members::{Group, Members};
use super::membership::{ChannelKey, Membership, Memberships};
use super::present::Present;
use super::waiting::Waiting;
use crate::stream::entry::Entry;
use crate::stream::{Life, Stream};
use carillon_platform::rules::RuleSet;
use carillon_protocol::{Channel, ChannelPattern, Seq, TenantId, TypeFilter};
use hashbrown::HashTable;
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// A room's place in the shard's table; good until the room's last session has left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RoomKey(pub(super) u32);

/// A session, as the tables beside the rooms know it: that of a connection in a room. Good until it leaves the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    pub(super) key: u32,
    pub(super) room: RoomKey,
}

/// The sessions of one tenant on this shard, each known by its connection's key.
pub(super) struct Room {
    pub(super) stream: Arc<Stream>,
    /// The generation of the stream that `cursor` belongs to.
    pub(super) life: Life,
    /// What its members have been measured by.
    pub(super) rules: Arc<RuleSet>,
    /// Everything up to here was handed to the live sessions.
    pub(super) cursor: Seq,
    /// Before this time (microseconds since the shard began) its news waits.
    pub(super) rests_until_us: u64,
    /// Whether there is news that waits.
    pub(super) has_news: bool,
    /// Whether it is among the rooms that are looked at for news that waits.
    pub(super) is_listed: bool,
    /// Signals that wait for the next fan-outs.
    pub(super) signals: Waiting,
    /// Who is seen and who watches, once somebody is or does.
    pub(super) present: Option<Box<Present>>,
    members: Vec<u32>,
    channels: Slab<Members>,
    /// The channels of those among `channels` that get all events of one, by its name there.
    by_name: HashTable<ChannelKey>,
    hashed: RandomState,
    /// The patterns among `channels`. Services have them, so there are few.
    watched: Vec<ChannelKey>,
    /// Those among `channels` that want only some types.
    groups: Groups,
}

impl Room {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        let ((life, cursor), rules) = (stream.position(), stream.rules());
        Self {
            stream,
            life,
            rules,
            cursor,
            rests_until_us: 0,
            has_news: false,
            is_listed: false,
            signals: Waiting::default(),
            present: None,
            members: Vec::new(),
            channels: Slab::new(),
            by_name: HashTable::new(),
            hashed: RandomState::new(),
            watched: Vec::new(),
            groups: Groups::default(),
        }
    }

    /// Everyone who is here.
    pub(super) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Adds a connection and answers its place.
    pub(super) fn enter(&mut self, member: u32) -> u32 {
        self.members.push(member);
        self.stream.joined();
        self.members.len() as u32 - 1
    }

    /// Takes the connection at a place out. Answers who was moved there, if anybody.
    pub(super) fn exit(&mut self, place: u32) -> Option<u32> {
        if (place as usize) < self.members.len() {
            self.members.swap_remove(place as usize);
            self.stream.left();
        }
        self.members.get(place as usize).copied()
    }

    /// Every channel that has members, with them: once, and once more for each of its groups.
    pub(super) fn channels(&self) -> impl Iterator<Item = (&Channel, &[u32])> {
        self.channels.iter().filter_map(|(_, members)| Some((members.channel()?, members.keys())))
    }

    /// The members of a channel that get all of its events, with its number; none has no member.
    pub(super) fn in_channel(&self, channel: &Channel) -> Option<(ChannelKey, &[u32])> {
        let key = self.key_of(channel)?;
        Some((key, self.channels.get(key as usize)?.keys()))
    }

    /// The number by which somebody with these memberships is in a channel: its own, or that of a group.
    pub(super) fn own_key(&self, own: &Memberships, channel: &Channel) -> Option<ChannelKey> {
        let all = self.key_of(channel).filter(|key| own.contains(*key));
        all.or_else(|| self.own_group(own, channel))
    }

    /// The group of a channel that somebody is in, looked for among the fewer: theirs, or the channel's.
    fn own_group(&self, own: &Memberships, channel: &Channel) -> Option<ChannelKey> {
        if self.groups.count(std::slice::from_ref(channel)) <= own.len() {
            return self.groups.of_channel(channel).find(|key| own.contains(*key));
        }
        own.find(|key| {
            let is = |(source, _): &Group| matches!(source, Source::Channel(name) if name == channel);
            self.group(key).is_some_and(is)
        })
    }

    /// The group behind a number, if it is one.
    fn group(&self, key: ChannelKey) -> Option<&Group> {
        self.channels.get(key as usize)?.group()
    }

    /// The types that whoever is behind a number wants, if they chose some.
    pub(super) fn types_of(&self, key: ChannelKey) -> Option<&Arc<TypeFilter>> {
        self.group(key).map(|(_, types)| types)
    }

    /// The name of the channel behind a number; a pattern has none.
    pub(super) fn name_of(&self, channel: ChannelKey) -> Option<&Channel> {
        self.channels.get(channel as usize)?.channel()
    }

    /// Whether anybody is in a channel, by its name or by a pattern, whatever types they want.
    pub(super) fn has_members(&self, channel: &Channel) -> bool {
        self.key_of(channel).is_some()
            || self.groups.of_channel(channel).next().is_some()
            || self.watchers(std::slice::from_ref(channel)).next().is_some()
            || self.groups.has_pattern_for(channel)
    }

    /// Whether anybody gets events by a pattern.
    pub(super) fn is_watched(&self) -> bool {
        !self.watched.is_empty() || self.groups.has_patterns()
    }

    /// The patterns that an event in these channels matches, each with its members.
    pub(super) fn watchers(&self, channels: &[Channel]) -> impl Iterator<Item = (ChannelKey, &[u32])> {
        self.watched.iter().filter_map(move |key| {
            let members = self.channels.get(*key as usize)?;
            let pattern = members.pattern()?;
            channels.iter().any(|channel| pattern.allows(channel)).then_some((*key, members.keys()))
        })
    }

    /// Whether anybody wants only events of some types.
    pub(super) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The groups that an event is for, each with its members.
    pub(super) fn wanting(&self, event: &Entry) -> impl Iterator<Item = (ChannelKey, &[u32])> {
        // The type is looked for only where somebody chooses.
        let kind = if self.has_groups() { event.kind() } else { "" };
        self.wanting_type(&event.channels, Some(kind))
    }

    /// The groups that want something of this type in these channels, each with its members; without a type all of them.
    pub(super) fn wanting_type(
        &self,
        channels: &[Channel],
        kind: Option<&str>,
    ) -> impl Iterator<Item = (ChannelKey, &[u32])> {
        self.groups.wanting(channels, kind).filter_map(|key| {
            let members = self.channels.get(key as usize)?;
            Some((key, members.keys()))
        })
    }

    /// Whether an event is for somebody with these memberships.
    pub(super) fn is_for(&self, memberships: &Memberships, event: &Entry) -> bool {
        let is_in = |channel: &Channel| self.key_of(channel).is_some_and(|key| memberships.contains(key));
        event.channels.iter().any(is_in)
            || self.watchers(&event.channels).any(|(key, _)| memberships.contains(key))
            || (self.has_groups() && self.group_is_for(memberships, event))
    }

    /// Whether an event is for a group that somebody is in, looked for among the fewer: theirs, or the event's.
    fn group_is_for(&self, own: &Memberships, event: &Entry) -> bool {
        if self.groups.count(&event.channels) <= own.len() {
            return self.wanting(event).any(|(key, _)| own.contains(key));
        }
        let kind = event.kind();
        let is_for = |(source, types): &Group| {
            let is_in = event.channels.iter().any(|channel| match source {
                Source::Channel(name) => name == channel,
                Source::Pattern(pattern) => pattern.allows(channel),
            });
            is_in && types.matches(kind)
        };
        own.find(|key| self.group(key).is_some_and(is_for)).is_some()
    }

    /// Whether whoever joins these events of a source would come to be where a number leads.
    pub(super) fn leads_to(&self, key: ChannelKey, channel: &Channel, types: Option<&TypeFilter>) -> bool {
        let Some(members) = self.channels.get(key as usize) else { return false };
        match (members.whole_channel(), members.group()) {
            (Some(name), _) => name == channel && types.is_none(),
            (_, Some((Source::Channel(name), wanted))) => name == channel && types == Some(&**wanted),
            _ => false,
        }
    }

    /// Adds a member to a channel, or to those of its events that have these types; it is not in the channel.
    pub(super) fn join(
        &mut self,
        channel: &Channel,
        types: Option<&Arc<TypeFilter>>,
        member: u32,
    ) -> Membership {
        if let Some(types) = types {
            return self.join_group(Source::Channel(channel.clone()), types, member);
        }
        let known = self.key_of(channel);
        if let Some((key, members)) = known.and_then(|key| Some((key, self.channels.get_mut(key as usize)?)))
        {
            return Membership { channel: key, place: members.add(member) };
        }
        let key = self.places().insert(Members::of_channel(channel.clone(), member)) as ChannelKey;
        let Self { channels, by_name, hashed, .. } = self;
        let hash =
            |key: &ChannelKey| hashed.hash_one(channels.get(*key as usize).and_then(Members::whole_channel));
        by_name.insert_unique(hash(&key), key, hash);
        Membership { channel: key, place: 0 }
    }

    /// Adds a member to a group, made if there was none.
    fn join_group(&mut self, source: Source, types: &Arc<TypeFilter>, member: u32) -> Membership {
        let known = self.groups.get(&source, types);
        if let Some((key, members)) = known.and_then(|key| Some((key, self.channels.get_mut(key as usize)?)))
        {
            return Membership { channel: key, place: members.add(member) };
        }
        let members = Members::of_group((source.clone(), types.clone()), member);
        let key = self.places().insert(members) as ChannelKey;
        self.groups.add(&source, types.clone(), key);
        Membership { channel: key, place: 0 }
    }

    /// Adds a member to the channels that a pattern matches, or to those of their events that have these types; it is not there by
    /// this pattern yet.
    pub(super) fn watch(
        &mut self,
        pattern: &ChannelPattern,
        types: Option<&Arc<TypeFilter>>,
        member: u32,
    ) -> Membership {
        if let Some(types) = types {
            return self.join_group(Source::Pattern(pattern.clone()), types, member);
        }
        for &key in &self.watched {
            if let Some(members) = self.channels.get_mut(key as usize)
                && members.pattern() == Some(pattern)
            {
                return Membership { channel: key, place: members.add(member) };
            }
        }
        let key = self.places().insert(Members::of_pattern(pattern.clone(), member)) as ChannelKey;
        self.watched.push(key);
        Membership { channel: key, place: 0 }
    }

    /// Takes a member out of a channel or pattern. Answers who was moved to its place, if anybody.
    pub(super) fn leave(&mut self, membership: Membership) -> Option<u32> {
        let Membership { channel, place } = membership;
        let members = self.channels.get_mut(channel as usize)?;
        if members.remove(place) {
            return members.keys().get(place as usize).copied();
        }
        if let Some(name) = members.whole_channel() {
            let entry = self.by_name.find_entry(self.hashed.hash_one(Some(name)), |key| *key == channel);
            if let Ok(entry) = entry {
                entry.remove();
            }
        }
        let members = self.channels.remove(channel as usize);
        if let Some((source, types)) = members.group() {
            self.groups.remove(source, types);
        } else if members.pattern().is_some() {
            self.watched.retain(|key| *key != channel);
        }
        None
    }

    /// Where one channel more has a place. There is a channel for every person, so what is kept free for those to come is an eighth,
    /// and not as much again.
    fn places(&mut self) -> &mut Slab<Members> {
        if self.channels.len() == self.channels.capacity() {
            self.channels.reserve_exact((self.channels.len() / 8).max(4));
        }
        &mut self.channels
    }

    /// The number of a channel's members that get all of its events.
    fn key_of(&self, channel: &Channel) -> Option<ChannelKey> {
        let is = |key: &ChannelKey| {
            self.channels.get(*key as usize).and_then(Members::whole_channel) == Some(channel)
        };
        self.by_name.find(self.hashed.hash_one(Some(channel)), is).copied()
    }
}

/// The rooms of a shard.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: Slab<Room>,
    by_tenant: HashMap<TenantId, RoomKey>,
    /// Those that may have lost their last session in this turn.
    left: Vec<RoomKey>,
}

impl Rooms {
    pub(super) fn get(&self, key: RoomKey) -> Option<&Room> {
        self.rooms.get(key.0 as usize)
    }

    pub(super) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.rooms.get_mut(key.0 as usize)
    }

    /// The room of a stream's tenant, if anybody of it is here.
    pub(super) fn of(&self, stream: &Stream) -> Option<RoomKey> {
        self.of_tenant(&stream.tenant)
    }

    /// The room of a tenant, if anybody of it is here.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> Option<RoomKey> {
        self.by_tenant.get(tenant).copied()
    }

    /// The room of a stream's tenant, made if there was none. It is forgotten at the end of the turn if nobody enters.
    pub(super) fn open(&mut self, stream: Arc<Stream>, shard: u16) -> RoomKey {
        if let Some(key) = self.of(&stream) {
            return key;
        }
        // Watched before its position is read: what comes after that position is told.
        stream.watch(usize::from(shard));
        let tenant = stream.tenant.clone();
        let key = RoomKey(self.rooms.insert(Room::new(stream)) as u32);
        self.by_tenant.insert(tenant, key);
        self.left.push(key);
        key
    }

    /// Notes that somebody has left a room.
    pub(super) fn note_left(&mut self, key: RoomKey) {
        self.left.push(key);
    }

    /// Forgets the rooms that nobody is in any more.
    pub(super) fn sweep(&mut self, shard: u16) {
        for key in self.left.drain(..) {
            if self.rooms.get(key.0 as usize).is_some_and(|room| room.members.is_empty()) {
                let room = self.rooms.remove(key.0 as usize);
                self.by_tenant.remove(&room.stream.tenant);
                room.stream.unwatch(usize::from(shard));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.rooms.len(), self.by_tenant.len());
        self.rooms.len()
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
