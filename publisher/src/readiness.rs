//! Should new requests come to this process?

use carillon_backplane::bus::{Announcer, BusHealth};
use carillon_backplane::log::{Log, LogError};
use carillon_platform::ops::{Readiness, State};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for the log; below the ops port's own limit, so that a frozen database is named as the reason.
const ANSWER: Duration = Duration::from_millis(700);

/// Without the log nothing can be published: unready. Without Redis events arrive later: degraded.
pub async fn check(log: Log, announcer: Announcer, leaving: CancellationToken) -> Readiness {
    let mut readiness = Readiness::ready();
    if leaving.is_cancelled() {
        readiness = readiness.because(State::Unready, "draining", "this process is stopping");
    }
    // Asking for no heads touches the schema as well as the connection.
    let heads = tokio::time::timeout(ANSWER, log.heads(&[])).await;
    match heads.unwrap_or_else(|_| Err(LogError::Down("it does not answer in time".to_owned()))) {
        Ok(_) => {}
        Err(error @ LogError::NotMigrated(_)) => {
            readiness = readiness.because(State::Unready, "database_not_migrated", error.to_string());
        }
        Err(error) => readiness = readiness.because(State::Unready, "database", error.to_string()),
    }
    if let BusHealth::Down { cause, .. } = announcer.health() {
        let detail = format!("redis is down ({}): events arrive later, none is lost", cause.as_str());
        readiness = readiness.because(State::Degraded, "redis", detail);
    }
    readiness
}
