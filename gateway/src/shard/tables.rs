//! Who is here, in which room, and who goes?
//!
//! The tables of a shard and what must be done in several of them at once: entering and leaving rooms and channels. What
//! may be gone is asked for. Nothing is removed but in [`Tables::sweep`], which the shard calls once, at the end of a turn.

use super::asked::Asked;
use super::connection::{CloseReason, Connection, Stage, Standing};
use super::context::Context;
use super::devices::{Devices, seen_ms};
use super::elsewhere::Elsewhere;
use super::holding::Holding;
use super::membership::Membership;
use super::messages::{ConnectionId, PresenceNews};
use super::present::Watch;
use super::recovery::Recoveries;
use super::room::{Member, RoomKey, Rooms};
use super::seen::{hide, hide_all, show};
use super::session::{At, Session};
use super::sessions::Sessions;
use super::typists::{Place, Typists};
use super::wire::Wire;
use super::world::{Socket, World};
use crate::metrics::metrics;
use crate::presence::Event;
use crate::refusals;
use carillon_platform::auth::InTenants;
use carillon_platform::rules::Action;
use carillon_protocol::{Channel, ChannelPattern, CloseCode, TenantId, TypeFilter};
use slab::Slab;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The connections and rooms of a shard.
pub(super) struct Tables<S> {
    pub(super) connections: Slab<Connection<S>>,
    pub(super) rooms: Rooms,
    /// Memberships in channels, of all sessions.
    pub(super) subscriptions: u64,
    /// What those sessions want of all their channels that chose types when they came.
    chosen: HashMap<Member, Arc<TypeFilter>>,
    /// What happened in this turn, for the node's presence.
    pub(super) presence: Vec<PresenceNews>,
    /// What clients say about themselves in each channel that they join; few do.
    pub(super) meta: HashMap<Member, Arc<str>>,
    /// Connections that may have missed who came or went.
    pub(super) missed: HashSet<u32>,
    /// Those who are being told, kept between two times.
    pub(super) watchers: Vec<(u32, Watch)>,
    /// Connections that something happened to while many were looked after: to be settled.
    pub(super) touched: Vec<u32>,
    /// Who types, here and elsewhere.
    pub(super) typists: Typists,
    /// Rooms that signals wait in since a moment ago.
    pub(super) signalled: Vec<RoomKey>,
    /// Memberships that hold by what tenants' applications say.
    pub(super) asked: Asked,
    /// Sessions that tell how far their device is.
    pub(super) devices: Devices,
    /// Sessions that are seen in channels by what tenants' applications say.
    pub(super) shown: Asked,
    /// Those of whom it is to be asked whether they are seen there.
    pub(super) unasked: Vec<(Member, Channel)>,
    /// Frames that wait for what applications say.
    pub(super) holding: Holding,
    /// What is to be stored of sessions.
    pub(super) sessions: Sessions,
    /// Clients of Socket.IO that recover.
    pub(super) recovery: Recoveries,
    /// Connections whose credentials are good for several tenants.
    pub(super) elsewhere: Elsewhere,
    /// What sessions have in common.
    pub(super) in_tenants: InTenants,
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
            presence: Vec::new(),
            meta: HashMap::new(),
            missed: HashSet::new(),
            watchers: Vec::new(),
            touched: Vec::new(),
            typists: Typists::default(),
            signalled: Vec::new(),
            asked: Asked::default(),
            devices: Devices::default(),
            shown: Asked::default(),
            unasked: Vec::new(),
            holding: Holding::default(),
            sessions: Sessions::default(),
            recovery: Recoveries::default(),
            elsewhere: Elsewhere::default(),
            in_tenants: InTenants::default(),
            ending: Vec::new(),
        }
    }

    pub(super) fn get(&self, key: u32) -> Option<&Connection<S>> {
        self.connections.get(key as usize)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut Connection<S>> {
        self.connections.get_mut(key as usize)
    }

    /// Notes that signals wait in a room.
    pub(super) fn has_signals(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.has_news = true;
        if !std::mem::replace(&mut room.is_listed, true) {
            self.signalled.push(key);
        }
    }

    /// Whether the connection with this name is still here.
    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.get(id.key).is_some_and(|connection| connection.id == id && !connection.is_gone())
    }

    /// Which of a connection's sessions is in a tenant; without one named, the one that it has for the longest.
    pub(super) fn find(&self, key: u32, tenant: Option<&TenantId>) -> Option<At> {
        let sessions = self.get(key)?.sessions();
        let is_it = |session: &Session| tenant.is_none_or(|tenant| session.tenant() == tenant);
        sessions.iter().position(is_it).map(|session| At { key, session })
    }

    /// Which of a connection's sessions is in a room.
    pub(super) fn at(&self, key: u32, room: RoomKey) -> Option<At> {
        let sessions = self.get(key)?.sessions();
        sessions.iter().position(|session| session.room == room).map(|session| At { key, session })
    }

    /// A connection's session.
    pub(super) fn session(&self, at: At) -> Option<&Session> {
        self.get(at.key)?.sessions().get(at.session)
    }

    pub(super) fn session_mut(&mut self, at: At) -> Option<&mut Session> {
        self.get_mut(at.key)?.sessions_mut().get_mut(at.session)
    }

    /// Where a session stands.
    pub(super) fn standing(&self, at: At) -> Option<Standing> {
        let session = self.session(at)?;
        let room = self.rooms.get(session.room)?;
        Some(Standing { cursor: session.cursor(room.cursor), epoch: room.life.epoch.clone() })
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
        if code == CloseCode::Disconnected {
            self.say_goodbye(key);
        }
        let standing = self.standing(At { key, session: 0 });
        let Some(connection) = self.get_mut(key) else { return };
        match (connection.wire, standing) {
            (Wire::Poll { .. }, Some(Standing { cursor, epoch })) => {
                connection.answer_poll_empty(cursor, None, &epoch, context);
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
        if let Some(connection) = self.get_mut(key).filter(|connection| !connection.is_ending()) {
            let is_told = connection.wire.push_refusal(connection.outbox.control(), code, close, reason);
            metrics().turned_away(code);
            refusals::tell_closed(|| connection.id.name(&context.config.run).to_string(), close.code(), code);
            if is_told {
                return connection.end(CloseReason::Closed(close), context);
            }
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
        connection.format.forget();
        match &mut connection.stage {
            Stage::Open(sessions) => {
                sessions.reserve_exact(1);
                sessions.push(session);
            }
            // Exactly one place: most connections never have a second one.
            stage => *stage = Stage::Open(vec![session]),
        }
    }

    /// Notes the types that a session chose for all its channels when it came.
    pub(super) fn choose(&mut self, member: Member, types: Arc<TypeFilter>) {
        self.chosen.insert(member, types);
    }

    /// The types that a session chose when it came, if it did.
    pub(super) fn chosen(&self, member: Member) -> Option<Arc<TypeFilter>> {
        self.chosen.get(&member).cloned()
    }

    /// Whether a connection's session is in a channel by its name, whatever types it wants.
    pub(super) fn is_in(&self, key: u32, session: usize, channel: &Channel) -> bool {
        let session = self.get(key).and_then(|connection| connection.sessions().get(session));
        session.is_some_and(|session| {
            let room = self.rooms.get(session.room);
            room.is_some_and(|room| room.own_key(&session.channels, channel).is_some())
        })
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
        let mut tells = false;
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
            room.stream.subscribed();
            self.devices.moved(key, session.room);
            self.sessions.note(key, session.room);
            tells |= self.recovery.changed(key);
            if room.rules.is_granted(Action::Presence) {
                let (meta, unasked) = (self.meta.get(&session.member(key)), &mut self.unasked);
                show(key, session, room, channel, meta, &mut self.presence, unasked);
            }
            if let Some(left) = left {
                let room = session.room;
                self.leave_channel(room, left);
            }
        }
        self.tell_unrecoverable(key, tells);
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
            room.stream.subscribed();
        }
    }

    /// Takes a connection's session out of channels; those it is not in are ignored.
    pub(super) fn leave(&mut self, key: u32, session: usize, channels: &[Channel]) {
        let mut tells = false;
        if let Some(session) = self.session(At { key, session }) {
            let member = session.member(key);
            self.asked.left(member, channels);
            self.shown.left(member, channels);
        }
        for channel in channels {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            let id = connection.id;
            let Some(session) = connection.sessions_mut().get_mut(session) else { return };
            let room = session.room;
            let Some(own) = self.rooms.get(room).and_then(|room| room.own_key(&session.channels, channel))
            else {
                continue;
            };
            if let Some(room) = self.rooms.get_mut(room) {
                hide(key, session, room, channel, true, &mut self.presence);
            }
            if let Some(membership) = session.channels.remove(own) {
                self.devices.moved(key, session.room);
                self.sessions.note(key, session.room);
                tells |= self.recovery.changed(key);
                if !self.typists.is_empty() {
                    self.typists.stop(&Place::of(&session.identity(), channel), id);
                }
                self.leave_channel(room, membership);
            }
        }
        self.tell_unrecoverable(key, tells);
    }

    /// Before it has the answer: who has that knows that it cannot come back yet.
    fn tell_unrecoverable(&mut self, key: u32, tells: bool) {
        if let (true, Some(connection)) = (tells, self.get_mut(key)) {
            connection.tell_unrecoverable();
        }
    }

    /// Whether the application has let a session do this in a channel, and that still holds.
    pub(super) fn is_kept(
        &self,
        key: u32,
        session: usize,
        action: Action,
        channel: &Channel,
        now_ms: u64,
    ) -> bool {
        let Some(session) = self.session(At { key, session }) else { return false };
        let (member, room) = (session.member(key), self.rooms.get(session.room));
        let Some(endpoint) = room.and_then(|room| room.rules.endpoint()) else { return false };
        let generation = endpoint.generation();
        let is_shown = || {
            let held = self.shown.held(member, channel);
            held.is_some_and(|held| held.number > 0 && held.generation == generation)
        };
        self.holding.is_kept(member, action, channel, generation, now_ms)
            || (action == Action::Presence && is_shown())
    }

    /// A session watches channels from now on: those it is in.
    pub(super) fn watch_presence(&mut self, key: u32, session: usize, channels: &[Channel]) {
        let Some(session) =
            self.connections.get(key as usize).and_then(|connection| connection.sessions().get(session))
        else {
            return;
        };
        let (tenant, room) = (session.tenant().clone(), session.room);
        let Some(room) = self.rooms.get_mut(room) else { return };
        for channel in channels {
            if room.own_key(&session.channels, channel).is_some()
                && room.present.get_or_insert_default().watch(channel, key)
            {
                self.presence.push((tenant.clone(), Event::Watch { channel: channel.clone() }));
            }
        }
    }

    /// The database has forgotten who is here: all is told again.
    pub(super) fn tell_sessions(&mut self) {
        for (key, connection) in &self.connections {
            for session in connection.sessions() {
                self.sessions.note(key as u32, session.room);
            }
        }
    }

    /// A connection will not come back: nobody waits for its person.
    pub(super) fn say_goodbye(&mut self, key: u32) {
        let Some(connection) = self.connections.get(key as usize) else { return };
        for session in connection.sessions() {
            if let Some(room) = self.rooms.get_mut(session.room) {
                hide_all(key, session, room, true, &mut self.presence);
            }
        }
    }

    /// Takes a membership out of a room's index and tells whoever moved to its place.
    fn leave_channel(&mut self, room: RoomKey, membership: Membership) {
        self.subscriptions -= 1;
        if let Some(room) = self.rooms.get(room) {
            room.stream.unsubscribed();
        }
        let Some(moved) = self.rooms.get_mut(room).and_then(|room| room.leave(membership)) else { return };
        let session = self.get_mut(moved).and_then(|connection| connection.any_session_in(room));
        let known = session.is_some_and(|own| own.channels.moved(membership.channel, membership.place));
        debug_assert!(known, "whoever is in a channel's list knows it");
    }

    /// Takes a session away from its connection, which goes on with the others; it says goodbye in its channels.
    pub(super) fn detach(&mut self, at: At) -> Option<Session> {
        let connection = self.connections.get_mut(at.key as usize)?;
        let Stage::Open(sessions) = &mut connection.stage else { return None };
        let session = (at.session < sessions.len()).then(|| sessions.remove(at.session))?;
        // Most connections have one place; what more is there was for others.
        sessions.shrink_to_fit();
        if let Some(room) = self.rooms.get_mut(session.room) {
            hide_all(at.key, &session, room, true, &mut self.presence);
        }
        self.typists.gone_from(connection.id, session.tenant());
        Some(session)
    }

    /// Takes a session out of everything it is in.
    pub(super) fn leave_room(&mut self, key: u32, mut session: Session, seen_ms: u64) {
        let member = session.member(key);
        self.chosen.remove(&member);
        self.asked.gone(member);
        self.shown.gone(member);
        self.holding.gone(member);
        self.meta.remove(&member);
        if !self.devices.is_empty() {
            self.devices.leave(key, &session, self.rooms.get(session.room), seen_ms);
        }
        if let Some(room) = self.rooms.get_mut(session.room) {
            hide_all(key, &session, room, false, &mut self.presence);
        }
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
            let (sessions, seen_ms) = (connection.take_sessions(), seen_ms(connection, context));
            for session in sessions {
                let (connection, room) = (self.connections.get(key as usize), self.rooms.get(session.room));
                if let Some((connection, room)) = connection.zip(room) {
                    self.sessions.end(connection, &session, room, self.asked.device(key), context);
                }
                self.leave_room(key, session, seen_ms);
            }
            self.asked.forget_device(key);
            self.elsewhere.gone(key);
            self.recovery.gone(key);
            self.missed.remove(&key);
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
