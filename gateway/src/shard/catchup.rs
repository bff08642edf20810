//! How does a connection that is behind become live?
//!
//! Slow reader, resume, replay and catch-up are this one path: read on from the cursor, in the ring or in the log, until
//! the cursor is the room's. What was begun and the answers that wait go first.

use super::connection::{Connection, Stage, Standing};
use super::context::Context;
use super::except::keeps_from;
use super::fanout::fall_behind;
use super::generation::reset;
use super::messages::{Request, Ticket};
use super::outbox::{SLICES, Wrote, length, write_vectored};
use super::past::Position;
use super::past::Reading;
use super::replay::ask_next;
use super::room::{Room, Rooms};
use super::session::{ASK_AGAIN_MS, Session};
use super::stuck::Watched;
use super::wire::{Of, Wire};
use super::world::World;
use crate::stream::Reading as InRing;
use crate::stream::backlog::BacklogPage;
use crate::stream::entry::Entry;
use carillon_backplane::log::LogError;
use carillon_protocol::server::ResetReason;
use std::io::IoSlice;
use std::sync::Arc;

/// Events looked at in one turn of one connection, so that others get theirs.
const TURN: usize = 512;

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Every session is live.
    Live,
    /// There is more that could be done at once.
    More,
    /// It waits: for its socket, for the log, or for its end.
    Waits,
}

/// Brings the sessions of a connection as far forward as its socket takes, one after the other, and asks for the history of those that
/// are live. Nothing may wait in its outbox.
pub(super) fn go_forward<W: World>(
    connection: &mut Connection<W::Socket>,
    rooms: &Rooms,
    entries: &mut Vec<Arc<Entry>>,
    context: &mut Context<W>,
) -> Progress {
    let sessions = connection.sessions().len();
    // Of several each gets its part of the turn.
    let most = (TURN / sessions.max(1)).max(SLICES);
    let (mut more, mut is_alone) = (false, connection.turns.is_alone());
    for _ in 0..sessions {
        let index = connection.turns.next(sessions);
        more |= session_forward(connection, index, most, rooms, entries, context) == Progress::More;
        if !connection.is_open() {
            return Progress::Waits;
        }
        ask_next(connection, index, context);
        let reads = connection.sessions().get(index).is_some_and(Session::is_reading);
        if is_alone && reads {
            break;
        }
        is_alone = false;
        connection.turns.pass(index);
        if !connection.outbox.is_empty() {
            return Progress::Waits;
        }
    }
    match (more, connection.sessions().iter().all(Session::is_live)) {
        (true, _) => Progress::More,
        (false, true) => Progress::Live,
        (false, false) => Progress::Waits,
    }
}

fn session_forward<W: World>(
    connection: &mut Connection<W::Socket>,
    index: usize,
    most: usize,
    rooms: &Rooms,
    entries: &mut Vec<Arc<Entry>>,
    context: &mut Context<W>,
) -> Progress {
    let mut looked = 0;
    loop {
        let Some(session) = connection.sessions_mut().get_mut(index) else { return Progress::Waits };
        let Some(room) = rooms.get(session.room) else { return Progress::Waits };
        let Position::Behind(cursor) = session.past.position() else { return Progress::Live };
        debug_assert!(cursor <= room.cursor, "I3: nobody is ahead of their room");
        if session.is_held() {
            return Progress::Waits;
        }
        if cursor >= room.cursor {
            session.past.set_position(Position::Live);
            return Progress::Live;
        }
        if session.past.reading() != Reading::Nothing {
            return Progress::Waits;
        }
        if looked >= most {
            return Progress::More;
        }
        entries.clear();
        match room.stream.after(room.life.number, cursor, SLICES, entries) {
            InRing::Events => {
                entries.truncate(entries.partition_point(|entry| entry.seq <= room.cursor));
                looked += entries.len();
                let before = context.counts.deliveries;
                let went_on = write_matching(connection, index, room, entries, context);
                room.stream.delivered(context.counts.deliveries - before);
                entries.clear();
                if !went_on {
                    return Progress::Waits;
                }
            }
            InRing::Gone => {
                let reader = session.reader();
                let ticket = connection.next_ticket();
                context.world.request(Request::Page {
                    connection: connection.id,
                    ticket,
                    reader,
                    life: room.stream.life_of_all(room.life.number),
                    cursor,
                    head: room.cursor,
                });
                if let Some(session) = connection.sessions_mut().get_mut(index) {
                    session.past.set_reading(Reading::Asked(ticket));
                }
                return Progress::Waits;
            }
            // The room follows into the new generation when its news is read, and takes everyone with it.
            InRing::Reset => return Progress::Waits,
        }
    }
}

/// Writes those of consecutive events that are for this session and moves its cursor past all of them. False when the
/// connection must wait.
fn write_matching<W: World>(
    connection: &mut Connection<W::Socket>,
    index: usize,
    room: &Room,
    mut entries: &[Arc<Entry>],
    context: &mut Context<W>,
) -> bool {
    while let (Some(first), Some(last)) = (entries.first(), entries.last()) {
        let (stream, epoch) = (&*room.stream, &room.life.epoch);
        let of = Of { stream, epoch, tenant: connection.naming(&stream.tenant) };
        let Stage::Open(sessions) = &mut connection.stage else { return false };
        let Some(session) = sessions.get_mut(index) else { return false };
        let Position::Behind(cursor) = session.past.position() else { return true };
        debug_assert_eq!(first.seq, cursor.next(), "I4: nothing is skipped");
        let (channels, id) = (&session.channels, connection.id);
        let is_wanted = |entry: &&Arc<Entry>| room.is_for(channels, entry) && !keeps_from(entry, id, session);
        if let Wire::Poll { .. } = connection.wire {
            let matching: Vec<Arc<Entry>> = entries.iter().filter(is_wanted).cloned().collect();
            session.past.set_position(Position::Behind(last.seq));
            if !matching.is_empty() {
                connection.answer_poll(matching.iter(), stream, last.seq, None, epoch, context);
                return false;
            }
            return true;
        }
        let is_new = |watched: &&mut Box<Watched>| watched.is_new_in(session.tenant());
        if let Some(watched) = connection.watched.as_mut().filter(is_new)
            && let Some(first) = entries.iter().find(is_wanted)
        {
            watched.begins_with(first);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut count, mut upto, mut format) = (0, cursor, connection.format);
        let mut rest = entries;
        while let Some((entry, after)) = rest.split_first() {
            if is_wanted(&entry) {
                let Some(slice) = slices.get_mut(count) else { break };
                let form = connection.wire.event(entry, of, &mut format, &mut context.deflater, 1);
                *slice = IoSlice::new(form);
                count += 1;
            }
            (rest, upto) = (after, entry.seq);
        }
        let slices = slices.get(..count).unwrap_or_default();
        let wrote = if count == 0 { Wrote::All } else { write_vectored(&mut connection.socket, slices) };
        context.counts.writes += u64::from(count > 0);
        match wrote {
            Wrote::All => {
                session.past.set_position(Position::Behind(upto));
                if count > 0 {
                    connection.format = format;
                    connection.wrote_events(length(slices), context);
                    context.counts.deliveries += count as u64;
                }
            }
            Wrote::Blocked(taken) => {
                let looked = entries.len() - rest.len();
                let matching: Vec<Arc<Entry>> =
                    entries.iter().take(looked).filter(is_wanted).cloned().collect();
                // What lies before the first match is behind it already.
                let before = matching.first().map_or(cursor, |entry| entry.seq.previous());
                let key = session.room;
                fall_behind(connection, key, room, before, matching.iter(), 1, taken, context);
                return false;
            }
            Wrote::Broken => {
                connection.lose();
                return false;
            }
        }
        entries = rest;
    }
    true
}

/// A page of the log has come for a connection behind its ring; nothing may wait in its outbox, or the page is let go and
/// read again later.
pub(super) fn take_page<W: World>(
    connection: &mut Connection<W::Socket>,
    rooms: &Rooms,
    ticket: Ticket,
    page: Result<Arc<BacklogPage>, LogError>,
    context: &mut Context<W>,
) {
    let sessions = connection.sessions_mut();
    let Some(index) = sessions.iter_mut().position(|session| session.answered(ticket)) else { return };
    let Some(session) = sessions.get_mut(index) else { return };
    let Position::Behind(cursor) = session.past.position() else { return };
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            tracing::debug!(%error, "a backlog page could not be read, asking again");
            session.past.set_reading(Reading::Later(context.now_ms + ASK_AGAIN_MS));
            return connection.turns.pass(index);
        }
    };
    let Some(room) = rooms.get(session.room) else { return };
    if !connection.flush(context) {
        return connection.turns.keep(index);
    }
    connection.turns.pass(index);
    let entries = page.after(cursor);
    if entries.is_empty() && cursor < room.cursor {
        let standing = Standing { cursor: room.cursor, epoch: room.life.epoch.clone() };
        return reset(connection, index, ResetReason::TooOld, &standing, context);
    }
    let within = entries.partition_point(|entry| entry.seq <= room.cursor);
    let before = context.counts.deliveries;
    write_matching(connection, index, room, entries.get(..within).unwrap_or_default(), context);
    room.stream.delivered(context.counts.deliveries - before);
}
