//! How does somebody who polls have a connection like everybody's?
//!
//! It is one: a shard has a connection with packets in WebSocket messages, whose other end is held here. What it writes waits for the next
//! poll in the kernel's buffer; when that is full the connection is behind, as any slow reader is.

use super::bodies::{Bodies, Body};
use crate::admission::Full;
use crate::edge::handshake::Edge;
use crate::edge::problem::Problem;
use crate::edge::takeover::Client;
use crate::metrics::metrics;
use crate::shard::{ConnectionId, Newcomer};
use crate::socketio::engine::EnginePacket;
use crate::socketio::payload::{self, PACKETS};
use crate::socketio::pipe::{Told, of_gateway};
use bytes::{Buf, Bytes, BytesMut};
use carillon_protocol::ConnectionName;
use carillon_protocol::connection::Incarnation;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tokio::time::timeout;
use uuid::Uuid;

/// Bytes from which an answer takes no more packets.
const ANSWER: usize = 16 * 1024;
/// How long a shard may take to take in a connection, or what its client says.
const SHARD: Duration = Duration::from_secs(10);
/// How much later than its ping a client is given up that does not poll.
const AWAY: Duration = Duration::from_secs(20);
/// How long a session lasts of which it is not known who it is: longer than its connection.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Between two answers to a client that polls while it has been told that it can have a WebSocket.
const PROBED: Duration = Duration::from_millis(100);

/// The sessions that poll at this node, by their ids.
pub(crate) struct Sessions {
    of: Mutex<HashMap<Box<str>, Arc<Session>>>,
    /// Each costs several descriptors.
    most: usize,
    /// Those that are here or about to be.
    count: Arc<AtomicUsize>,
    pub(super) bodies: Bodies,
}

/// A place for a session, given back when it is dropped.
struct SessionPlace(Arc<AtomicUsize>);

impl Drop for SessionPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        metrics().polling_sessions.decrement(1);
    }
}

/// A WebSocket that is asked for; when this is dropped and it was not taken, another one may be.
pub(crate) struct Probing(Arc<Session>);

impl Probing {
    pub(super) fn session(&self) -> &Session {
        &self.0
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.probed.store(false, Ordering::SeqCst);
        self.0.probing.store(false, Ordering::SeqCst);
    }
}

/// A session that polls.
pub(crate) struct Session {
    pub(super) id: Box<str>,
    /// The shard's connection.
    pub(super) connection: ConnectionId,
    /// Whose turn it is to say something.
    turn: Arc<AsyncMutex<()>>,
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
    /// Nothing that was handed to it is read any more: it writes to a WebSocket.
    moved: AtomicBool,
    began: Instant,
    seen: Mutex<Instant>,
    /// What the last poll called itself.
    last: Mutex<Option<Box<str>>>,
    _place: SessionPlace,
}

/// What a shard says.
struct FromShard {
    pipe: OwnedReadHalf,
    bytes: BytesMut,
    ended: bool,
}

/// The right to say something, until this is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Packets for a poll.
struct Taken {
    body: String,
    /// Whether one of them says that the client is connected: only the gateway begins a packet like that.
    connects: bool,
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
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { of: Mutex::default(), most, count: Arc::default(), bodies: Bodies::default() }
    }

    /// A place, if there is one.
    fn enter(&self) -> Result<SessionPlace, Problem> {
        let place = SessionPlace(self.count.clone());
        let before = self.count.fetch_add(1, Ordering::SeqCst);
        metrics().polling_sessions.increment(1);
        if before < self.most { Ok(place) } else { Err(Full::Node.into()) }
    }

    /// The session with this id, if it polls here.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Forgets a session. True if it was known.
    pub(super) fn remove(&self, id: &str) -> bool {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    fn insert(&self, session: Arc<Session>) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).insert(session.id.clone(), session);
    }
}

impl Session {
    fn new(
        id: Box<str>,
        connection: ConnectionId,
        from_shard: FromShard,
        to_shard: OwnedWriteHalf,
        place: SessionPlace,
    ) -> Self {
        Self {
            id,
            connection,
            turn: Arc::default(),
            to_shard: to_shard.into(),
            from_shard: from_shard.into(),
            nudged: Notify::new(),
            probing: AtomicBool::new(false),
            probed: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            moved: AtomicBool::new(false),
            began: Instant::now(),
            seen: Instant::now().into(),
            last: Mutex::default(),
            _place: place,
        }
    }

    /// Gives a client a connection of a shard. Answers the packet that tells it so.
    pub(super) async fn begin(edge: &Arc<Edge>, client: Client) -> Result<String, Problem> {
        let place = edge.sessions.enter()?;
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
        let session = Arc::new(Self::new(id.into(), connection, from_shard, to_shard, place));
        edge.sessions.insert(session.clone());
        tokio::spawn(forget_when_away(edge.clone(), session, Duration::from_millis(ping_ms) + AWAY));
        Ok(EnginePacket::Open(&open.to_string()).to_text())
    }

    /// Whether it is known who it is.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Whether a poll is the last one again, which something on the way has repeated. Clients do not.
    pub(super) fn is_repeated(&self, time: Option<Box<str>>) -> bool {
        let time = time.filter(|time| names_one_poll(time));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_repeated = time.is_some() && *last == time;
        *last = time;
        is_repeated
    }

    /// The client is there.
    pub(super) fn heard(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A WebSocket is asked for; none if another one is.
    pub(super) fn begin_probe(self: Arc<Self>) -> Option<Probing> {
        let is_first = !self.probing.swap(true, Ordering::SeqCst);
        is_first.then(|| Probing(self))
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
            if let Some(Taken { body, connects }) = from_shard.take() {
                if connects {
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

    /// Waits until the shard has what was said before: of a session one body is held at a time. None if that takes too long.
    pub(super) async fn turn(&self) -> Option<Turn> {
        timeout(SHARD, self.turn.clone().lock_owned()).await.ok()
    }

    /// Hands messages to the shard, all of them also when whoever asks goes away. False when it does not take them. The turn and the
    /// body's place end with that.
    pub(super) async fn push(self: &Arc<Self>, messages: Vec<u8>, turn: Turn, body: Body) -> bool {
        let session = self.clone();
        let written = tokio::spawn(async move {
            let written = timeout(SHARD, async {
                let mut to_shard = session.to_shard.lock().await;
                !session.moved.load(Ordering::SeqCst) && to_shard.write_all(&messages).await.is_ok()
            });
            let is_written = written.await.unwrap_or(false);
            drop((messages, body, turn));
            is_written
        });
        written.await.unwrap_or(false)
    }

    /// Waits until nothing more is handed to the shard, has it pause, and reads what it has written that no poll has got. None if that
    /// takes too long.
    pub(super) async fn rest(&self, pause: impl FnOnce()) -> Option<BytesMut> {
        self.nudge();
        let work = async {
            let mut from_shard = self.from_shard.lock().await;
            let _to_shard = self.to_shard.lock().await;
            self.moved.store(true, Ordering::SeqCst);
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
    fn take(&mut self) -> Option<Taken> {
        let (mut body, mut count, mut at, mut connects) = (String::new(), 0, 0, false);
        while count < PACKETS && body.len() < ANSWER {
            let Some((told, size)) = self.bytes.get(at..).and_then(of_gateway) else { break };
            match told {
                Told::Text(text) => {
                    // In a namespace its name follows.
                    connects |= text.starts_with("40");
                    payload::push(&mut body, text);
                    count += 1;
                }
                Told::Close => self.ended = true,
                Told::Other => {}
            }
            at += size;
        }
        self.bytes.advance(at);
        if self.bytes.is_empty() {
            // What one large packet needed is not kept for each who polls.
            self.bytes = BytesMut::new();
        }
        (count > 0).then_some(Taken { body, connects })
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
            if !session.is_connected() {
                return UNKNOWN.saturating_sub(session.began.elapsed());
            }
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

/// Whether no other poll of a client has the same `t`. Clients for .NET write the time in whole seconds, so two have.
fn names_one_poll(time: &str) -> bool {
    time.len() > 10 || !time.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::encode::push_text;

    #[test]
    fn a_time_in_whole_seconds_names_no_poll() {
        assert!(!names_one_poll("1764496800") && !names_one_poll(""));
        assert!(names_one_poll("1764496800123") && names_one_poll("PfN3k2a") && names_one_poll("x3p8q1zu"));
    }

    /// What a client has us say never looks as if it were connected.
    #[tokio::test]
    async fn only_the_gateway_says_that_somebody_is_connected() {
        let (ours, _theirs) = pair().unwrap();
        let (pipe, _to_shard) = ours.into_split();
        let mut from_shard = FromShard { pipe, bytes: BytesMut::new(), ended: false };
        let mut connects = |text: &str| {
            let mut bytes = Vec::new();
            push_text(&mut bytes, &[text.as_bytes()]);
            from_shard.bytes.extend_from_slice(&bytes);
            from_shard.take().unwrap().connects
        };
        for text in ["3x40{", "44/40{,{}", "44{\"message\":\"40{\"}"] {
            assert!(!connects(text), "{text}");
        }
        assert!(connects("40{\"sid\":\"a\"}"));
        assert!(connects("40/chat,{\"sid\":\"a\"}"), "who is in a namespace is known, too");
    }

    /// A body that the shard does not take is held, its place with it, until it does; what else the session says waits unread.
    #[tokio::test]
    async fn i10_of_a_session_one_body_is_held_at_a_time_also_when_whoever_sent_it_is_gone() {
        use std::io::Read;
        let sessions = Sessions::new(1);
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (pipe, to_shard) = UnixStream::from_std(ours).unwrap().into_split();
        let from_shard = FromShard { pipe, bytes: BytesMut::new(), ended: false };
        let connection = ConnectionId { shard: 0, key: 0, number: 0 };
        let place = sessions.enter().unwrap();
        let session = Arc::new(Session::new("a".into(), connection, from_shard, to_shard, place));
        let length = 1_000_000;
        let headers = http::HeaderMap::from_iter([(http::header::CONTENT_LENGTH, length.into())]);
        let (turn, body) =
            (session.turn().await.unwrap(), sessions.bodies.enter(&headers, true, None).unwrap());
        let said = session.clone();
        let asking = tokio::spawn(async move { said.push(vec![7; length], turn, body).await });
        // More than the kernel holds of the pair.
        let is_full = async {
            while session.to_shard.try_lock().is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SHARD, is_full).await.unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(sessions.bodies.count(), 1, "it is held until the shard has it");
        assert!(session.turn.try_lock().is_err(), "and nothing else of the session is read");
        let read = std::thread::spawn(move || {
            let mut all = vec![0; length];
            let mut theirs = theirs;
            theirs.read_exact(&mut all).map(|()| theirs)
        });
        drop(session.turn().await.unwrap());
        assert_eq!(sessions.bodies.count(), 0);
        drop(read.join().unwrap().unwrap());
    }

    #[test]
    fn i10_sessions_that_poll_have_a_bound() {
        let sessions = Sessions::new(2);
        let places = [sessions.enter(), sessions.enter()];
        assert!(places.iter().all(Result::is_ok) && sessions.enter().is_err());
        drop(places);
        assert!(sessions.enter().is_ok(), "what is given back can be taken");
    }
}
