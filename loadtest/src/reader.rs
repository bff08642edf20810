//! How are thousands of connections read by a few threads, with every seq checked?
//!
//! Each thread runs its share of the connections on a runtime of its own. All of them read into one buffer; a connection
//! that rests owns no memory but its task. The first wrong seq of a connection is a fault, as is everything after it.

mod tally;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

use self::tally::Judge;
pub(crate) use self::tally::{Arrival, Tally};
use crate::clock::monotonic_ns;
use crate::failure::{Failure, join, spawn};
use crate::inflate::Inflater;
use crate::socket::{Dial, Opened};
use crate::wire::{BYE, Inbox, Kind, close_code, pong};

/// Handshakes under way at the same time, for each thread.
const HANDSHAKES: usize = 64;
/// Bytes one read takes at most.
const SCRATCH: usize = 64 * 1024;

/// One connection to be made.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// Counted from 0, for messages.
    pub(crate) number: usize,
    /// Index of its tenant.
    pub(crate) tenant: u32,
    /// How to connect.
    pub(crate) dial: Dial,
    /// Whether to remember when each event arrived.
    pub(crate) sampled: bool,
}

/// What the threads tell while they run.
#[derive(Default)]
struct Progress {
    welcomed: AtomicU64,
    delivered: AtomicU64,
    failed: Mutex<Option<Failure>>,
}

/// Connections that are read in the background.
pub(crate) struct Readers {
    seats: u64,
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<Result<Tally, Failure>>>,
}

impl Readers {
    /// Begins to connect all seats, on this many threads.
    pub(crate) fn start(seats: &[Seat], threads: usize) -> Result<Self, Failure> {
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let share = seats.len().div_ceil(threads.max(1)).max(1);
        let handles = seats.chunks(share).map(|seats| {
            let (seats, progress, stopped) = (seats.to_vec(), Arc::clone(&progress), stopped.clone());
            spawn("reader", move || read(seats, &progress, stopped))
        });
        let threads = handles.collect::<std::io::Result<_>>()?;
        Ok(Self { seats: seats.len() as u64, progress, stop, threads })
    }

    /// Waits until every connection was welcomed.
    pub(crate) fn all_welcomed(&self, patience: Duration) -> Result<(), Failure> {
        let all = |now: u64| now >= self.seats;
        let what = || format!("a welcome on each of {} connections", self.seats);
        self.wait(&self.progress.welcomed, all, what, patience).map(|_| ())
    }

    /// Waits until this many events arrived over all connections; says how many did when time is up.
    pub(crate) fn delivered(&self, expected: u64, patience: Duration) -> Result<u64, Failure> {
        let what = || format!("delivery {expected}");
        match self.wait(&self.progress.delivered, |now| now >= expected, what, patience) {
            Err(Failure::Late { .. }) => Ok(self.progress.delivered.load(Ordering::Relaxed)),
            other => other,
        }
    }

    fn wait(
        &self,
        counter: &AtomicU64,
        reached: impl Fn(u64) -> bool,
        what: impl Fn() -> String,
        patience: Duration,
    ) -> Result<u64, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let now = counter.load(Ordering::Relaxed);
            if reached(now) {
                return Ok(now);
            }
            if let Some(failure) = self.progress.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                return Err(failure);
            }
            if Instant::now() > deadline {
                return Err(Failure::Late { what: what(), patience });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Closes every connection and says what they saw.
    pub(crate) fn finish(self) -> Result<Tally, Failure> {
        // Without a receiver every reader has ended already.
        let _ = self.stop.send(true);
        let mut all = Tally::new()?;
        for thread in self.threads {
            all.merge(join(thread)?);
        }
        Ok(all)
    }
}

/// One thread's work.
fn read(
    seats: Vec<Seat>,
    progress: &Arc<Progress>,
    stopped: watch::Receiver<bool>,
) -> Result<Tally, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let desk = Desk { scratch: vec![0; SCRATCH], tally: Tally::new()?, inflater: Inflater::default() };
    let desk = Rc::new(RefCell::new(desk));
    let tasks = LocalSet::new();
    let handshakes = Rc::new(Semaphore::new(HANDSHAKES));
    for seat in seats {
        let (desk, handshakes) = (Rc::clone(&desk), Rc::clone(&handshakes));
        let (progress, mut stopped) = (Arc::clone(progress), stopped.clone());
        tasks.spawn_local(async move {
            let opened = {
                // The semaphore is never closed.
                let _permit = handshakes.acquire().await;
                tokio::select! {
                    opened = seat.dial.open() => opened,
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
            };
            match opened {
                Ok(opened) => Connection::new(seat, opened, desk, progress).run(stopped).await,
                Err(why) => {
                    let failure = Failure::Connect { number: seat.number, address: seat.dial.address(), why };
                    progress.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                }
            }
        });
    }
    runtime.block_on(tasks);
    let desk = Rc::into_inner(desk).ok_or_else(|| Failure::Usage("a reader did not end".into()))?;
    Ok(desk.into_inner().tally)
}

/// What all connections of a thread share.
struct Desk {
    scratch: Vec<u8>,
    tally: Tally,
    inflater: Inflater,
}

struct Connection {
    seat: Seat,
    stream: TcpStream,
    inbox: Inbox,
    cursor: u64,
    early: Vec<(Kind, Vec<u8>)>,
    desk: Rc<RefCell<Desk>>,
    progress: Arc<Progress>,
}

/// What the frames of one read were, and what they ask for.
#[derive(Default)]
struct Heard {
    events: u64,
    pong: Option<Vec<u8>>,
    closed: Option<u16>,
}

impl Heard {
    fn take(&mut self, kind: Kind, payload: &[u8], judge: &mut Judge<'_>) {
        match kind {
            Kind::Text => self.events += judge.text(payload),
            Kind::Compressed => self.events += judge.compressed(payload),
            Kind::Ping => self.pong = Some(pong(payload)),
            Kind::Pong => {}
            Kind::Close => self.closed = Some(close_code(payload)),
        }
    }
}

impl Connection {
    fn new(seat: Seat, opened: Opened, desk: Rc<RefCell<Desk>>, progress: Arc<Progress>) -> Self {
        let Opened { stream, inbox, cursor, early } = opened;
        progress.welcomed.fetch_add(1, Ordering::Relaxed);
        Self { seat, stream, inbox, cursor, early, desk, progress }
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut heard = Ok(self.hear_early());
        let why = loop {
            match heard {
                Err(why) => break why,
                Ok(heard) => {
                    self.progress.delivered.fetch_add(heard.events, Ordering::Relaxed);
                    if let Err(why) = self.answer(heard).await {
                        break why;
                    }
                }
            }
            heard = tokio::select! {
                biased;
                heard = self.hear() => heard,
                _ = stopped.wait_for(|stop| *stop) => {
                    // Politeness; a server that is gone already does not matter any more.
                    let _ = self.stream.write_all(&BYE).await;
                    return;
                }
            };
        };
        let tally = &mut self.desk.borrow_mut().tally;
        tally.ended += 1;
        tally.fault(&self.seat, || why);
    }

    /// Does what the server asked for; an error is the end of the connection.
    async fn answer(&mut self, heard: Heard) -> Result<(), String> {
        if let Some(pong) = heard.pong {
            self.stream.write_all(&pong).await.map_err(|error| error.to_string())?;
        }
        match heard.closed {
            None => Ok(()),
            Some(code) => {
                // The server has said goodbye; whether it hears ours does not matter.
                let _ = self.stream.write_all(&BYE).await;
                Err(format!("closed with {code}"))
            }
        }
    }

    /// The frames that came with the `welcome`.
    fn hear_early(&mut self) -> Heard {
        let Desk { tally, inflater, .. } = &mut *self.desk.borrow_mut();
        let (mut heard, now) = (Heard::default(), monotonic_ns());
        let mut judge = Judge { tally, inflater, seat: &self.seat, cursor: &mut self.cursor, now };
        for (kind, payload) in std::mem::take(&mut self.early) {
            heard.take(kind, &payload, &mut judge);
        }
        heard
    }

    /// Reads once, into the shared buffer, and checks what came before anybody else reads.
    async fn hear(&mut self) -> Result<Heard, String> {
        std::future::poll_fn(|context| {
            let Desk { scratch, tally, inflater } = &mut *self.desk.borrow_mut();
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))
                .map_err(|error| error.to_string())?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err("the connection ended without a close frame".into()));
            }
            tally.read += buffer.filled().len() as u64;
            let (mut heard, now) = (Heard::default(), monotonic_ns());
            let mut judge = Judge { tally, inflater, seat: &self.seat, cursor: &mut self.cursor, now };
            let fed = self.inbox.feed(buffer.filled(), |kind, payload| heard.take(kind, payload, &mut judge));
            Poll::Ready(fed.map(|()| heard).map_err(|fault| fault.to_string()))
        })
        .await
    }
}
