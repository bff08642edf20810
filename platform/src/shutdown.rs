//! How does a process stop, and in which order?
//!
//! A service groups its tasks into stages and stops them one after the other: first what takes in work, then what
//! does it, last the ops port, so that probes and scrapes see the whole of it.

use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The signals that ask the process to stop.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on: a signal that comes before [`Signals::next`] is awaited is not lost, and no longer
    /// ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next request to stop; returns its name. The first one starts the drain; await it again
    /// during the drain to let an impatient operator cut it short.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Tasks that stop together.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    /// A stage without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the stage is asked to stop. Its tasks watch it.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Starts a task of this stage.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Asks the stage's tasks to stop and waits until all have ended, `limit` at the longest. Returns how many
    /// are still running then.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.stopping.cancel();
        self.tasks.close();
        match tokio::time::timeout(limit, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn either_signal_is_noticed_even_before_it_is_awaited() {
        let mut signals = Signals::listen().unwrap();
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::TERM).unwrap();
        assert_eq!(signals.next().await, "SIGTERM");
        rustix::process::kill_process(this, rustix::process::Signal::INT).unwrap();
        assert_eq!(signals.next().await, "SIGINT");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_waits_for_its_tasks_to_end() {
        let stage = Stage::new();
        let finished = Arc::new(AtomicBool::new(false));
        let (stopping, done) = (stage.stopping(), finished.clone());
        stage.spawn(async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(stage.stop(Duration::from_secs(5)).await, 0);
        assert!(finished.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_counted_and_left_behind() {
        let stage = Stage::new();
        stage.spawn(std::future::pending::<()>());
        assert_eq!(stage.stop(Duration::from_secs(5)).await, 1);
    }
}
