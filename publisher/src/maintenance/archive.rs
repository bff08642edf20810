//! When is a day that retention is about to drop copied into the archive?
//!
//! Without an archive nothing happens here, and retention waits for nobody. With one, a day's partition goes when its copy was read back
//! (docs/adr/0020). One publisher does it at a time: its lease is renewed while a run goes on, which may take hours for a tenant with
//! hundreds of gigabytes a day, and a run that has lost it is cut off. A day that cannot be archived for a reason of its own does not hold
//! up others.

use super::{Candidate, LEASE, report};
use crate::archive::{self, Archiver, Fault, Step};
use crate::worker::{Activation, Outcome, Report, Schedule, Task};
use carillon_backplane::log::{LogError, Maintenance, ToArchive};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(5),
    more: Duration::from_millis(200),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(24 * 3_600),
};

/// Rows about copies of a day that is gone, which are forgotten in a slice.
const FORGOTTEN: u32 = 5_000;

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
    if candidate.log.forget_archived(FORGOTTEN).await? == u64::from(FORGOTTEN) {
        return Ok(Report::new(Outcome::More, "what was kept about a dropped day is being forgotten"));
    }
    let Some(archiver) = archiver else { return Ok(Report::new(Outcome::Done, "there is no archive")) };
    let next = candidate.log.announce_archive(retention_days, &archiver.place()).await?;
    if next.day.is_none() && state.fault.is_none() {
        return Ok(Report::new(Outcome::Done, "nothing is due"));
    }
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::Archive).await? {
        return Ok(elsewhere);
    }
    let stepped = tokio::select! {
        stepped = archiver.step(&next) => stepped,
        lost = keep_lease(|| candidate.lacks_lease(Maintenance::Archive)) => return lost,
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
    let (said, of) = match &stepped {
        Err(fault) => {
            archive::failed(fault);
            tracing::warn!(day = ?next.day, reason = fault.label(), %fault, "a day is not archived; its partition stays");
            (Some(fault.to_string()), next.day.filter(|_| fault.is_of_the_day()))
        }
        Ok(_) => (None, None),
    };
    candidate.log.note_archive(said.as_deref(), of).await?;
    archive::state(&candidate.log.archive_state(retention_days).await?);
    if !matches!(stepped, Ok(Step::More(_) | Step::Archived { .. })) {
        candidate.gives_back(Maintenance::Archive).await?;
    }
    Ok(match stepped {
        Ok(Step::Nothing) => Report::new(Outcome::Done, "nothing is due"),
        Ok(Step::More(day)) => Report::new(Outcome::More, format!("{day} is under way")),
        Ok(Step::Archived { day, events, tenants, damaged }) => {
            tracing::info!(%day, events, tenants, "a day is archived");
            let mut told = format!("{day} is archived: {events} events of {tenants} tenants");
            if !damaged.is_empty() {
                told += &format!("; damaged, and nobody has their events: {}", damaged.join(", "));
            }
            Report::new(Outcome::More, told)
        }
        Err(fault) => Report::new(Outcome::Failed, fault.to_string()),
    })
}

/// How long after a question about the lease that failed the next one is asked.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Renews the lease until it is lost: another process has it, or the database has not answered for as long as it lasts.
async fn keep_lease<Answer>(lacks_lease: impl Fn() -> Answer) -> Result<Report, LogError>
where
    Answer: Future<Output = Result<Option<Report>, LogError>>,
{
    let mut lasts_until = Instant::now() + LEASE;
    let mut rest = LEASE / 3;
    loop {
        tokio::time::sleep(rest).await;
        let asked = Instant::now();
        match tokio::time::timeout_at(lasts_until, lacks_lease()).await {
            Ok(Ok(None)) => (lasts_until, rest) = (asked + LEASE, LEASE / 3),
            Ok(Ok(Some(elsewhere))) => return Ok(elsewhere),
            Ok(Err(error)) if asked + ASK_AGAIN >= lasts_until => return Err(error),
            Ok(Err(_)) => rest = ASK_AGAIN,
            Err(_) => {
                return Ok(Report::new(Outcome::Failed, "the database did not renew the lease in time"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What the database answers, one after the other, then that another has the lease; for how long it was kept, and how it ended.
    async fn kept(answers: impl IntoIterator<Item = bool>) -> (Duration, Result<Report, LogError>) {
        let answers = Mutex::new(answers.into_iter().collect::<Vec<_>>().into_iter());
        let began = Instant::now();
        let ended = keep_lease(|| {
            std::future::ready(match answers.lock().unwrap().next() {
                Some(true) => Ok(None),
                Some(false) => Err(LogError::Database("it restarts".to_owned())),
                None => Ok(Some(Report::new(Outcome::Elsewhere, "another does it"))),
            })
        })
        .await;
        (began.elapsed(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_outlives_a_database_that_is_away_for_less_than_it_lasts() {
        // Away for ten seconds, twice.
        let away = || std::iter::repeat_n(false, 10).chain([true]);
        let (time, ended) = kept(away().chain(away())).await;
        assert!(matches!(&ended, Ok(report) if report.outcome == Outcome::Elsewhere), "{ended:?}");
        assert_eq!(time, Duration::from_secs(20 + 20 + 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_not_renewed_in_time_is_lost() {
        let (time, ended) = kept([true].into_iter().chain(std::iter::repeat_n(false, 1_000))).await;
        assert!(ended.is_err(), "{ended:?}");
        let last = Duration::from_secs(10);
        assert!(time > last + LEASE - 2 * ASK_AGAIN && time <= last + LEASE, "{time:?}");
    }
}
