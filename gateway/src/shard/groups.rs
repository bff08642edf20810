//! Who of a channel wants only events of some types?
//!
//! Members of a channel that want the same types are one group, so an event is compared with the group and never with a
//! member. Where nobody chooses types there is no group, and no event's type is looked for.

use super::membership::ChannelKey;
use carillon_protocol::{Channel, ChannelPattern, TypeFilter};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What members are in: all of it, or those of its events that have some types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Channel(Channel),
    /// All channels that a service's pattern matches.
    Pattern(ChannelPattern),
}

/// The groups of one source, each by its number.
type OfSource = BTreeMap<Arc<TypeFilter>, ChannelKey>;

/// The groups of a room.
#[derive(Default)]
pub(super) struct Groups {
    by_channel: HashMap<Channel, OfSource>,
    /// Services have patterns, so there are few.
    by_pattern: Vec<(ChannelPattern, OfSource)>,
}

impl Groups {
    pub(super) fn is_empty(&self) -> bool {
        self.by_channel.is_empty() && self.by_pattern.is_empty()
    }

    /// Whether anybody wants some types of what a pattern matches.
    pub(super) fn has_patterns(&self) -> bool {
        !self.by_pattern.is_empty()
    }

    /// Whether anybody wants some types of a channel by a pattern.
    pub(super) fn has_pattern_for(&self, channel: &Channel) -> bool {
        self.by_pattern.iter().any(|(pattern, _)| pattern.allows(channel))
    }

    /// The group of a source that wants these types, if anybody does.
    pub(super) fn get(&self, source: &Source, types: &TypeFilter) -> Option<ChannelKey> {
        let groups = match source {
            Source::Channel(channel) => self.by_channel.get(channel),
            Source::Pattern(pattern) => {
                self.by_pattern.iter().find(|(known, _)| known == pattern).map(|(_, groups)| groups)
            }
        };
        groups?.get(types).copied()
    }

    /// Adds a group that is not there.
    pub(super) fn add(&mut self, source: &Source, types: Arc<TypeFilter>, key: ChannelKey) {
        match source {
            Source::Channel(channel) => {
                self.by_channel.entry(channel.clone()).or_default().insert(types, key);
            }
            Source::Pattern(pattern) => {
                match self.by_pattern.iter_mut().find(|(known, _)| known == pattern) {
                    Some((_, groups)) => drop(groups.insert(types, key)),
                    None => self.by_pattern.push((pattern.clone(), OfSource::from([(types, key)]))),
                }
            }
        }
    }

    /// Forgets a group.
    pub(super) fn remove(&mut self, source: &Source, types: &TypeFilter) {
        match source {
            Source::Channel(channel) => {
                if let Some(groups) = self.by_channel.get_mut(channel) {
                    groups.remove(types);
                    if groups.is_empty() {
                        self.by_channel.remove(channel);
                    }
                }
            }
            Source::Pattern(pattern) => {
                for (_, groups) in self.by_pattern.iter_mut().filter(|(known, _)| known == pattern) {
                    groups.remove(types);
                }
                self.by_pattern.retain(|(_, groups)| !groups.is_empty());
            }
        }
    }

    /// The groups of a channel.
    pub(super) fn of_channel(&self, channel: &Channel) -> impl Iterator<Item = ChannelKey> {
        self.by_channel.get(channel).into_iter().flatten().map(|(_, key)| *key)
    }

    /// How many groups those of some channels are, with those of all patterns.
    pub(super) fn count(&self, channels: &[Channel]) -> usize {
        let by_name = channels.iter().filter_map(|channel| self.by_channel.get(channel));
        let by_pattern = self.by_pattern.iter().map(|(_, groups)| groups);
        by_name.chain(by_pattern).map(OfSource::len).sum()
    }

    /// The groups that an event of this type in these channels is for; what has no type is for all.
    pub(super) fn wanting(
        &self,
        channels: &[Channel],
        kind: Option<&str>,
    ) -> impl Iterator<Item = ChannelKey> {
        let by_name = channels.iter().filter_map(|channel| self.by_channel.get(channel));
        let matches = |pattern: &ChannelPattern| channels.iter().any(|channel| pattern.allows(channel));
        let by_pattern = self.by_pattern.iter().filter(move |(pattern, _)| matches(pattern));
        let groups = by_name.chain(by_pattern.map(|(_, groups)| groups)).flatten();
        groups.filter(move |(types, _)| kind.is_none_or(|kind| types.matches(kind))).map(|(_, key)| *key)
    }
}
