//! How does a socket become a member, and how does it leave?

use super::connection::{
    Bucket, Connection, ConnectionId, Departure, Gathered, Gone, Member, Position, Reading, Stage,
};
use super::mailbox::Newcomer;
use super::outbox::Outbox;
use super::room::Room;
use super::wire::Wire;
use super::worker::Worker;
use crate::entrance::{Entrance, Refusal, Resume};
use crate::metrics::metrics;
use crate::stream::Stream;
use crate::ws::Decoder;
use carillon_protocol::server::{Limits, Resumed, ServerFrame};
use carillon_protocol::{Channel, CloseCode, Seq};
use mio::net::TcpStream;
use mio::{Interest, Token};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a closing connection may take to read our close frame and answer it.
pub(super) const FAREWELL_MS: u64 = 2_000;

impl Worker {
    /// Takes a new socket in.
    pub(super) fn connect(&mut self, newcomer: Newcomer) {
        let Newcomer { socket, early, head, wire, permit, hello, entrance } = newcomer;
        let mut socket = TcpStream::from_std(socket);
        let entry = self.connections.vacant_entry();
        let key = entry.key() as u32;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut socket, Token(key as usize), interest) {
            tracing::error!(%error, "a socket cannot be watched");
            self.load.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.number += 1;
        let id = ConnectionId { shard: self.shard, key, number: self.number };
        let stage =
            if entrance.is_some() { Stage::Entering(Vec::new()) } else { Stage::Greeting(Box::new(hello)) };
        entry.insert(Connection {
            id,
            socket,
            wire,
            decoder: Decoder::new(),
            outbox: Outbox::starting_with(&head),
            stage,
            bucket: Bucket::full(self.config.frame_rate, self.now_ms),
            opened_ms: self.now_ms,
            heard_ms: self.now_ms,
            sent_ms: self.now_ms,
            blocked_ms: None,
            pinged_ms: None,
            // What came right behind the request is older than what the socket has.
            unread: early.is_empty(),
            place: u64::MAX,
            departure: Departure::Stays,
            gathered: Gathered::NOTHING,
            permit,
        });
        metrics().accepted.increment(1);
        match entrance {
            // The head of the answer and the welcome are one write.
            Some(entrance) => self.welcome(key, *entrance),
            None => drop(self.flush(key)),
        }
        self.reschedule(key);
        if !early.is_empty() {
            self.counts.received_bytes += early.len() as u64;
            self.take_in(key, &mut early.to_vec());
            if let Some(connection) = self.connections.get_mut(key as usize) {
                connection.unread = true;
            }
        }
        self.read_on(key);
    }

    /// The token of a first frame was checked.
    pub(super) fn entered(&mut self, key: u32, result: Result<Box<Entrance>, Refusal>) {
        let stage = self.connections.get(key as usize).map(|connection| &connection.stage);
        if !matches!(stage, Some(Stage::Entering(_))) {
            // It was closed meanwhile: nothing follows a close frame.
            return;
        }
        match result {
            Ok(entrance) => self.welcome(key, *entrance),
            Err(refusal) => self.close(key, refusal.close, &refusal.message),
        }
    }

    /// Makes a connection a member of its tenant's room, tells it where it stands, and sends what it missed.
    fn welcome(&mut self, key: u32, entrance: Entrance) {
        let Entrance { identity, stream, channels, resume } = entrance;
        let room_key = self.room_for(stream.clone());
        // The entrance was checked against the stream; the room may not have read all of it yet (I3).
        self.fan_out(room_key);
        // A broken socket is found by writing to it: with its last member the room itself may be gone.
        let room_key = self.room_for(stream);
        let (expires_ms, expiring_ms) = self.token_deadlines(identity.expires_at);
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if connection.permit.identify(&identity.tenant, &identity.user).is_err() {
            self.drop_if_empty(room_key);
            return self.close(key, CloseCode::TooMany, "too many connections of this user");
        }
        let room = &mut self.rooms[room_key as usize];
        let (position, resumed) = match &resume {
            Resume::Fresh => (Position::Live, Resumed::Live),
            Resume::Reset(_) => (Position::Live, Resumed::Reset),
            Resume::From { epoch, seq } if !room.life.epochs.honours(epoch, *seq) => {
                (Position::Live, Resumed::Reset)
            }
            Resume::From { seq, .. } if *seq >= room.cursor => (Position::Live, Resumed::Live),
            Resume::From { seq, .. } => (Position::Behind(*seq), Resumed::Replay),
        };
        let reset = match resume {
            Resume::Reset(reason) => Some(reason),
            _ => (resumed == Resumed::Reset).then_some(room.life.reason),
        };
        let seq = match position {
            Position::Live => room.cursor,
            Position::Behind(seq) => seq,
        };
        room.members.push(key);
        room.stream.joined();
        let place = room.members.len() as u32 - 1;
        let expires_in = identity.expires_at.saturating_sub(self.clock.unix_micros() / 1_000_000);
        let mut all = identity.channels();
        all.extend(channels.into_iter().filter(|channel| !identity.channels().contains(channel)));
        let member = Member {
            room: room_key,
            place,
            position,
            channels: Vec::with_capacity(all.len()),
            identity,
            expires_ms,
            expiring_ms,
            refreshing: false,
            history: VecDeque::new(),
            reading: Reading::Nothing,
            last_ticket: 0,
        };
        let before = std::mem::replace(&mut connection.stage, Stage::Member(Box::new(member)));
        self.join_channels(key, &all);
        metrics().resumed(resumed);
        self.send_welcome(key, &all, seq, resumed, expires_in);
        if let Some(reason) = reset {
            let epoch = self.rooms[room_key as usize].life.epoch.clone();
            self.answer(key, &ServerFrame::Reset { reason, seq, epoch: &epoch });
        }
        self.reschedule(key);
        if let Stage::Entering(held) = before {
            for text in held {
                self.on_text(key, &text);
            }
        }
        self.catch_up(key);
        if self.connections.get(key as usize).is_some_and(|c| matches!(c.wire, Wire::Poll { .. })) {
            // One that does not wait is answered now, if nothing is on its way for it.
            self.look_after(key);
        }
    }

    fn send_welcome(&mut self, key: u32, channels: &[Channel], seq: Seq, resumed: Resumed, expires_in: u64) {
        let Some(member) = self.member(key) else { return };
        let identity = member.identity.clone();
        let epoch = self.rooms[member.room as usize].life.epoch.clone();
        let ConnectionId { shard, number, .. } = self.connections[key as usize].id;
        let (node, name) = (self.config.node.clone(), format!("{}-{shard}-{number}", self.config.node));
        let frame = ServerFrame::Welcome {
            connection: &name,
            node: &node,
            tenant: &identity.tenant,
            user: &identity.user,
            roles: &identity.roles,
            channels,
            seq,
            epoch: &epoch,
            resumed,
            heartbeat_ms: self.config.heartbeat_ms,
            expires_in,
            limits: Limits::with_frame_rate(self.config.frame_rate.per_second),
        };
        self.answer(key, &frame);
    }

    fn room_for(&mut self, stream: Arc<Stream>) -> u32 {
        if let Some(room) = self.by_tenant.get(&stream.tenant) {
            return *room;
        }
        // Watched before its position is read: what comes after that position is told.
        stream.watch(usize::from(self.shard));
        let tenant = stream.tenant.clone();
        let room = self.rooms.insert(Room::new(stream)) as u32;
        self.by_tenant.insert(tenant, room);
        room
    }

    /// Ends a connection with a code: no more events, our close frame, and a moment for the client to answer it.
    pub(super) fn close(&mut self, key: u32, code: CloseCode, reason: &str) {
        let Some(connection) = self.connections.get(key as usize) else { return };
        if matches!(connection.stage, Stage::Closing { .. } | Stage::Gone) {
            return;
        }
        if let (Wire::Poll { .. }, Stage::Member(_)) = (connection.wire, &connection.stage) {
            // It comes back in a moment, and hears from the status whether it may.
            return self.answer_poll(key, std::iter::empty(), self.cursor(key), None);
        }
        self.say_goodbye(key, code, reason);
        self.begin_closing(key, Gone::Closed(code).label());
    }

    /// No more events; what waits is written, then it is over.
    pub(super) fn begin_closing(&mut self, key: u32, label: &'static str) {
        self.leave_room(key);
        metrics().closed(label);
        let connection = &mut self.connections[key as usize];
        // A WebSocket's farewell is short. An answer may be long, and its reader slow: it has the time a reader has.
        let patience_ms = if connection.wire.is_websocket() { FAREWELL_MS } else { self.config.stall_ms };
        connection.stage = Stage::Closing { until_ms: self.now_ms + patience_ms };
        self.reschedule(key);
        self.flush(key);
    }

    /// Marks a connection as of no use. `gone` unless its close was counted before. Nothing is removed here: whoever wrote to
    /// it goes on with it, and with its room.
    pub(super) fn remove(&mut self, key: u32, gone: Option<Gone>) {
        let Some(connection) = self.connections.get(key as usize) else { return };
        match connection.stage {
            Stage::Gone => return,
            Stage::Closing { .. } => {}
            _ => metrics().closed(gone.unwrap_or(Gone::Left).label()),
        }
        self.leave_room(key);
        if let Some(connection) = self.connections.get_mut(key as usize) {
            connection.stage = Stage::Gone;
        }
        self.gone.push(key);
    }

    /// Forgets the connections that went in this turn, and the rooms nobody is in any more: the only place that does.
    pub(super) fn bury(&mut self) {
        for key in std::mem::take(&mut self.gone) {
            let mut connection = self.connections.remove(key as usize);
            // A socket that is gone from the poll already needs no goodbye there.
            let _ = self.registry.deregister(&mut connection.socket);
            self.load.fetch_sub(1, Ordering::Relaxed);
        }
        for room in std::mem::take(&mut self.emptied) {
            if self.rooms.get(room as usize).is_some_and(|room| room.members.is_empty()) {
                let room = self.rooms.remove(room as usize);
                self.by_tenant.remove(&room.stream.tenant);
                room.stream.unwatch(usize::from(self.shard));
            }
        }
    }

    fn leave_room(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let Stage::Member(_) = connection.stage else { return };
        let left = std::mem::replace(&mut connection.stage, Stage::Entering(Vec::new()));
        let Stage::Member(member) = left else { return };
        for membership in member.channels {
            self.leave_channel(member.room, membership);
        }
        let room = &mut self.rooms[member.room as usize];
        room.members.swap_remove(member.place as usize);
        room.stream.left();
        if let Some(moved) = room.members.get(member.place as usize).copied()
            && let Some(moved) = self.member_mut(moved)
        {
            moved.place = member.place;
        }
        self.drop_if_empty(member.room);
    }

    /// A room that has nobody in it at the end of the turn is forgotten.
    fn drop_if_empty(&mut self, room: u32) {
        if self.rooms[room as usize].members.is_empty() {
            self.emptied.push(room);
        }
    }
}
