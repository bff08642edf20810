//! When do partitions past retention go?
//!
//! One a run. After a year without a publisher hundreds are due: they go one by one, a pause between, within half an
//! hour. While somebody uses the log for long (a backup) a run is postponed, ever longer, and nobody has waited for it.

use super::{Candidate, metrics, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{Dropped, LogError, Maintenance};
use std::time::Duration;

/// For the moment of a drop, some 20 ms, everybody waits: with five seconds between, that is one publish in 250.
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(60),
    more: Duration::from_secs(5),
    retry: Duration::from_secs(1),
    deadline: Duration::from_secs(15),
};

/// `archive` is where it is, if there is one.
pub(super) fn task(candidate: Candidate, archive: Option<String>, retention_days: u32) -> Task {
    Task::new("retention", SCHEDULE, move || {
        let (candidate, archive) = (candidate.clone(), archive.clone());
        async move { report(run(&candidate, archive.as_deref(), retention_days).await) }
    })
}

async fn run(candidate: &Candidate, archive: Option<&str>, retention_days: u32) -> Result<Report, LogError> {
    let due = candidate.log.partition_state(retention_days).await?.due;
    metrics::due(due);
    if due == 0 {
        return Ok(Report::new(Outcome::Done, "nothing is due"));
    }
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Retention).await? {
        return Ok(elsewhere);
    }
    if let Some(place) = archive {
        // The database knows that there is an archive before this process drops anything.
        candidate.log.announce_archive(retention_days, place).await?;
    }
    let dropped = candidate.log.drop_due_partition(retention_days).await?;
    if matches!(dropped, Dropped::Nothing | Dropped::One { left: 0, .. }) {
        candidate.gives_back(Maintenance::Retention).await?;
    }
    Ok(match dropped {
        Dropped::Nothing => Report::new(Outcome::Done, "nothing is due"),
        Dropped::One { partition, left } => {
            metrics::dropped(left);
            tracing::info!(partition, left, "a partition past retention is dropped");
            let outcome = if left == 0 { Outcome::Done } else { Outcome::More };
            Report::new(outcome, format!("{partition} dropped, {left} more due"))
        }
        Dropped::InUse { due } => {
            Report::new(Outcome::Postponed, format!("{due} due; a long transaction reads the log"))
        }
        Dropped::NotArchived { due } => {
            Report::new(Outcome::Postponed, format!("{due} due; the oldest is not in the archive yet"))
        }
        Dropped::Locked { due } => {
            Report::new(Outcome::Postponed, format!("{due} due; the log was not free for a moment"))
        }
    })
}
