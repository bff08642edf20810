//! How does a process that is no gateway see which gateways there are?
//!
//! It reads all cards every [`BEAT`] and writes none: a card whose beat stands still is passed over here and taken away by
//! the gateways. A gateway that cannot reach Redis is not seen.

use super::card::NodeCard;
use super::roll::{Fleet, Roll};
use super::{BEAT, BusError};
use crate::bus::backoff::Backoff;
use crate::bus::config::{BusConfig, Timing};
use crate::bus::fred::{Dialer, Purpose};
use crate::bus::health::{DownCause, Failure};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time between two readings while there is no gateway.
const NOBODY: Duration = Duration::from_millis(250);

/// What is known of the gateways.
#[derive(Debug, Clone)]
pub enum Registry {
    /// Those that tell how they are.
    Known(Fleet),
    /// Nothing, because Redis cannot be asked.
    Unknown(DownCause),
}

/// Reads which gateways there are. Clones share one connection; it ends with the last of them.
#[derive(Clone)]
pub struct NodesWatch(watch::Receiver<Registry>);

impl NodesWatch {
    /// Starts a thread that keeps a connection. Returns at once, whether Redis is there or not.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without a thread.
    pub fn connect(config: &BusConfig) -> Result<Self, BusError> {
        let (seen, registry) = watch::channel(Registry::Unknown(DownCause::Starting));
        let reader = Reader {
            dialer: Dialer::new(config)?,
            timing: config.timing,
            key: format!("{}:nodes", config.prefix),
            seen,
        };
        crate::bus::spawn_thread("bus-registry", reader.run())?;
        Ok(Self(registry))
    }

    /// What is known now. Cheap.
    pub fn now(&self) -> Registry {
        self.0.borrow().clone()
    }
}

struct Reader {
    dialer: Dialer,
    timing: Timing,
    key: String,
    seen: watch::Sender<Registry>,
}

impl Reader {
    /// Reads until nobody wants to know any more.
    async fn run(self) {
        let mut backoff = Backoff::new(self.timing.backoff_min, self.timing.backoff_max);
        let mut roll = Roll::new(Instant::now());
        loop {
            let failure = tokio::select! {
                () = self.seen.closed() => return,
                Err(failure) = self.session(&mut roll, &mut backoff) => failure,
            };
            let (cause, detail) = (failure.cause, failure.detail);
            let is_news = !matches!(&*self.seen.borrow(), Registry::Unknown(before) if *before == cause);
            if cause == DownCause::Refused && is_news {
                let key = self.key.as_str();
                tracing::warn!(
                    key,
                    detail,
                    "redis refuses the hash of the nodes: a publisher needs HGETALL on it to say how the gateways are"
                );
            }
            self.seen.send_replace(Registry::Unknown(cause));
            tokio::select! {
                () = self.seen.closed() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Reads on one connection until it fails.
    async fn session(&self, roll: &mut Roll, backoff: &mut Backoff) -> Result<Infallible, Failure> {
        let (link, mut end) = self.dialer.dial(Purpose::Publish).await?;
        loop {
            let cards = tokio::select! {
                failure = end.wait() => return Err(failure),
                cards = link.fields(&self.key) => cards?,
            };
            backoff.reset();
            let present = cards
                .into_iter()
                // A card of another version may not be readable; its node is then not counted.
                .filter_map(|(instance, json)| Some((instance, NodeCard::from_json(&json)?)));
            let (fleet, _) = roll.call(Instant::now(), present);
            // Gateways that start together with this process are known as soon as they say so.
            let pause = if fleet.nodes.is_empty() { NOBODY } else { BEAT };
            self.seen.send_replace(Registry::Known(fleet));
            tokio::select! {
                failure = end.wait() => return Err(failure),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
