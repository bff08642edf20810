//! What do this node's users feel?
//!
//! A client of the node's own publishes an event every few seconds and waits for it, over the path that users take. Its
//! tenant is nobody else's; its channel is this process's alone.

use crate::config::CanaryConfig;
use crate::metrics::metrics;
use crate::serving::Serving;
use carillon_platform::roundtrip::{Findings, RoundTrip, RoundTripError};
use std::time::Duration;

/// Runs whenever the node serves, until it drains: who leaves cannot tell what those feel who stay.
pub(crate) async fn run(config: CanaryConfig, serving: Serving) {
    while serving.starts().await {
        // The connection of the time before was sent away with all others, and its cursor may have become too old.
        let canary = match RoundTrip::new(config.round_trip.clone()) {
            Ok(canary) => canary,
            Err(error) => {
                tracing::error!(%error, "the canary cannot start");
                return;
            }
        };
        tokio::select! {
            () = serving.stops() => {}
            () = rounds(canary, config.interval) => {}
        }
    }
}

/// One round after the other. To be dropped when the node does not serve any more: that cuts a round short, and it
/// counts for nothing.
async fn rounds(mut canary: RoundTrip, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Findings::default();
    let mut failing = false;
    loop {
        ticks.tick().await;
        let result = canary.round().await;
        let found = canary.findings();
        metrics().canary_gaps.increment(found.gaps - before.gaps);
        metrics().canary_duplicates.increment(found.duplicates - before.duplicates);
        if found != before {
            tracing::error!(
                gaps = found.gaps,
                duplicates = found.duplicates,
                "the canary saw a wrong sequence"
            );
        }
        before = found;
        failing = note(&result, failing);
    }
}

/// Counts a round, and logs when the canary begins to fail or to succeed.
fn note(result: &Result<Duration, RoundTripError>, failing: bool) -> bool {
    match result {
        Ok(took) => {
            metrics().canary_seconds.record(took.as_secs_f64());
            metrics().canary_ran("ok");
            if failing {
                tracing::info!("the canary gets its events again");
            }
        }
        Err(error) => {
            metrics().canary_ran(error.label());
            if !failing {
                tracing::warn!(%error, "the canary failed");
            }
        }
    }
    result.is_err()
}
