//! When is a day that retention is about to drop copied into the archive?
//!
//! Without an archive nothing happens here, and retention waits for nobody. With one, a day's partition goes when its copy was read back
//! (docs/adr/0020). One publisher does it at a time: its lease is renewed while a run goes on, which may take hours for a tenant with
//! hundreds of gigabytes a day, and a run that has lost it is cut off.

use super::{Candidate, LEASE, report};
use crate::archive::{self, Archiver, Fault, Step};
use crate::worker::{Activation, Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance, ToArchive};
use std::sync::Arc;
use std::time::Duration;

const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(5),
    more: Duration::from_millis(200),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(24 * 3_600),
};

/// `drops` wakes who drops what is archived.
pub(super) fn task(
    candidate: Candidate,
    (archiver, drops): (Option<Archiver>, Activation),
    retention_days: u32,
) -> Task {
    let archiver = archiver.map(Arc::new);
    Task::new("archive", SCHEDULE, move || {
        let (candidate, archiver, drops) = (candidate.clone(), archiver.clone(), drops.clone());
        async move { report(run(&candidate, archiver.as_deref(), &drops, retention_days).await) }
    })
}

async fn run(
    candidate: &Candidate,
    archiver: Option<&Archiver>,
    drops: &Activation,
    retention_days: u32,
) -> Result<Report, LogError> {
    let state = candidate.log.archive_state(retention_days).await?;
    archive::state(&state);
    let Some(archiver) = archiver else { return Ok(Report::new(Outcome::Done, "there is no archive")) };
    let next = candidate.log.next_to_archive(retention_days).await?;
    if next.day.is_none() && state.fault.is_none() {
        return Ok(Report::new(Outcome::Done, "nothing is due"));
    }
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Archive).await? {
        return Ok(elsewhere);
    }
    let stepped = tokio::select! {
        stepped = archiver.step(&next) => stepped,
        lost = keep_lease(candidate) => return lost,
    };
    if matches!(stepped, Ok(Step::Archived { .. })) {
        drops.activate();
    }
    after(candidate, &next, stepped, retention_days).await
}

/// Tells how a step ended, and gives the lease back if nothing is under way.
async fn after(
    candidate: &Candidate,
    next: &ToArchive,
    stepped: Result<Step, Fault>,
    retention_days: u32,
) -> Result<Report, LogError> {
    let said = match &stepped {
        Err(fault) => {
            archive::failed(fault);
            tracing::warn!(day = ?next.day, reason = fault.label(), %fault, "a day is not archived; its partition stays");
            Some(fault.to_string())
        }
        Ok(_) => None,
    };
    candidate.log.note_archive(said.as_deref()).await?;
    archive::state(&candidate.log.archive_state(retention_days).await?);
    if !matches!(stepped, Ok(Step::More(_) | Step::Archived { .. })) {
        candidate.gives_back(Maintenance::Archive).await?;
    }
    Ok(match stepped {
        Ok(Step::Nothing) => Report::new(Outcome::Done, "nothing is due"),
        Ok(Step::More(day)) => Report::new(Outcome::More, format!("{day} is under way")),
        Ok(Step::Archived { day, events, tenants }) => {
            tracing::info!(%day, events, tenants, "a day is archived");
            Report::new(Outcome::More, format!("{day} is archived: {events} events of {tenants} tenants"))
        }
        Err(fault) => Report::new(Outcome::Failed, fault.to_string()),
    })
}

/// Renews the lease until it is lost.
async fn keep_lease(candidate: &Candidate) -> Result<Report, LogError> {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Archive).await? {
            return Ok(elsewhere);
        }
    }
}
