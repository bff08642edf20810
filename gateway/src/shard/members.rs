//! Who is in one channel of a room, or behind one pattern?
//!
//! Small, because every person has a channel of their own in every tenant that they are in: mostly with one member, and then without
//! a list.

use super::groups::Source;
use carillon_protocol::{Channel, ChannelPattern, TypeFilter};
use std::sync::Arc;

/// What members have in common, and who they are. A channel that nobody is in is forgotten, so there is one at least.
pub(super) enum Members {
    /// One, who gets all events of a channel.
    One(Channel, u32),
    /// Boxed: those above are many, these are few.
    Other(Box<Several>),
}

/// Any number of members of anything.
pub(super) struct Several {
    name: Name,
    keys: Vec<u32>,
}

/// What members have in common.
enum Name {
    Channel(Channel),
    Pattern(ChannelPattern),
    Group(Group),
}

/// Those who want only events of some types.
pub(super) type Group = (Source, Arc<TypeFilter>);

impl Members {
    pub(super) fn of_channel(channel: Channel, member: u32) -> Self {
        Self::One(channel, member)
    }

    pub(super) fn of_pattern(pattern: ChannelPattern, member: u32) -> Self {
        Self::Other(Box::new(Several { name: Name::Pattern(pattern), keys: vec![member] }))
    }

    pub(super) fn of_group(group: Group, member: u32) -> Self {
        Self::Other(Box::new(Several { name: Name::Group(group), keys: vec![member] }))
    }

    /// The channel whose events they all get.
    pub(super) fn whole_channel(&self) -> Option<&Channel> {
        match self {
            Self::One(channel, _) => Some(channel),
            Self::Other(several) => match &several.name {
                Name::Channel(channel) => Some(channel),
                Name::Pattern(_) | Name::Group(_) => None,
            },
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
        match self.several()?.name {
            Name::Pattern(ref pattern) => Some(pattern),
            Name::Channel(_) | Name::Group(_) => None,
        }
    }

    /// The group they are.
    pub(super) fn group(&self) -> Option<&Group> {
        match self.several()?.name {
            Name::Group(ref group) => Some(group),
            Name::Channel(_) | Name::Pattern(_) => None,
        }
    }

    fn several(&self) -> Option<&Several> {
        match self {
            Self::One(..) => None,
            Self::Other(several) => Some(several),
        }
    }

    pub(super) fn keys(&self) -> &[u32] {
        match self {
            Self::One(_, key) => std::slice::from_ref(key),
            Self::Other(several) => &several.keys,
        }
    }

    /// Adds one more and answers their place.
    pub(super) fn add(&mut self, member: u32) -> u32 {
        match self {
            Self::One(channel, first) => {
                let (name, keys) = (Name::Channel(channel.clone()), vec![*first, member]);
                *self = Self::Other(Box::new(Several { name, keys }));
                1
            }
            Self::Other(several) => {
                several.keys.push(member);
                several.keys.len() as u32 - 1
            }
        }
    }

    /// Takes the one at a place out, whom the last one follows there. False if nobody is left.
    pub(super) fn remove(&mut self, place: u32) -> bool {
        let several = match self {
            Self::One(..) => return place != 0,
            Self::Other(several) => several,
        };
        if (place as usize) < several.keys.len() {
            several.keys.swap_remove(place as usize);
        }
        match (several.keys.as_slice(), &several.name) {
            ([], _) => return false,
            (&[only], Name::Channel(channel)) => *self = Self::One(channel.clone(), only),
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_channel_of_one_member_is_small() {
        assert_eq!(size_of::<Members>(), 24);
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
