//! When do notices go?
//!
//! So many days after they were stored, whether their events are in the log or not; in slices, with whom they were for and what people
//! marked of them.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Notices in a slice, and marks.
const SLICE: u32 = 500;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, days: u32) -> Task {
    Task::new("notices", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate, days).await) }
    })
}

async fn run(candidate: &Candidate, days: u32) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Notices).await? {
        return Ok(elsewhere);
    }
    let slice = candidate.log.forget_notices(days, SLICE).await?;
    let overdue = slice.overdue.as_secs();
    // A slice may have had nothing but marks.
    let outcome = if overdue == 0 { Outcome::Done } else { Outcome::More };
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Notices).await?;
    }
    Ok(Report::new(outcome, format!("{} forgotten, the next is overdue by {overdue} s", slice.forgotten)))
}
