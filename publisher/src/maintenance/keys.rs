//! When are idempotency keys forgotten?
//!
//! Two days after they were used, in slices: each is a transaction of a few dozen milliseconds, with a pause after it
//! that leaves the database to publishing. So any backlog goes: four million keys in about five minutes.

use super::{Candidate, metrics, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Keys in a slice.
const SLICE: u32 = 5_000;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate) -> Task {
    Task::new("keys", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate).await) }
    })
}

async fn run(candidate: &Candidate) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Keys).await? {
        metrics::keys(0, Duration::ZERO);
        return Ok(elsewhere);
    }
    let slice = candidate.log.forget_keys(SLICE).await?;
    metrics::keys(slice.forgotten, slice.overdue);
    let (outcome, overdue) = (outcome(slice.forgotten), slice.overdue.as_secs());
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Keys).await?;
    }
    Ok(Report::new(outcome, format!("{} forgotten, the next is overdue by {overdue} s", slice.forgotten)))
}

/// A full slice: there may be more.
fn outcome(forgotten: u64) -> Outcome {
    if forgotten < u64::from(SLICE) { Outcome::Done } else { Outcome::More }
}
