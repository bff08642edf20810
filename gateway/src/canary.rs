//! What do this node's users feel?
//!
//! A client of the node's own publishes an event every few seconds and waits for it, over the path that users take. Its
//! tenant is nobody else's; its channel is this process's alone.

use crate::config::CanaryConfig;
use crate::door::Door;
use crate::metrics::metrics;
use carillon_platform::roundtrip::{Findings, RoundTrip, RoundTripError};
use std::time::Duration;

/// Runs until the node begins to leave: who has left cannot tell what those feel who stay.
pub(crate) async fn run(config: CanaryConfig, door: Door) {
    let mut canary = match RoundTrip::new(config.round_trip) {
        Ok(canary) => canary,
        Err(error) => {
            tracing::error!(%error, "the canary cannot start");
            return;
        }
    };
    let mut ticks = tokio::time::interval(config.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Findings::default();
    let mut failing = false;
    while door.is_open() {
        ticks.tick().await;
        let result = canary.round().await;
        if !door.is_open() {
            break;
        }
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
