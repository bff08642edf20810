//! How do gateways hear at once that a tenant's log grew?
//!
//! A publisher has an [`Announcer`], a gateway a [`Listener`] and, for what its clients say to each other, an [`Announcer`]. Between them is Redis pub/sub, which loses messages
//! without a word: across a reconnect, when a reader is slow, when a connection is deaf. So the bus promises little and
//! keeps it: a message comes at most once and in order on one connection, and **whenever messages may have been lost
//! the gateway gets [`BusEvent::Interrupted`]** and looks into the log. Losing Redis delays, it never loses.
//!
//! ```text
//! announce() -> outbox -> announcer (own thread) -> PUBLISH
//!                                                      |  one Redis channel per tenant
//! BusEvents  <- inbox <- drain (own thread) <- fred router (own thread) <- SUBSCRIBE
//! ```
//!
//! | module | question it answers |
//! |---|---|
//! | `config` | where is Redis, and how long do we wait for it? |
//! | `name` | which Redis channel carries a tenant's announcements? |
//! | `announcer`, `outbox` | how is something announced without ever waiting for Redis? |
//! | `listener`, `session`, `wanted` | how does a gateway get and keep its subscriptions? |
//! | `drain`, `inbox` | how do messages reach the gateway, and what when it is too slow? |
//! | `nodes` | how do gateways know of each other? |
//! | `limits` | how much of what a tenant may have is left, over all nodes? |
//! | `recovery` | in which channels was a client of Socket.IO that comes back? |
//! | `presence` | where does it stand who is connected where? |
//! | `pulse`, `probe` | is the connection alive, and is it deaf? |
//! | `fred` | how is Redis spoken to? (the only file that imports the client library) |
//! | `health`, `backoff`, `metrics` | what is told to others, how fast do we come back, what is counted? |
//!
//! Commands used, for an ACL: `HELLO`, `CLIENT`, `PING`, `PUBLISH` and `SUBSCRIBE`/`UNSUBSCRIBE`, on a cluster
//! `SPUBLISH`, `SSUBSCRIBE`/`SUNSUBSCRIBE` and `CLUSTER SLOTS`, on channels `<prefix>:*`; of a gateway also `HSET`,
//! `HGETALL` and `HDEL` on the key `<prefix>:nodes` (a publisher: `HGETALL`) and what [`presence`] lists on keys `<prefix>:presence:*`; of both what
//! `limits` lists on keys `<prefix>:limits:*`; of a gateway that lets clients of Socket.IO in also what `recovery`
//! lists on keys `<prefix>:socketio:*`. (The library also tries `INFO`
//! and does without it when refused.)

mod announcer;
mod backoff;
mod config;
mod drain;
mod fred;
mod health;
mod inbox;
mod limits;
mod listener;
mod metrics;
mod name;
mod nodes;
mod outbox;
mod presence;
mod probe;
mod pulse;
mod recovery;
mod session;
mod wanted;

pub use announcer::Announcer;
pub use config::{BusConfig, BusMode, Timing};
pub use health::{BusHealth, DownCause};
pub use inbox::{BusEvent, BusEvents, Interruption};
pub use limits::{LimitStore, Take, Taken, TenantUsage};
pub use listener::Listener;
pub use metrics::describe as describe_metrics;
pub use nodes::{
    BEAT, BUCKETS, Fleet, Minute, NodeCard, NodeState, Nodes, NodesWatch, Registry, bucket as latency_bucket,
};
pub use presence::{
    LEASE_S, Page, PresenceReader, PresenceStore, Somebody, StoreFault, Whereabouts, Written,
};
pub use recovery::RecoveryStore;

/// Why the bus could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The configuration can never work. The text says what is allowed and shows no part of the URL.
    #[error("{0}")]
    Config(String),
    /// Redis is not reachable now. Nothing needs to be repeated: what was asked for happens when it is back.
    #[error("redis is down")]
    Down,
    /// The operating system refused a thread.
    #[error("cannot start a bus thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs `task` on a thread of its own with a small runtime of its own, for as long as it takes.
fn spawn_thread(name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Result<(), BusError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Blocking work on it is only the look-up of host names.
    std::thread::Builder::new().name(name.into()).spawn(move || runtime.block_on(task))?;
    Ok(())
}
