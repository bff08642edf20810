//! What is known of one connection?

use super::history::HistoryJob;
use super::outbox::Outbox;
use super::room::Membership;
use super::wire::Wire;
use crate::admission::Permit;
use crate::entrance::Hello;
use crate::stream::backlog::Reader;
use crate::ws::Decoder;
use carillon_platform::auth::Identity;
use carillon_protocol::{CloseCode, Seq};
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// Names a connection among all of this node; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub(crate) shard: u16,
    /// Its place in the shard's table, used again after it.
    pub(crate) key: u32,
    /// Counts the shard's connections.
    pub(crate) number: u64,
}

/// One socket and everything that hangs on it.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) socket: TcpStream,
    pub(super) wire: Wire,
    pub(super) decoder: Decoder,
    pub(super) outbox: Outbox,
    pub(super) stage: Stage,
    pub(super) bucket: Bucket,
    pub(super) opened_ms: u64,
    /// When bytes last came from the client.
    pub(super) heard_ms: u64,
    /// When bytes last went to the client.
    pub(super) sent_ms: u64,
    /// Since when the socket takes nothing, if it is so.
    pub(super) blocked_ms: Option<u64>,
    /// Since when a ping waits for any sign of life.
    pub(super) pinged_ms: Option<NonZeroU64>,
    /// The socket may have bytes that were not read because the client has answers to take first.
    pub(super) unread: bool,
    /// Its place in the wheel.
    pub(super) place: u64,
    /// Whether it was sent away, and how far it is with that.
    pub(super) departure: Departure,
    /// The first and last of its frames in the fan-out under way.
    pub(super) gathered: Gathered,
    /// Given back when dropped.
    pub(super) permit: Permit,
}

/// How a connection leaves that was sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It does not.
    Stays,
    /// It is told to go when it is live, or at this time.
    AtHead { until_ms: u64 },
    /// It was told to go; what is left of it at this time is closed.
    ToldUntil(u64),
}

/// How far a connection is.
pub(super) enum Stage {
    /// Its first frame must present a token.
    Greeting(Box<Hello>),
    /// Its token is being checked; what it says meanwhile waits, within bounds.
    Entering(Vec<Box<str>>),
    /// It belongs to a tenant.
    Member(Box<Member>),
    /// A close frame is on its way; gone at the latest at this time.
    Closing { until_ms: u64 },
    /// Of no use any more; removed at the end of the turn.
    Gone,
}

/// A connection that belongs to a tenant.
pub(super) struct Member {
    pub(super) room: u32,
    /// Its place in the room's list.
    pub(super) place: u32,
    pub(super) position: Position,
    pub(super) channels: Vec<Membership>,
    pub(super) identity: Identity,
    /// When the token expires, in the shard's time.
    pub(super) expires_ms: u64,
    /// When it is told that the token expires soon; never once it was told.
    pub(super) expiring_ms: u64,
    /// Whether a new token is being checked: one at a time, so that the last one sent is the one that stays.
    pub(super) refreshing: bool,
    pub(super) history: VecDeque<HistoryJob>,
    pub(super) reading: Reading,
    pub(super) last_ticket: Ticket,
}

impl Member {
    /// Notes that the log is being asked.
    pub(super) fn ask(&mut self) -> Ticket {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        self.reading = Reading::Asked(self.last_ticket);
        self.last_ticket
    }

    /// In whose name it reads the log.
    pub(super) fn reader(&self) -> Reader {
        Reader { group: self.identity.tenant.clone(), member: self.identity.user.clone() }
    }

    /// Whether this is the answer that is waited for; if so it is not waited for any more.
    pub(super) fn answered(&mut self, ticket: Ticket) -> bool {
        let awaited = self.reading == Reading::Asked(ticket);
        if awaited {
            self.reading = Reading::Nothing;
        }
        awaited
    }
}

/// Where a member stands in its tenant's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At the room's cursor; new events are written as they come.
    Live,
    /// It has got everything up to here and reads on at its own pace.
    Behind(Seq),
}

/// Whether a page of the log is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// None.
    Nothing,
    /// One; an answer with another ticket is to a question nobody has any more.
    Asked(Ticket),
    /// The log did not answer; it is asked again then.
    Later(u64),
}

/// Tells a question to the log from the connection's earlier ones.
pub(crate) type Ticket = u32;

/// A chain of frames for one connection, within the fan-out under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathered {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Gathered {
    pub(super) const NONE: u32 = u32::MAX;
    pub(super) const NOTHING: Gathered = Gathered { first: Self::NONE, last: Self::NONE };
}

/// How many frames a client may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameRate {
    /// Sustained, each second.
    pub(crate) per_second: u32,
}

impl FrameRate {
    fn burst_milli(self) -> u64 {
        u64::from(self.per_second) * 5 * 1_000
    }
}

/// A token bucket, in thousandths of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    milli: u64,
    at_ms: u64,
}

impl Bucket {
    pub(super) fn full(rate: FrameRate, now_ms: u64) -> Self {
        Self { milli: rate.burst_milli(), at_ms: now_ms }
    }

    /// Takes one frame; false when the client sends too many.
    pub(super) fn take(&mut self, rate: FrameRate, now_ms: u64) -> bool {
        let earned = (now_ms - self.at_ms) * u64::from(rate.per_second);
        self.milli = (self.milli + earned).min(rate.burst_milli());
        self.at_ms = now_ms;
        let enough = self.milli >= 1_000;
        if enough {
            self.milli -= 1_000;
        }
        enough
    }
}

/// Why a connection is gone, for the count of closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// We closed it.
    Closed(CloseCode),
    /// The client closed it, or its network did.
    Left,
}

impl Gone {
    pub(super) fn label(self) -> &'static str {
        match self {
            Gone::Closed(code) => code.label(),
            Gone::Left => "left",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_burst_and_then_keep_the_rate() {
        let rate = FrameRate { per_second: 10 };
        let mut bucket = Bucket::full(rate, 0);
        assert_eq!((0..100).filter(|_| bucket.take(rate, 0)).count(), 50);
        assert_eq!((1..=1_000).filter(|ms| bucket.take(rate, *ms)).count(), 10);
    }
}
