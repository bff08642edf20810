//! What do others tell a shard, and it them?
//!
//! A shard never waits. What it wants from the asynchronous side (a token checked, a page of the log) goes out as a
//! [`Request`] and comes back as a message.

use super::wire::{Format, Wire};
use crate::admission::Permit;
use crate::authorize::{Authorized, Bearer, Refusal};
use crate::edge::RawQuery;
use crate::live::Passing;
use crate::presence::{Event, PresenceFrame, Told};
use crate::relay::{NotPublished, Receipt, Relayed, UnderWay};
use crate::socketio::connect::ComesBack;
use crate::stream::Stream;
use crate::stream::backlog::{BacklogPage, Held, Reader, Selection};
use crate::verdicts::Verdicts;
use bytes::Bytes;
use carillon_backplane::log::{LogError, LoggedEvent};
use carillon_platform::ask::{Endpoint, Question};
use carillon_platform::auth::ServiceKey;
use carillon_platform::share::AddressGroup;
use carillon_protocol::client::{ConnectParameters, FrameId, History};
use carillon_protocol::connection::{Incarnation, Whereabouts};
use carillon_protocol::{Channel, ConnectionName, Epoch, Seq, TenantId, TypeFilter, UserId};
use mio::net::TcpStream;
use std::sync::Arc;

/// What the poll says of a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) key: u32,
    /// There are bytes, or the end of them, or an error.
    pub(super) readable: bool,
    /// There is the end of them, or an error.
    pub(super) ended: bool,
    pub(super) writable: bool,
}

/// A message to a shard. The mailbox is bounded by what can be under way: a message for each connection and each of its
/// requests, one piece of news for each stream, and signals within their budget.
pub(crate) enum ToShard<S = TcpStream> {
    /// A socket that has left HTTP.
    Connect(Box<Newcomer<S>>),
    /// A stream has new events, or a new generation.
    News(Arc<Stream>),
    /// The rules of a stream's tenant are others now.
    Rules(Arc<Stream>),
    /// A signal of another shard or node, for those of a stream's tenant who are connected now.
    Live(Arc<Stream>, Arc<Passing>),
    /// The token in a first frame was checked.
    Entered(ConnectionId, Result<Box<Authorized>, Refusal>),
    /// The token of a refresh was checked.
    Refreshed(ConnectionId, Option<Box<str>>, Result<Box<Bearer>, Refusal>),
    /// Whether somebody may come into one more tenant.
    Attached(ConnectionId, Box<Attached>),
    /// A page of the log, for a connection behind its ring.
    Page(ConnectionId, Ticket, Result<Arc<BacklogPage>, LogError>),
    /// A page of history for a `subscribe`.
    History(ConnectionId, Ticket, Result<HistoryPage, LogError>),
    /// What the tenant's application says: for the `subscribe` of this ticket; without one about memberships.
    Asked(ConnectionId, TenantId, Option<AskTicket>, Box<Verdicts>),
    /// Whether the channels of a connection are kept, as they were at this number.
    Kept(ConnectionId, u32, bool),
    /// Write nothing more to a connection that is about to move; take in what its client has said so far.
    Pause(ConnectionId),
    /// Go on with it at another socket.
    Moved(ConnectionId, Box<Moved<S>>),
    /// It has paused, and does not go on.
    Lost(ConnectionId),
    /// What became of an event that a connection publishes.
    Published(ConnectionId, Box<Published>),
    /// What watchers of a channel are told.
    Presence(TenantId, Channel, Arc<PresenceFrame>),
    /// Who is in channels, for somebody who asked; whether it may be out of date.
    WhoIsThere(Box<Asker>, TenantId, Vec<(Channel, Told)>, bool),
    /// An API key has ended.
    KeyEnded(ServiceKey),
    /// Send so many of its connections away.
    SendAway(Cause, usize),
    /// The database has forgotten who is here: tell it again.
    TellSessions,
    /// Close what is left and end.
    Stop,
}

/// A socket that has left HTTP.
pub(crate) struct Newcomer<S = TcpStream> {
    pub(crate) socket: S,
    /// What the client sent right behind its request.
    pub(crate) early: Bytes,
    /// The head of the HTTP answer, to be written before anything else.
    pub(crate) head: Bytes,
    /// What it speaks from here on.
    pub(crate) wire: Wire,
    /// In which form it gets events.
    pub(crate) format: Format,
    /// Its place among the node's connections, given back when dropped.
    pub(crate) permit: Permit,
    /// Who it is.
    pub(crate) coming: Coming,
}

/// Where a connection goes on that has paused.
pub(crate) struct Moved<S = TcpStream> {
    pub(crate) socket: S,
    /// What its client has said there already.
    pub(crate) early: Bytes,
}

/// How much is known of a newcomer.
pub(crate) enum Coming {
    /// Who it is and where it begins.
    Admitted(Box<Authorized>),
    /// Nothing: its first frame must bring a token. Until that has been verified its URL is kept and not read.
    Unknown(RawQuery),
}

/// Something a shard wants done.
pub(crate) enum Request {
    /// Check the token of a first frame, which came from this address; then read what that frame and the URL ask for, and open
    /// the tenant's stream.
    Enter {
        connection: ConnectionId,
        from: AddressGroup,
        token: Box<str>,
        frame: Box<str>,
        url: RawQuery,
        /// What a client of Socket.IO brings from a connection before.
        comes_back: Option<Box<ComesBack>>,
    },
    /// Keep the channels of a client of Socket.IO, for when it comes back; answered with the same number.
    Keep {
        connection: ConnectionId,
        number: u32,
        tenant: TenantId,
        user: UserId,
        session: Arc<str>,
        channels: Vec<Channel>,
    },
    /// Check the token of a refresh.
    Refresh { connection: ConnectionId, from: AddressGroup, frame: Option<Box<str>>, token: Box<str> },
    /// Let somebody into one more tenant, by the credentials that they have shown.
    Attach { connection: ConnectionId, bearer: Arc<Bearer>, attaching: Box<Attaching> },
    /// Read the page after a cursor.
    Page { connection: ConnectionId, ticket: Ticket, reader: Reader, life: u64, cursor: Seq, head: Seq },
    /// Publish an event of a client into the log; it is counted until it has its end.
    Publish { connection: ConnectionId, frame: Option<FrameId>, relayed: Box<Relayed>, under_way: UnderWay },
    /// Read a page of history.
    History {
        connection: ConnectionId,
        ticket: Ticket,
        reader: Reader,
        selection: Selection,
        from: HistoryFrom,
        upto: Seq,
    },
    /// Ask the tenant's application, each question with the number of the verdict that is known of it: for the `subscribe` of
    /// this ticket, or about memberships.
    Ask {
        connection: ConnectionId,
        tenant: TenantId,
        ticket: Option<AskTicket>,
        endpoint: Arc<Endpoint>,
        questions: Vec<(Question, u64)>,
    },
}

/// An `attach` or a `switch`.
#[derive(Debug, Clone)]
pub(crate) struct Attaching {
    pub(crate) frame: Option<FrameId>,
    /// Which tenant; the same as in `wanted`.
    pub(crate) tenant: TenantId,
    pub(crate) wanted: ConnectParameters,
    /// Whether all other tenants are left.
    pub(crate) alone: bool,
}

/// What became of it.
pub(crate) struct Attached {
    pub(crate) attaching: Attaching,
    /// By which credentials: others may have come meanwhile.
    pub(crate) bearer: Arc<Bearer>,
    pub(crate) result: Result<Authorized, Refusal>,
}

/// What became of an event that a client publishes into the log.
pub(crate) struct Published {
    pub(crate) tenant: TenantId,
    pub(crate) frame: Option<FrameId>,
    pub(crate) channel: Channel,
    pub(crate) result: Result<Receipt, NotPublished>,
}

/// Something that happened in a turn, for the node's presence.
pub(crate) type PresenceNews = (TenantId, Event<Asker>);

/// Who wants to know who is in channels.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) connection: ConnectionId,
    pub(crate) wants: Wants,
}

/// What for.
#[derive(Debug)]
pub(crate) enum Wants {
    /// The answer to a `subscribe` that was carried out.
    Joined(Box<Joined>),
    /// The answer to a `presence`.
    Once(Option<FrameId>),
    /// It missed something.
    Sync,
}

/// A `subscribe` whose answer waits.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) asked: Joining,
    /// Live from here on.
    pub(crate) seq: Seq,
    pub(crate) epoch: Epoch,
}

/// A `subscribe`.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    pub(crate) id: Option<FrameId>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) history: Option<History>,
    /// Only events of these types.
    pub(crate) types: Option<Arc<TypeFilter>>,
    /// Whether it wants to know who is there.
    pub(crate) presence: bool,
}

/// Where a piece of history goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistoryFrom {
    /// Its first event is still looked for, backwards.
    Newest {
        /// So many more events belong to it,
        count: u64,
        /// but nothing up to here.
        after: Seq,
        /// Everything above this was looked at.
        below: Seq,
        /// The place before the oldest event found so far.
        start: Seq,
    },
    /// After this one.
    After(Seq),
    /// Of the latest events of keys, after this one.
    Latest(Seq),
}

impl HistoryFrom {
    /// Whether no event up to here is asked for. With as many found as were asked for it is still to be known whether there are
    /// older ones.
    pub(crate) fn asks_for_none(self, upto: Seq) -> bool {
        matches!(self, Self::Newest { count: 0, start, .. } if start >= upto)
    }

    /// The same when everything up to an event was sent.
    pub(super) fn past(self, seq: Seq) -> Self {
        match self {
            Self::Latest(_) => Self::Latest(seq),
            Self::Newest { .. } | Self::After(_) => Self::After(seq),
        }
    }
}

/// A page of history.
pub(crate) struct HistoryPage {
    pub(crate) events: Vec<LoggedEvent>,
    /// Whether nothing is left up to where history ends.
    pub(crate) complete: bool,
    /// Whether older events were left out (known when its first event is).
    pub(crate) more: bool,
    /// Where the page begins.
    pub(crate) from: HistoryFrom,
    /// Where history goes on after it. A page without events may still have come further.
    pub(crate) next: HistoryFrom,
    /// What its events hold of the replay budget, until they are written or forgotten.
    pub(crate) _held: Option<Held>,
}

/// Names a connection among all of this node; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) shard: u16,
    /// Its place in the shard's table, used again after it.
    pub(crate) key: u32,
    /// Counts the shard's connections.
    pub(crate) number: u64,
}

impl ConnectionId {
    /// As its client and the log know it.
    pub(super) fn name(self, run: &Incarnation) -> ConnectionName {
        run.name(self.whereabouts())
    }

    /// Where in this process it is found.
    pub(super) fn whereabouts(self) -> Whereabouts {
        Whereabouts { shard: self.shard, place: self.key, number: self.number }
    }
}

/// Tells a question to the log from the connection's earlier ones.
pub(crate) type Ticket = u32;
/// Tells a `subscribe` that waits for verdicts from all others of its shard.
pub(crate) type AskTicket = u64;

/// Why connections are sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The process is stopping.
    Drain,
    /// The node carries more than its share.
    Rebalance,
    /// An operator has it emptied.
    Evacuate,
}

impl Cause {
    /// As the metrics' label spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Rebalance => "rebalance",
            Self::Evacuate => "evacuate",
        }
    }
}
