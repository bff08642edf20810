//! What does a client know of its connection, and of each tenant that it is in?

use super::scenario::{Past, Types};
use carillon_protocol::ConnectionName;
use std::collections::{BTreeMap, BTreeSet};

/// What it knows of its present connection.
#[derive(Default)]
pub(super) struct Line {
    pub(super) buffer: Vec<u8>,
    pub(super) has_head: bool,
    pub(super) closed: Option<u16>,
    pub(super) told_to_go: bool,
    /// The names that it was told for the compact form.
    pub(super) names: BTreeMap<u8, String>,
    /// An answer in chunks has ended.
    pub(super) has_last_chunk: bool,
    /// New tokens by the request that brought them, and whether they are narrow.
    pub(super) tokens: BTreeMap<u64, bool>,
    pub(super) narrow: bool,
    /// What it has published into the log, until that is answered.
    pub(super) publishes: BTreeSet<u64>,
    /// What the welcome calls the connection.
    pub(super) connection: Option<ConnectionName>,
    /// The tenants that it is in, in the order in which it came into them.
    pub(super) tenants: Vec<usize>,
    /// What is to change about that, by the request that asked for it.
    pub(super) changes: BTreeMap<u64, Change>,
}

/// A request that changes in which tenants a connection is.
pub(super) enum Change {
    Attach {
        tenant: usize,
        alone: bool,
        /// What it will know of the tenant, and the cursor that it came with.
        seat: Box<Seat>,
    },
    Detach {
        tenant: usize,
    },
    /// A token that may not name all of them.
    Token,
}

/// What it knows in one tenant, over several connections.
#[derive(Default)]
pub(super) struct Seat {
    /// The last epoch and seq it heard of: what it comes back with.
    pub(super) cursor: Option<(String, u64)>,
    pub(super) heard: Heard,
}

/// What it knows of a tenant since it came into it.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) is_welcome: bool,
    /// The cursor it came with was refused: a reset must come.
    pub(super) refused: bool,
    /// What it wants of all its own channels.
    pub(super) types: Types,
    /// Channels it is in for certain: from which seq on it wants which types.
    pub(super) certain: BTreeMap<String, Vec<(u64, Types)>>,
    /// Channels it has ever asked for: by which request, and which types.
    pub(super) asked: BTreeMap<String, Vec<(u64, Types)>>,
    /// The newest request that left a channel.
    pub(super) left: BTreeMap<String, u64>,
    /// Channels it was taken out of.
    pub(super) lost: BTreeSet<String>,
    /// The tenant's rules when the connection began.
    pub(super) version: u64,
    /// Where its room stood when it was welcomed, and the rules then.
    pub(super) entered: Option<((String, u64), u64)>,
    /// Where the stream stood when it was let in.
    pub(super) admitted_at: u64,
    /// What it asked for by each `subscribe`, until that is answered.
    pub(super) subscribes: BTreeMap<u64, Subscribe>,
    /// History that has not ended yet.
    pub(super) histories: BTreeMap<u64, Subscribe>,
    /// Pings that were not answered yet, in order.
    pub(super) pings: Vec<u64>,
    /// The events of each history.
    pub(super) replayed: BTreeMap<u64, Vec<u64>>,
}

/// A `subscribe`.
#[derive(Debug, Clone)]
pub(super) struct Subscribe {
    pub(super) channels: Vec<String>,
    pub(super) history: Option<Past>,
    /// The tenant's rules when it was sent.
    pub(super) version: u64,
    /// Epoch and seq from which on its channels are live, once it was answered.
    pub(super) since: Option<(String, u64)>,
}
