//! How does somebody who polls have a connection like everybody's?
//!
//! It is one: a shard has a connection with packets in WebSocket messages, whose other end is held here. What it writes waits for the next
//! poll in the kernel's buffer; when that is full the connection is behind, as any slow reader is.

use crate::edge::handshake::Edge;
use crate::edge::problem::Problem;
use crate::edge::takeover::Client;
use crate::shard::{ConnectionId, Newcomer};
use crate::socketio::engine::EnginePacket;
use crate::socketio::payload::{self, PACKETS, Piece};
use crate::socketio::pipe::{Told, of_gateway, push_of_client};
use crate::ws::Opcode;
use bytes::{Buf, Bytes, BytesMut};
use carillon_protocol::ConnectionName;
use carillon_protocol::connection::Incarnation;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::timeout;
use uuid::Uuid;

/// Bytes from which an answer takes no more packets.
const ANSWER: usize = 256 * 1024;
/// How long a shard may take to take in a connection, or what its client says.
const SHARD: Duration = Duration::from_secs(10);
/// How much later than its ping a client is given up that does not poll.
const AWAY: Duration = Duration::from_secs(20);
/// Between two answers to a client that polls while it has been told that it can have a WebSocket.
const PROBED: Duration = Duration::from_millis(100);

/// The sessions that poll at this node, by their ids.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Box<str>, Arc<Session>>>);

/// A session that polls.
pub(crate) struct Session {
    pub(super) id: Box<str>,
    /// The shard's connection.
    pub(super) connection: ConnectionId,
    to_shard: AsyncMutex<OwnedWriteHalf>,
    from_shard: AsyncMutex<FromShard>,
    /// A poll that waits is to be answered.
    nudged: Notify,
    /// A WebSocket was asked for.
    probing: AtomicBool,
    /// And can be had.
    probed: AtomicBool,
    /// Whether it is known who it is.
    connected: AtomicBool,
    seen: Mutex<Instant>,
}

/// What a shard says.
struct FromShard {
    pipe: OwnedReadHalf,
    bytes: BytesMut,
    ended: bool,
}

/// What a poll gets.
pub(super) enum Polled {
    /// These packets.
    Packets(String),
    /// None: it is to poll again.
    Noop,
    /// Nothing, because another poll waits.
    Overlap,
    /// Nothing any more.
    Over,
}

impl Sessions {
    /// The session with this id, if it polls here.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Forgets a session. True if it was known.
    pub(super) fn remove(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    fn insert(&self, session: Arc<Session>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session.id.clone(), session);
    }
}

impl Session {
    /// Gives a client a connection of a shard. Answers the packet that tells it so.
    pub(super) async fn begin(edge: &Arc<Edge>, client: Client) -> Result<String, Problem> {
        let (ours, theirs) = pair().map_err(|error| {
            tracing::error!(%error, "a client that polls cannot be connected");
            no_shard()
        })?;
        let Client { permit, coming, wire, format } = client;
        let (early, head) = (Bytes::new(), Bytes::new());
        edge.shards.connect(Box::new(Newcomer { socket: theirs, early, head, permit, coming, wire, format }));
        let (pipe, to_shard) = ours.into_split();
        let mut from_shard = FromShard { pipe, bytes: BytesMut::new(), ended: false };
        let first = timeout(SHARD, from_shard.first()).await.ok().flatten().ok_or_else(no_shard)?;
        let (mut open, connection) = opening(&first, &edge.run).ok_or_else(no_shard)?;
        // Whoever knows it speaks for the session: it is not the name of the connection, which others are told.
        let id = edge.elsewhere.id(&Uuid::new_v4().simple().to_string());
        let ping_ms = open["pingInterval"].as_u64().unwrap_or_default();
        (open["sid"], open["upgrades"]) = (json!(id), json!(["websocket"]));
        let session = Arc::new(Self {
            id: id.into(),
            connection,
            to_shard: to_shard.into(),
            from_shard: from_shard.into(),
            nudged: Notify::new(),
            probing: AtomicBool::new(false),
            probed: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            seen: Instant::now().into(),
        });
        edge.sessions.insert(session.clone());
        tokio::spawn(forget_when_away(edge.clone(), session, Duration::from_millis(ping_ms) + AWAY));
        Ok(EnginePacket::Open(&open.to_string()).to_text())
    }

    /// Whether it is known who it is.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The client is there.
    pub(super) fn heard(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A WebSocket is asked for: false if another one is.
    pub(super) fn begin_probe(&self) -> bool {
        !self.probing.swap(true, Ordering::SeqCst)
    }

    /// It was not taken.
    pub(super) fn end_probe(&self) {
        self.probed.store(false, Ordering::SeqCst);
        self.probing.store(false, Ordering::SeqCst);
    }

    /// The client has heard that it can have it: it waits for its poll to be answered.
    pub(super) fn set_probed(&self) {
        self.probed.store(true, Ordering::SeqCst);
        self.nudged.notify_one();
    }

    /// Has a poll that waits answered.
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// The next packets, as soon as there are any.
    pub(super) async fn poll(&self) -> Polled {
        let Ok(mut from_shard) = self.from_shard.try_lock() else { return Polled::Overlap };
        loop {
            if let Some(body) = from_shard.take() {
                if body.contains("40{") {
                    self.connected.store(true, Ordering::Relaxed);
                }
                return Polled::Packets(body);
            }
            if from_shard.ended {
                return Polled::Over;
            }
            let probed = self.probed.load(Ordering::SeqCst);
            tokio::select! {
                biased;
                () = from_shard.read() => {}
                () = tokio::time::sleep(PROBED), if probed => return Polled::Noop,
                () = self.nudged.notified() => return Polled::Noop,
            }
        }
    }

    /// Hands packets to the shard. False when it does not take them.
    pub(super) async fn push(&self, packets: &[Piece<'_>]) -> bool {
        let mut bytes = Vec::new();
        for packet in packets {
            match packet {
                Piece::Text(text) => push_of_client(&mut bytes, Opcode::Text, text.as_bytes()),
                Piece::Binary(data) => push_of_client(&mut bytes, Opcode::Binary, data),
            }
        }
        let mut to_shard = self.to_shard.lock().await;
        matches!(timeout(SHARD, to_shard.write_all(&bytes)).await, Ok(Ok(())))
    }

    /// Waits until nothing more is handed to the shard, has it pause, and reads what it has written that no poll has got. None if that
    /// takes too long.
    pub(super) async fn rest(&self, pause: impl FnOnce()) -> Option<BytesMut> {
        self.nudge();
        let work = async {
            let mut from_shard = self.from_shard.lock().await;
            let _to_shard = self.to_shard.lock().await;
            pause();
            while !from_shard.ended {
                from_shard.read().await;
            }
            std::mem::take(&mut from_shard.bytes)
        };
        timeout(SHARD, work).await.ok()
    }
}

impl FromShard {
    /// Waits for bytes, or for their end. What was not read when it is dropped is read the next time.
    async fn read(&mut self) {
        self.bytes.reserve(8 * 1024);
        if let Ok(0) | Err(_) = self.pipe.read_buf(&mut self.bytes).await {
            self.ended = true;
        }
    }

    /// The first packet.
    async fn first(&mut self) -> Option<String> {
        loop {
            if let Some((told, size)) = of_gateway(&self.bytes) {
                let first = if let Told::Text(text) = told { Some(text.to_owned()) } else { None };
                self.bytes.advance(size);
                return first;
            }
            if self.ended {
                return None;
            }
            self.read().await;
        }
    }

    /// The packets that are there, as many as an answer holds; none if there are none.
    fn take(&mut self) -> Option<String> {
        let (mut body, mut count, mut at) = (String::new(), 0, 0);
        while count < PACKETS && body.len() < ANSWER {
            let Some((told, size)) = self.bytes.get(at..).and_then(of_gateway) else { break };
            match told {
                Told::Text(text) => {
                    payload::push(&mut body, text);
                    count += 1;
                }
                Told::Close => self.ended = true,
                Told::Other => {}
            }
            at += size;
        }
        self.bytes.advance(at);
        (count > 0).then_some(body)
    }
}

/// A connection within this process: what is read and written here, and what a shard has.
fn pair() -> io::Result<(UnixStream, mio::net::TcpStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    // To a shard a stream of bytes is a stream of bytes.
    let theirs = std::net::TcpStream::from(OwnedFd::from(theirs));
    Ok((UnixStream::from_std(ours)?, mio::net::TcpStream::from_std(theirs)))
}

/// What the shard's first packet says, and which connection it is.
fn opening(first: &str, run: &Incarnation) -> Option<(Value, ConnectionId)> {
    let open: Value = serde_json::from_str(first.strip_prefix('0')?).ok()?;
    let name = ConnectionName::new(open["sid"].as_str()?).ok()?;
    let at = run.finds(&name)?;
    Some((open, ConnectionId { shard: at.shard, key: at.place, number: at.number }))
}

fn no_shard() -> Problem {
    let detail = "this client cannot be connected now; come back soon";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry(1)
}

/// Forgets a session whose client does not poll any more; its connection ends with that.
async fn forget_when_away(edge: Arc<Edge>, session: Arc<Session>, longest: Duration) {
    let id = session.id.clone();
    let session = {
        let weak = Arc::downgrade(&session);
        drop(session);
        weak
    };
    loop {
        let Some(left) = session.upgrade().map(|session| {
            // A poll waits no longer than for the next ping.
            let seen = *session.seen.lock().unwrap_or_else(PoisonError::into_inner);
            longest.saturating_sub(seen.elapsed())
        }) else {
            return;
        };
        if left.is_zero() {
            edge.sessions.remove(&id);
            return;
        }
        tokio::time::sleep(left).await;
    }
}
