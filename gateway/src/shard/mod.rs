//! Who owns the connections?
//!
//! One shard for each core: a thread with an epoll loop that owns its sockets; nobody else touches them, so there is
//! no lock, no task and no queue for a connection. A shard is a cursor on each stream it has connections of. What is
//! new is gathered for every connection and written straight to its socket, in one vectored write.
//!
//! A session is [`Live`](past::Position::Live) (its cursor is the shard's) or
//! [`Behind`](past::Position::Behind) (its socket could not take more, or it came back with a cursor). A slow
//! reader, a resume and a catch-up after lost messages are the same state and the same code: [`catchup`].
//!
//! # Who may know whom
//!
//! The table is in the order of knowledge: a file knows only files above it (`devstack/tests/architecture.rs` checks).
//! Parts do their work and leave marks (closing, gone, behind, unread); the [`shard`] acts on them, and
//! [`tables`] removes, in one place at the end of a turn. So nothing disappears while somebody uses it, and what can be gone
//! is asked for: indexing is forbidden in this folder.
//!
//! | module | question it answers |
//! |---|---|
//! | [`wheel`] | who is due now? |
//! | [`pace`] | when is a room's news handed out: at once, or together with what comes next? |
//! | [`outbox`] | how do bytes reach a socket that may not take them? |
//! | [`wire`] | in which form does a frame reach a client? |
//! | [`allowance`] | how much may a client ask for? |
//! | [`stuck`] | does a client come back to the same event for ever? |
//! | [`membership`] | which channels is a session in? |
//! | [`messages`] | what do others tell a shard, and it them? |
//! | [`typists`] | who types where, and what are others told of it? |
//! | [`mailbox`] | how does a message reach a shard? |
//! | [`world`] | what does a shard need of the world around it? |
//! | [`counts`] | what happened in a turn of a shard? |
//! | [`rests`] | how long does a shard rest before it looks at its sockets again? |
//! | [`context`] | what do all parts of a shard use while they work? |
//! | [`groups`] | who of a channel wants only events of some types? |
//! | [`present`] | which sessions of a room are seen in its channels, and who watches? |
//! | [`waiting`] | which signals wait in a room, and which are let go when there are too many? |
//! | [`members`] | who is in one channel of a room, or behind one pattern? |
//! | [`room`] | who of a tenant is here, and who is in which channel? |
//! | [`asked`] | which memberships hold by an application's verdict, until when, and what waits for one? |
//! | [`holding`] | which frames of a connection wait for a verdict of an application, and which yeses are kept? |
//! | [`recovery`] | by which id does a client of Socket.IO come back, and are its channels kept for it? |
//! | [`elsewhere`] | which other tenants may a connection come into? |
//! | [`history`] | how far is the past that a `subscribe` asked for? |
//! | [`past`] | where does a session stand in the log, and what is read of it for the session? |
//! | [`session`] | what is known of somebody in one tenant? |
//! | [`turns`] | which session of a connection goes on next? |
//! | [`quality`] | how well is a client reached? |
//! | [`connection`] | what is known of one connection, and what may become of it? |
//! | [`changed`] | which devices have changed and are to be handed on, and how many at a time? |
//! | [`devices`] | which sessions are those of a device, and how far is it? |
//! | [`sessions`] | what is stored of the connections that are here? |
//! | [`seen`] | who is seen in a channel, and who is not any more? |
//! | [`tables`] | who is here, in which room, and who goes? |
//! | [`alike`] | what have the sessions of a connection, or of a room, in common? |
//! | [`answers`] | how is a client told something about one of its tenants, or about none? |
//! | [`attaching`] | how does a connection come into more tenants, and leave them? |
//! | [`except`] | who does not get an event, although it is for them? |
//! | [`described`] | what does somebody say about themselves to those who see them? |
//! | [`recovering`] | how does a client of Socket.IO know that it can come back, and where to? |
//! | [`generation`] | what happens when a stream lost continuity? |
//! | [`watching`] | how is a client told who is in a channel? |
//! | [`revoked`] | who is out when an administrator disconnects somebody? |
//! | [`rules`] | what happens when a tenant's rules change? |
//! | [`fanout`] | how does an event reach everyone who is live? |
//! | [`live`] | how does a signal reach everyone who is live? |
//! | [`replay`] | how does history reach a client? |
//! | [`catchup`] | how does a connection that is behind become live? |
//! | [`joining`] | how does a session get into the channels that its client asks for? |
//! | [`publishing`] | may a client publish this, and which way does it go? |
//! | [`durable`] | how does a client publish into the log? |
//! | [`signals`] | how is what clients say to each other carried out? |
//! | [`acks`] | how does a device say what it has handled, and how is it seen what has reached it? |
//! | [`activity`] | how is what somebody says that they did taken in? |
//! | [`asking`] | what happens when a tenant's application has said something, or is to say it again? |
//! | [`holdback`] | what happens to a frame that a rule leaves to the application? |
//! | [`refreshing`] | what does a new token change? |
//! | [`commands`] | how is each client frame carried out? |
//! | [`packets`] | what becomes of a packet of Socket.IO? |
//! | [`inbound`] | what becomes of what a client sends? |
//! | [`entering`] | how does a socket become somebody in a tenant? |
//! | [`moving`] | how does a connection go on at another socket? |
//! | [`leaving`] | how is a connection sent away so that it comes back elsewhere without a loss? |
//! | [`deadlines`] | when is which connection due, and for what? |
//! | [`shard`] | what does a shard do, in which order? |
//! | [`handout`] | when does a shard hand out the news of a room? |
//! | [`event_loop`] | how does a shard run in a process? |

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::panic, clippy::unreachable, clippy::expect_used)
)]

mod acks;
mod activity;
#[cfg(test)]
mod ahead_tests;
mod alike;
mod allowance;
mod answers;
mod asked;
mod asking;
#[cfg(test)]
mod asking_tests;
mod attaching;
mod catchup;
mod changed;
mod commands;
mod connection;
mod context;
mod counts;
mod deadlines;
mod described;
mod devices;
mod durable;
mod elsewhere;
mod entering;
mod event_loop;
mod except;
mod fanout;
#[cfg(test)]
mod footprint_tests;
mod generation;
mod groups;
mod handout;
mod history;
mod holdback;
mod holding;
mod inbound;
mod joining;
mod leaving;
mod live;
mod mailbox;
mod members;
mod membership;
mod messages;
mod moving;
mod outbox;
mod pace;
mod packets;
mod past;
mod present;
mod publishing;
mod quality;
mod recovering;
mod recovery;
mod refreshing;
mod replay;
mod rests;
mod revoked;
mod room;
mod rules;
mod seen;
mod session;
mod sessions;
#[expect(
    clippy::module_inception,
    reason = "the container of all the other parts is what the folder is named after"
)]
mod shard;
mod signals;
#[cfg(test)]
mod simulation;
mod stuck;
mod tables;
mod turns;
mod typists;
mod waiting;
mod watching;
mod wheel;
mod wire;
mod world;

pub(crate) use allowance::FrameRate;
pub(crate) use context::ShardConfig;
pub(crate) use counts::Counts;
pub(crate) use event_loop::start;
pub(crate) use mailbox::Shards;
pub(crate) use messages::{
    Asker, Attached, Cause, Coming, ConnectionId, HistoryFrom, HistoryPage, Moved, Newcomer, PresenceNews,
    Published, Request, ToShard,
};
pub(crate) use present::CHANNELS as PRESENCE_CHANNELS;
pub(crate) use stuck::StuckCursors;
pub(crate) use wire::{Format, Wire};
