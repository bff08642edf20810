//! Which refusals does the log tell?
//!
//! Each that says something about its request has its line, with the request's id. Those for want of room, and those of first
//! frames, come by the thousand: of each code one a second, with how many there were since the line before. No line holds
//! anything of what was sent.

use carillon_platform::telemetry::Seldom;
use std::time::Duration;

/// Between two lines of the same code.
const PAUSE: Duration = Duration::from_secs(1);

/// A request was refused for what it is.
pub(crate) fn tell(request_id: &str, status: u16, code: &str) {
    tracing::info!(request_id, status, code, "refused");
}

/// A request was refused that may be repeated.
pub(crate) fn tell_passing(request_id: &str, status: u16, code: &'static str) {
    static TOLD: Seldom<&str> = Seldom::every(PAUSE);
    if let Some(times) = TOLD.due(code) {
        tracing::info!(request_id, status, code, times, "refused");
    }
}

/// A connection was closed before its welcome.
pub(crate) fn tell_closed(connection: impl FnOnce() -> String, close: u16, code: &'static str) {
    static TOLD: Seldom<&str> = Seldom::every(PAUSE);
    if let Some(times) = TOLD.due(code) {
        let connection = connection();
        tracing::info!(connection, close, code, times, "refused before the welcome");
    }
}
