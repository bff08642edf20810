//! Who of a tenant is here, and who is in which channel?
//!
//! One room for each tenant and shard. An event finds its connections through the index from channel to members;
//! joining and leaving cost the same however many there are.

use crate::stream::{Life, Stream};
use carillon_protocol::{Channel, Seq};
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// A channel's number within a room, short to keep with each member.
pub(super) type ChannelKey = u32;

/// A member's place in a channel's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) channel: ChannelKey,
    pub(super) place: u32,
}

/// The connections of one tenant on this shard.
pub(super) struct Room {
    pub(super) stream: Arc<Stream>,
    /// The life of the stream that `cursor` belongs to.
    pub(super) life: Life,
    /// Everything up to here was handed to the live members.
    pub(super) cursor: Seq,
    pub(super) members: Vec<u32>,
    /// Before this time (microseconds since the shard began) its news waits.
    pub(super) rests_until_us: u64,
    /// Whether there is news that waits.
    pub(super) has_news: bool,
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
            members: Vec::new(),
            rests_until_us: 0,
            has_news: false,
            channels: Slab::new(),
            by_name: HashMap::new(),
        }
    }

    /// The members of a channel.
    pub(super) fn in_channel(&self, channel: &Channel) -> &[u32] {
        self.by_name.get(channel).map_or(&[], |key| &self.channels[*key as usize].keys)
    }

    /// The number of a channel that has members.
    pub(super) fn key_of(&self, channel: &Channel) -> Option<ChannelKey> {
        self.by_name.get(channel).copied()
    }

    /// The name behind a number.
    pub(super) fn name_of(&self, channel: ChannelKey) -> &Channel {
        &self.channels[channel as usize].name
    }

    /// Adds a member to a channel it is not in.
    pub(super) fn join(&mut self, channel: &Channel, member: u32) -> Membership {
        let key = match self.by_name.get(channel) {
            Some(key) => *key,
            None => {
                let key = self.channels.insert(Members { name: channel.clone(), keys: Vec::new() }) as u32;
                self.by_name.insert(channel.clone(), key);
                key
            }
        };
        let members = &mut self.channels[key as usize].keys;
        members.push(member);
        Membership { channel: key, place: members.len() as u32 - 1 }
    }

    /// Takes a member out of a channel. Answers who was moved to its place, if anybody.
    pub(super) fn leave(&mut self, membership: Membership) -> Option<u32> {
        let Membership { channel, place } = membership;
        let members = &mut self.channels[channel as usize];
        members.keys.swap_remove(place as usize);
        let moved = members.keys.get(place as usize).copied();
        if members.keys.is_empty() {
            let members = self.channels.remove(channel as usize);
            self.by_name.remove(&members.name);
        }
        moved
    }
}
