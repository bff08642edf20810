//! When does a shard hand out the news of a room?
//!
//! When it is told of them, unless the room still rests from the time before (see `pace`); then when it has rested. And before
//! somebody comes in who has heard of them already.

use super::pace::rest_us;
use super::room::RoomKey;
use super::shard::Shard;
use super::world::World;
use crate::authorize::{Authorized, Resume};
use crate::metrics::metrics;

impl<W: World> Shard<W> {
    /// A stream has news: hands it out, now or when its room has rested.
    pub(super) fn on_news(&mut self, key: RoomKey) {
        let now_us = self.context.world.now_us();
        let Some(room) = self.tables.rooms.get_mut(key) else { return };
        if now_us >= room.rests_until_us {
            self.hand_out(key, now_us);
            return;
        }
        room.has_news = true;
        if !std::mem::replace(&mut room.is_listed, true) {
            self.resting.push(key);
        }
    }

    /// Hands out the news of rooms that have rested.
    pub(super) fn wake_rested(&mut self) {
        self.resting.append(&mut self.tables.signalled);
        for key in std::mem::take(&mut self.resting) {
            let now_us = self.context.world.now_us();
            // It may have lost its last session, and another may have its place.
            let Some(room) = self.tables.rooms.get_mut(key) else { continue };
            room.is_listed = false;
            if !room.has_news {
                continue;
            }
            if now_us < room.rests_until_us {
                room.is_listed = true;
                self.resting.push(key);
            } else {
                self.hand_out(key, now_us);
            }
        }
    }

    /// When the first room has rested, in milliseconds since the shard began.
    pub(super) fn rested_ms(&self) -> Option<u64> {
        let until_us = |key: &RoomKey| self.tables.rooms.get(*key).map_or(0, |room| room.rests_until_us);
        self.resting.iter().map(until_us).min().map(|us| us.div_ceil(1_000))
    }

    /// Whoever comes back may have heard at another node what this stream has and this shard has not handed out: its room is brought
    /// there first, so that nobody is ahead of their room and gets it again (I3).
    pub(super) fn hand_out_before(&mut self, authorized: &Authorized) {
        let Resume::From { seq, .. } = authorized.resume else { return };
        let Some(key) = self.tables.rooms.of(&authorized.stream) else { return };
        if self.tables.rooms.get(key).is_some_and(|room| room.cursor < seq) {
            let now_us = self.context.world.now_us();
            self.hand_out(key, now_us);
        }
    }

    pub(super) fn hand_out(&mut self, key: RoomKey, began_us: u64) {
        if let Some(room) = self.tables.rooms.get_mut(key) {
            // What comes after this is told again.
            room.stream.seen(usize::from(self.context.shard));
            room.has_news = false;
        }
        self.fan_out.run(key, &mut self.tables, &mut self.context);
        self.settle_touched();
        self.live.run(key, &mut self.tables, &mut self.context);
        self.settle_touched();
        let ended_us = self.context.world.now_us();
        let took_us = ended_us.saturating_sub(began_us);
        metrics().broadcast_seconds.record(took_us as f64 / 1e6);
        if let Some(room) = self.tables.rooms.get_mut(key) {
            room.rests_until_us = ended_us + rest_us(took_us);
        }
    }
}
