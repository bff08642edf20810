//! The world a simulated shard lives in: a clock that stands still, sockets that are queues, requests that wait to be
//! answered.

use super::seen::{Seen, told};
use super::tap::Tap;
use crate::budget::Budget;
use crate::live::Passing;
use crate::shard::messages::{ConnectionId, PresenceNews, Request};
use crate::shard::world::{Socket, World};
use crate::stream::Stream;
use carillon_protocol::{Signal, TenantId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes between a client and a shard, in both directions.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// What the client sent and the shard has not read.
    pub(super) to_shard: VecDeque<u8>,
    /// What the shard wrote and the client has not read.
    pub(super) to_client: VecDeque<u8>,
    /// Bytes the socket still takes before it would block.
    pub(super) room: usize,
    /// Most bytes of one write.
    pub(super) most: usize,
    /// Writes until the connection is reset, if it will be.
    pub(super) breaks_in: Option<u32>,
    /// The client sends nothing more.
    pub(super) is_finished: bool,
    pub(super) is_reset: bool,
    /// The shard writes nothing more.
    pub(super) has_ended: bool,
    /// The shard has let go of the socket.
    pub(super) is_dropped: bool,
    /// A write found no room since it was last reported writable.
    pub(super) was_full: bool,
    /// What the poll has not reported yet.
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Where the shard keeps it.
    pub(super) key: Option<u32>,
    /// Bytes for the client that the tap has heard.
    pub(super) tapped: usize,
    pub(super) tap: Tap,
}

impl Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = &mut self.breaks_in {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => self.reset(),
            }
        }
        if self.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        assert!(!self.has_ended, "nothing is written after the end");
        let taken = bytes.len().min(self.room).min(self.most);
        if taken < bytes.len() {
            self.was_full = true;
            self.writable = self.room > taken;
        }
        if taken == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= taken;
        self.to_client.extend(&bytes[..taken]);
        Ok(taken)
    }

    /// The connection is cut.
    pub(super) fn reset(&mut self) {
        (self.is_reset, self.readable, self.writable) = (true, true, true);
    }

    /// The client takes so many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let count = bytes.min(self.to_client.len());
        self.room += count;
        if self.was_full && self.room > 0 {
            self.writable = true;
        }
        self.tapped = self.tapped.saturating_sub(count);
        self.to_client.drain(..count).collect()
    }

    /// What was written since this was asked last.
    pub(super) fn news(&mut self) -> Vec<u8> {
        let from = std::mem::replace(&mut self.tapped, self.to_client.len());
        self.to_client.range(from..).copied().collect()
    }
}

/// A shard's end of a pipe.
pub(super) struct SimSocket(pub(super) Rc<RefCell<Pipe>>);

impl Read for SimSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        if pipe.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let count = pipe.to_shard.len().min(buffer.len());
        if count == 0 {
            return if pipe.is_finished { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        for (byte, sent) in buffer.iter_mut().zip(pipe.to_shard.drain(..count)) {
            *byte = sent;
        }
        pipe.tap.answered();
        Ok(count)
    }
}

impl Write for SimSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.0.borrow_mut().write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for SimSocket {
    fn end_writing(&mut self) {
        self.0.borrow_mut().has_ended = true;
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut pipe = self.0.borrow_mut();
        (pipe.is_dropped, pipe.has_ended) = (true, true);
    }
}

/// Signals, each with its tenant.
type PassedOn = Vec<(TenantId, Arc<Passing>)>;

/// What a shard and the simulation share.
#[derive(Clone)]
pub(super) struct SimWorld {
    pub(super) now_us: Rc<Cell<u64>>,
    pub(super) unix_us: Rc<Cell<u64>>,
    pub(super) requests: Rc<RefCell<Vec<Request>>>,
    /// Sockets that are watched.
    pub(super) watched: Rc<Cell<usize>>,
    /// Bytes of signals on their way.
    pub(super) in_flight: Arc<Budget>,
    /// Signals for other shards and nodes.
    pub(super) passed_on: Rc<RefCell<PassedOn>>,
    pub(super) redis_is_up: Rc<Cell<bool>>,
    /// Who is seen, by what the shard has told.
    pub(super) seen: Rc<RefCell<Seen>>,
}

impl Default for SimWorld {
    fn default() -> Self {
        Self {
            now_us: Rc::default(),
            unix_us: Rc::default(),
            requests: Rc::default(),
            watched: Rc::default(),
            in_flight: Budget::new(1 << 20),
            passed_on: Rc::default(),
            redis_is_up: Rc::new(Cell::new(true)),
            seen: Rc::default(),
        }
    }
}

impl World for SimWorld {
    type Socket = SimSocket;

    fn register(&mut self, socket: &mut SimSocket, key: u32) -> io::Result<()> {
        socket.0.borrow_mut().key = Some(key);
        self.watched.set(self.watched.get() + 1);
        Ok(())
    }

    fn deregister(&mut self, socket: &mut SimSocket) {
        socket.0.borrow_mut().key = None;
        self.watched.set(self.watched.get() - 1);
    }

    fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    fn unix_us(&self) -> u64 {
        self.unix_us.get()
    }

    fn request(&mut self, request: Request) {
        self.requests.borrow_mut().push(request);
    }

    fn passing(&mut self, signal: Signal, except: Option<ConnectionId>) -> Option<Arc<Passing>> {
        Passing::new(0, signal, except, &self.in_flight)
    }

    fn reaches_others(&self) -> bool {
        self.redis_is_up.get()
    }

    fn pass_on(&mut self, stream: &Arc<Stream>, passing: &Arc<Passing>) -> bool {
        self.passed_on.borrow_mut().push((stream.tenant.clone(), passing.clone()));
        self.redis_is_up.get()
    }

    /// Nobody is seen in the simulation: its rules show nobody.
    fn tell_presence(&mut self, _: u16, news: Vec<PresenceNews>) {
        told(&mut self.seen.borrow_mut(), news);
    }
}
