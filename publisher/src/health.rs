//! Can the log be used at this moment?
//!
//! After a failure every caller is refused at once, and one task asks the log until it answers again. So a dead
//! database costs a caller microseconds, not a timeout, and it is asked a few times a second, not by everybody. A log
//! that answers and takes no events (full, read-only, a standby, without a partition for today) is treated the same for
//! those who write; others read on. One that is busy or slow is well: nobody is refused because somebody else was.

use crate::worker::Activation;
use carillon_backplane::log::{Log, LogError, Unwritable};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Pause between two questions to a log that does not answer, or takes no events.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for an answer to one of them.
const ANSWER: Duration = Duration::from_millis(1_000);
/// Longest time a caller waits for a small question (whose key is this, is there such a tenant).
const SMALL: Duration = Duration::from_millis(1_500);
/// How long a proof that the log takes events is believed.
const PROVEN: Duration = Duration::from_secs(2);

/// Shared by everybody who needs the log: some notice that it is gone, all are refused.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    log: Log,
    partitions: Activation,
    /// Whether there is a fault: looked at for every request.
    faulty: AtomicBool,
    fault: Mutex<Option<LogError>>,
    /// When the log was last seen to take events; held by who looks, so that it is one at a time.
    proven: tokio::sync::Mutex<Option<Instant>>,
    stopping: CancellationToken,
}

impl Health {
    /// A log that is believed to be well until it fails.
    /// `partitions` makes a partition that is found missing.
    pub fn new(log: Log, partitions: Activation, stopping: CancellationToken) -> Self {
        let (faulty, fault, proven) =
            (AtomicBool::new(false), Mutex::default(), tokio::sync::Mutex::default());
        Self { inner: Arc::new(Inner { log, partitions, faulty, fault, proven, stopping }) }
    }

    /// An error while the log is known not to answer.
    pub fn check(&self) -> Result<(), LogError> {
        self.check_writing().or_else(|fault| match fault {
            LogError::Unwritable(..) => Ok(()),
            fault => Err(fault),
        })
    }

    /// An error while the log is known not to answer, or to take no events.
    pub fn check_writing(&self) -> Result<(), LogError> {
        if !self.inner.faulty.load(Ordering::Acquire) {
            return Ok(());
        }
        self.inner.fault().clone().map_or(Ok(()), Err)
    }

    /// Asks the log something small for a caller: refused at once while it is down, and bounded in time. A question that
    /// is not answered in time may have met a lock, so it says nothing about the log: that is asked by itself.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        self.check()?;
        match tokio::time::timeout(SMALL, question).await {
            Ok(answer) => answer.inspect_err(|error| self.failed(error)),
            Err(_) => {
                self.doubt();
                Err(LogError::TooSlow(format!("no answer within {} ms", SMALL.as_millis())))
            }
        }
    }

    /// Somebody waited in vain: finds out whether the log is well, unless that is being found out.
    fn doubt(&self) {
        let health = self.clone();
        tokio::spawn(async move {
            let Ok(mut proven) = health.inner.proven.try_lock() else { return };
            match health.inner.prove().await {
                Ok(()) => *proven = Some(Instant::now()),
                Err(error) => health.failed(&error),
            }
        });
    }

    /// Whether an event could be stored now. Asked by probes: one writes for all, and not more often than needed.
    pub async fn prove_writable(&self) -> Result<(), LogError> {
        let mut proven = self.inner.proven.lock().await;
        self.check_writing()?;
        if proven.is_some_and(|at| at.elapsed() < PROVEN) {
            return Ok(());
        }
        match self.inner.log.prove_writable().await {
            Ok(()) => *proven = Some(Instant::now()),
            // It works, and is occupied.
            Err(error) if error.is_overload() => {}
            Err(error) => {
                self.failed(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Why a kind of work gets nothing but refusals from a log that answers, if one does.
    pub fn exhausted(&self) -> Option<LogError> {
        self.inner.log.exhausted()
    }

    /// Notes how something failed. When that is a fault of the log, it is asked from now on until it is well again.
    pub fn failed(&self, error: &LogError) {
        if !error.is_outage() {
            return;
        }
        if self.inner.note(Some(error.clone())).is_some() {
            return;
        }
        tracing::warn!(%error, "the log takes no events; requests are refused until it does");
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let stopping = inner.stopping.clone();
            tokio::select! {
                () = inner.until_it_is_well() => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

impl Inner {
    fn fault(&self) -> std::sync::MutexGuard<'_, Option<LogError>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the fault is from now on; gives what it was.
    fn note(&self, now: Option<LogError>) -> Option<LogError> {
        if matches!(now, Some(LogError::Unwritable(Unwritable::NoPartition, _))) {
            self.partitions.activate();
        }
        let mut fault = self.fault();
        self.faulty.store(now.is_some(), Ordering::Release);
        std::mem::replace(&mut *fault, now)
    }

    async fn prove(&self) -> Result<(), LogError> {
        let late = |_| Err(LogError::Down(format!("no answer within {} ms", ANSWER.as_millis())));
        tokio::time::timeout(ANSWER, self.log.prove_writable()).await.unwrap_or_else(late)
    }

    async fn until_it_is_well(&self) {
        let began = tokio::time::Instant::now();
        loop {
            match self.prove().await {
                // What it was before may have become another: an old primary comes back as a standby.
                Err(error) if error.is_outage() => drop(self.note(Some(error))),
                // The proof before this one may still be on its way.
                Err(error) if error.is_overload() => {}
                _ => break,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.note(None);
        tracing::info!(after_ms = began.elapsed().as_millis() as u64, "the log takes events again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::{LogConfig, Role};
    use std::future::pending;

    /// One slow question of one caller refuses nobody else; a log that does not answer either is found out all the same.
    #[tokio::test]
    async fn a_question_without_an_answer_refuses_its_caller_alone_until_the_log_was_asked() {
        // Whoever connects there hears nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://nobody@{}/none", silent.local_addr().unwrap());
        let log = Log::connect(LogConfig { url, role: Role::Publisher }).unwrap();
        let health = Health::new(log, Activation::default(), CancellationToken::new());
        let asked = health.ask(pending::<Result<(), LogError>>()).await;
        assert!(matches!(asked, Err(LogError::TooSlow(_))), "{asked:?}");
        assert_eq!(health.check_writing(), Ok(()), "nobody else is refused for it");
        let found_out = async {
            while health.check_writing().is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found_out).await.unwrap();
        assert!(health.check().is_err_and(|fault| fault.is_down()));
    }
}
