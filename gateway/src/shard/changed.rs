//! Which devices have changed and are to be handed to the node's writer, and how many at a time?
//!
//! As many as are to be written until the next time; the others wait here, where a further change of theirs costs nothing. So what is written
//! is bounded, however many devices acknowledge and how often. Rooms take turns.

use super::room::RoomKey;
use std::collections::{HashMap, VecDeque};

/// How long a change waits for further ones, and between two times that some are handed on.
const WAIT_MS: u64 = 500;
/// Devices of a node that are handed on a second: half of what the writer writes, so that there is room for those that leave. Each costs
/// Postgres 7 to 12 µs, all together about a percent of a core. Of more devices each is written less often.
const A_SECOND: usize = 1_000;

/// Sessions whose devices have changed, those of each room in their order.
#[derive(Default)]
pub(super) struct Changed {
    of_rooms: HashMap<RoomKey, VecDeque<u32>>,
    /// The rooms that have any; the first one is next.
    turns: VecDeque<RoomKey>,
    /// When something is handed on.
    due_ms: Option<u64>,
    /// Before this time no devices are handed on.
    rests_until_ms: u64,
    /// When this turn began, in the shard's time.
    now_ms: u64,
}

impl Changed {
    /// A turn begins.
    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// When something is to be handed on, in the shard's time.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// A device has changed that is not here.
    pub(super) fn push(&mut self, key: u32, room: RoomKey) {
        let own = self.of_rooms.entry(room).or_default();
        if own.is_empty() {
            self.turns.push_back(room);
        }
        own.push_back(key);
        self.due_ms.get_or_insert(self.now_ms + WAIT_MS);
    }

    /// Something else is to be handed on, unless that is due already.
    pub(super) fn is_due_now(&mut self) {
        self.due_ms.get_or_insert(0);
    }

    /// The next one: rooms take turns.
    pub(super) fn next(&mut self) -> Option<(u32, RoomKey)> {
        let room = self.turns.pop_front()?;
        let own = self.of_rooms.get_mut(&room)?;
        let key = own.pop_front()?;
        if own.is_empty() {
            self.of_rooms.remove(&room);
        } else {
            self.turns.push_back(room);
        }
        Some((key, room))
    }

    /// How many may be handed on now, by one of so many shards, which have about as many connections each.
    pub(super) fn share(&mut self, shards: usize) -> usize {
        if self.now_ms < self.rests_until_ms {
            return 0;
        }
        self.rests_until_ms = self.now_ms + WAIT_MS;
        (A_SECOND / (1_000 / WAIT_MS as usize) / shards.max(1)).max(1)
    }

    /// What there was to hand on was handed on; what is left waits.
    pub(super) fn handed_on(&mut self) {
        self.due_ms = (!self.turns.is_empty()).then_some(self.rests_until_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_in_a_second_is_bounded_whatever_the_number_of_shards() {
        for shards in 1..=64 {
            let mut changed = Changed::default();
            let mut share = |now_ms| {
                changed.begin_turn(now_ms);
                let share = changed.share(shards);
                changed.handed_on();
                share
            };
            let a_second: usize = (1_000..2_000).map(&mut share).sum();
            assert!(
                (A_SECOND * 8 / 10..=A_SECOND).contains(&(a_second * shards)),
                "{shards} shards: {a_second}"
            );
        }
    }

    #[test]
    fn rooms_take_turns_and_what_is_left_waits_for_the_next_time() {
        let mut changed = Changed::default();
        let [few, many] = [RoomKey(1), RoomKey(2)];
        changed.begin_turn(7);
        (0..6).for_each(|key| changed.push(key, if key < 4 { many } else { few }));
        assert_eq!(changed.due_ms(), Some(7 + WAIT_MS));
        changed.begin_turn(600);
        changed.share(1);
        let first: Vec<(u32, RoomKey)> = std::iter::from_fn(|| changed.next()).take(4).collect();
        assert_eq!(first, [(0, many), (4, few), (1, many), (5, few)]);
        changed.handed_on();
        assert_eq!(changed.due_ms(), Some(600 + WAIT_MS));
        changed.is_due_now();
        assert_eq!(changed.share(1), 0, "somebody who leaves gives nobody else a further turn");
        assert_eq!(
            [changed.next(), changed.next(), changed.next()],
            [Some((2, many)), Some((3, many)), None]
        );
        changed.handed_on();
        assert_eq!((changed.due_ms(), changed.of_rooms.len()), (None, 0));
    }
}
