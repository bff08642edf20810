//! Should new requests come to this process?

use carillon_backplane::bus::{Announcer, BusHealth};
use carillon_backplane::log::{Log, LogError};
use carillon_platform::ops::{Readiness, State};
use tokio_util::sync::CancellationToken;

/// Without the log nothing can be published: unready. Without Redis events arrive later: degraded.
pub async fn check(log: Log, announcer: Announcer, stopping: CancellationToken) -> Readiness {
    let mut readiness = Readiness::ready();
    if stopping.is_cancelled() {
        readiness = readiness.because(State::Unready, "draining", "this process is stopping");
    }
    // Asking for no heads touches the schema as well as the connection.
    match log.heads(&[]).await {
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
