//! How do events that applications published in their own transactions get into the log?
//!
//! One task of every publisher moves them, a bounded batch at a time (`carillon_backplane::log`, "outbox"): it is woken by `NOTIFY`
//! and looks every 250 ms without it. Each batch has some events of every tenant in turn, so a tenant with a million of them delays the
//! others by one batch. What cannot be appended is parked with its reason; a tenant that is over its rate or whose row is held by
//! somebody else waits alone.
//!
//! | module | question it answers |
//! |---|---|
//! | `mover` | when is the outbox looked at, and what is done when the log refuses? |
//! | `plan` | what becomes of each event that was claimed? |
//! | `draft` | which event is it that stands in a row of the outbox? |
//! | `window` | which rows need not be looked at every time? |
//! | `metrics` | what is counted about it? |

mod draft;
pub mod metrics;
mod mover;
mod plan;
mod window;

pub use mover::{Mover, Parts};

/// How a publisher learns that something was published in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// By `NOTIFY`, and by looking every 250 ms.
    Notify,
    /// By looking alone: a pooler in transaction mode stands before the database.
    Poll,
    /// Not at all: other publishers move the events.
    Off,
}
