//! Should new requests come to this process?

use crate::health::Health;
use carillon_backplane::bus::{Announcer, BusHealth};
use carillon_backplane::log::LogError;
use carillon_platform::ops::{Readiness, State};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for the log; below the ops port's own limit, so that a frozen database is named as the reason.
const ANSWER: Duration = Duration::from_millis(700);

/// A log that takes no events is of no use to a publisher: unready, and why. Without Redis events arrive later: degraded.
pub async fn check(health: Health, announcer: Announcer, leaving: CancellationToken) -> Readiness {
    let mut readiness = of_log(&health, &leaving).await;
    if let BusHealth::Down { cause, .. } = announcer.health() {
        let detail = format!("redis is down ({}): events arrive later, none is lost", cause.as_str());
        readiness = readiness.because(State::Degraded, "redis", detail);
    }
    readiness
}

/// The same of a process that needs the log only.
pub(crate) async fn of_log(health: &Health, leaving: &CancellationToken) -> Readiness {
    let mut readiness = Readiness::ready();
    if leaving.is_cancelled() {
        readiness = readiness.because(State::Unready, "draining", "this process is stopping");
    }
    let proof = tokio::time::timeout(ANSWER, health.prove_writable()).await;
    if let Err(error) = proof.unwrap_or_else(|_| Err(LogError::Down("it does not answer in time".to_owned())))
    {
        readiness = readiness.because(State::Unready, reason(&error), error.to_string());
    }
    if let Some(fault) = health.exhausted() {
        let detail = format!("some requests get nothing from it: {fault}");
        readiness = readiness.because(State::Degraded, "database_exhausted", detail);
    }
    readiness
}

/// The stable name of a fault of the log.
pub(crate) fn reason(error: &LogError) -> &'static str {
    match error {
        LogError::Unwritable(why, _) => why.code(),
        LogError::Session(_) => "database_session",
        LogError::NotMigrated(_) => "database_not_migrated",
        _ => "database",
    }
}
