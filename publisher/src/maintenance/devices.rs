//! When are devices forgotten?
//!
//! When nobody has seen them for so many days; in slices, as idempotency keys.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Devices in a slice.
const SLICE: u32 = 2_000;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(600),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, days: u32) -> Task {
    Task::new("devices", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate, days).await) }
    })
}

async fn run(candidate: &Candidate, days: u32) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Devices).await? {
        return Ok(elsewhere);
    }
    let forgotten = candidate.log.forget_devices(days, SLICE).await?;
    let outcome = if forgotten < u64::from(SLICE) { Outcome::Done } else { Outcome::More };
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Devices).await?;
    }
    Ok(Report::new(outcome, format!("{forgotten} forgotten")))
}
