//! How does a signal reach everyone who is live?
//!
//! Signals wait in their room for the next fan-out of it, and each live member of their channels gets all that are for it in one
//! write. It is the events' way ([`fanout`](super::fanout)) without what makes an event an event: no cursor moves, and whoever
//! cannot take a signal has missed it. The work is the writes: no allocation, no parsing, no task for a delivery.

use super::connection::{Connection, Gathered};
use super::context::Context;
use super::fanout::live_session;
use super::outbox::{SLICES, Wrote, length, write_vectored};
use super::past::Position;
use super::room::{Room, RoomKey};
use super::tables::Tables;
use super::wire::Wire;
use super::world::{Socket, World};
use crate::live::Passing;
use crate::metrics::metrics;
use slab::Slab;
use std::io::IoSlice;
use std::sync::Arc;

/// Signals of a room that are handed out at a time; what else waits comes after the room has rested.
const TAKEN: usize = 64;
/// Links that are kept from one fan-out to the next.
const LINKS: usize = 1 << 20;

/// Has the next fan-outs of a room hand a signal to the live members of its channel. Nothing, if it has none here.
pub(super) fn hand_in<S: Socket>(key: RoomKey, passing: Arc<Passing>, tables: &mut Tables<S>) {
    let Some(room) = tables.rooms.get_mut(key) else { return };
    if !room.has_members(&passing.channel) {
        return;
    }
    let dropped = room.signals.push(passing);
    if dropped > 0 {
        metrics().signals_dropped("busy", dropped);
    }
    tables.has_signals(key);
}

/// What a fan-out of signals needs while it runs, kept between runs so that it allocates nothing.
#[derive(Default)]
pub(super) struct LiveFanOut {
    signals: Vec<Arc<Passing>>,
    /// Which connection gets which signal, chained for each connection in their order.
    links: Vec<Link>,
    /// The connections that get anything.
    readers: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Link {
    signal: u32,
    next: u32,
}

impl LiveFanOut {
    /// Hands the first of what waits in a room to its live sessions. Whoever did not just take it is left touched.
    pub(super) fn run<W: World>(
        &mut self,
        key: RoomKey,
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        let Some(room) = tables.rooms.get_mut(key).filter(|room| !room.signals.is_empty()) else { return };
        room.signals.take(TAKEN, &mut self.signals);
        let are_left = !room.signals.is_empty();
        let missed = self.gather(key, room, &mut tables.connections);
        if missed > 0 {
            metrics().signals_dropped("behind", missed);
        }
        for &reader in &self.readers {
            let Some(connection) = tables.connections.get_mut(reader as usize) else { continue };
            if !self.write(connection, key, room, context) {
                tables.touched.push(reader);
            }
        }
        self.signals.clear();
        if self.links.capacity() > LINKS {
            self.links = Vec::new();
        }
        if are_left {
            tables.has_signals(key);
        }
    }

    /// Chains for each live session the signals that are for one of its channels, each once. Answers how many members were not
    /// live and miss one.
    fn gather<S: Socket>(&mut self, key: RoomKey, room: &Room, connections: &mut Slab<Connection<S>>) -> u64 {
        self.links.clear();
        self.readers.clear();
        let mut missed = 0;
        for (index, signal) in (0..).zip(&self.signals) {
            let channels = std::slice::from_ref(&signal.channel);
            let by_name = room.in_channel(&signal.channel).map_or(&[][..], |(_, members)| members);
            let by_pattern = room.watchers(channels).flat_map(|(_, members)| members);
            let kind = if room.has_groups() { signal.kind() } else { None };
            let by_type = room.wanting_type(channels, kind.as_deref()).flat_map(|(_, members)| members);
            for &reader in by_name.iter().chain(by_pattern).chain(by_type) {
                let Some(connection) = connections.get_mut(reader as usize) else { continue };
                if signal.except == Some(connection.id)
                    || matches!(connection.wire, Wire::Poll { .. } | Wire::Command)
                {
                    continue;
                }
                if !connection.outbox.is_empty() || live_session(&mut connection.stage, key).is_none() {
                    missed += 1;
                    continue;
                }
                let link = self.links.len() as u32;
                match self.links.get_mut(connection.gathered.last as usize) {
                    None => {
                        connection.gathered.first = link;
                        self.readers.push(reader);
                    }
                    // A service that is in the channel by name and by a pattern.
                    Some(last) if last.signal == index => continue,
                    Some(last) => last.next = link,
                }
                connection.gathered.last = link;
                self.links.push(Link { signal: index, next: Gathered::NONE });
            }
        }
        missed
    }

    /// Writes a connection's chain. False when the connection must be looked after.
    fn write<W: World>(
        &self,
        connection: &mut Connection<W::Socket>,
        key: RoomKey,
        room: &Room,
        context: &mut Context<W>,
    ) -> bool {
        let mut at = std::mem::replace(&mut connection.gathered, Gathered::NOTHING).first;
        let (readers, tenant) = (self.readers.len(), connection.naming(&room.stream.tenant));
        while at != Gathered::NONE {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut forms = [None; SLICES];
            let mut count = 0;
            for (slice, form) in slices.iter_mut().zip(&mut forms) {
                let Some(link) = self.links.get(at as usize) else { break };
                let Some(signal) = self.signals.get(link.signal as usize) else { break };
                let bytes = connection.wire.signal(signal, tenant, &mut context.deflater, readers);
                (*slice, *form) = (IoSlice::new(bytes), Some(bytes));
                count += 1;
                at = link.next;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let wrote = write_vectored(&mut connection.socket, slices);
            context.counts.signal_writes += 1;
            match wrote {
                Wrote::All => {
                    connection.wrote(length(slices), context);
                    context.counts.signals += count as u64;
                }
                Wrote::Blocked(taken) => {
                    // The rest of the frame that was begun is owed; those after it are missed.
                    let mut left = taken;
                    for form in forms.into_iter().flatten() {
                        if left == 0 {
                            metrics().signals_dropped("behind", 1);
                            continue;
                        }
                        context.counts.signals += 1;
                        if left < form.len() {
                            connection.outbox.begun(form.slice(left..));
                        }
                        left = left.saturating_sub(form.len());
                    }
                    metrics().fell_behind();
                    if let Some(session) = live_session(&mut connection.stage, key) {
                        session.past.set_position(Position::Behind(room.cursor));
                    }
                    connection.blocked(taken, context);
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
}
