//! Who hears that a person's inbox has moved, or that a notice was taken back?
//!
//! Whoever is connected now, in the channel that it is about, on every node: by the way of signals, since it is a state that nobody needs
//! to have seen. Without Redis it is lost, and what is read next is right.

use bytes::Bytes;
use carillon_protocol::envelope::{Origin, encode_signal};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, Signal, TenantId, UserId};
use std::sync::Arc;

/// Takes an envelope to the gateways: must neither block nor fail.
pub type SendLive = Arc<dyn Fn(&TenantId, Bytes) + Send + Sync>;

/// Tells gateways.
#[derive(Clone)]
pub struct InboxNews {
    from: Origin,
    send: SendLive,
}

impl InboxNews {
    /// Of this node. `incarnation` tells its runs apart.
    pub fn new(node: &str, incarnation: u64, send: SendLive) -> Self {
        Self { from: Origin { node: node.into(), incarnation }, send }
    }

    /// Tells all who are in a channel; `user`: whose doing it was.
    pub fn tell(&self, tenant: &TenantId, channel: Channel, user: &UserId, frame: &ServerFrame<'_>) {
        let frame = Bytes::from(frame.to_json());
        let signal = Signal { shard: 0, channel, user: user.clone(), typing: None, frame };
        (self.send)(tenant, encode_signal(tenant, &self.from, &signal));
    }
}
