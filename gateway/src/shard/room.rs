//! Who of a tenant is here, and who is in which channel?
//!
//! One room for each tenant and shard: the only meaning of the word here. An event finds its connections through the
//! index from channel to members; joining and leaving cost the same however many there are.

use super::membership::{ChannelKey, Membership};
use crate::stream::{Life, Stream};
use carillon_protocol::{Channel, Seq};
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// A room's place in the shard's table; good until the room's last session has left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoomKey(pub(super) u32);

/// The sessions of one tenant on this shard, each known by its connection's key.
pub(super) struct Room {
    pub(super) stream: Arc<Stream>,
    /// The generation of the stream that `cursor` belongs to.
    pub(super) life: Life,
    /// Everything up to here was handed to the live sessions.
    pub(super) cursor: Seq,
    /// Before this time (microseconds since the shard began) its news waits.
    pub(super) rests_until_us: u64,
    /// Whether there is news that waits.
    pub(super) has_news: bool,
    members: Vec<u32>,
    channels: Slab<Members>,
    by_name: HashMap<Channel, ChannelKey>,
}

struct Members {
    name: Channel,
    keys: Vec<u32>,
}

impl Room {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        let (life, cursor) = stream.position();
        Self {
            stream,
            life,
            cursor,
            rests_until_us: 0,
            has_news: false,
            members: Vec::new(),
            channels: Slab::new(),
            by_name: HashMap::new(),
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

    /// The members of a channel.
    pub(super) fn in_channel(&self, channel: &Channel) -> &[u32] {
        let members = self.by_name.get(channel).and_then(|key| self.channels.get(*key as usize));
        members.map_or(&[], |members| &members.keys)
    }

    /// The number of a channel that has members.
    pub(super) fn key_of(&self, channel: &Channel) -> Option<ChannelKey> {
        self.by_name.get(channel).copied()
    }

    /// The name behind a number.
    pub(super) fn name_of(&self, channel: ChannelKey) -> Option<&Channel> {
        self.channels.get(channel as usize).map(|members| &members.name)
    }

    /// Adds a member to a channel it is not in.
    pub(super) fn join(&mut self, channel: &Channel, member: u32) -> Membership {
        let known = self.by_name.get(channel).copied();
        if let Some((key, members)) = known.and_then(|key| Some((key, self.channels.get_mut(key as usize)?)))
        {
            members.keys.push(member);
            return Membership { channel: key, place: members.keys.len() as u32 - 1 };
        }
        let key = self.channels.insert(Members { name: channel.clone(), keys: vec![member] }) as ChannelKey;
        self.by_name.insert(channel.clone(), key);
        Membership { channel: key, place: 0 }
    }

    /// Takes a member out of a channel. Answers who was moved to its place, if anybody.
    pub(super) fn leave(&mut self, membership: Membership) -> Option<u32> {
        let Membership { channel, place } = membership;
        let members = self.channels.get_mut(channel as usize)?;
        if (place as usize) < members.keys.len() {
            members.keys.swap_remove(place as usize);
        }
        let moved = members.keys.get(place as usize).copied();
        if members.keys.is_empty() {
            let members = self.channels.remove(channel as usize);
            self.by_name.remove(&members.name);
        }
        moved
    }
}

/// The rooms of a shard.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: Slab<Room>,
    by_tenant: HashMap<carillon_protocol::TenantId, RoomKey>,
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
        self.by_tenant.get(&stream.tenant).copied()
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
