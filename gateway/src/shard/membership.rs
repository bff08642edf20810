//! Which channels is a session in?
//!
//! Most are in a handful, some in a thousand. A handful is looked through; more than that have an index, so that asking,
//! joining and leaving cost the same however many there are.

use std::collections::HashMap;

/// A channel's number within a room, short to keep with each member.
pub(super) type ChannelKey = u32;

/// Channels that are looked through rather than indexed.
const FEW: usize = 16;

/// The channels of a session, each with the session's place in the channel's list.
#[derive(Debug)]
pub(super) enum Memberships {
    Few(Box<[Membership]>),
    #[expect(
        clippy::box_collection,
        reason = "it is rare, and without the box every session pays for its size"
    )]
    Many(Box<HashMap<ChannelKey, u32>>),
}

/// A place in a channel's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) channel: ChannelKey,
    pub(super) place: u32,
}

impl Memberships {
    /// For so many, as far as is known.
    pub(super) fn with_capacity(channels: usize) -> Self {
        if channels > FEW {
            Self::Many(Box::new(HashMap::with_capacity(channels)))
        } else {
            Self::Few(Box::default())
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    pub(super) fn contains(&self, channel: ChannelKey) -> bool {
        match self {
            Self::Few(few) => few.iter().any(|own| own.channel == channel),
            Self::Many(many) => many.contains_key(&channel),
        }
    }

    /// The session's place in a channel's list, if it is in it.
    pub(super) fn place(&self, channel: ChannelKey) -> Option<u32> {
        match self {
            Self::Few(few) => few.iter().find(|own| own.channel == channel).map(|own| own.place),
            Self::Many(many) => many.get(&channel).copied(),
        }
    }

    /// Adds a channel it does not have.
    pub(super) fn insert(&mut self, membership: Membership) {
        match self {
            Self::Few(few) if few.len() < FEW => change(few, |few| few.push(membership)),
            Self::Few(few) => {
                let all = few.iter().chain([&membership]).map(|own| (own.channel, own.place));
                *self = Self::Many(Box::new(all.collect()));
            }
            Self::Many(many) => drop(many.insert(membership.channel, membership.place)),
        }
    }

    pub(super) fn remove(&mut self, channel: ChannelKey) -> Option<Membership> {
        match self {
            Self::Few(few) => {
                let at = few.iter().position(|own| own.channel == channel)?;
                Some(change(few, |few| few.swap_remove(at)))
            }
            Self::Many(many) => many.remove(&channel).map(|place| Membership { channel, place }),
        }
    }

    /// The list of a channel was filled up from its end: the session stands at `place` now. False when it is not in it.
    pub(super) fn moved(&mut self, channel: ChannelKey, place: u32) -> bool {
        let own = match self {
            Self::Few(few) => few.iter_mut().find(|own| own.channel == channel).map(|own| &mut own.place),
            Self::Many(many) => many.get_mut(&channel),
        };
        own.map(|own| *own = place).is_some()
    }

    /// The first of its channels that is what is looked for.
    pub(super) fn find(&self, mut is: impl FnMut(ChannelKey) -> bool) -> Option<ChannelKey> {
        match self {
            Self::Few(few) => few.iter().map(|own| own.channel).find(|key| is(*key)),
            Self::Many(many) => many.keys().copied().find(|key| is(*key)),
        }
    }

    pub(super) fn channels(&self) -> Vec<ChannelKey> {
        match self {
            Self::Few(few) => few.iter().map(|own| own.channel).collect(),
            Self::Many(many) => many.keys().copied().collect(),
        }
    }

    /// Everything it has, to be left.
    pub(super) fn take(&mut self) -> Vec<Membership> {
        match std::mem::replace(self, Self::Few(Box::default())) {
            Self::Few(few) => few.into_vec(),
            Self::Many(many) => {
                many.into_iter().map(|(channel, place)| Membership { channel, place }).collect()
            }
        }
    }
}

/// Changes the few channels of a session, which have no room for more than they are: every session has some.
fn change<T>(few: &mut Box<[Membership]>, how: impl FnOnce(&mut Vec<Membership>) -> T) -> T {
    let mut changed = std::mem::take(few).into_vec();
    changed.reserve_exact(1);
    let result = how(&mut changed);
    *few = changed.into_boxed_slice();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn few_channels_take_no_room_beside_themselves() {
        assert_eq!(size_of::<Memberships>(), 16);
    }

    proptest! {
        #[test]
        fn few_or_many_it_is_a_map_from_channel_to_place(
            steps in prop::collection::vec((0..3u8, 0..40u32, 0..100u32), 0..200), room in 0..40usize,
        ) {
            let mut memberships = Memberships::with_capacity(room);
            let mut model = BTreeMap::new();
            for (step, channel, place) in steps {
                match step {
                    0 if !model.contains_key(&channel) => {
                        memberships.insert(Membership { channel, place });
                        model.insert(channel, place);
                    }
                    1 => {
                        let gone = model.remove(&channel).map(|place| Membership { channel, place });
                        prop_assert_eq!(memberships.remove(channel), gone);
                    }
                    _ => {
                        let known = model.get_mut(&channel).map(|own| *own = place).is_some();
                        prop_assert_eq!(memberships.moved(channel, place), known);
                    }
                }
                prop_assert_eq!(memberships.len(), model.len());
                prop_assert!((0..40).all(|channel| memberships.contains(channel) == model.contains_key(&channel)));
                prop_assert!((0..40).all(|channel| memberships.place(channel) == model.get(&channel).copied()));
            }
            let mut all = memberships.take();
            all.sort_by_key(|own| own.channel);
            let wanted: Vec<Membership> =
                model.into_iter().map(|(channel, place)| Membership { channel, place }).collect();
            prop_assert_eq!(all, wanted);
        }
    }
}
