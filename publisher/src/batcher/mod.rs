//! How do single requests become few, large transactions?
//!
//! Group commit: a request takes its [`shares`] of the [`intake`] and joins the queue of its [`flow`]; a [`runner`] takes
//! the next batch, to which every waiting tenant contributes in turn ([`schedule`]), appends it in one statement,
//! answers every caller after COMMIT and hands the batch to Redis ([`announce`]). A large request waits a while for [`room`]
//! before, and its events are never in a batch with somebody's single one. While one batch commits, the next one
//! gathers: no timer, and the batches grow with the load. When the log cannot be reached, callers learn it at once
//! instead of queueing ([`crate::health`]).
//!
//! A tenant's row may be locked by somebody else for long (an operator's transaction). The batch that meets it waits
//! [`runner::LOCK_WAIT`], puts that tenant's requests back and stores the others; from then on a runner of their own
//! tries the locked tenants, and their callers hear [`NotAppended::TenantBusy`] when it takes too long.

pub mod announce;
mod assembly;
mod batch;
mod flow;
mod intake;
mod light;
mod queue;
mod queues;
mod request;
mod room;
mod runner;
mod schedule;
mod shares;
mod ticket;

use carillon_backplane::log::{LogError, Unwritable};

pub use intake::{Batcher, Intake};
pub use room::Room;
pub use shares::Publisher;

use std::time::Duration;

/// Longest wait for a batch to begin.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a request was not answered with seqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// The intake is full, or the request waited too long in it. Nothing was stored.
    #[error("too many events are waiting to be stored")]
    Overloaded,
    /// A tenant of the request has its share of the intake. Nothing was stored.
    #[error("too many events of the tenant are waiting to be stored")]
    TenantShare,
    /// The key or user has its share of the intake. Nothing was stored.
    #[error("too many events of this key or user are waiting to be stored")]
    CallerShare,
    /// Somebody else holds the tenant's row for long. Nothing was stored.
    #[error("another transaction holds the tenant's row")]
    TenantBusy,
    /// The log cannot be reached, or its answer has not come. Whether the events were stored is not known: a repeat with the
    /// same idempotency key finds out.
    #[error("the log cannot be reached")]
    Unavailable,
    /// The log has no connection free for it, or a lock was not to be had in time. Nothing was stored.
    #[error("the log is busy")]
    Busy,
    /// The log took too long over it and was told to stop. Nothing was stored.
    #[error("the log was too slow")]
    TooSlow,
    /// The log answers and takes no events. Nothing was stored.
    #[error("{0}")]
    Unwritable(Unwritable),
    /// The session with the log is not ours to use. Nothing was stored.
    #[error("the session with the log is refused")]
    Session,
    /// The log refused the statement. Nothing was stored.
    #[error("the log refused the events")]
    Failed,
}

impl NotAppended {
    /// Whether it is known that nothing was stored.
    pub fn stored_nothing(self) -> bool {
        !matches!(self, Self::Unavailable)
    }

    /// The stable name, for metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::TenantShare => "tenant_share",
            Self::CallerShare => "caller_share",
            Self::TenantBusy => "tenant_busy",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::TooSlow => "too_slow",
            Self::Unwritable(why) => why.code(),
            Self::Session => "session",
            Self::Failed => "failed",
        }
    }
}

impl From<&LogError> for NotAppended {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Down(_) | LogError::NotMigrated(_) | LogError::Config(_) => Self::Unavailable,
            LogError::Busy(_) | LogError::Exhausted(_) => Self::Busy,
            LogError::Locked(_) => Self::TenantBusy,
            LogError::TooSlow(_) => Self::TooSlow,
            LogError::Unwritable(why, _) => Self::Unwritable(*why),
            LogError::Session(_) => Self::Session,
            LogError::Database(_) => Self::Failed,
        }
    }
}
