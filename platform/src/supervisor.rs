//! How does a supervisor that wants to know (systemd, `Type=notify`) hear that we are ready, and that we stop?
//!
//! So `systemctl restart` ends when the new process can be used, and the next node's turn comes then. Without
//! `NOTIFY_SOCKET` nothing is said.

use crate::ops::{Readiness, State};
use sd_notify::NotifyState;
use std::future::Future;
use std::time::Duration;

/// How often a process that is not ready yet looks again.
const LOOK: Duration = Duration::from_millis(250);

/// Says `READY=1` as soon as `/readyz` would be 200.
pub async fn tell_when_ready<R, F>(readiness: R)
where
    R: Fn() -> F + Send,
    F: Future<Output = Readiness> + Send,
{
    while readiness().await.state == State::Unready {
        tokio::time::sleep(LOOK).await;
    }
    tell(&NotifyState::Ready);
}

/// Says `STOPPING=1`.
pub fn tell_stopping() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the supervisor does not hear us");
    }
}
