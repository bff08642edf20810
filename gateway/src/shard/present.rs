//! Which sessions of a room are seen in its channels, and who watches?
//!
//! A table beside the room: a session that has nothing to do with presence is not in it and costs nothing.

use carillon_protocol::Channel;
use std::collections::HashMap;

/// Channels that a connection is seen in, or watches, at most.
pub(crate) const CHANNELS: usize = 100;

/// The presence of one room.
#[derive(Default)]
pub(super) struct Present {
    channels: HashMap<Channel, Seen>,
    /// In how many channels each connection is.
    counts: HashMap<u32, usize>,
}

#[derive(Default)]
struct Seen {
    connections: HashMap<u32, Here>,
    watching: usize,
}

/// A connection in a channel.
#[derive(Default)]
struct Here {
    /// Whether others see it; back ends are not seen.
    is_seen: bool,
    watch: Watch,
}

/// How far a connection is told who is in a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Watch {
    /// Not.
    #[default]
    No,
    /// It has asked and waits for all that is known.
    Asked,
    /// It is told what changes.
    Told,
    /// It was behind and has missed something: it gets all that is known when it is live again.
    Missed,
}

/// What ended with a connection's place in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) was_seen: bool,
    /// Nobody of this shard watches the channel any more.
    pub(super) was_last_watcher: bool,
}

impl Present {
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Whether a connection may be in one channel more.
    pub(super) fn has_room(&self, connection: u32) -> bool {
        self.count(connection) < CHANNELS
    }

    /// In how many channels a connection is.
    pub(super) fn count(&self, connection: u32) -> usize {
        self.counts.get(&connection).copied().unwrap_or_default()
    }

    /// A connection's place in a channel, made if there was none.
    fn here(&mut self, channel: &Channel, connection: u32) -> &mut Here {
        let seen = self.channels.entry(channel.clone()).or_default();
        let counts = &mut self.counts;
        seen.connections.entry(connection).or_insert_with(|| {
            *counts.entry(connection).or_default() += 1;
            Here::default()
        })
    }

    /// A connection is seen in a channel from now on. False when it was.
    pub(super) fn enter(&mut self, channel: &Channel, connection: u32) -> bool {
        !std::mem::replace(&mut self.here(channel, connection).is_seen, true)
    }

    /// Whether a connection is seen in a channel.
    pub(super) fn is_seen(&self, channel: &Channel, connection: u32) -> bool {
        let here = self.channels.get(channel).and_then(|seen| seen.connections.get(&connection));
        here.is_some_and(|here| here.is_seen)
    }

    /// A connection watches a channel, as soon as it has been told all that is known. True for the first of this shard.
    pub(super) fn watch(&mut self, channel: &Channel, connection: u32) -> bool {
        let here = self.here(channel, connection);
        let was = std::mem::replace(&mut here.watch, Watch::Asked);
        let Some(seen) = self.channels.get_mut(channel).filter(|_| was == Watch::No) else { return false };
        seen.watching += 1;
        seen.watching == 1
    }

    /// How far a connection is told who is in a channel.
    pub(super) fn watches(&self, channel: &Channel, connection: u32) -> Watch {
        let here = self.channels.get(channel).and_then(|seen| seen.connections.get(&connection));
        here.map_or(Watch::No, |here| here.watch)
    }

    /// Sets how far a connection that watches a channel is told.
    pub(super) fn set(&mut self, channel: &Channel, connection: u32, watch: Watch) {
        let here = self.channels.get_mut(channel).and_then(|seen| seen.connections.get_mut(&connection));
        if let Some(here) = here.filter(|here| here.watch != Watch::No) {
            here.watch = watch;
        }
    }

    /// Everyone who is told of a channel.
    pub(super) fn watchers(&self, channel: &Channel) -> impl Iterator<Item = (u32, Watch)> {
        let seen = self.channels.get(channel).into_iter();
        let all = seen.flat_map(|seen| seen.connections.iter().map(|(key, here)| (*key, here.watch)));
        all.filter(|(_, watch)| matches!(watch, Watch::Told | Watch::Missed))
    }

    /// Whether a connection has to do with any channel.
    pub(super) fn knows(&self, connection: u32) -> bool {
        self.counts.contains_key(&connection)
    }

    /// Ends all that a connection has to do with a channel.
    pub(super) fn leave(&mut self, channel: &Channel, connection: u32) -> Option<Ended> {
        let seen = self.channels.get_mut(channel)?;
        let here = seen.connections.remove(&connection)?;
        let watched = here.watch != Watch::No;
        seen.watching -= usize::from(watched);
        let was_last_watcher = watched && seen.watching == 0;
        if seen.connections.is_empty() {
            self.channels.remove(channel);
        }
        if let Some(count) = self.counts.get_mut(&connection) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&connection);
            }
        }
        Some(Ended { was_seen: here.is_seen, was_last_watcher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_watcher_are_told_apart_and_nothing_is_left() {
        let mut present = Present::default();
        let seven = Channel::new("branch:7").unwrap();
        assert!(present.enter(&seven, 1) && !present.enter(&seven, 1));
        assert!(present.watch(&seven, 1) && !present.watch(&seven, 2) && !present.watch(&seven, 1));
        assert_eq!(
            present.watchers(&seven).count(),
            0,
            "who waits for all that is known is not told what changes"
        );
        present.set(&seven, 1, Watch::Told);
        present.set(&seven, 2, Watch::Missed);
        present.set(&seven, 3, Watch::Told);
        assert_eq!(present.watchers(&seven).count(), 2);
        assert_eq!((present.watches(&seven, 2), present.watches(&seven, 3)), (Watch::Missed, Watch::No));
        assert!(present.knows(2) && !present.knows(3));
        assert_eq!(present.leave(&seven, 1), Some(Ended { was_seen: true, was_last_watcher: false }));
        assert_eq!(present.leave(&seven, 2), Some(Ended { was_seen: false, was_last_watcher: true }));
        assert_eq!(present.leave(&seven, 2), None);
        assert!(present.is_empty() && present.counts.is_empty());
    }

    #[test]
    fn a_connection_has_room_for_so_many_channels() {
        let mut present = Present::default();
        let channel = |n: usize| Channel::new(format!("branch:{n}")).unwrap();
        (0..CHANNELS).for_each(|n| assert!(present.enter(&channel(n), 1)));
        assert!(!present.has_room(1) && present.has_room(2));
        present.leave(&channel(0), 1);
        assert!(present.has_room(1));
    }
}
