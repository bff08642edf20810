//! What do other gateways hear of this one?

use crate::door::Door;
use crate::metrics::metrics;
use crate::shard::Shards;
use crate::stream::feed::Streams;
use carillon_backplane::bus::NodeCard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Writes this node's card, each time it is asked for.
pub(crate) fn card_writer(
    node: String,
    door: Door,
    shards: Shards,
    streams: Streams,
) -> impl FnMut(u64) -> NodeCard + Send + 'static {
    let started_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut events = Rate::of(&metrics().passed);
    let mut deliveries = Rate::of(&metrics().delivered);
    move |beat| NodeCard {
        node: node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: door.state(),
        connections: shards.load() as u64,
        tenants: streams.followed() as u64,
        events_per_second: events.since_last(),
        deliveries_per_second: deliveries.since_last(),
        started_ms,
        beat,
    }
}

/// How fast a counter grows.
struct Rate {
    counter: &'static AtomicU64,
    last: u64,
    at: Instant,
}

impl Rate {
    fn of(counter: &'static AtomicU64) -> Self {
        Self { counter, last: counter.load(Ordering::Relaxed), at: Instant::now() }
    }

    /// A second, since it was last asked.
    fn since_last(&mut self) -> f64 {
        let (now, count) = (Instant::now(), self.counter.load(Ordering::Relaxed));
        let seconds = now.duration_since(self.at).as_secs_f64().max(1e-3);
        let rate = (count - self.last) as f64 / seconds;
        (self.last, self.at) = (count, now);
        (rate * 10.0).round() / 10.0
    }
}
