//! Is there a partition to append to, today and next week?
//!
//! A week is made ahead, so that days of failing runs cost nothing. After longer than that without a publisher there is
//! none for today: it is made before the first request is taken, and when an append meets the lack (the database's clock
//! has jumped) the task runs at once.

use super::{metrics, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{Log, LogError};
use std::time::Duration;

/// Days of partitions made ahead.
const AHEAD_DAYS: u32 = 7;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_secs(1),
    retry: Duration::from_secs(1),
    deadline: Duration::from_secs(10),
};
/// Longest time the start waits for today's partition.
const START: Duration = Duration::from_secs(2);

/// Makes today's partition if it is missing. When that fails the task goes on trying, and readiness tells.
pub async fn today(log: &Log) {
    match tokio::time::timeout(START, log.create_partitions(0)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(made)) => tracing::info!(made, "there was no partition for today"),
        Ok(Err(error)) => tracing::warn!(%error, "it is not known whether there is a partition for today"),
        Err(_) => tracing::warn!("it is not known whether there is a partition for today: no answer"),
    }
}

pub(super) fn task(log: Log, retention_days: u32) -> Task {
    Task::new("partitions", SCHEDULE, move || {
        let log = log.clone();
        async move { report(run(&log, retention_days).await) }
    })
}

async fn run(log: &Log, retention_days: u32) -> Result<Report, LogError> {
    // Today's first and by itself: whatever is wrong with a later one, publishing goes on.
    let made = log.create_partitions(0).await? + log.create_partitions(AHEAD_DAYS).await?;
    let state = log.partition_state(retention_days).await?;
    metrics::ahead(state.ahead);
    if made > 0 {
        tracing::info!(made, days = state.ahead, "partitions made");
    }
    Ok(Report::new(Outcome::Done, format!("{made} made, {} days ahead with today", state.ahead)))
}
