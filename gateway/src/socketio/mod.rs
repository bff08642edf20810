//! How do clients of Socket.IO speak?
//!
//! Engine.IO v4 and Socket.IO v5 (clients 3.x and 4.x), over WebSocket and HTTP long-polling, without I/O: text in, text out. What a client says becomes a
//! frame of the contract (`docs/PROTOCOL.md`), and what the gateway says becomes an event; so rooms, cursors and rights are the same
//! for both.
//!
//! | module | question it answers |
//! |---|---|
//! | [`engine`] | what is in a message of Engine.IO? |
//! | [`payload`] | how do packets travel in the body of a request or an answer? |
//! | [`pipe`] | how does the other end of a shard's WebSocket speak? |
//! | [`packet`] | what is in a packet of Socket.IO? |
//! | [`form`] | in which form does a connection get its events? |
//! | [`namespaces`] | which namespaces are there, and what do the channels of their rooms begin with? |
//! | [`outgoing`] | how does a client get what the gateway says? |
//! | [`connect`] | what does a client say when it connects? |
//! | [`incoming`] | which frame of the contract is it that a client emits? |

pub mod connect;
pub mod engine;
pub mod form;
pub mod incoming;
pub mod namespaces;
pub mod outgoing;
pub mod packet;
pub mod payload;
pub mod pipe;
