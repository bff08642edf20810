//! What do other gateways hear of this one?

use crate::metrics::metrics;
use crate::minute::Window;
use crate::serving::Serving;
use crate::shard::Shards;
use crate::stream::feed::Streams;
use carillon_backplane::bus::NodeCard;
use carillon_backplane::log::Log;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Pause before the log is asked again which database it is.
const AGAIN: Duration = Duration::from_secs(30);

/// Writes this node's card, each time it is asked for.
pub(crate) fn card_writer(
    node: String,
    serving: Serving,
    shards: Shards,
    streams: Streams,
    database: Arc<OnceLock<String>>,
    incarnation: u64,
    address: Option<String>,
) -> impl FnMut(u64) -> NodeCard + Send + 'static {
    let started_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut events = Rate::of(&metrics().passed);
    let mut deliveries = Rate::of(&metrics().delivered);
    let mut window = Window::default();
    move |beat| NodeCard {
        node: node.clone(),
        database: database.get().cloned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: serving.state(),
        connections: shards.load() as u64,
        tenants: streams.followed() as u64,
        events_per_second: events.since_last(),
        deliveries_per_second: deliveries.since_last(),
        started_ms,
        incarnation,
        minute: Some(window.last_minute(&metrics().tally, Instant::now())),
        address: address.clone(),
        beat,
    }
}

/// Which database this gateway reads, once the log has said so: two installations on one Redis are noticed by it.
pub(crate) fn learn_database(log: Log) -> Arc<OnceLock<String>> {
    let known = Arc::new(OnceLock::new());
    let writer = Arc::clone(&known);
    tokio::spawn(async move {
        loop {
            match log.database().await {
                Ok(Some(database)) => return drop(writer.set(database)),
                // A standby cannot say it until it is promoted.
                Ok(None) | Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    });
    known
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
