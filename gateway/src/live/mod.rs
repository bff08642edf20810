//! How does something that only those get who are connected now reach them on every node?
//!
//! A signal is no event: it is in no log, has no number and is kept for nobody. The shard of its sender hands it to its own
//! connections, to the other shards of the node, and to Redis; the feed of every other node hears it there and tells its shards.
//! So on one node it works while Redis is away. Nothing here waits, and what there is at a time is bounded in bytes.
//!
//! | module | question it answers |
//! |---|---|
//! | [`passing`] | what is a signal while it is handed to connections? |
//! | [`outgoing`] | how does a shard give a signal to the rest of its node, and to the others? |
//! | [`rates`] | how much may a person send into a channel? |

pub(crate) mod outgoing;
pub(crate) mod passing;
pub(crate) mod rates;

use carillon_protocol::envelope::Origin;

pub(crate) use outgoing::{LiveBus, Outgoing};
pub(crate) use passing::{Passing, Source};
pub(crate) use rates::Rates;

/// This run of this node.
pub(crate) fn origin(node: &str) -> Origin {
    Origin { node: node.into(), incarnation: uuid::Uuid::new_v4().as_u64_pair().0 }
}
