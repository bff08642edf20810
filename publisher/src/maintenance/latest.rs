//! When are keys of latest values forgotten?
//!
//! When no event has touched them for so many days, and an hour after an event deleted them; in slices, as idempotency keys.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Keys in a slice: each is a row in four indexes, and appends that touch one wait for the slice.
const SLICE: u32 = 1_000;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, days: u32) -> Task {
    Task::new("latest", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate, days).await) }
    })
}

async fn run(candidate: &Candidate, days: u32) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Latest).await? {
        return Ok(elsewhere);
    }
    let slice = candidate.log.forget_latest(days, SLICE).await?;
    let outcome = if slice.forgotten < u64::from(SLICE) { Outcome::Done } else { Outcome::More };
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Latest).await?;
    }
    let (forgotten, overdue) = (slice.forgotten, slice.overdue.as_secs());
    Ok(Report::new(outcome, format!("{forgotten} forgotten, the next is overdue by {overdue} s")))
}
