//! What does a shard need of the world around it?
//!
//! Sockets, a clock, and somebody who answers its requests. In a process that is the kernel ([`Kernel`]); in the
//! simulation it is a seeded model of it. A shard is generic over both, so what is simulated is what runs.

use super::messages::{ConnectionId, PresenceNews, Request};
use crate::live::{Outgoing, Passing};
use crate::stream::Stream;
use carillon_protocol::Signal;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedSender;

/// A connected, non-blocking stream of bytes.
pub(crate) trait Socket: Read + Write {
    /// Nothing more will be written; what was written still arrives.
    fn end_writing(&mut self);
}

/// Sockets' readiness, the clock, and whoever answers requests.
pub(crate) trait World {
    /// What clients are connected by.
    type Socket: Socket;

    /// From now on the shard is told, edge-triggered, when this socket can be read or written.
    fn register(&mut self, socket: &mut Self::Socket, key: u32) -> io::Result<()>;

    /// The end of that.
    fn deregister(&mut self, socket: &mut Self::Socket);

    /// Time since the shard began, in microseconds; never goes back.
    fn now_us(&self) -> u64;

    /// Time since 1970 in microseconds, for what is compared with other machines' clocks.
    fn unix_us(&self) -> u64;

    /// Has something done asynchronously; the answer comes as a message.
    fn request(&mut self, request: Request);

    /// Makes a signal of a connection here ready to be handed out; none when too many are on their way.
    fn passing(&mut self, signal: Signal, except: Option<ConnectionId>) -> Option<Arc<Passing>>;

    /// Whether the other nodes can be reached now.
    fn reaches_others(&self) -> bool;

    /// Hands a signal to the rest of the node and to the other nodes. False when these cannot be reached now.
    fn pass_on(&mut self, stream: &Arc<Stream>, passing: &Arc<Passing>) -> bool;

    /// Tells the node's presence what happened on this shard.
    fn tell_presence(&mut self, shard: u16, news: Vec<PresenceNews>);
}

impl Socket for TcpStream {
    fn end_writing(&mut self) {
        // Fails only when the client is gone, which reading will tell.
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// The process's world.
pub(super) struct Kernel {
    registry: Registry,
    began: Instant,
    requests: UnboundedSender<Request>,
    outgoing: Outgoing,
    presence: UnboundedSender<(u16, Vec<PresenceNews>)>,
}

impl Kernel {
    pub(super) fn new(
        registry: Registry,
        requests: UnboundedSender<Request>,
        outgoing: Outgoing,
        presence: UnboundedSender<(u16, Vec<PresenceNews>)>,
    ) -> Self {
        Self { registry, began: Instant::now(), requests, outgoing, presence }
    }
}

impl World for Kernel {
    type Socket = TcpStream;

    fn register(&mut self, socket: &mut TcpStream, key: u32) -> io::Result<()> {
        self.registry.register(socket, Token(key as usize), Interest::READABLE | Interest::WRITABLE)
    }

    fn deregister(&mut self, socket: &mut TcpStream) {
        // A socket that is gone from the poll already needs no goodbye there.
        let _ = self.registry.deregister(socket);
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn unix_us(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as u64
    }

    fn request(&mut self, request: Request) {
        // The asynchronous side ends only after the shards.
        let _ = self.requests.send(request);
    }

    fn passing(&mut self, signal: Signal, except: Option<ConnectionId>) -> Option<Arc<Passing>> {
        self.outgoing.passing(signal, except)
    }

    fn reaches_others(&self) -> bool {
        self.outgoing.is_up()
    }

    fn pass_on(&mut self, stream: &Arc<Stream>, passing: &Arc<Passing>) -> bool {
        self.outgoing.pass_on(stream, passing)
    }

    fn tell_presence(&mut self, shard: u16, news: Vec<PresenceNews>) {
        let _ = self.presence.send((shard, news));
    }
}
