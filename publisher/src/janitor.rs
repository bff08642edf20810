//! Who makes tomorrow's partition, and who drops what is past retention?
//!
//! Every publisher, once an hour; the database lets one at a time do it. A week of partitions is made ahead, so that
//! even days of failing rounds cost nothing.

use carillon_backplane::log::Log;
use std::time::Duration;

/// Days of partitions made ahead.
const AHEAD_DAYS: u32 = 7;
const ROUND: Duration = Duration::from_secs(3_600);
/// Pause after a round that failed.
const RETRY: Duration = Duration::from_secs(60);

/// Runs for ever.
pub async fn run(log: Log, retention_days: u32) {
    loop {
        let pause = match log.janitor(AHEAD_DAYS, retention_days).await {
            Ok(report) => {
                let (created, dropped, forgotten) = (report.created, report.dropped, report.forgotten);
                tracing::info!(created, dropped, forgotten, "partitions and idempotency keys are in order");
                ROUND
            }
            Err(error) => {
                tracing::warn!(%error, "partitions could not be looked after; trying again in a minute");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}
