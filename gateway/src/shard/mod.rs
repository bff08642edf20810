//! Who owns the connections?
//!
//! One shard for each core: a thread with an epoll loop that owns its sockets; nobody else touches them, so there is
//! no lock, no task and no queue for a connection. A shard is a cursor on each stream it has connections of. What is
//! new is gathered for every connection and written straight to its socket, in one vectored write.
//!
//! A connection is [`Live`](connection::Position::Live) (its cursor is the shard's) or
//! [`Behind`](connection::Position::Behind) (its socket could not take more, or it came back with a cursor). A slow
//! reader, a resume and a catch-up after lost messages are the same state and the same code: [`catchup`].
//!
//! | module | question it answers |
//! |---|---|
//! | [`mailbox`] | what do others tell a shard, and it them? |
//! | [`worker`] | what does a shard do, in which order? |
//! | [`connection`] | what is known of one connection? |
//! | [`outbox`] | how do bytes reach a socket that may not take them? |
//! | [`wire`] | in which form does a frame reach a client? |
//! | [`room`] | who of a tenant is here, and who is in which channel? |
//! | [`pace`] | when is a room's news handed out: at once, or together with what comes next? |
//! | [`fanout`] | how does an event reach everyone who is live? |
//! | [`catchup`] | how does a connection that is behind become live? |
//! | [`history`] | how does a `subscribe` get the past it asked for? |
//! | [`inbound`] | what becomes of what a client sends? |
//! | [`commands`] | how is each client frame carried out? |
//! | [`entering`] | how does a socket become a member, and how does it leave? |
//! | [`leaving`] | how is a connection sent away so that it comes back elsewhere without a loss? |
//! | [`deadlines`] | when is which connection due, and for what? |
//! | [`wheel`] | who is due now? |

mod catchup;
mod commands;
mod connection;
mod deadlines;
mod entering;
mod fanout;
#[cfg(test)]
mod footprint_tests;
mod history;
mod inbound;
mod leaving;
mod mailbox;
mod outbox;
mod pace;
mod room;
mod wheel;
mod wire;
mod worker;

pub(crate) use connection::{ConnectionId, FrameRate};
pub(crate) use history::HistoryPage;
pub(crate) use leaving::Cause;
pub(crate) use mailbox::{Errand, HistoryFrom, Newcomer, Shards, ToShard};
pub(crate) use wire::Wire;
pub(crate) use worker::{Counts, ShardConfig, start};
