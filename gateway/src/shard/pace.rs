//! When is a room's news handed out: at once, or together with what comes next?
//!
//! A write costs the kernel a fixed price, whatever is in it, so the cheapest delivery is one that shares its write with
//! others. After a fan-out a room rests for a multiple of the time that took, so a busy large room gathers events while
//! a small or quiet one is written to at once: its rest is over long before its next event. The rest is bounded, and
//! with it the latency that it adds (docs/adr/0007).

use super::worker::Worker;
use crate::metrics::metrics;

/// How long a room rests after a fan-out, as a multiple of the time that took.
const REST: u64 = 3;
/// Shortest rest, in microseconds: a shard sleeps in milliseconds.
const SHORTEST_REST_US: u64 = 1_000;
/// Longest rest, in microseconds.
const LONGEST_REST_US: u64 = 10_000;

impl Worker {
    /// A stream has news: hands it out, now or when its room has rested.
    pub(super) fn on_news(&mut self, room: u32) {
        let now_us = self.clock.now_us();
        let here = &mut self.rooms[room as usize];
        if now_us >= here.rests_until_us {
            self.hand_out(room, now_us);
        } else if !here.has_news {
            here.has_news = true;
            self.resting.push(room);
        }
    }

    /// Hands out the news of rooms that have rested.
    pub(super) fn wake_rested(&mut self) {
        if self.resting.is_empty() {
            return;
        }
        let mut resting = std::mem::take(&mut self.resting);
        resting.retain(|&room| {
            let now_us = self.clock.now_us();
            // It may have lost its last member, and another may have its place.
            let Some(here) = self.rooms.get_mut(room as usize).filter(|here| here.has_news) else {
                return false;
            };
            if now_us < here.rests_until_us {
                return true;
            }
            here.has_news = false;
            self.hand_out(room, now_us);
            false
        });
        // A fan-out tells nobody anything: no room came to rest meanwhile.
        self.resting.append(&mut resting);
    }

    /// When the first room has rested, in milliseconds since the shard began.
    pub(super) fn rested_ms(&self) -> Option<u64> {
        let until = |room: &u32| self.rooms.get(*room as usize).map_or(0, |here| here.rests_until_us);
        self.resting.iter().map(until).min().map(|us| us.div_ceil(1_000))
    }

    fn hand_out(&mut self, room: u32, began_us: u64) {
        // What comes after this is told again.
        self.rooms[room as usize].stream.seen(usize::from(self.shard));
        self.fan_out(room);
        let ended_us = self.clock.now_us();
        metrics().broadcast_seconds.record((ended_us - began_us) as f64 / 1e6);
        if let Some(here) = self.rooms.get_mut(room as usize) {
            here.rests_until_us = ended_us + rest_us(ended_us - began_us);
        }
    }
}

fn rest_us(took_us: u64) -> u64 {
    match (took_us * REST).min(LONGEST_REST_US) {
        // Nothing wakes a shard so soon, and so little is not worth waiting for.
        ..SHORTEST_REST_US => 0,
        rest_us => rest_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_follows_from_what_was_done_and_is_bounded() {
        assert_eq!([0, 100, 333].map(rest_us), [0; 3], "small rooms never rest");
        assert_eq!([334, 1_000, 3_333].map(rest_us), [1_002, 3_000, 9_999]);
        assert_eq!([3_334, 1_000_000].map(rest_us), [LONGEST_REST_US; 2]);
    }
}
