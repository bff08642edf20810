//! What does a shard do, in which order?
//!
//! Turn after turn: read and write the sockets that are ready; read the messages; hand out what is new; go on with those
//! whose turn was too long; look after who is due; forget who is gone.
//!
//! The parts do their work and leave marks; only the shard acts on marks. [`Shard::settle`] does so for one connection,
//! after anything was done with it: it writes what waits, brings it forward, and notes when it is due. Removal happens in
//! one place, at the end of a turn ([`Tables::sweep`]).

use super::asking::{asked, renew_due};
use super::catchup::{Progress, go_forward, take_page};
use super::commands::{carry_out, carry_out_held, end_sessions_of};
use super::connection::Connection;
use super::context::{Context, ShardConfig};
use super::deadlines::{due_ms, look_after};
use super::devices::hand_on;
use super::durable::published;
use super::entering::{Accepted, accept, attached, welcome};
use super::fanout::FanOut;
use super::inbound::{Inbound, on_text};
use super::joining::joined;
use super::leaving::{Departures, leaves_at_head, tell_to_leave};
use super::live::LiveFanOut;
use super::messages::{Moved, Newcomer, Ready, ToShard};
use super::moving::{go_on_at, pause};
use super::past::Position;
use super::recovering::{keep_rooms, kept};
use super::refreshing::refreshed;
use super::replay::take_history;
use super::room::RoomKey;
use super::rules::follow_rules;
use super::session::Session;
use super::sessions::tell_on;
use super::signals::{arrive, look_after_typing, say_words};
use super::tables::Tables;
use super::watching::{answered, catch_up, tell};
use super::wheel::{SLOT_MS, Wheel};
use super::wire::Wire;
use super::world::World;
use crate::authorize::{Authorized, Refusal};
use crate::metrics::metrics;
use crate::stream::entry::Entry;
use carillon_protocol::CloseCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How long a stopping shard waits for farewells.
const LAST_MOMENT_MS: u64 = 2_500;
/// How often connections that are behind are counted.
const CENSUS_MS: u64 = 5_000;

/// One shard and all it owns.
pub(super) struct Shard<W: World> {
    pub(super) tables: Tables<W::Socket>,
    pub(super) context: Context<W>,
    pub(super) fan_out: FanOut,
    pub(super) live: LiveFanOut,
    inbound: Inbound,
    departures: Departures,
    wheel: Wheel,
    due: Vec<(u32, u64)>,
    /// Connections that have more to do without waiting for anything.
    queue: Vec<u32>,
    /// Rooms with news that waits.
    pub(super) resting: Vec<RoomKey>,
    entries: Vec<Arc<Entry>>,
    /// Connections it ever had.
    number: u64,
    /// When those behind are counted again.
    census_ms: u64,
    /// When it ends, once it was told to.
    stop_ms: Option<u64>,
    load: Arc<AtomicUsize>,
}

impl<W: World> Shard<W> {
    pub(super) fn new(world: W, shard: u16, config: ShardConfig, load: Arc<AtomicUsize>) -> Self {
        Self {
            tables: Tables::new(),
            context: Context::new(world, shard, config),
            fan_out: FanOut::default(),
            live: LiveFanOut::default(),
            inbound: Inbound::new(),
            departures: Departures::default(),
            wheel: Wheel::new(),
            due: Vec::new(),
            queue: Vec::new(),
            resting: Vec::new(),
            entries: Vec::new(),
            number: 0,
            census_ms: 0,
            stop_ms: None,
            load,
        }
    }

    /// Does everything there is to do now. False when it has ended.
    pub(super) fn turn(
        &mut self,
        ready: impl IntoIterator<Item = Ready>,
        messages: impl IntoIterator<Item = ToShard<W::Socket>>,
    ) -> bool {
        self.context.begin_turn();
        self.tables.typists.begin_turn(self.context.now_ms);
        self.tables.devices.begin_turn(self.context.now_ms);
        let keeps = self.context.config.records.keeping.is_some();
        self.tables.sessions.begin_turn(self.context.now_ms, keeps);
        for socket in ready {
            self.on_socket(socket);
        }
        for message in messages {
            self.on_message(message);
        }
        self.wake_rested();
        for key in std::mem::take(&mut self.queue) {
            if let Some(connection) = self.tables.get_mut(key) {
                connection.queued = false;
            }
            self.go_on(key);
        }
        self.look_after_due();
        look_after_typing(&mut self.tables);
        renew_due(&mut self.tables, &mut self.context);
        self.settle_touched();
        let gone = self.tables.sweep(&mut self.context);
        say_words(&mut self.tables, &mut self.context);
        if !self.tables.presence.is_empty() {
            let news = std::mem::take(&mut self.tables.presence);
            self.context.world.tell_presence(self.context.shard, news);
        }
        self.load.fetch_sub(gone, Ordering::Relaxed);
        self.report();
        let now_ms = self.context.now_ms;
        let ends = self.stop_ms.is_some_and(|at_ms| self.tables.connections.is_empty() || now_ms >= at_ms);
        let Tables { connections, rooms, devices, sessions, asked, .. } = &mut self.tables;
        hand_on(devices, connections, rooms, ends, &self.context);
        tell_on(sessions, connections, (rooms, asked), ends, &self.context);
        !ends
    }

    /// How long, in milliseconds, the next turn may wait for sockets and messages; for ever if none.
    pub(super) fn poll_timeout_ms(&self) -> Option<u64> {
        if !self.queue.is_empty() || !self.tables.signalled.is_empty() {
            return Some(0);
        }
        let typing_ms = self.tables.typists.next_ms();
        let asked_ms = self.tables.asked.next_ms();
        let next = self
            .wheel
            .next_ms()
            .into_iter()
            .chain(self.stop_ms)
            .chain(self.rested_ms())
            .chain(typing_ms)
            .chain(asked_ms)
            .chain(self.tables.devices.next_ms())
            .chain(self.tables.shown.next_ms())
            .chain(self.tables.sessions.next_ms())
            .min()?;
        Some(next.saturating_sub(self.context.world.now_us() / 1_000))
    }

    /// How long to rest before the sockets are looked at again, in microseconds, where that saves something and nothing is due meanwhile.
    pub(super) fn rest_us(&self) -> Option<u64> {
        let ends_before_anything_is_due =
            |rest_us| self.poll_timeout_ms().is_none_or(|ms| ms * 1_000 > rest_us);
        self.context.rests.rest_us().filter(|rest_us| ends_before_anything_is_due(*rest_us))
    }

    fn on_socket(&mut self, ready: Ready) {
        let Ready { key, readable, ended, writable } = ready;
        let Some(connection) = self.tables.get_mut(key) else { return };
        connection.unread |= readable;
        connection.has_end |= ended;
        connection.writable |= writable;
        if readable || (writable && (connection.blocked_ms.is_some() || !connection.outbox.is_empty())) {
            self.go_on(key);
        }
    }

    fn on_message(&mut self, message: ToShard<W::Socket>) {
        self.context.counts.told += 1;
        match message {
            ToShard::News(stream) => match self.tables.rooms.of(&stream) {
                Some(room) => self.on_news(room),
                None => stream.seen(usize::from(self.context.shard)),
            },
            ToShard::Rules(stream) => {
                if let Some(room) = self.tables.rooms.of(&stream) {
                    follow_rules(room, &mut self.tables, &mut self.context);
                    self.settle_touched();
                }
            }
            ToShard::Live(stream, passing) => arrive(&stream, passing, &mut self.tables),
            ToShard::Connect(newcomer) => self.connect(*newcomer),
            ToShard::SendAway(cause, count) => {
                self.departures.send_away(cause, count, &mut self.tables, &mut self.context);
                self.settle_touched();
            }
            ToShard::KeyEnded(key) => {
                end_sessions_of(&key, &mut self.tables, &mut self.context);
                self.settle_touched();
            }
            ToShard::Presence(tenant, channel, frame) => {
                tell(&tenant, &channel, &frame, &mut self.tables, &mut self.context);
                self.settle_touched();
            }
            ToShard::WhoIsThere(asker, ..) if !self.tables.has(asker.connection) => {}
            ToShard::WhoIsThere(asker, tenant, told, stale) => {
                let key = asker.connection.key;
                let answer = answered(*asker, &tenant, &told, stale, &mut self.tables, &mut self.context);
                let at = self.tables.find(key, Some(&tenant));
                if let (Some(answer), Some(at)) = (answer, at) {
                    joined(at, answer, &mut self.tables);
                }
                self.settle(key);
            }
            ToShard::TellSessions => self.tables.tell_sessions(),
            ToShard::Stop => self.stop(),
            // What follows may come when its connection is gone; another may have its place.
            ToShard::Entered(id, _)
            | ToShard::Refreshed(id, ..)
            | ToShard::Attached(id, _)
            | ToShard::Page(id, ..)
            | ToShard::History(id, ..)
            | ToShard::Asked(id, ..)
            | ToShard::Kept(id, ..)
            | ToShard::Pause(id)
            | ToShard::Moved(id, _)
            | ToShard::Lost(id)
            | ToShard::Published(id, _)
                if !self.tables.has(id) => {}
            ToShard::Entered(id, result) => self.entered(id.key, result),
            ToShard::Refreshed(id, frame, result) => {
                refreshed(id.key, frame, result, &mut self.tables, &mut self.context);
                self.settle(id.key);
            }
            ToShard::Attached(id, answer) => {
                if let Ok(authorized) = &answer.result {
                    self.hand_out_before(authorized);
                }
                attached(id.key, *answer, &mut self.tables, &mut self.context);
                self.go_on(id.key);
                // A room may have followed the rules that they came by.
                self.settle_touched();
            }
            ToShard::Published(id, answer) => {
                published(id.key, &answer, &mut self.tables, &mut self.context);
                self.settle(id.key);
            }
            ToShard::Page(id, ticket, page) => {
                let Tables { connections, rooms, .. } = &mut self.tables;
                if let Some(connection) = connections.get_mut(id.key as usize) {
                    take_page(connection, rooms, ticket, page, &mut self.context);
                }
                self.go_on(id.key);
            }
            ToShard::History(id, ticket, page) => {
                if let Some(connection) = self.tables.get_mut(id.key) {
                    take_history(connection, ticket, page, &mut self.context);
                }
                self.go_on(id.key);
            }
            ToShard::Pause(id) => {
                self.inbound.read_rest(id.key, &mut self.tables, &mut self.context);
                pause(id.key, &mut self.tables, &mut self.context);
                self.settle(id.key);
            }
            ToShard::Lost(id) => {
                if let Some(connection) = self.tables.get_mut(id.key) {
                    connection.lose();
                }
                self.settle(id.key);
            }
            ToShard::Moved(id, moved) => {
                let Moved { socket, early } = *moved;
                if go_on_at(id.key, socket, &mut self.tables, &mut self.context) && !early.is_empty() {
                    self.context.counts.received_bytes += early.len() as u64;
                    self.inbound.take_in(id.key, &mut early.to_vec(), &mut self.tables, &mut self.context);
                }
                self.go_on(id.key);
            }
            ToShard::Kept(id, number, is_kept) => {
                kept(id.key, number, is_kept, &mut self.tables, &mut self.context);
                self.settle(id.key);
            }
            ToShard::Asked(id, tenant, ticket, verdicts) => {
                asked(id, &tenant, ticket, *verdicts, &mut self.tables, &mut self.context);
                carry_out_held(id.key, &mut self.tables, &mut self.context);
                self.settle(id.key);
                self.settle_touched();
            }
        }
    }

    /// Takes a new socket in.
    fn connect(&mut self, newcomer: Newcomer<W::Socket>) {
        self.number += 1;
        let accepted = accept(newcomer, self.number, &mut self.tables, &mut self.context);
        let Some(Accepted { key, early, authorized }) = accepted else {
            self.load.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        // The head of the answer and the welcome are one write.
        match authorized {
            Some(authorized) => self.welcome(key, *authorized),
            None => self.settle(key),
        }
        if !early.is_empty() {
            // What came with the request is older than anything the socket has: nothing was read from that yet.
            self.context.counts.received_bytes += early.len() as u64;
            self.inbound.take_in(key, &mut early.to_vec(), &mut self.tables, &mut self.context);
        }
        self.go_on(key);
    }

    /// The token of a first frame was checked.
    fn entered(&mut self, key: u32, result: Result<Box<Authorized>, Refusal>) {
        match result {
            Ok(authorized) => self.welcome(key, *authorized),
            Err(refusal) => {
                let Refusal { code, close, message, .. } = refusal;
                self.tables.turn_away(key, code, close, &message, &mut self.context);
                self.settle(key);
            }
        }
    }

    fn welcome(&mut self, key: u32, mut authorized: Authorized) {
        let command = authorized.command.take();
        self.hand_out_before(&authorized);
        for text in welcome(key, authorized, &mut self.tables, &mut self.context) {
            on_text(key, &text, &mut self.tables, &mut self.context);
        }
        if let Some(frame) = command
            && self.tables.get(key).is_some_and(Connection::is_open)
        {
            carry_out(key, *frame, &mut self.tables, &mut self.context);
        }
        self.settle(key);
        // Their room may have followed the rules that they came by.
        self.settle_touched();
        if self.tables.get(key).is_some_and(|connection| matches!(connection.wire, Wire::Poll { .. })) {
            // One that does not wait is answered now, if nothing is on its way for it.
            look_after(key, &mut self.tables, &mut self.context);
            self.settle(key);
        }
    }

    /// Goes on with a connection: writes what waits, brings it forward, and reads what its client says.
    fn go_on(&mut self, key: u32) {
        if !self.tables.get(key).is_some_and(Connection::is_idle) {
            self.settle(key);
        }
        if self.tables.get(key).is_some_and(Connection::wants_to_be_read) {
            self.inbound.read(key, &mut self.tables, &mut self.context);
            // Most acknowledgements leave nothing to do, and who was heard is due no earlier. (Of a client of Socket.IO its channels may
            // have to be kept.)
            let is_done = |connection: &Connection<W::Socket>| {
                matches!(connection.wire, Wire::WebSocket(_)) && connection.is_idle() && !connection.unread
            };
            if !self.tables.get(key).is_some_and(is_done) {
                self.settle(key);
            }
        }
    }

    /// Acts on what became of a connection.
    fn settle(&mut self, key: u32) {
        keep_rooms(key, &mut self.tables, &mut self.context);
        if self.tables.get_mut(key).is_some_and(|connection| connection.flush(&mut self.context)) {
            self.bring_forward(key);
        }
        let Tables { connections, rooms, .. } = &mut self.tables;
        let Some(connection) = connections.get_mut(key as usize) else { return };
        if connection.blocked_ms.is_some() {
            for session in connection.sessions_mut().iter_mut().filter(|session| session.is_live()) {
                if let Some(room) = rooms.get(session.room) {
                    session.past.set_position(Position::Behind(room.cursor));
                }
            }
        }
        if connection.is_ending() {
            self.tables.note_ending(key);
        }
        self.reschedule(key);
        if self.tables.get(key).is_some_and(Connection::wants_to_be_read) {
            self.enqueue(key);
        }
    }

    /// Brings a connection with nothing to write as far as its socket takes.
    fn bring_forward(&mut self, key: u32) {
        let Tables { connections, rooms, .. } = &mut self.tables;
        let Some(connection) = connections.get_mut(key as usize) else { return };
        if !connection.is_open() {
            return;
        }
        match go_forward(connection, rooms, &mut self.entries, &mut self.context) {
            Progress::Live => {
                if !self.tables.missed.is_empty() {
                    catch_up(key, &mut self.tables);
                }
                if leaves_at_head(key, &self.tables) {
                    tell_to_leave(key, &mut self.tables, &mut self.context);
                }
            }
            Progress::More => self.enqueue(key),
            Progress::Waits => {}
        }
        // What was said meanwhile: an answer to a poll, a word of leave.
        if let Some(connection) = self.tables.get_mut(key) {
            connection.flush(&mut self.context);
        }
    }

    pub(super) fn settle_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.tables.touched);
        for key in touched.drain(..) {
            self.settle(key);
        }
        // Settling one connection touches no other.
        self.tables.touched = touched;
    }

    /// Has the next part of this turn, or the next turn, go on with a connection.
    fn enqueue(&mut self, key: u32) {
        if let Some(connection) = self.tables.get_mut(key)
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.queue.push(key);
        }
    }

    /// Does everything that is due.
    fn look_after_due(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.context.now_ms, &mut due);
        for (key, place) in due.drain(..) {
            // It may have gone, or stand elsewhere in the wheel by now.
            let Some(connection) = self.tables.get_mut(key).filter(|connection| connection.place == place)
            else {
                continue;
            };
            // It stands nowhere now.
            connection.place = u64::MAX;
            look_after(key, &mut self.tables, &mut self.context);
            self.settle(key);
        }
        self.due = due;
    }

    /// Puts a connection into the wheel again if it is due earlier than it stands there.
    fn reschedule(&mut self, key: u32) {
        let Some(connection) = self.tables.get_mut(key) else { return };
        if let Some(due_ms) = due_ms(connection, &self.context.config)
            && due_ms.div_ceil(SLOT_MS) < connection.place
        {
            connection.place = self.wheel.insert(key, due_ms);
        }
    }

    fn stop(&mut self) {
        self.stop_ms = Some(self.context.now_ms + LAST_MOMENT_MS);
        let keys: Vec<u32> = self.tables.connections.iter().map(|(key, _)| key as u32).collect();
        for key in keys {
            self.tables.close(key, CloseCode::Restart, "the node is going away", &mut self.context);
            self.settle(key);
        }
    }

    fn report(&mut self) {
        let shard = usize::from(self.context.shard);
        if self.context.now_ms >= self.census_ms {
            self.census_ms = self.context.now_ms + CENSUS_MS;
            let is_behind =
                |connection: &Connection<W::Socket>| !connection.sessions().iter().all(Session::is_live);
            let behind = self.tables.connections.iter().filter(|(_, connection)| is_behind(connection));
            metrics().behind(shard, behind.count());
        }
        let counts = std::mem::take(&mut self.context.counts);
        self.context.rests.after(&counts, self.context.world.now_us());
        metrics().report(shard, &counts, self.tables.connections.len(), self.tables.subscriptions);
    }
}
