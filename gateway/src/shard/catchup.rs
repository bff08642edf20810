//! How does a connection that is behind become live?
//!
//! Slow reader, resume, replay and catch-up are this one path: finish what was begun, give the answers that wait,
//! then read on from the cursor, in the ring or in the log, until the cursor is the room's.

use super::connection::{Position, Reading, Stage, Ticket};
use super::mailbox::Errand;
use super::outbox::{SLICES, Wrote, length, write_vectored};
use super::wire::Wire;
use super::worker::Worker;
use crate::stream::Reading as InRing;
use crate::stream::backlog::BacklogPage;
use crate::stream::entry::Entry;
use carillon_backplane::log::LogError;
use carillon_protocol::server::{ResetReason, ServerFrame};
use carillon_protocol::{Channel, Seq};
use std::io::IoSlice;
use std::sync::Arc;

/// Events looked at in one turn of one connection, so that others get theirs.
const TURN: usize = 512;
/// How soon a log that did not answer is asked again.
pub(super) const ASK_AGAIN_MS: u64 = 500;

impl Worker {
    /// Brings a connection as far forward as its socket takes.
    pub(super) fn catch_up(&mut self, key: u32) {
        if self.flush(key) && self.go_forward(key) {
            self.next_history(key);
            self.leave_at_head(key);
        }
        self.read_on(key);
    }

    /// Reads on from the cursor. True when the connection is live.
    fn go_forward(&mut self, key: u32) -> bool {
        let mut looked = 0;
        loop {
            let Some(connection) = self.connections.get_mut(key as usize) else { return false };
            let Stage::Member(member) = &mut connection.stage else { return false };
            let Position::Behind(cursor) = member.position else { return true };
            let room = &self.rooms[member.room as usize];
            debug_assert!(cursor <= room.cursor, "I3: nobody is ahead of their room");
            if cursor >= room.cursor {
                member.position = Position::Live;
                connection.blocked_ms = None;
                return true;
            }
            if member.reading != Reading::Nothing {
                return false;
            }
            if looked >= TURN {
                self.ready.push(key);
                return false;
            }
            let mut entries = std::mem::take(&mut self.reading);
            entries.clear();
            match room.stream.after(room.life.number, cursor, SLICES, &mut entries) {
                InRing::Events => {
                    let upto = room.cursor;
                    entries.truncate(entries.partition_point(|entry| entry.seq <= upto));
                    looked += entries.len();
                    let (stream, before) = (room.stream.clone(), self.counts.deliveries);
                    let went_on = self.write_matching(key, &entries);
                    stream.delivered(self.counts.deliveries - before);
                    entries.clear();
                    self.reading = entries;
                    if !went_on {
                        return false;
                    }
                }
                InRing::Gone => {
                    let errand = Errand::Page {
                        connection: connection.id,
                        ticket: member.ask(),
                        reader: member.reader(),
                        life: room.life.number,
                        cursor,
                        head: room.cursor,
                    };
                    self.reading = entries;
                    self.run(errand);
                    return false;
                }
                // The room begins its new life when its news is read, and takes everyone with it.
                InRing::Reset => {
                    self.reading = entries;
                    return false;
                }
            }
        }
    }

    /// Writes what waits. False when the connection cannot go on now (or at all).
    pub(super) fn flush(&mut self, key: u32) -> bool {
        let Some(connection) = self.connections.get_mut(key as usize) else { return false };
        if matches!(connection.stage, Stage::Gone) {
            return false;
        }
        if connection.outbox.is_empty() {
            return true;
        }
        let waiting = connection.outbox.len();
        match connection.outbox.flush(&mut connection.socket) {
            Wrote::All => {
                self.counts.sent_bytes += waiting as u64;
                connection.sent_ms = self.now_ms;
                connection.blocked_ms = None;
                self.end_answer(key);
                true
            }
            Wrote::Blocked(taken) => {
                self.blocked(key, taken);
                false
            }
            Wrote::Broken => {
                self.broken(key);
                false
            }
        }
    }

    /// The socket took so many bytes and then no more.
    pub(super) fn blocked(&mut self, key: u32, taken: usize) {
        self.counts.sent_bytes += taken as u64;
        let connection = &mut self.connections[key as usize];
        if taken > 0 {
            connection.sent_ms = self.now_ms;
        }
        if let Stage::Member(member) = &mut connection.stage
            && member.position == Position::Live
        {
            member.position = Position::Behind(self.rooms[member.room as usize].cursor);
        }
        if taken > 0 || connection.blocked_ms.is_none() {
            connection.blocked_ms = Some(self.now_ms);
            self.answer_goes_on(key);
            self.reschedule(key);
        }
    }

    /// Writes those of consecutive events that are for this connection and moves its cursor past all of them. False
    /// when the socket takes no more.
    fn write_matching(&mut self, key: u32, entries: &[Arc<Entry>]) -> bool {
        let mut from = 0;
        while from < entries.len() {
            let connection = &mut self.connections[key as usize];
            let Stage::Member(member) = &mut connection.stage else { return false };
            let Position::Behind(cursor) = member.position else { return true };
            debug_assert_eq!(entries[from].seq, cursor.next(), "I4: nothing is skipped");
            let room = &self.rooms[member.room as usize];
            let wanted = |channel: &Channel| {
                room.key_of(channel).is_some_and(|key| member.channels.iter().any(|own| own.channel == key))
            };
            if let Wire::Poll { .. } = connection.wire {
                let mut matching =
                    entries[from..].iter().filter(|e| e.channels.iter().any(wanted)).peekable();
                let upto = entries[entries.len() - 1].seq;
                if matching.peek().is_none() {
                    member.position = Position::Behind(upto);
                    return true;
                }
                let matching: Vec<&Arc<Entry>> = matching.collect();
                self.answer_poll(key, matching.into_iter(), upto, None);
                return false;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let (mut count, mut to) = (0, from);
            while to < entries.len() && count < SLICES {
                if entries[to].channels.iter().any(wanted) {
                    slices[count] = IoSlice::new(connection.wire.event(
                        &entries[to],
                        &room.life.epoch,
                        &mut self.deflater,
                        1,
                    ));
                    count += 1;
                }
                to += 1;
            }
            let wrote = if count == 0 {
                Wrote::All
            } else {
                write_vectored(&mut connection.socket, &slices[..count])
            };
            self.counts.writes += u64::from(count > 0);
            match wrote {
                Wrote::All => {
                    if count > 0 {
                        connection.sent_ms = self.now_ms;
                        connection.blocked_ms = None;
                    }
                    self.counts.deliveries += count as u64;
                    self.counts.sent_bytes += length(&slices[..count]);
                    member.position = Position::Behind(entries[to - 1].seq);
                }
                Wrote::Blocked(taken) => {
                    let matching: Vec<&Arc<Entry>> =
                        entries[from..to].iter().filter(|entry| entry.channels.iter().any(wanted)).collect();
                    // What lies before the first match is behind it already.
                    let before = matching.first().map_or(cursor, |entry| entry.seq.previous());
                    self.fall_behind(key, before, matching.into_iter(), 1, taken);
                    return false;
                }
                Wrote::Broken => {
                    self.broken(key);
                    return false;
                }
            }
            from = to;
        }
        true
    }

    /// A page of the log has come for a connection behind its ring.
    pub(super) fn take_page(&mut self, key: u32, ticket: Ticket, page: Result<Arc<BacklogPage>, LogError>) {
        let now_ms = self.now_ms;
        let Some(member) = self.member_mut(key) else { return };
        if !member.answered(ticket) {
            return;
        }
        let Position::Behind(cursor) = member.position else { return self.catch_up(key) };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%error, "a backlog page could not be read, asking again");
                member.reading = Reading::Later(now_ms + ASK_AGAIN_MS);
                return self.reschedule(key);
            }
        };
        if !self.flush(key) {
            return;
        }
        let Some(member) = self.member_mut(key) else { return };
        let room = member.room as usize;
        let upto = self.rooms[room].cursor;
        let entries = page.after(cursor);
        if entries.is_empty() && cursor < upto {
            return self.reset(key, ResetReason::TooOld);
        }
        let entries = &entries[..entries.partition_point(|entry| entry.seq <= upto)];
        if self.write_matching(key, entries) {
            self.catch_up(key);
        }
    }

    /// Tells a member that continuity is lost; it goes on from the room's cursor.
    pub(super) fn reset(&mut self, key: u32, reason: ResetReason) {
        let Some(room) = self.member(key).map(|member| member.room as usize) else { return };
        let cursor = self.rooms[room].cursor;
        let Some(member) = self.member_mut(key) else { return };
        member.position = Position::Behind(cursor);
        member.reading = Reading::Nothing;
        let epoch = self.rooms[room].life.epoch.clone();
        self.answer(key, &ServerFrame::Reset { reason, seq: cursor, epoch: &epoch });
        self.catch_up(key);
    }

    /// The stream began a new life: the room follows it, and every member is told. Who has missed nothing goes on from
    /// where it stands, in the new epoch; the others are reset.
    pub(super) fn begin_new_life(&mut self, room: u32) {
        let here = &mut self.rooms[room as usize];
        let (life, head) = here.stream.position();
        let before = std::mem::replace(&mut here.life, life.clone());
        let live_at = std::mem::replace(&mut here.cursor, head);
        for key in here.members.clone() {
            let Some(member) = self.member_mut(key) else { continue };
            let cursor = match member.position {
                Position::Live => live_at,
                Position::Behind(cursor) => cursor,
            };
            if cursor <= head && life.continues(&before, cursor) {
                member.position = Position::Behind(cursor);
                // What is being read may end with events that are gone.
                member.reading = Reading::Nothing;
                self.answer(key, &ServerFrame::Heartbeat { seq: cursor, epoch: Some(&life.epoch) });
                self.catch_up(key);
                continue;
            }
            // History of the old life would carry numbers of the old life: it ends here, and says that it is not whole.
            let unfinished = std::mem::take(&mut member.history);
            self.reset(key, life.reason);
            for job in &unfinished {
                self.answer(key, &job.cut_short());
            }
        }
    }

    /// Where a member stands in its tenant's log.
    pub(super) fn cursor(&self, key: u32) -> Seq {
        match self.connections.get(key as usize).map(|connection| &connection.stage) {
            Some(Stage::Member(member)) => match member.position {
                Position::Live => self.rooms[member.room as usize].cursor,
                Position::Behind(cursor) => cursor,
            },
            _ => Seq::ZERO,
        }
    }
}
