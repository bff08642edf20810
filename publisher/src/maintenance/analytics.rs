//! When are the counts of an hour forgotten?
//!
//! So many days after it, in slices: an hour of a tenant is up to 20,000 rows, a usual one some dozens.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Hours of tenants in a slice.
const SLICE: u32 = 50;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, days: u32) -> Task {
    Task::new("analytics_hours", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate, days).await) }
    })
}

async fn run(candidate: &Candidate, days: u32) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Analytics).await? {
        return Ok(elsewhere);
    }
    let slice = candidate.log.forget_analytics(days, SLICE).await?;
    let outcome = if slice.forgotten < u64::from(SLICE) { Outcome::Done } else { Outcome::More };
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Analytics).await?;
    }
    let (forgotten, overdue) = (slice.forgotten, slice.overdue.as_secs());
    Ok(Report::new(outcome, format!("{forgotten} forgotten, the next is overdue by {overdue} s")))
}
