//! Who is in one channel of a room, or behind one pattern?
//!
//! Small, because every person has a channel of their own in every tenant that they are in: mostly with one member, whose number then
//! stands in place of a list.

use super::groups::Source;
use carillon_protocol::{Channel, ChannelPattern, TypeFilter};
use std::sync::Arc;

/// What members have in common, and who they are.
pub(super) struct Members {
    name: Name,
    keys: Keys,
}

/// What members have in common.
enum Name {
    Channel(Channel),
    /// Boxed: channels are many, these are few.
    Other(Box<Other>),
}

enum Other {
    Pattern(ChannelPattern),
    Group(Group),
}

/// Those who want only events of some types.
pub(super) type Group = (Source, Arc<TypeFilter>);

/// The connections of members. A channel that nobody is in is forgotten, so there is one at least.
enum Keys {
    One(u32),
    #[expect(clippy::box_collection, reason = "every channel with one member would pay for its size")]
    Many(Box<Vec<u32>>),
}

impl Members {
    pub(super) fn of_channel(channel: Channel, member: u32) -> Self {
        Self { name: Name::Channel(channel), keys: Keys::One(member) }
    }

    pub(super) fn of_pattern(pattern: ChannelPattern, member: u32) -> Self {
        Self { name: Name::Other(Box::new(Other::Pattern(pattern))), keys: Keys::One(member) }
    }

    pub(super) fn of_group(group: Group, member: u32) -> Self {
        Self { name: Name::Other(Box::new(Other::Group(group))), keys: Keys::One(member) }
    }

    /// The channel whose events they all get.
    pub(super) fn whole_channel(&self) -> Option<&Channel> {
        match &self.name {
            Name::Channel(channel) => Some(channel),
            Name::Other(_) => None,
        }
    }

    /// The channel they are in, if not by a pattern.
    pub(super) fn channel(&self) -> Option<&Channel> {
        match (self.whole_channel(), self.group()) {
            (None, Some((Source::Channel(channel), _))) => Some(channel),
            (channel, _) => channel,
        }
    }

    /// The pattern by which they get all events.
    pub(super) fn pattern(&self) -> Option<&ChannelPattern> {
        match &self.name {
            Name::Other(other) => match &**other {
                Other::Pattern(pattern) => Some(pattern),
                Other::Group(_) => None,
            },
            Name::Channel(_) => None,
        }
    }

    /// The group they are.
    pub(super) fn group(&self) -> Option<&Group> {
        match &self.name {
            Name::Other(other) => match &**other {
                Other::Group(group) => Some(group),
                Other::Pattern(_) => None,
            },
            Name::Channel(_) => None,
        }
    }

    pub(super) fn keys(&self) -> &[u32] {
        match &self.keys {
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Many(keys) => keys,
        }
    }

    /// Adds one more and answers their place.
    pub(super) fn add(&mut self, member: u32) -> u32 {
        match &mut self.keys {
            Keys::One(first) => {
                self.keys = Keys::Many(Box::new(vec![*first, member]));
                1
            }
            Keys::Many(keys) => {
                keys.push(member);
                keys.len() as u32 - 1
            }
        }
    }

    /// Takes the one at a place out, whom the last one follows there. False if nobody is left, and nothing was done.
    pub(super) fn remove(&mut self, place: u32) -> bool {
        match &mut self.keys {
            Keys::One(_) => place != 0,
            Keys::Many(keys) => {
                if (place as usize) < keys.len() {
                    keys.swap_remove(place as usize);
                }
                let only = match keys.as_slice() {
                    [] => return false,
                    [only] => *only,
                    _ => return true,
                };
                self.keys = Keys::One(only);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_channel_of_one_member_is_small() {
        assert_eq!(size_of::<Members>(), 32);
    }

    proptest! {
        #[test]
        fn one_or_many_they_are_a_list_whose_last_one_fills_a_gap(steps in prop::collection::vec((any::<bool>(), 0..8u32), 0..60)) {
            let mut members = Members::of_channel(Channel::tenant(), 7);
            let mut model = vec![7];
            for (adds, value) in steps {
                if adds {
                    prop_assert_eq!(members.add(value) as usize, model.len());
                    model.push(value);
                    continue;
                }
                let place = value as usize % model.len();
                let is_left = members.remove(place as u32);
                prop_assert_eq!(is_left, model.len() > 1);
                if is_left {
                    model.swap_remove(place);
                }
                prop_assert_eq!(members.keys(), &*model);
            }
        }
    }
}
