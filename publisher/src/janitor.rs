//! Who makes tomorrow's partition, and who drops what is past retention?
//!
//! Every publisher, once an hour; the database lets one at a time do it. A week of partitions is made ahead, so that
//! even days of failing runs cost nothing.

use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::Log;
use std::time::Duration;

/// Days of partitions made ahead.
const AHEAD_DAYS: u32 = 7;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(3_600),
    more: Duration::from_secs(60),
    retry: Duration::from_secs(60),
    deadline: Duration::from_secs(10),
};

/// The task.
pub fn task(log: Log, retention_days: u32) -> Task {
    Task::new("janitor", SCHEDULE, move || run(log.clone(), retention_days))
}

async fn run(log: Log, retention_days: u32) -> Report {
    match log.janitor(AHEAD_DAYS, retention_days).await {
        Ok(report) => {
            let (created, dropped, forgotten) = (report.created, report.dropped, report.forgotten);
            tracing::info!(created, dropped, forgotten, "partitions and idempotency keys are in order");
            Report::new(
                Outcome::Done,
                format!("{created} made, {dropped} dropped, {forgotten} keys forgotten"),
            )
        }
        Err(error) => Report::new(Outcome::Failed, error.to_string()),
    }
}
