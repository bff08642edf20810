//! The gateway: thousands of WebSockets on one side, every tenant's log on the other.
//!
//! # The path of a connection
//!
//! 1. [`edge`] accepts it, checks the handshake, the origin, the node's limits and the token ([`authorize`]), and has
//!    the tenant's stream opened: Redis subscription confirmed, head known.
//! 2. After `101` the TCP stream leaves the HTTP library and belongs to one [`shard`] for the rest of its life.
//! 3. The shard welcomes it: live at the head, or behind with the cursor it came with.
//! 4. It leaves by its own will, by a deadline, or by a drain, always with a close code that says whether to come back.
//!
//! # The path of an event
//!
//! 1. A batch arrives from Redis at the [`stream::feed`], or is found in the log by the head watch.
//! 2. The tenant's [`stream::sequencer`] lets it pass in order, each event once, and has holes read from the log.
//! 3. It is encoded once, into the tenant's [`stream::ring`], and the shards are told that there is news.
//! 4. Each shard takes all that is new and writes it to the sockets of those in its channels, one write a connection.
//! 5. Whoever could not take it is behind, and reads on from the ring or the log at their own pace.
//!
//! What clients say to each other without the log is no event, and takes another way: [`live`].

pub mod config;
pub mod metrics;
mod minute;
pub mod socketio;
pub mod ws;

mod admission;
mod authorize;
mod bridge;
mod budget;
mod canary;
mod chunk;
mod edge;
mod fate;
mod fleet;
mod inbox;
mod leave;
mod limits;
mod live;
mod node;
mod presence;
mod records;
mod refusals;
mod relay;
mod resume;
mod rules;
mod services;
mod serving;
mod shard;
mod stream;
mod tickets;
mod told;
mod verdicts;

pub use leave::operator;
pub use node::{Node, StartError};
