//! When are records of administrative changes forgotten?
//!
//! After 400 days, in slices. Every publisher does it: what one deletes another passes over.

use super::report;
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{Log, LogError};
use std::time::Duration;

/// Records in a slice.
const SLICE: u32 = 1_000;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(3_600),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(60),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(log: Log) -> Task {
    Task::new("audit", SCHEDULE, move || {
        let log = log.clone();
        async move { report(run(&log).await) }
    })
}

async fn run(log: &Log) -> Result<Report, LogError> {
    let forgotten = log.forget_audit(SLICE).await?;
    // A full slice: there may be more.
    let outcome = if forgotten < u64::from(SLICE) { Outcome::Done } else { Outcome::More };
    Ok(Report::new(outcome, format!("{forgotten} forgotten")))
}
