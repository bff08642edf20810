//! Who is here, in which room, and who goes?
//!
//! The tables of a shard and what must be done in several of them at once: entering and leaving rooms and channels. What
//! may be gone is asked for. Nothing is removed but in [`Tables::sweep`], which the shard calls once, at the end of a turn.

use super::asked::Asked;
use super::connection::{Connection, Stage, Standing};
use super::context::Context;
use super::membership::Membership;
use super::messages::ConnectionId;
use super::room::{RoomKey, Rooms};
use super::session::Session;
use super::typists::{Place, Typists};
use super::wire::Wire;
use super::world::{Socket, World};
use crate::metrics::metrics;
use crate::refusals;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, ChannelPattern, CloseCode, TypeFilter};
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// The connections and rooms of a shard.
pub(super) struct Tables<S> {
    pub(super) connections: Slab<Connection<S>>,
    pub(super) rooms: Rooms,
    /// Memberships in channels, of all sessions.
    pub(super) subscriptions: u64,
    /// What those connections want of all their channels that chose types when they came.
    chosen: HashMap<u32, Arc<TypeFilter>>,
    /// Connections that something happened to while many were looked after: to be settled.
    pub(super) touched: Vec<u32>,
    /// Who types, here and elsewhere.
    pub(super) typists: Typists,
    /// Rooms that signals wait in since a moment ago.
    pub(super) signalled: Vec<RoomKey>,
    /// Memberships that hold by what tenants' applications say.
    pub(super) asked: Asked,
    /// Connections that are ending and still in a table.
    ending: Vec<u32>,
}

impl<S: Socket> Tables<S> {
    pub(super) fn new() -> Self {
        Self {
            connections: Slab::new(),
            rooms: Rooms::default(),
            subscriptions: 0,
            chosen: HashMap::new(),
            touched: Vec::new(),
            typists: Typists::default(),
            signalled: Vec::new(),
            asked: Asked::default(),
            ending: Vec::new(),
        }
    }

    pub(super) fn get(&self, key: u32) -> Option<&Connection<S>> {
        self.connections.get(key as usize)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut Connection<S>> {
        self.connections.get_mut(key as usize)
    }

    /// Whether the connection with this name is still here.
    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.get(id.key).is_some_and(|connection| connection.id == id && !connection.is_gone())
    }

    /// Where a connection's first session stands.
    pub(super) fn standing(&self, key: u32) -> Option<Standing> {
        let session = self.get(key)?.sessions().first()?;
        let room = self.rooms.get(session.room)?;
        Some(Standing { cursor: session.cursor(room.cursor), epoch: room.life.epoch.clone() })
    }

    /// Says something to a client.
    pub(super) fn say(&mut self, key: u32, frame: &ServerFrame<'_>, now_ms: u64) {
        let epoch = self.standing(key).map(|standing| standing.epoch);
        if let Some(connection) = self.get_mut(key) {
            connection.say(frame, epoch.as_ref(), now_ms);
        }
    }

    /// Answers a request with an error; the connection stays as it was.
    pub(super) fn refuse(
        &mut self,
        key: u32,
        id: Option<&str>,
        code: &'static str,
        message: &str,
        now_ms: u64,
    ) {
        self.refuse_as(key, id, (code, code), message, now_ms);
    }

    /// The same where several reasons have one code: the second of the pair is what the metric counts it under.
    pub(super) fn refuse_as(
        &mut self,
        key: u32,
        id: Option<&str>,
        (code, counted): (&'static str, &'static str),
        message: &str,
        now_ms: u64,
    ) {
        metrics().frame_refused(counted);
        let id = id.and_then(|id| serde_json::from_str(id).ok());
        self.say(key, &ServerFrame::Error { id, code, message, channels: None }, now_ms);
    }

    /// Ends a connection with a code. A poll gets its answer instead: it comes back in a moment, and hears from the status
    /// whether it may.
    pub(super) fn close<W: World<Socket = S>>(
        &mut self,
        key: u32,
        code: CloseCode,
        reason: &str,
        context: &mut Context<W>,
    ) {
        let standing = self.standing(key);
        let Some(connection) = self.get_mut(key) else { return };
        match (connection.wire, standing) {
            (Wire::Poll { .. }, Some(Standing { cursor, epoch })) => {
                connection.answer_poll(std::iter::empty(), cursor, None, &epoch, context);
            }
            _ => connection.close(code, reason, context),
        }
    }

    /// Ends a connection that was not welcomed: counted by the code of the refusal, and told in the log.
    pub(super) fn turn_away<W: World<Socket = S>>(
        &mut self,
        key: u32,
        code: &'static str,
        close: CloseCode,
        reason: &str,
        context: &mut Context<W>,
    ) {
        if let Some(connection) = self.get(key).filter(|connection| !connection.is_ending()) {
            metrics().turned_away(code);
            refusals::tell_closed(|| connection.id.name(&context.config.run).to_string(), close.code(), code);
        }
        self.close(key, close, reason, context);
    }

    /// Makes a session one of the connection's, in its room. The session's place is set here.
    pub(super) fn enter(&mut self, key: u32, mut session: Session) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let Some(room) = self.rooms.get_mut(session.room) else { return };
        debug_assert!(
            connection.sessions().iter().all(|other| other.room != session.room),
            "one session a room"
        );
        session.place = room.enter(key);
        match &mut connection.stage {
            Stage::Open(sessions) => sessions.push(session),
            // Exactly one place: most connections never have a second one.
            stage => *stage = Stage::Open(vec![session]),
        }
    }

    /// Notes the types that a connection chose for all its channels when it came.
    pub(super) fn choose(&mut self, key: u32, types: Arc<TypeFilter>) {
        self.chosen.insert(key, types);
    }

    /// The types that a connection chose when it came, if it did.
    pub(super) fn chosen(&self, key: u32) -> Option<Arc<TypeFilter>> {
        self.chosen.get(&key).cloned()
    }

    /// Adds a connection's session (by its number) to channels, or to those of their events that have these types. What it wanted of
    /// a channel before is forgotten.
    pub(super) fn join(
        &mut self,
        key: u32,
        session: usize,
        channels: &[Channel],
        types: Option<&Arc<TypeFilter>>,
    ) {
        for channel in channels {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            let Some(session) = connection.sessions_mut().get_mut(session) else { return };
            let Some(room) = self.rooms.get_mut(session.room) else { return };
            let before = room.own_key(&session.channels, channel);
            if before.is_some_and(|before| room.leads_to(before, channel, types.map(Arc::as_ref))) {
                continue;
            }
            let left = before.and_then(|before| session.channels.remove(before));
            session.channels.insert(room.join(channel, types, key));
            self.subscriptions += 1;
            if let Some(left) = left {
                let room = session.room;
                self.leave_channel(room, left);
            }
        }
    }

    /// Adds a connection's session to what patterns match.
    pub(super) fn watch(
        &mut self,
        key: u32,
        session: usize,
        patterns: &[ChannelPattern],
        types: Option<&Arc<TypeFilter>>,
    ) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let Some(session) = connection.sessions_mut().get_mut(session) else { return };
        let Some(room) = self.rooms.get_mut(session.room) else { return };
        for pattern in patterns {
            session.channels.insert(room.watch(pattern, types, key));
            self.subscriptions += 1;
        }
    }

    /// Takes a connection's session out of channels; those it is not in are ignored.
    pub(super) fn leave(&mut self, key: u32, session: usize, channels: &[Channel]) {
        self.asked.left(key, channels);
        for channel in channels {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            let id = connection.id;
            let Some(session) = connection.sessions_mut().get_mut(session) else { return };
            let room = session.room;
            let own = self.rooms.get(room).and_then(|room| room.own_key(&session.channels, channel));
            if let Some(membership) = own.and_then(|own| session.channels.remove(own)) {
                if !self.typists.is_empty() {
                    self.typists.stop(&Place::of(&session.identity, channel), id);
                }
                self.leave_channel(room, membership);
            }
        }
    }

    /// Takes a membership out of a room's index and tells whoever moved to its place.
    fn leave_channel(&mut self, room: RoomKey, membership: Membership) {
        self.subscriptions -= 1;
        let Some(moved) = self.rooms.get_mut(room).and_then(|room| room.leave(membership)) else { return };
        let session = self.get_mut(moved).and_then(|connection| connection.any_session_in(room));
        let known = session.is_some_and(|own| own.channels.moved(membership.channel, membership.place));
        debug_assert!(known, "whoever is in a channel's list knows it");
    }

    /// Takes a session out of everything it is in.
    fn leave_room(&mut self, mut session: Session) {
        for membership in session.channels.take() {
            self.leave_channel(session.room, membership);
        }
        let moved = self.rooms.get_mut(session.room).and_then(|room| room.exit(session.place));
        let moved = moved.and_then(|moved| self.get_mut(moved)?.any_session_in(session.room));
        if let Some(moved) = moved {
            moved.place = session.place;
        }
        self.rooms.note_left(session.room);
    }

    /// Notes that a connection is ending, for the end of the turn.
    pub(super) fn note_ending(&mut self, key: u32) {
        self.ending.push(key);
    }

    /// The end of a turn: sessions of connections that are ending leave their rooms; connections that are gone and rooms
    /// without anybody are forgotten. Answers how many connections went.
    pub(super) fn sweep<W: World<Socket = S>>(&mut self, context: &mut Context<W>) -> usize {
        let mut gone = 0;
        for key in std::mem::take(&mut self.ending) {
            let connection = self.connections.get_mut(key as usize);
            let Some(connection) = connection.filter(|connection| connection.is_ending()) else { continue };
            let is_gone = connection.is_gone();
            self.typists.gone(connection.id);
            if let Some(watched) = connection.watched.take() {
                context.config.stuck.ended(*watched, context.unix_s());
            }
            let sessions = connection.take_sessions();
            for session in sessions {
                self.leave_room(session);
            }
            self.chosen.remove(&key);
            self.asked.gone(key);
            if is_gone {
                let mut connection = self.connections.remove(key as usize);
                context.world.deregister(&mut connection.socket);
                gone += 1;
            }
        }
        self.rooms.sweep(context.shard);
        gone
    }
}
