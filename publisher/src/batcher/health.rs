//! Can the log be reached at this moment?
//!
//! After a failure every caller is refused at once, and one task asks the log until it answers again. So a dead
//! database costs a caller microseconds, not a timeout, and it is asked a few times a second, not by everybody.

use carillon_backplane::log::Log;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two questions to a log that does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for an answer to one question.
const ANSWER: Duration = Duration::from_millis(1_000);

/// Shared by the intake, which refuses, and the runners, which notice.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    log: Log,
    down: AtomicBool,
    stopping: CancellationToken,
}

impl Health {
    /// A log that is believed to be well until it fails.
    pub fn new(log: Log, stopping: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { log, down: AtomicBool::new(false), stopping }) }
    }

    /// Whether requests must be refused now.
    pub fn is_down(&self) -> bool {
        self.inner.down.load(Ordering::Acquire)
    }

    /// Notes a failure, and asks from now on until the log answers.
    pub(super) fn failed(&self) {
        if self.inner.down.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::warn!("the log does not answer; publish requests are refused until it does");
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let stopping = inner.stopping.clone();
            tokio::select! {
                () = inner.ask() => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

impl Inner {
    async fn ask(&self) {
        let began = tokio::time::Instant::now();
        while !matches!(tokio::time::timeout(ANSWER, self.log.ping()).await, Ok(Ok(()))) {
            tokio::time::sleep(PAUSE).await;
        }
        self.down.store(false, Ordering::Release);
        tracing::info!(after_ms = began.elapsed().as_millis() as u64, "the log answers again");
    }
}
