//! Can the log be reached at this moment?
//!
//! After a failure every caller is refused at once, and one task asks the log until it answers again. So a dead
//! database costs a caller microseconds, not a timeout, and it is asked a few times a second, not by everybody.

use carillon_backplane::log::{Log, LogError};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two questions to a log that does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for an answer to one of them.
const ANSWER: Duration = Duration::from_millis(1_000);
/// Longest time a caller waits for a small question (whose key is this, is there such a tenant).
const SMALL: Duration = Duration::from_millis(1_500);

/// Shared by everybody who needs the log: some notice that it is gone, all are refused.
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

    /// An error while the log is known not to answer.
    pub fn check(&self) -> Result<(), LogError> {
        match self.is_down() {
            true => Err(LogError::Down("it did not answer a moment ago".to_owned())),
            false => Ok(()),
        }
    }

    /// Whether requests must be refused now.
    pub fn is_down(&self) -> bool {
        self.inner.down.load(Ordering::Acquire)
    }

    /// Asks the log something small for a caller: refused at once while it is down, and bounded in time.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        self.check()?;
        let answer = tokio::time::timeout(SMALL, question)
            .await
            .unwrap_or_else(|_| Err(LogError::Down(format!("no answer within {} ms", SMALL.as_millis()))));
        if answer.as_ref().is_err_and(LogError::is_down) {
            self.failed();
        }
        answer
    }

    /// Notes a failure, and asks from now on until the log answers.
    pub fn failed(&self) {
        if self.inner.down.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::warn!("the log does not answer; requests are refused until it does");
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let stopping = inner.stopping.clone();
            tokio::select! {
                () = inner.until_it_answers() => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

impl Inner {
    async fn until_it_answers(&self) {
        let began = tokio::time::Instant::now();
        while !matches!(tokio::time::timeout(ANSWER, self.log.ping()).await, Ok(Ok(()))) {
            tokio::time::sleep(PAUSE).await;
        }
        self.down.store(false, Ordering::Release);
        tracing::info!(after_ms = began.elapsed().as_millis() as u64, "the log answers again");
    }
}
