//! Is the connection alive?
//!
//! TCP does not tell when a peer is frozen or a network swallows packets, and fred's own check is put off by every write.
//! So: one PING after the other, each with a deadline. What else comes in counts as a sign of life too, because behind a
//! flood of messages a PING waits its turn.

use super::config::Timing;
use super::fred::Link;
use super::health::{DownCause, Failure};

/// Resolves when the link is dead. `received` is a number that grows with everything that comes in.
pub(super) async fn pulse(link: &Link, timing: &Timing, received: impl Fn() -> u64) -> Failure {
    loop {
        tokio::time::sleep(timing.ping).await;
        let before = received();
        match tokio::time::timeout(timing.answer, link.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return failure,
            Err(_) if received() != before => {}
            Err(_) => {
                let detail = format!("no answer to PING within {} ms", timing.answer.as_millis());
                return Failure::new(DownCause::Silent, detail);
            }
        }
    }
}
