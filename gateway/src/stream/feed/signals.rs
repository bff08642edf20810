//! What becomes of a signal that Redis brings?
//!
//! It touches no sequencer: the shards that have connections of the tenant get it at once. This node's own signals come back, too;
//! its shards had them before.

use super::{Feed, Tracked};
use crate::budget::Budget;
use crate::live::Passing;
use crate::metrics::metrics;
use carillon_protocol::envelope::{Live, LiveKind, Origin};
use std::sync::Arc;

/// What the feed needs to know of signals.
#[derive(Clone)]
pub(crate) struct Incoming {
    /// This node.
    pub(crate) origin: Origin,
    /// Bytes of signals on their way within it.
    pub(crate) budget: Arc<Budget>,
}

impl Feed {
    pub(super) fn take_live(&self, live: Live) {
        let Live { tenant, from, kind } = live;
        let Some(Tracked::Open(open)) = self.tracked.get(&tenant) else { return };
        if from == self.config.live.origin {
            return;
        }
        match kind {
            LiveKind::Signal(signal) => {
                metrics().signals_received.increment(1);
                match Passing::new(from.incarnation, signal, None, &self.config.live.budget) {
                    Some(passing) => self.shards.tell_live(open.stream.watchers(), &open.stream, &passing),
                    None => metrics().signals_dropped("busy", 1),
                }
            }
            // Of a later release.
            LiveKind::Unknown(_) => {}
        }
    }
}
