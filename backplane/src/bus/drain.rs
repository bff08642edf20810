//! How do messages get out of fred in time?
//!
//! fred's backlog overflows when nobody reads it, and its router fills it without pause. So one task, on a thread of its
//! own, does nothing but take messages out, name their tenant and put them into the inbox, which never makes it wait.

use super::fred::{Incoming, Messages, Received};
use super::inbox::{Inbox, Interruption};
use super::metrics::ListenerMetrics;
use super::name::{Meaning, Names};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};

/// What the drain lets others see.
pub(super) struct Traffic {
    /// Messages received, of any kind.
    pub(super) received: AtomicU64,
    /// The newest probe that came back.
    pub(super) probe: watch::Sender<u64>,
    /// How often messages were lost because we read too slowly.
    pub(super) lags: watch::Sender<u64>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { received: AtomicU64::new(0), probe: watch::Sender::new(0), lags: watch::Sender::new(0) }
    }
}

pub(super) struct Drain {
    pub(super) names: Names,
    pub(super) inbox: Arc<Inbox>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) metrics: Arc<ListenerMetrics>,
}

impl Drain {
    /// Reads the messages of one link after the other; ends when no more links can come.
    pub(super) async fn run(self, mut links: mpsc::Receiver<Messages>) {
        let Some(mut messages) = links.recv().await else { return };
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                next = links.recv() => match next {
                    Some(next) => {
                        while self.take(messages.next_now()) {}
                        (messages, open) = (next, true);
                    }
                    None => return,
                },
                received = messages.next(), if open => open = self.take(received),
            }
        }
    }

    /// Returns whether more can come.
    fn take(&self, received: Received) -> bool {
        match received {
            Received::Message(message) => self.message(message),
            Received::Lagged(count) => {
                self.metrics.lagged.increment(count);
                self.traffic.lags.send_modify(|lags| *lags += 1);
                self.inbox.interrupted(Interruption::Lagged);
            }
            Received::End => return false,
        }
        true
    }

    fn message(&self, message: Incoming) {
        self.traffic.received.fetch_add(1, Ordering::Relaxed);
        match self.names.read(message.channel()) {
            Meaning::Log(tenant) => {
                self.metrics.messages.increment(1);
                self.inbox.message(tenant, message.into_payload());
            }
            Meaning::Probe => {
                let number = <[u8; 8]>::try_from(&message.into_payload()[..]).map_or(0, u64::from_be_bytes);
                self.traffic.probe.send_if_modified(|seen| {
                    let newer = number > *seen;
                    *seen = number.max(*seen);
                    newer
                });
            }
            Meaning::Foreign => self.metrics.foreign.increment(1),
        }
    }
}
