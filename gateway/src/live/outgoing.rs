//! How does a shard give a signal to the rest of its node, and to the others?

use super::passing::Passing;
use crate::budget::Budget;
use crate::metrics::metrics;
use crate::shard::{ConnectionId, Shards};
use crate::stream::Stream;
use carillon_backplane::bus::{Announcer, BusConfig, BusError};
use carillon_protocol::Signal;
use carillon_protocol::envelope::{Origin, encode_signal};
use std::sync::Arc;

/// Bytes of signals that are on their way within this node at a time. What does not fit is let go.
const ON_THEIR_WAY: usize = 8 * 1024 * 1024;
/// Signals that may wait for Redis.
const WAITING: usize = 4_096;
/// Bytes of them.
const WAITING_BYTES: usize = 4 * 1024 * 1024;

/// This node among the others. Clones share one connection to Redis.
#[derive(Clone)]
pub(crate) struct LiveBus {
    pub(crate) origin: Origin,
    /// Bytes of signals on their way, from wherever they came.
    pub(crate) budget: Arc<Budget>,
    announcer: Announcer,
}

impl LiveBus {
    /// Starts the way to Redis; whether Redis is there or not.
    pub(crate) fn connect(config: &BusConfig, origin: Origin) -> Result<Self, BusError> {
        let bounded = BusConfig { queue_messages: WAITING, queue_bytes: WAITING_BYTES, ..config.clone() };
        let announcer = Announcer::connect_live(&bounded)?;
        Ok(Self { origin, budget: Budget::new(ON_THEIR_WAY), announcer })
    }

    /// Sends what waits, and stops.
    pub(crate) async fn close(self) {
        self.announcer.close().await;
    }
}

/// A shard's way out.
#[derive(Clone)]
pub(crate) struct Outgoing {
    bus: LiveBus,
    shards: Shards,
}

impl Outgoing {
    pub(crate) fn new(bus: LiveBus, shards: Shards) -> Self {
        Self { bus, shards }
    }

    /// For tests of a shard by itself: Redis is not there.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let config =
            BusConfig::new("redis://127.0.0.1:1", carillon_backplane::bus::BusMode::Standalone, "test");
        let bus =
            LiveBus::connect(&config, super::origin("gateway-1")).expect("a configuration that is right");
        Self::new(bus, Shards::none())
    }

    /// Makes a signal of this node ready for connections; none when too many are on their way.
    pub(crate) fn passing(&self, signal: Signal, except: Option<ConnectionId>) -> Option<Arc<Passing>> {
        Passing::new(self.bus.origin.incarnation, signal, except, &self.bus.budget)
    }

    /// Whether Redis can be reached.
    pub(crate) fn is_up(&self) -> bool {
        self.bus.announcer.health().is_up()
    }

    /// Hands a signal of one of this node's shards to the others, and to the other nodes. False while Redis cannot be
    /// reached: then it stays on this node.
    pub(crate) fn pass_on(&self, stream: &Arc<Stream>, passing: &Arc<Passing>) -> bool {
        let own = 1 << passing.source.shard;
        self.shards.tell_live(stream.watchers() & !own, stream, passing);
        if !self.is_up() {
            metrics().signals_dropped("redis", 1);
            return false;
        }
        let signal = Signal {
            shard: passing.source.shard,
            channel: passing.channel.clone(),
            user: passing.user.clone(),
            typing: passing.typing,
            frame: passing.frame().slice_ref(passing.json()),
        };
        let envelope = encode_signal(&stream.tenant, &self.bus.origin, &signal);
        let queued = self.bus.announcer.announce(&stream.tenant, envelope);
        if !queued {
            metrics().signals_dropped("redis", 1);
        }
        queued
    }
}
