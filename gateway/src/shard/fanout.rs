//! How does an event reach everyone who is live?
//!
//! The shard takes all that is new in a stream, gathers for each matching connection the frames of the whole drain,
//! and writes them in one go. The work is the writes: no allocation, no parsing, no task for a delivery.

use super::connection::{Connection, Gathered, Stage};
use super::context::Context;
use super::except::LeftOut;
use super::generation::follow_reset;
use super::outbox::{SLICES, Wrote, length, write, write_vectored};
use super::past::Position;
use super::room::{Room, RoomKey};
use super::session::Session;
use super::tables::Tables;
use super::wire::{Of, Wire};
use super::world::{Socket, World};
use crate::metrics::metrics;
use crate::stream::Reading;
use crate::stream::entry::Entry;
use carillon_protocol::Seq;
use slab::Slab;
use std::io::IoSlice;
use std::sync::Arc;

/// Events taken from a ring in one go.
const DRAIN: usize = 256;

/// What a fan-out needs while it runs, kept between runs so that it allocates nothing.
#[derive(Default)]
pub(super) struct FanOut {
    /// The events of this drain.
    entries: Vec<Arc<Entry>>,
    /// Which connection gets which event, chained for each connection in the order of events.
    links: Vec<Link>,
    /// The connections that get anything.
    readers: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Link {
    entry: u32,
    next: u32,
}

impl FanOut {
    /// Hands everything new in a room's stream to its live sessions. Whoever did not just take it is left touched.
    pub(super) fn run<W: World>(
        &mut self,
        key: RoomKey,
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        while let Some(room) = tables.rooms.get_mut(key) {
            self.entries.clear();
            match room.stream.after(room.life.number, room.cursor, DRAIN, &mut self.entries) {
                Reading::Events => {}
                Reading::Reset => {
                    follow_reset(key, tables, context);
                    continue;
                }
                Reading::Gone => {
                    all_fall_behind(key, tables);
                    break;
                }
            }
            let Some(last) = self.entries.last().map(|entry| entry.seq) else { break };
            room.cursor = last;
            let before = context.counts.deliveries;
            let is_one = self.is_for_one_channel(key, room, &tables.connections, context.shard);
            if !is_one {
                self.gather(key, room, &mut tables.connections, context.shard);
            }
            let readers = std::mem::take(&mut self.readers);
            for &reader in &readers {
                let Some(connection) = tables.connections.get_mut(reader as usize) else { continue };
                let took_all = match (is_one, self.entries.first()) {
                    (true, Some(entry)) => write_one(connection, key, room, entry, readers.len(), context),
                    _ => self.write_gathered(connection, key, room, readers.len(), context),
                };
                if !took_all {
                    tables.touched.push(reader);
                }
            }
            self.readers = readers;
            room.stream.delivered(context.counts.deliveries - before);
            measure(&self.entries, self.readers.len(), context);
            if self.entries.len() < DRAIN {
                // What came meanwhile is news of its own.
                break;
            }
        }
        self.entries.clear();
    }

    /// Whether the drain is a single event for a single channel. Then that channel's members are all who get it, each
    /// once (patterns aside), and nobody needs to be looked at before they are written to.
    fn is_for_one_channel<S: Socket>(
        &mut self,
        key: RoomKey,
        room: &Room,
        connections: &Slab<Connection<S>>,
        shard: u16,
    ) -> bool {
        let [entry] = self.entries.as_slice() else { return false };
        let [channel] = &*entry.channels else { return false };
        if room.is_watched() {
            return false;
        }
        self.readers.clear();
        let left_out = LeftOut::of(entry, shard, key, connections);
        // A member of a channel is in one of its groups at most.
        for (channel, members) in room.in_channel(channel).into_iter().chain(room.wanting(entry)) {
            let parts = match &left_out {
                None => [members, &[]],
                Some(left_out) => left_out.parted(members, channel, key, connections),
            };
            parts.into_iter().for_each(|part| self.readers.extend_from_slice(part));
        }
        true
    }

    /// Chains for each live session the events of the drain that are for one of its channels, each event once.
    fn gather<S: Socket>(
        &mut self,
        key: RoomKey,
        room: &Room,
        connections: &mut Slab<Connection<S>>,
        shard: u16,
    ) {
        self.links.clear();
        self.readers.clear();
        for (index, entry) in (0..).zip(&self.entries) {
            let left_out = LeftOut::of(entry, shard, key, connections);
            let by_name = entry.channels.iter().filter_map(|channel| room.in_channel(channel));
            let by_pattern = room.watchers(&entry.channels);
            let by_type = room.wanting(entry);
            for (channel, members) in by_name.chain(by_pattern).chain(by_type) {
                let parts = match &left_out {
                    None => [members, &[]],
                    Some(left_out) => left_out.parted(members, channel, key, connections),
                };
                for part in parts {
                    link_to(&mut self.links, &mut self.readers, index, part, key, connections);
                }
            }
        }
    }

    /// Writes a connection's chain; when the socket takes everything it stands at the room's cursor. False when the
    /// connection must be looked after.
    fn write_gathered<W: World>(
        &self,
        connection: &mut Connection<W::Socket>,
        key: RoomKey,
        room: &Room,
        readers: usize,
        context: &mut Context<W>,
    ) -> bool {
        let mut at = std::mem::replace(&mut connection.gathered, Gathered::NOTHING).first;
        debug_assert!(connection.outbox.is_empty(), "I2: a live connection has nothing waiting");
        let (stream, epoch) = (&*room.stream, &room.life.epoch);
        let of = Of { stream, epoch, tenant: connection.naming(&stream.tenant) };
        if let Wire::Poll { .. } = connection.wire {
            connection.answer_poll(self.chain(at), stream, room.cursor, None, epoch, context);
            return false;
        }
        while at != Gathered::NONE {
            let begin = at;
            let mut slices = [IoSlice::new(&[]); SLICES];
            let (mut count, mut format) = (0, connection.format);
            for slice in &mut slices {
                let Some(link) = self.links.get(at as usize) else { break };
                let Some(entry) = self.entries.get(link.entry as usize) else { break };
                let form = connection.wire.event(entry, of, &mut format, &mut context.deflater, readers);
                *slice = IoSlice::new(form);
                count += 1;
                at = link.next;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let wrote = write_vectored(&mut connection.socket, slices);
            context.counts.writes += 1;
            match wrote {
                Wrote::All => {
                    connection.format = format;
                    connection.wrote_events(length(slices), context);
                    context.counts.deliveries += count as u64;
                }
                Wrote::Blocked(taken) => {
                    let mut entries = self.chain(begin).take(count).peekable();
                    let before = entries.peek().map_or(room.cursor, |entry| entry.seq.previous());
                    fall_behind(connection, key, room, before, entries, readers, taken, context);
                    return false;
                }
                Wrote::Broken => {
                    connection.lose();
                    return false;
                }
            }
        }
        true
    }

    /// The events of a chain.
    fn chain(&self, first: u32) -> impl Iterator<Item = &Arc<Entry>> {
        let link = |at: u32| self.links.get(at as usize);
        std::iter::successors(link(first), move |before| link(before.next))
            .filter_map(|link| self.entries.get(link.entry as usize))
    }
}

/// Links an event of the drain to each of these members who is live and has no link to it.
fn link_to<S: Socket>(
    links: &mut Vec<Link>,
    readers: &mut Vec<u32>,
    entry: u32,
    members: &[u32],
    key: RoomKey,
    connections: &mut Slab<Connection<S>>,
) {
    for &reader in members {
        let Some(connection) = connections.get_mut(reader as usize) else { continue };
        if live_session(&mut connection.stage, key).is_none() {
            continue;
        }
        let link = links.len() as u32;
        match links.get_mut(connection.gathered.last as usize) {
            None => {
                connection.gathered.first = link;
                readers.push(reader);
            }
            // It is in several of the event's channels: one copy is enough (I3).
            Some(last) if last.entry == entry => continue,
            Some(last) => last.next = link,
        }
        connection.gathered.last = link;
        links.push(Link { entry, next: Gathered::NONE });
    }
}

/// The session of a connection in a room, if it is live.
pub(super) fn live_session(stage: &mut Stage, room: RoomKey) -> Option<&mut Session> {
    let Stage::Open(sessions) = stage else { return None };
    sessions.iter_mut().find(|session| session.room == room).filter(|session| session.is_live())
}

/// Writes the only event of a drain to a member of its channel, if it is live. False when the connection must be looked
/// after.
fn write_one<W: World>(
    connection: &mut Connection<W::Socket>,
    key: RoomKey,
    room: &Room,
    entry: &Arc<Entry>,
    readers: usize,
    context: &mut Context<W>,
) -> bool {
    if live_session(&mut connection.stage, key).is_none() {
        return true;
    }
    debug_assert!(connection.outbox.is_empty(), "I2: a live connection has nothing waiting");
    let (stream, epoch) = (&*room.stream, &room.life.epoch);
    let of = Of { stream, epoch, tenant: connection.naming(&stream.tenant) };
    if let Wire::Poll { .. } = connection.wire {
        connection.answer_poll(std::iter::once(entry), stream, entry.seq, None, epoch, context);
        return false;
    }
    let mut format = connection.format;
    let form = connection.wire.event(entry, of, &mut format, &mut context.deflater, readers);
    let wrote = write(&mut connection.socket, form);
    context.counts.writes += 1;
    match wrote {
        Wrote::All => {
            connection.format = format;
            connection.wrote_events(form.len() as u64, context);
            context.counts.deliveries += 1;
            return true;
        }
        Wrote::Blocked(taken) => {
            let before = entry.seq.previous();
            fall_behind(connection, key, room, before, std::iter::once(entry), readers, taken, context);
        }
        Wrote::Broken => connection.lose(),
    }
    false
}

/// The socket took `taken` bytes of these frames, in the forms for so many readers: remembers the rest of the frame
/// it is in, and the cursor.
#[expect(clippy::too_many_arguments, reason = "one place for all three paths that write events")]
pub(super) fn fall_behind<'a, W: World>(
    connection: &mut Connection<W::Socket>,
    key: RoomKey,
    room: &Room,
    before: Seq,
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    readers: usize,
    taken: usize,
    context: &mut Context<W>,
) {
    let (mut left, mut cursor) = (taken, before);
    let stream = &*room.stream;
    let of = Of { stream, epoch: &room.life.epoch, tenant: connection.naming(&stream.tenant) };
    // What it knew when these frames were chosen, and then what those tell of which the socket took at least the beginning.
    let mut format = connection.format;
    for entry in entries {
        if left == 0 {
            break;
        }
        cursor = entry.seq;
        context.counts.deliveries += 1;
        let form = connection.wire.event(entry, of, &mut format, &mut context.deflater, readers);
        if left < form.len() {
            connection.outbox.begun(form.slice(left..));
            break;
        }
        left -= form.len();
    }
    connection.format = format;
    if let Some(session) = connection.sessions_mut().iter_mut().find(|session| session.room == key) {
        if session.is_live() {
            metrics().fell_behind();
        }
        session.past.set_position(Position::Behind(cursor));
    }
    connection.blocked(taken, context);
}

/// The shard itself was too slow and the ring has moved on: everyone reads the log, at their own pace.
fn all_fall_behind<S: Socket>(key: RoomKey, tables: &mut Tables<S>) {
    let Some(room) = tables.rooms.get_mut(key) else { return };
    let cursor = room.cursor;
    let (life, head) = room.stream.position();
    if life.number != room.life.number {
        // A new generation began meanwhile: what is read next says so.
        return;
    }
    room.cursor = head;
    for &member in room.members() {
        let session = tables.connections.get_mut(member as usize);
        if let Some(session) = session.and_then(|connection| live_session(&mut connection.stage, key)) {
            metrics().fell_behind();
            session.past.set_position(Position::Behind(cursor));
            tables.touched.push(member);
        }
    }
}

/// Commit → socket, once for each event and shard.
fn measure<W: World>(entries: &[Arc<Entry>], readers: usize, context: &Context<W>) {
    let now_us = context.world.unix_us();
    for entry in entries.iter().filter(|entry| entry.at_micros > 0) {
        let took_us = now_us.saturating_sub(entry.at_micros);
        metrics().delivery_seconds.record(took_us as f64 / 1e6);
        metrics().tally.delivered(took_us);
        if context.config.traces.is_on() {
            context.config.traces.fan_out(entry.json(), readers, took_us);
        }
    }
}
