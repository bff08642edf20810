//! How are thousands of subscribers of a peer read by one thread, with every event checked?
//!
//! Built as `reader` is for our own gateways, so that the client costs the machine the same: one task a connection on one
//! current-thread runtime, one buffer for all. What a server loses or closes is counted and does not end the measurement.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;
use tokio::time::timeout;
use tungstenite::handshake::client::generate_key;

use crate::clock::monotonic_ns;
use crate::failure::{Failure, join, spawn};
use crate::latency::Latency;
use crate::ledger::{Account, Ledger};
use crate::peer::event::Event;
use crate::peer::frames::{BYE, Frame, Frames, PONG, masked};
use crate::peer::session::{Session, Who};

/// Handshakes under way at the same time.
const HANDSHAKES: usize = 64;
/// Longest time from the first SYN to the confirmed subscription.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes one read takes at most.
const SCRATCH: usize = 64 * 1024;
/// Lost connections that are told in words.
const TOLD: usize = 5;
/// A server that delivered nothing for so long after the last event has nothing left.
const QUIET: Duration = Duration::from_secs(3);

/// What the subscribers saw.
pub(super) struct Tally {
    /// From the stamp in the event to the socket.
    pub(super) latency: Latency,
    /// Bytes of the WebSocket messages with events.
    pub(super) bytes: u64,
    /// Reads that brought events.
    pub(super) reads: u64,
    /// Which events came, over all connections.
    pub(super) account: Account,
    /// The first lost connections in words.
    pub(super) told: Vec<String>,
}

/// What the thread tells while it runs.
#[derive(Default)]
struct Progress {
    subscribed: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
    delivered: AtomicU64,
}

/// Subscribers that are read in the background.
pub(super) struct Crowd {
    size: u64,
    progress: Arc<Progress>,
    stop: watch::Sender<Option<u64>>,
    thread: JoinHandle<Result<Tally, Failure>>,
}

impl Crowd {
    /// Begins to connect and subscribe this many.
    pub(super) fn gather(who: Who, address: SocketAddr, size: u32) -> Result<Self, Failure> {
        let (stop, stopped) = watch::channel(None);
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        let thread = spawn("subscribers", move || attend(&who, address, size, &told, stopped))?;
        Ok(Self { size: size.into(), progress, stop, thread })
    }

    /// Waits until each is subscribed or was refused; says how many are subscribed.
    pub(super) fn all_subscribed(&self, patience: Duration) -> Result<u64, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let subscribed = self.progress.subscribed.load(Ordering::Relaxed);
            let refused = self.progress.refused.load(Ordering::Relaxed);
            if subscribed + refused >= self.size || self.thread.is_finished() {
                return Ok(subscribed);
            }
            if Instant::now() > deadline {
                let what = format!("a subscription on each of {} connections", self.size);
                return Err(Failure::Late { what, patience });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// An error that says why, when no connection could be subscribed at all: there is nothing to measure.
    pub(super) fn nobody(self, address: SocketAddr) -> Failure {
        match self.finish(0) {
            Err(failure) => failure,
            Ok(Tally { told, .. }) => {
                let why = told.into_iter().next().unwrap_or_default();
                Failure::Connect { number: 0, address: address.to_string(), why }
            }
        }
    }

    /// Connections that were refused, or ended before they were told to.
    pub(super) fn lost(&self) -> u64 {
        self.progress.refused.load(Ordering::Relaxed) + self.progress.ended.load(Ordering::Relaxed)
    }

    /// Deliveries so far.
    pub(super) fn delivered(&self) -> u64 {
        self.progress.delivered.load(Ordering::Relaxed)
    }

    /// Waits for this many deliveries, for silence, or for the end of `drain`; says when the last delivery was seen.
    pub(super) fn settle(&self, expected: u64, drain: Duration) -> Instant {
        let begun = Instant::now();
        let (mut seen, mut at) = (self.delivered(), begun);
        while seen < expected && begun.elapsed() < drain && at.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(2));
            let now = self.delivered();
            if now != seen {
                (seen, at) = (now, Instant::now());
            }
        }
        at
    }

    /// Closes every connection and says what they saw of `events` events.
    pub(super) fn finish(self, events: u64) -> Result<Tally, Failure> {
        // Without a receiver every subscriber has ended already.
        let _ = self.stop.send(Some(events));
        join(self.thread)
    }
}

/// What all subscribers share.
struct Desk {
    scratch: Vec<u8>,
    tally: Tally,
    progress: Arc<Progress>,
}

fn attend(
    who: &Who,
    address: SocketAddr,
    size: u32,
    progress: &Arc<Progress>,
    stopped: watch::Receiver<Option<u64>>,
) -> Result<Tally, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally =
        Tally { latency: Latency::new()?, bytes: 0, reads: 0, account: Account::default(), told: Vec::new() };
    let desk = Desk { scratch: vec![0; SCRATCH], tally, progress: Arc::clone(progress) };
    let desk = Rc::new(RefCell::new(desk));
    let handshakes = Rc::new(Semaphore::new(HANDSHAKES));
    let tasks = LocalSet::new();
    for number in 0..size {
        let (desk, handshakes, mut stopped) = (Rc::clone(&desk), Rc::clone(&handshakes), stopped.clone());
        let who = who.clone();
        tasks.spawn_local(async move {
            let mut subscriber = Subscriber::new(&who);
            let outcome = {
                // The semaphore is never closed.
                let _permit = handshakes.acquire().await;
                let opening = timeout(PATIENCE, subscriber.open(address, &desk));
                opening.await.unwrap_or_else(|_| Err(format!("no subscription within {PATIENCE:?}")))
            };
            let outcome = match outcome {
                Ok(stream) => {
                    desk.borrow().progress.subscribed.fetch_add(1, Ordering::Relaxed);
                    let outcome = subscriber.listen(stream, &desk, &mut stopped).await;
                    desk.borrow().progress.ended.fetch_add(outcome.is_err().into(), Ordering::Relaxed);
                    outcome
                }
                Err(why) => {
                    desk.borrow().progress.refused.fetch_add(1, Ordering::Relaxed);
                    Err(why)
                }
            };
            if let Err(why) = outcome {
                let tally = &mut desk.borrow_mut().tally;
                if tally.told.len() < TOLD {
                    tally.told.push(format!("connection {number}: {why}"));
                }
            }
            // One that was lost is judged too: what it did not get is missing.
            if let Ok(Some(events)) = stopped.wait_for(Option::is_some).await.map(|events| *events) {
                desk.borrow_mut().tally.account.add(subscriber.ledger.account(events));
            }
        });
    }
    runtime.block_on(tasks);
    let desk = Rc::into_inner(desk).ok_or_else(|| Failure::Usage("a subscriber did not end".into()))?;
    Ok(desk.into_inner().tally)
}

struct Subscriber {
    session: Session,
    frames: Frames,
    ledger: Ledger,
}

impl Subscriber {
    fn new(who: &Who) -> Self {
        Self { session: Session::new(who), frames: Frames::default(), ledger: Ledger::new(0, String::new()) }
    }

    /// Connects, upgrades and waits until the server has confirmed the subscription.
    async fn open(&mut self, address: SocketAddr, desk: &RefCell<Desk>) -> Result<TcpStream, String> {
        let lost = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let (path, key) = (self.session.path(), generate_key());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(lost)?;
        let mut head = Vec::with_capacity(1024);
        let end = loop {
            if stream.read_buf(&mut head).await.map_err(lost)? == 0 {
                return Err("the connection ended before the upgrade".into());
            }
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        if !head.starts_with(b"HTTP/1.1 101") {
            let status = String::from_utf8_lossy(&head);
            return Err(format!("refused: {}", status.lines().next().unwrap_or_default()));
        }
        let mut answer = self.session.opening();
        answer.extend(self.hear(&head[end..], &mut desk.borrow_mut())?);
        loop {
            stream.write_all(&answer).await.map_err(lost)?;
            if self.session.is_subscribed() {
                return Ok(stream);
            }
            stream.readable().await.map_err(lost)?;
            answer = self.read(&stream, desk)?;
        }
    }

    /// Reads until it is told to stop; an error says how the server ended the connection.
    async fn listen(
        &mut self,
        mut stream: TcpStream,
        desk: &RefCell<Desk>,
        stopped: &mut watch::Receiver<Option<u64>>,
    ) -> Result<(), String> {
        // Looked at after every read as well: a server that is far behind never lets the select see the stop.
        while stopped.borrow().is_none() {
            tokio::select! {
                biased;
                readable = stream.readable() => readable.map_err(|error| error.to_string())?,
                _ = stopped.wait_for(Option::is_some) => break,
            }
            let answer = self.read(&stream, desk)?;
            if !answer.is_empty() {
                stream.write_all(&answer).await.map_err(|error| error.to_string())?;
            }
        }
        // Politeness; a server that is gone already does not matter any more.
        let _ = stream.write_all(&BYE).await;
        Ok(())
    }

    /// Reads once, into the shared buffer; what is to be answered.
    fn read(&mut self, stream: &TcpStream, desk: &RefCell<Desk>) -> Result<Vec<u8>, String> {
        let desk = &mut *desk.borrow_mut();
        let mut scratch = std::mem::take(&mut desk.scratch);
        let outcome = match stream.try_read(&mut scratch) {
            Ok(0) => Err("the connection ended without a close frame".into()),
            Ok(length) => self.hear(&scratch[..length], desk),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        };
        desk.scratch = scratch;
        outcome
    }

    fn hear(&mut self, bytes: &[u8], desk: &mut Desk) -> Result<Vec<u8>, String> {
        let (mut answer, mut events, now) = (Vec::new(), 0, monotonic_ns());
        let Self { session, frames, ledger } = self;
        let Tally { latency, bytes: message_bytes, .. } = &mut desk.tally;
        let heard = frames.feed(bytes, |frame, message| match frame {
            Frame::Message => {
                let before = events;
                session.hear(message, &mut answer, |event| {
                    let Event { n, stamp } = Event::read(event)?;
                    // What is wrong with its number is in the account.
                    let _ = ledger.event(n);
                    latency.between(stamp, now);
                    events += 1;
                    Ok(())
                })?;
                *message_bytes += if events > before { message.len() as u64 } else { 0 };
                Ok(())
            }
            Frame::Ping => {
                answer.extend(masked(PONG, message));
                Ok(())
            }
            Frame::Pong => Ok(()),
            Frame::Close => match *message {
                [a, b, ..] => Err(format!("closed with {}", u16::from_be_bytes([a, b]))),
                _ => Err("closed without a code".into()),
            },
        });
        desk.tally.reads += u64::from(events > 0);
        desk.progress.delivered.fetch_add(events, Ordering::Relaxed);
        heard.map(|()| answer)
    }
}
