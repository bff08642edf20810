//! Why could a measurement not be made?

use std::time::Duration;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line or the stack file is not enough, or wrong.
    #[error("{0}")]
    Usage(String),
    /// A connection could not be made.
    #[error("connection {number} to {address}: {why}")]
    Connect {
        /// Which one, counted from 0.
        number: usize,
        /// Where to.
        address: String,
        /// What happened.
        why: String,
    },
    /// The publisher did not acknowledge.
    #[error("publishing: {0}")]
    Publish(String),
    /// Something was not there in time.
    #[error("{what} was not there within {patience:?}")]
    Late {
        /// What.
        what: String,
        /// The limit.
        patience: Duration,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs `work` on a thread of its own and gives its outcome, a panic included, to [`join`].
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<Result<T, Failure>>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}

/// Waits for a thread.
pub(crate) fn join<T>(handle: std::thread::JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    handle.join().unwrap_or_else(|_| Err(Failure::Usage("a thread of the load test panicked".into())))
}
