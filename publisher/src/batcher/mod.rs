//! How do single requests become few, large transactions?
//!
//! Group commit: a request joins the queue of its lane ([`intake`]); the lane's runner ([`runner`]) takes whatever is
//! queued as one batch ([`assemble`]), appends it in one statement, answers every caller after COMMIT and hands the
//! batch to Redis ([`announce`]). While one batch commits, the next one gathers: no timer, and the batches grow with
//! the load. When the log cannot be reached, callers learn it at once instead of queueing ([`crate::health`]).
//!
//! Two lanes, because one then prepares its batch while the other's commits; a tenant always takes the same lane, so
//! that the two do not wait for each other's row locks.

pub mod announce;
mod assemble;
mod intake;
mod runner;
mod ticket;

pub use intake::{Batcher, Intake};

/// Why a request was not answered with seqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// The intake is full, or the request waited too long in it. Nothing was stored.
    #[error("too many events are waiting to be stored")]
    Overloaded,
    /// The log cannot be reached or is too slow. Whether the events were stored is not known: a repeat with the
    /// same idempotency key finds out.
    #[error("the log cannot be reached")]
    Unavailable,
    /// The log refused the statement. Nothing was stored.
    #[error("the log refused the events")]
    Failed,
}
