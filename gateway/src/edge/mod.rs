//! How does a TCP connection become a client of a shard?
//!
//! Requests and refusals are axum's; whoever is let in leaves HTTP behind, and the socket belongs to a shard.
//!
//! | module | question it answers |
//! |---|---|
//! | [`listener`] | who may speak HTTP to us, and for how long? |
//! | [`proxy`] | whose connection is it that a balancer passes on? |
//! | [`handshake`] | may this client come in? |
//! | [`commands`] | how does a client say something that has no WebSocket? |
//! | [`body`] | what does a request say in its body? |
//! | [`fallback`] | how does a client get its events that cannot have a WebSocket? |
//! | [`socketio`] | may a client of Socket.IO come in? |
//! | [`replies`] | how large may a poll's answer become? |
//! | [`windows`] | which clients may compress what they send with what they sent before? |
//! | [`takeover`] | how does a socket leave HTTP and become a shard's? |
//! | [`request`] | what does the URL say, and where is the token? |
//! | [`address`] | whose request is it that a proxy passes on? |
//! | [`problem`] | how is a refusal told? |

mod address;
mod body;
mod commands;
mod fallback;
pub(crate) mod handshake;
pub(crate) mod listener;
mod problem;
mod proxy;
mod replies;
mod request;
mod socketio;
mod takeover;
mod windows;

pub(crate) use body::Bodies;
pub(crate) use replies::{Replies, Reply};
pub(crate) use request::RawQuery;
pub(crate) use socketio::{Elsewhere, Sessions};
pub(crate) use windows::{WindowShare, Windows};
