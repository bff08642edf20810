//! When are there partitions for sessions, and when do they go?
//!
//! A week is made ahead, as for events. One that is past its time goes when its table can be had within 50 ms, which only who reads
//! sessions holds up.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Days of partitions made ahead.
const AHEAD_DAYS: u32 = 7;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(600),
    more: Duration::from_secs(5),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, days: u32) -> Task {
    Task::new("sessions", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate, days).await) }
    })
}

async fn run(candidate: &Candidate, days: u32) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Sessions).await? {
        return Ok(elsewhere);
    }
    let kept = candidate.log.keep_sessions(days, AHEAD_DAYS).await?;
    if let Some(partition) = &kept.dropped {
        tracing::info!(partition, left = kept.due, "a partition of sessions past retention is dropped");
    }
    let outcome = match (&kept.dropped, kept.due) {
        (_, 0) => Outcome::Done,
        (Some(_), _) => Outcome::More,
        (None, _) => Outcome::Postponed,
    };
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Sessions).await?;
    }
    Ok(Report::new(outcome, format!("{} made, {} due", kept.made, kept.due)))
}
