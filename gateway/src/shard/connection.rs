//! What is known of one connection, and what may become of it?
//!
//! One socket with its outbox, the form in which its client reads, and the sessions that use it. Nothing here removes
//! anything: a connection that is closed or broken is *marked*, and whoever uses it goes on without harm. The shard acts
//! on the marks ([`Stage`], [`Connection::wants_to_be_read`]) at the end of what it does, and forgets at the end of a turn.

use super::allowance::Allowance;
use super::context::Context;
use super::messages::{ConnectionId, Ticket};
use super::outbox::{Outbox, Wrote};
use super::quality::Quality;
use super::room::RoomKey;
use super::session::Session;
use super::stuck::Watched;
use super::turns::Turns;
use super::wire::{FAREWELL_MS, Format, Wire, push_poll_answer};
use super::world::{Socket, World};
use crate::admission::Permit;
use crate::edge::RawQuery;
use crate::metrics::metrics;
use crate::socketio::outgoing::{Form, Offset};
use crate::stream::Stream;
use crate::stream::entry::Entry;
use crate::ws::Decoder;
use carillon_protocol::CloseCode;
use carillon_protocol::server::{ResetReason, ServerFrame};
use carillon_protocol::{Epoch, Seq, TenantId};
use std::num::NonZeroU64;
use std::sync::Arc;

/// Bytes of frames that may wait while a token is checked.
const HELD_BYTES: usize = 64 * 1024;

/// One socket and everything that hangs on it.
pub(super) struct Connection<S> {
    pub(super) id: ConnectionId,
    pub(super) socket: S,
    pub(super) wire: Wire,
    pub(super) format: Format,
    pub(super) decoder: Decoder,
    pub(super) outbox: Outbox,
    pub(super) stage: Stage,
    pub(super) allowance: Allowance,
    pub(super) opened_ms: u64,
    /// When bytes last came from the client.
    pub(super) heard_ms: u64,
    /// When the client was last told its cursor, by an event or by a frame of ours. Nothing else postpones a heartbeat: a
    /// page sees no ping, and an answer without a cursor leaves it with an old one. With several tenants, when it was last told
    /// all of its cursors together: nothing but that postpones the next time.
    pub(super) told_ms: u64,
    /// Since when the socket takes nothing, if it is so.
    pub(super) blocked_ms: Option<u64>,
    /// Whether the socket may take something: it has not said otherwise since it was last reported writable.
    pub(super) writable: bool,
    /// When a ping was sent that waits for any sign of life.
    pub(super) pinged_ms: Option<NonZeroU64>,
    /// What its pings have shown.
    pub(super) quality: Quality,
    /// Why it is ending, once it is.
    pub(super) ended: Option<CloseReason>,
    /// The socket may have bytes that were not read because the client has answers to take first.
    pub(super) unread: bool,
    /// Whether the poll has reported the end of what the client sends.
    pub(super) has_end: bool,
    /// Whether it stands in the list of those the shard goes on with.
    pub(super) queued: bool,
    /// When the token ends that it has shown.
    pub(super) token: TokenEnd,
    /// Whether a new token is being checked: one at a time, so that the last one sent is the one that stays.
    pub(super) is_refreshing: bool,
    /// Which of its sessions goes on next.
    pub(super) turns: Turns,
    /// Its place in the wheel.
    pub(super) place: u64,
    /// Whether it was sent away, and how far it is with that.
    pub(super) departure: Departure,
    /// The first and last of its frames in the fan-out under way.
    pub(super) gathered: Gathered,
    pub(super) last_ticket: Ticket,
    /// Whether it gets past the first event it missed; there only while that is not known.
    pub(super) watched: Option<Box<Watched>>,
    /// Given back when dropped.
    pub(super) permit: Permit,
}

/// When a token ends, in the shard's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenEnd {
    pub(super) expires_ms: u64,
    /// When its bearer is told that it ends soon; never once that was told.
    pub(super) expiring_ms: u64,
}

impl TokenEnd {
    /// Of a token that nobody has shown yet.
    pub(super) const UNKNOWN: Self = Self { expires_ms: u64::MAX, expiring_ms: u64::MAX };
}

/// How a connection leaves that was sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It does not.
    Stays,
    /// It is told to go when it is live, or at this time.
    AtHead { until_ms: u64 },
    /// It was told to go; what is left of it at this time is closed.
    ToldUntil(u64),
}

/// How far a connection is.
pub(super) enum Stage {
    /// Its first frame must present a token; what its URL asks for is read after that.
    Greeting(RawQuery),
    /// Its token is being checked; what it says meanwhile waits, within bounds.
    Entering(Vec<Box<str>>),
    /// It is in a tenant, or in several.
    Open(Vec<Session>),
    /// A farewell is on its way; gone at the latest at this time. Its sessions get nothing more, and leave their rooms at
    /// the end of the turn.
    Closing {
        until_ms: u64,
        /// Whether the client has said goodbye too: then it is gone with the last byte.
        answered: bool,
        sessions: Vec<Session>,
    },
    /// Of no use any more: removed at the end of the turn.
    Gone(Vec<Session>),
}

/// Why a connection ends, for the count of closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// We closed it.
    Closed(CloseCode),
    /// A poll that has its answer.
    Answered,
    /// The client closed it, or its network did.
    Left,
}

impl CloseReason {
    fn label(self) -> &'static str {
        match self {
            Self::Closed(code) => code.label(),
            Self::Answered => "answered",
            Self::Left => "left",
        }
    }
}

/// A chain of frames for one connection, within the fan-out under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathered {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Gathered {
    pub(super) const NONE: u32 = u32::MAX;
    pub(super) const NOTHING: Gathered = Gathered { first: Self::NONE, last: Self::NONE };
}

impl<S: Socket> Connection<S> {
    /// Its sessions, as long as they get anything.
    pub(super) fn sessions(&self) -> &[Session] {
        match &self.stage {
            Stage::Open(sessions) => sessions,
            _ => &[],
        }
    }

    pub(super) fn sessions_mut(&mut self) -> &mut [Session] {
        match &mut self.stage {
            Stage::Open(sessions) => sessions,
            _ => &mut [],
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whether it is closing or gone: nothing that the client says is acted on any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Closing { .. } | Stage::Gone(_))
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone(_))
    }

    /// Whether the socket may have something that the shard may take: a client that does not take its answers is not read.
    pub(super) fn wants_to_be_read(&self) -> bool {
        self.unread && !self.outbox.is_full() && !self.is_gone()
    }

    /// Whether nothing waits to be written or sent, and it stays: there is nothing to do for it before its client says something.
    pub(super) fn is_idle(&self) -> bool {
        let is_at_rest = |session: &Session| session.is_live() && session.past.len() == 0;
        self.is_open()
            && self.outbox.is_empty()
            && self.blocked_ms.is_none()
            && self.departure == Departure::Stays
            && self.sessions().iter().all(is_at_rest)
    }

    /// Keeps what a client says while its token is checked; false when that is too much.
    pub(super) fn hold(&mut self, text: &str) -> bool {
        let Stage::Entering(held) = &mut self.stage else { return true };
        let bytes: usize = held.iter().map(|text| text.len()).sum();
        let fits = bytes + text.len() <= HELD_BYTES;
        if fits {
            held.push(text.into());
        }
        fits
    }

    /// A client of Socket.IO that recovers is in other channels now: it cannot come back to them until they are kept.
    pub(super) fn tell_unrecoverable(&mut self) {
        if let (Wire::SocketIo(form), false) = (self.wire, self.is_ending()) {
            self.wire = Wire::SocketIo(Form { offset: Offset::None, ..form });
            self.wire.push_recovery(self.outbox.control(), None);
        }
    }

    /// Names the next question to the log.
    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        self.last_ticket
    }

    /// A tenant, where frames about it name it: on a connection that is in several.
    pub(super) fn naming<'t>(&self, tenant: &'t TenantId) -> Option<&'t TenantId> {
        (self.sessions().len() > 1).then_some(tenant)
    }

    /// Puts a frame that is about no tenant behind what waits to be written. A poll has its own form.
    pub(super) fn say(&mut self, frame: &ServerFrame<'_>) {
        if !self.is_ending() {
            self.wire.push(self.outbox.control(), frame, None, None);
            self.end_command(frame, self.heard_ms);
        }
    }

    /// The same with a frame about the tenant of one of its sessions, which stands in this epoch.
    pub(super) fn say_of(
        &mut self,
        session: usize,
        frame: &ServerFrame<'_>,
        epoch: Option<&Epoch>,
        now_ms: u64,
    ) {
        if self.is_ending() {
            return;
        }
        let tenant = match &self.stage {
            Stage::Open(sessions) if sessions.len() > 1 => {
                sessions.get(session).map(|session| session.tenant())
            }
            _ => None,
        };
        self.wire.push(self.outbox.control(), frame, tenant, epoch);
        if frame.cursor().is_some() && tenant.is_none() && self.wire.is_told_by_events() {
            self.told_ms = now_ms;
        }
        self.end_command(frame, now_ms);
    }

    /// The same with a frame about a tenant that it is in no more.
    pub(super) fn say_about(&mut self, tenant: &TenantId, frame: &ServerFrame<'_>) {
        if !self.is_ending() {
            self.wire.push(self.outbox.control(), frame, Some(tenant), None);
            self.end_command(frame, self.heard_ms);
        }
    }

    /// Ends it with a code: no more events, our farewell in the form it reads, and a moment for the client to answer it.
    /// A poll that is open is answered instead.
    pub(super) fn close<W: World>(&mut self, code: CloseCode, reason: &str, context: &Context<W>) {
        if !self.is_ending() {
            self.wire.push_farewell(self.outbox.control(), code, reason);
            self.end(CloseReason::Closed(code), context);
        }
    }

    /// No more events; what waits is written, then it is over.
    pub(super) fn end<W: World>(&mut self, reason: CloseReason, context: &Context<W>) {
        if self.is_ending() {
            return;
        }
        metrics().closed(reason.label());
        self.ended = Some(reason);
        if !matches!(reason, CloseReason::Closed(CloseCode::Bye | CloseCode::Silent | CloseCode::Stalled)) {
            self.watched = None;
        }
        // A WebSocket's farewell is short. An answer may be long, and its reader slow: it has the time a reader has.
        let within_ms = self.wire.farewell_ms(context.config.stall_ms);
        let until_ms = context.now_ms + within_ms;
        self.stage = Stage::Closing { until_ms, answered: false, sessions: self.take_sessions() };
    }

    /// A command that has its answer ends with it.
    fn end_command(&mut self, frame: &ServerFrame<'_>, now_ms: u64) {
        if self.wire != Wire::Command || !frame.is_answer() {
            return;
        }
        metrics().closed(CloseReason::Answered.label());
        self.ended = Some(CloseReason::Answered);
        let until_ms = now_ms + FAREWELL_MS;
        self.stage = Stage::Closing { until_ms, answered: false, sessions: self.take_sessions() };
    }

    /// The client has said goodbye.
    pub(super) fn farewell_answered(&mut self) {
        if let Stage::Closing { answered, .. } = &mut self.stage {
            *answered = true;
        }
    }

    /// Why it has ended, as it is counted.
    pub(super) fn end_label(&self) -> &'static str {
        self.ended.unwrap_or(CloseReason::Left).label()
    }

    /// The socket is of no use any more.
    pub(super) fn lose(&mut self) {
        if self.is_gone() {
            return;
        }
        if !self.is_ending() {
            metrics().closed(CloseReason::Left.label());
            self.ended = Some(CloseReason::Left);
        }
        self.stage = Stage::Gone(self.take_sessions());
    }

    /// The sessions, whatever stage they are in: to be moved on to the next, or to leave their rooms.
    pub(super) fn take_sessions(&mut self) -> Vec<Session> {
        match &mut self.stage {
            Stage::Open(sessions) | Stage::Closing { sessions, .. } | Stage::Gone(sessions) => {
                std::mem::take(sessions)
            }
            Stage::Greeting(_) | Stage::Entering(_) => Vec::new(),
        }
    }

    /// Its session in a room, also one that is about to leave it.
    pub(super) fn any_session_in(&mut self, room: RoomKey) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::Open(sessions) | Stage::Closing { sessions, .. } | Stage::Gone(sessions) => {
                sessions.iter_mut().find(|session| session.room == room)
            }
            Stage::Greeting(_) | Stage::Entering(_) => None,
        }
    }

    /// Answers a poll, which ends it, with as many of these events as an answer holds.
    pub(super) fn answer_poll<'a, W: World>(
        &mut self,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        stream: &Stream,
        upto: Seq,
        reset: Option<ResetReason>,
        epoch: &Epoch,
        context: &mut Context<W>,
    ) {
        if let (Wire::Poll { most, .. }, true) = (self.wire, self.is_open()) {
            let (out, mut format) = (self.outbox.control(), self.format);
            let json = |entry: &'a Entry| format.json(entry, stream);
            let most = most as usize;
            context.counts.deliveries += push_poll_answer(out, most, entries, json, upto, reset, epoch);
            self.end(CloseReason::Answered, context);
        }
    }

    /// Answers a poll without events.
    pub(super) fn answer_poll_empty<W: World>(
        &mut self,
        upto: Seq,
        reset: Option<ResetReason>,
        epoch: &Epoch,
        context: &mut Context<W>,
    ) {
        if let (Wire::Poll { .. }, true) = (self.wire, self.is_open()) {
            let (out, none) = (self.outbox.control(), std::iter::empty());
            push_poll_answer(out, 0, none, Entry::json, upto, reset, epoch);
            self.end(CloseReason::Answered, context);
        }
    }

    /// Writes what waits. True when nothing does any more and the connection can go on.
    pub(super) fn flush<W: World>(&mut self, context: &mut Context<W>) -> bool {
        if self.is_gone() || !self.writable {
            return false;
        }
        if !self.outbox.is_empty() {
            let waiting = self.outbox.len();
            match self.outbox.flush(&mut self.socket) {
                Wrote::All => self.wrote(waiting as u64, context),
                Wrote::Blocked(taken) => {
                    self.blocked(taken, context);
                    return false;
                }
                Wrote::Broken => {
                    self.lose();
                    return false;
                }
            }
            self.end_answer(context.now_ms);
        }
        // It takes again, also where nothing of ours waits but a page of the log.
        self.unblocked();
        if matches!(self.stage, Stage::Closing { answered: true, .. }) {
            // Both have said goodbye: nothing more will be read, and what was written is on its way.
            self.lose();
        }
        !self.is_gone()
    }

    /// The socket took all that it was given.
    pub(super) fn wrote<W: World>(&mut self, bytes: u64, context: &mut Context<W>) {
        context.counts.sent_bytes += bytes;
        self.unblocked();
    }

    /// The socket took all of these events.
    pub(super) fn wrote_events<W: World>(&mut self, bytes: u64, context: &mut Context<W>) {
        self.wrote(bytes, context);
        if self.sessions().len() <= 1 && self.wire.is_told_by_events() {
            self.told_ms = context.now_ms;
        }
    }

    /// The socket takes again. What it did not answer meanwhile is no sign of anything: a ping may have waited behind what
    /// it did not take. It is asked anew.
    fn unblocked(&mut self) {
        if self.blocked_ms.take().is_some() {
            self.pinged_ms = None;
        }
    }

    /// The socket took so many bytes and then no more.
    pub(super) fn blocked<W: World>(&mut self, taken: usize, context: &mut Context<W>) {
        self.writable = false;
        context.counts.sent_bytes += taken as u64;
        if taken > 0 || self.blocked_ms.is_none() {
            self.blocked_ms = Some(context.now_ms);
            if let (false, Stage::Closing { until_ms, .. }) = (self.wire.is_websocket(), &mut self.stage) {
                // It took some of an answer that is ending: it has its time again for the rest.
                *until_ms = context.now_ms + context.config.stall_ms;
            }
        }
    }

    /// Half-closes an answer whose last byte is written: its end is how the client knows that it is whole.
    fn end_answer(&mut self, now_ms: u64) {
        if let (false, Stage::Closing { until_ms, .. }) = (self.wire.is_websocket(), &mut self.stage) {
            *until_ms = now_ms + FAREWELL_MS;
            self.socket.end_writing();
        }
    }
}

/// Where a session stands, as its client knows it.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) cursor: Seq,
    pub(super) epoch: Epoch,
}
