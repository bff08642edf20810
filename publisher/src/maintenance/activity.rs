//! Is there a partition for what people do today, and when does what they did go?
//!
//! A week is made ahead; what gateways bring for a day that has none is left out. One that is past goes when it can be had within 50 ms.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance};
use std::time::Duration;

/// Days of partitions made ahead.
const AHEAD_DAYS: u32 = 7;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_secs(1),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, days: u32) -> Task {
    Task::new("activity", SCHEDULE, move || {
        let candidate = candidate.clone();
        async move { report(run(&candidate, days).await) }
    })
}

async fn run(candidate: &Candidate, days: u32) -> Result<Report, LogError> {
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Activity).await? {
        return Ok(elsewhere);
    }
    let followed = candidate.log.follow_activity(AHEAD_DAYS, days).await?;
    let outcome = match (followed.due, followed.dropped) {
        (0, _) => Outcome::Done,
        (_, 0) => Outcome::Postponed,
        _ => Outcome::More,
    };
    if outcome == Outcome::Done {
        candidate.gives_back(Maintenance::Activity).await?;
    }
    let detail = format!(
        "{} partitions made, {} dropped, {} are due",
        followed.created, followed.dropped, followed.due
    );
    Ok(Report::new(outcome, detail))
}
