//! How does an event reach everyone who is live?
//!
//! The shard takes all that is new in a stream, gathers for each matching connection the frames of the whole drain,
//! and writes them in one go. The work is the writes: no allocation, no parsing, no task for a delivery.

use super::connection::{Gathered, Position, Stage};
use super::outbox::{SLICES, Wrote, length, write, write_vectored};
use super::wire::Wire;
use super::worker::Worker;
use crate::metrics::metrics;
use crate::stream::Reading;
use crate::stream::entry::Entry;
use carillon_protocol::Seq;
use std::io::IoSlice;
use std::sync::Arc;

/// Events taken from a ring in one go.
const DRAIN: usize = 256;

/// What a fan-out needs while it runs, kept between runs so that it allocates nothing.
#[derive(Default)]
pub(super) struct Scratch {
    /// The events of this drain.
    pub(super) entries: Vec<Arc<Entry>>,
    /// Which connection gets which event, chained for each connection in the order of events.
    links: Vec<Link>,
    /// The connections that get anything.
    touched: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Link {
    entry: u32,
    next: u32,
}

impl Scratch {
    /// The events of a chain.
    fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        let link = |at: u32| (at != Gathered::NONE).then(|| self.links[at as usize]);
        std::iter::successors(link(first), move |before| link(before.next)).map(|link| link.entry)
    }
}

impl Worker {
    /// Hands everything new in a room's stream to its live members.
    pub(super) fn fan_out(&mut self, room: u32) {
        let mut scratch = std::mem::take(&mut self.scratch);
        while let Some(here) = self.rooms.get(room as usize) {
            scratch.entries.clear();
            match here.stream.after(here.life.number, here.cursor, DRAIN, &mut scratch.entries) {
                Reading::Events => {}
                Reading::Reset => {
                    self.begin_new_life(room);
                    continue;
                }
                Reading::Gone => {
                    self.all_fall_behind(room);
                    break;
                }
            }
            let Some(last) = scratch.entries.last().map(|entry| entry.seq) else { break };
            let is_one = self.is_for_one_channel(room, &mut scratch);
            if !is_one {
                self.gather(room, &mut scratch);
            }
            self.rooms[room as usize].cursor = last;
            let before = self.counts.deliveries;
            for &key in &scratch.touched {
                match is_one {
                    true => self.write_one(key, &scratch.entries[0], scratch.touched.len()),
                    false => self.write_gathered(key, last, &scratch),
                }
            }
            let delivered = self.counts.deliveries - before;
            if let Some(here) = self.rooms.get(room as usize) {
                here.stream.delivered(delivered);
            }
            self.measure(&scratch.entries, scratch.touched.len());
            if scratch.entries.len() < DRAIN {
                // What came meanwhile is news of its own.
                break;
            }
        }
        scratch.entries.clear();
        self.scratch = scratch;
    }

    /// Whether the drain is a single event for a single channel. Then that channel's members are all who get it, each
    /// once, and nobody needs to be looked at before they are written to.
    fn is_for_one_channel(&self, room: u32, scratch: &mut Scratch) -> bool {
        let [entry] = scratch.entries.as_slice() else { return false };
        let [channel] = &*entry.channels else { return false };
        scratch.touched.clear();
        scratch.touched.extend_from_slice(self.rooms[room as usize].in_channel(channel));
        true
    }

    /// Writes the only event of a drain to a member of its channel, if it is live.
    fn write_one(&mut self, key: u32, entry: &Arc<Entry>, readers: usize) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let Stage::Member(member) = &connection.stage else { return };
        if member.position != Position::Live {
            return;
        }
        debug_assert!(connection.outbox.is_empty(), "I2: a live connection has nothing waiting");
        if let Wire::Poll { .. } = connection.wire {
            return self.answer_poll(key, std::iter::once(entry), entry.seq, None);
        }
        let epoch = &self.rooms[member.room as usize].life.epoch;
        let form = connection.wire.event(entry, epoch, &mut self.deflater, readers);
        let wrote = write(&mut connection.socket, form);
        self.counts.writes += 1;
        match wrote {
            Wrote::All => {
                connection.sent_ms = self.now_ms;
                self.counts.deliveries += 1;
                self.counts.sent_bytes += form.len() as u64;
            }
            Wrote::Blocked(taken) => {
                self.fall_behind(key, entry.seq.previous(), std::iter::once(entry), readers, taken);
            }
            Wrote::Broken => self.broken(key),
        }
    }

    /// Chains for each live member the events of the drain that are for one of its channels, each event once.
    fn gather(&mut self, room: u32, scratch: &mut Scratch) {
        scratch.links.clear();
        scratch.touched.clear();
        let room = &self.rooms[room as usize];
        for (index, entry) in (0..).zip(&scratch.entries) {
            for channel in &entry.channels {
                for &key in room.in_channel(channel) {
                    let connection = &mut self.connections[key as usize];
                    let Stage::Member(member) = &connection.stage else { continue };
                    if member.position != Position::Live {
                        continue;
                    }
                    let link = scratch.links.len() as u32;
                    let Gathered { last, .. } = connection.gathered;
                    if last == Gathered::NONE {
                        connection.gathered.first = link;
                        scratch.touched.push(key);
                    } else if scratch.links[last as usize].entry == index {
                        // It is in several of the event's channels: one copy is enough (I3).
                        continue;
                    } else {
                        scratch.links[last as usize].next = link;
                    }
                    connection.gathered.last = link;
                    scratch.links.push(Link { entry: index, next: Gathered::NONE });
                }
            }
        }
    }

    /// Writes a connection's chain. `room_cursor` is where it stands if the socket takes everything.
    fn write_gathered(&mut self, key: u32, room_cursor: Seq, scratch: &Scratch) {
        let connection = &mut self.connections[key as usize];
        let mut at = std::mem::replace(&mut connection.gathered, Gathered::NOTHING).first;
        debug_assert!(connection.outbox.is_empty(), "I2: a live connection has nothing waiting");
        if let Wire::Poll { .. } = connection.wire {
            let entries = scratch.chain(at).map(|index| &scratch.entries[index as usize]);
            return self.answer_poll(key, entries, room_cursor, None);
        }
        let Stage::Member(member) = &connection.stage else { return };
        let epoch = &self.rooms[member.room as usize].life.epoch;
        let readers = scratch.touched.len();
        while at != Gathered::NONE {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut indexes = [0u32; SLICES];
            let mut count = 0;
            while at != Gathered::NONE && count < SLICES {
                let link = scratch.links[at as usize];
                let entry = &scratch.entries[link.entry as usize];
                slices[count] =
                    IoSlice::new(connection.wire.event(entry, epoch, &mut self.deflater, readers));
                indexes[count] = link.entry;
                count += 1;
                at = link.next;
            }
            let wrote = write_vectored(&mut connection.socket, &slices[..count]);
            self.counts.writes += 1;
            match wrote {
                Wrote::All => {
                    connection.sent_ms = self.now_ms;
                    self.counts.deliveries += count as u64;
                    self.counts.sent_bytes += length(&slices[..count]);
                }
                Wrote::Blocked(taken) => {
                    let entries = indexes[..count].iter().map(|index| &scratch.entries[*index as usize]);
                    let before = scratch.entries[indexes[0] as usize].seq.previous();
                    return self.fall_behind(key, before, entries, readers, taken);
                }
                Wrote::Broken => return self.broken(key),
            }
        }
        debug_assert!(self.room_cursor_is(key, room_cursor), "a live connection stands at its room's cursor");
    }

    /// The socket took `taken` bytes of these frames, in the forms for so many readers: remembers the rest of the frame
    /// it is in, and the cursor.
    pub(super) fn fall_behind<'a>(
        &mut self,
        key: u32,
        before: Seq,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        readers: usize,
        taken: usize,
    ) {
        let connection = &mut self.connections[key as usize];
        let Stage::Member(member) = &mut connection.stage else { return };
        let epoch = &self.rooms[member.room as usize].life.epoch;
        let (mut left, mut cursor) = (taken, before);
        for entry in entries {
            if left == 0 {
                break;
            }
            cursor = entry.seq;
            self.counts.deliveries += 1;
            let form = connection.wire.event(entry, epoch, &mut self.deflater, readers);
            if left < form.len() {
                connection.outbox.begun(form.slice(left..));
                break;
            }
            left -= form.len();
        }
        if member.position == Position::Live {
            metrics().fell_behind.increment(1);
        }
        member.position = Position::Behind(cursor);
        self.blocked(key, taken);
    }

    /// The shard itself was too slow and the ring has moved on: everyone reads the log, at their own pace.
    fn all_fall_behind(&mut self, room: u32) {
        let here = &mut self.rooms[room as usize];
        let cursor = here.cursor;
        here.cursor = here.stream.position().1;
        for index in 0..here.members.len() {
            let key = here.members[index];
            if let Stage::Member(member) = &mut self.connections[key as usize].stage
                && member.position == Position::Live
            {
                metrics().fell_behind.increment(1);
                member.position = Position::Behind(cursor);
                self.ready.push(key);
            }
        }
    }

    /// Commit → socket, once for each event and shard.
    fn measure(&mut self, entries: &[Arc<Entry>], readers: usize) {
        let now_micros = self.unix_micros();
        for entry in entries.iter().filter(|entry| entry.at_micros > 0) {
            let micros = now_micros.saturating_sub(entry.at_micros);
            metrics().delivery_seconds.record(micros as f64 / 1e6);
            if self.config.traces.is_on() {
                self.config.traces.fan_out(entry.json(), readers, micros);
            }
        }
    }

    fn room_cursor_is(&self, key: u32, cursor: Seq) -> bool {
        match &self.connections[key as usize].stage {
            Stage::Member(member) => self.rooms[member.room as usize].cursor == cursor,
            _ => false,
        }
    }
}
