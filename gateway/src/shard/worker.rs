//! What does a shard do, in which order?
//!
//! Turn after turn: sleep until a socket, a letter or a deadline wants something; read and write the sockets that are
//! ready; read the mail; hand out what is new; go on with those whose turn was too long; look after who is due.

use super::connection::{Connection, FrameRate, Member, Position, Stage};
use super::fanout::Scratch;
use super::mailbox::{Errand, Mail, Shards, ToShard};
use super::room::Room;
use super::wheel::Wheel;
use crate::fate::SharedFate;
use crate::metrics::metrics;
use crate::stream::entry::Entry;
use crate::ws::deflate::{Deflater, Inflater};
use carillon_platform::telemetry::Traces;
use carillon_protocol::{CloseCode, TenantId};
use mio::{Events, Poll, Registry, Token, Waker};
use slab::Slab;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedSender;

const WAKE: Token = Token(usize::MAX);
/// Sockets looked at in one turn.
const EVENTS: usize = 1_024;
/// Bytes read from a socket in one go; shared by all connections of a shard.
const INPUT: usize = 64 * 1024;
/// How long a stopping shard waits for farewells.
const LAST_MOMENT_MS: u64 = 2_500;
/// How often connections that are behind are counted.
const CENSUS_MS: u64 = 5_000;

/// How connections are treated.
#[derive(Clone)]
pub(crate) struct ShardConfig {
    pub(crate) node: Arc<str>,
    pub(crate) heartbeat_ms: u64,
    pub(crate) stall_ms: u64,
    pub(crate) frame_rate: FrameRate,
    pub(crate) traces: Traces,
}

/// Starts the shards. They hand their errands to `desk`.
pub(crate) fn start(
    count: usize,
    config: &ShardConfig,
    desk: &UnboundedSender<Errand>,
) -> io::Result<(Shards, Vec<JoinHandle<()>>)> {
    let polls = (0..count).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let wakers =
        polls.iter().map(|poll| Waker::new(poll.registry(), WAKE)).collect::<io::Result<Vec<_>>>()?;
    let (shards, mails) = Shards::new(wakers);
    let threads = (0u16..)
        .zip(polls.into_iter().zip(mails))
        .map(|(shard, (poll, mail))| {
            let worker =
                Worker::new(shard, poll.registry().try_clone()?, config.clone(), desk.clone(), &mail);
            std::thread::Builder::new()
                .name(format!("shard-{shard}"))
                .spawn(move || worker.turn_after_turn(poll, &mail))
        })
        .collect::<io::Result<Vec<_>>>()?;
    Ok((shards, threads))
}

/// One shard and all it owns.
pub(super) struct Worker {
    pub(super) shard: u16,
    pub(super) registry: Registry,
    pub(super) config: ShardConfig,
    pub(super) connections: Slab<Connection>,
    pub(super) rooms: Slab<Room>,
    pub(super) by_tenant: HashMap<TenantId, u32>,
    /// Connections that have more to do without waiting for anything.
    pub(super) ready: Vec<u32>,
    /// Rooms with news that waits.
    pub(super) resting: Vec<u32>,
    /// Connections that are of no use any more, and rooms that may have nobody: removed at the end of the turn.
    pub(super) gone: Vec<u32>,
    pub(super) emptied: Vec<u32>,
    pub(super) wheel: Wheel,
    pub(super) due: Vec<(u32, u64)>,
    pub(super) scratch: Scratch,
    pub(super) reading: Vec<Arc<Entry>>,
    pub(super) input: Vec<u8>,
    /// Compresses events, for all connections; there once an event was worth it.
    pub(super) deflater: Option<Deflater>,
    /// Inflates what clients send; there once one may compress.
    pub(super) inflater: Option<Inflater>,
    pub(super) clock: Clock,
    /// Milliseconds since the shard began, read once a turn.
    pub(super) now_ms: u64,
    /// Connections it ever had.
    pub(super) number: u64,
    pub(super) subscriptions: u64,
    pub(super) counts: Counts,
    /// When those behind are counted again.
    census_ms: u64,
    /// Where the next one to be sent away is looked for.
    pub(super) next_to_leave: usize,
    pub(super) load: Arc<AtomicUsize>,
    desk: UnboundedSender<Errand>,
}

/// What happened in this turn, added to the metrics once.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) deliveries: u64,
    pub(crate) writes: u64,
    pub(crate) received: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

/// A shard's time.
pub(super) struct Clock {
    began: Instant,
}

impl Clock {
    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(super) fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// Microseconds since 1970, for what is compared with other machines' clocks.
    pub(super) fn unix_micros(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }
}

impl Worker {
    pub(super) fn new(
        shard: u16,
        registry: Registry,
        config: ShardConfig,
        desk: UnboundedSender<Errand>,
        mail: &Mail,
    ) -> Self {
        Self {
            shard,
            registry,
            config,
            connections: Slab::new(),
            rooms: Slab::new(),
            by_tenant: HashMap::new(),
            ready: Vec::new(),
            resting: Vec::new(),
            gone: Vec::new(),
            emptied: Vec::new(),
            wheel: Wheel::new(),
            due: Vec::new(),
            scratch: Scratch::default(),
            reading: Vec::new(),
            input: vec![0; INPUT],
            deflater: None,
            inflater: None,
            clock: Clock { began: Instant::now() },
            now_ms: 0,
            number: 0,
            subscriptions: 0,
            counts: Counts::default(),
            census_ms: 0,
            next_to_leave: 0,
            load: mail.load.clone(),
            desk,
        }
    }

    fn turn_after_turn(mut self, mut poll: Poll, mail: &Mail) {
        let _fate = SharedFate("shard");
        let mut events = Events::with_capacity(EVENTS);
        let mut stop_ms = None;
        loop {
            match poll.poll(&mut events, self.patience(stop_ms)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(shard = self.shard, %error, "epoll failed, the shard ends");
                    return;
                }
            }
            self.now_ms = self.clock.now_ms();
            for event in &events {
                if event.token() != WAKE {
                    self.on_socket(event);
                }
            }
            if self.read_mail(mail) {
                self.close_all();
                stop_ms = Some(self.now_ms + LAST_MOMENT_MS);
            }
            self.wake_rested();
            for key in std::mem::take(&mut self.ready) {
                self.catch_up(key);
            }
            self.on_time();
            self.bury();
            self.report();
            if stop_ms.is_some_and(|at_ms| self.connections.is_empty() || self.now_ms >= at_ms) {
                return;
            }
        }
    }

    /// How long to sleep.
    fn patience(&self, stop_ms: Option<u64>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.wheel.next_ms().into_iter().chain(stop_ms).chain(self.rested_ms()).min()?;
        Some(Duration::from_millis(next.saturating_sub(self.clock.now_ms())))
    }

    fn on_socket(&mut self, event: &mio::event::Event) {
        let key = event.token().0 as u32;
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if event.is_writable() && (connection.blocked_ms.is_some() || !connection.outbox.is_empty()) {
            self.catch_up(key);
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            connection.unread = true;
            self.read_on(key);
        }
    }

    /// Acts on every letter. True when the shard is to stop.
    fn read_mail(&mut self, mail: &Mail) -> bool {
        // Lowered before reading: a letter that comes later rings again.
        mail.rung.store(false, Ordering::SeqCst);
        let mut stop = false;
        while let Ok(letter) = mail.letters.try_recv() {
            match letter {
                ToShard::News(stream) => {
                    if let Some(room) = self.by_tenant.get(&stream.tenant) {
                        self.on_news(*room);
                    } else {
                        stream.seen(usize::from(self.shard));
                    }
                }
                ToShard::Connect(newcomer) => self.connect(*newcomer),
                ToShard::Entered(id, result) if self.is_here(id) => self.entered(id.key, result),
                ToShard::Refreshed(id, frame, result) if self.is_here(id) => {
                    self.refreshed(id.key, frame, result);
                }
                ToShard::Page(id, ticket, page) if self.is_here(id) => self.take_page(id.key, ticket, page),
                ToShard::History(id, ticket, page) if self.is_here(id) => {
                    self.take_history(id.key, ticket, page);
                }
                ToShard::SendAway(cause, count) => self.send_away(cause, count),
                ToShard::Stop => stop = true,
                // The connection went while its errand was run.
                ToShard::Entered(..) | ToShard::Refreshed(..) | ToShard::Page(..) | ToShard::History(..) => {}
            }
        }
        stop
    }

    fn close_all(&mut self) {
        let keys: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in keys {
            self.close(key, CloseCode::Restart, "the node is going away");
        }
    }

    fn report(&mut self) {
        if self.now_ms >= self.census_ms {
            self.census_ms = self.now_ms + CENSUS_MS;
            metrics().behind(usize::from(self.shard), self.count_behind());
        }
        let counts = std::mem::take(&mut self.counts);
        metrics().report(usize::from(self.shard), &counts, self.connections.len(), self.subscriptions);
    }

    fn count_behind(&self) -> usize {
        let is_behind = |connection: &Connection| matches!(&connection.stage, Stage::Member(member) if member.position != Position::Live);
        self.connections.iter().filter(|(_, connection)| is_behind(connection)).count()
    }

    fn is_here(&self, id: super::ConnectionId) -> bool {
        self.connections.get(id.key as usize).is_some_and(|connection| connection.id == id)
    }

    pub(super) fn member(&self, key: u32) -> Option<&Member> {
        match &self.connections.get(key as usize)?.stage {
            Stage::Member(member) => Some(member),
            _ => None,
        }
    }

    pub(super) fn member_mut(&mut self, key: u32) -> Option<&mut Member> {
        match &mut self.connections.get_mut(key as usize)?.stage {
            Stage::Member(member) => Some(member),
            _ => None,
        }
    }

    pub(super) fn unix_micros(&self) -> u64 {
        self.clock.unix_micros()
    }

    /// Has something done by the asynchronous side. It ends only after the shards.
    pub(super) fn run(&self, errand: Errand) {
        let _ = self.desk.send(errand);
    }
}
