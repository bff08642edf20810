//! Who does the work that no request asks for?
//!
//! One [`Driver`] for the process. A [`Task`] has a name, a [`Schedule`] and a function that does one run; the driver
//! runs it at the start, after each period, and at once when its [`Activation`] is used. Two runs of one task never
//! overlap, each has a deadline, a panic or a missed deadline is a failed run and not the end of the task, and all of
//! it stops with the process. How each task is doing stands in `/metrics` and, with its last words, at `GET /tasks` of
//! the ops port.
//!
//! | module | question it answers |
//! |---|---|
//! | `task` | what is a task, and how long does it rest after a run? |
//! | `driver` | how is each task run, alone and within its deadline? |
//! | `status` | how is each task doing? |
//! | `metrics` | what is counted? |
//!
//! **Invariant.** A run may be cut off at any point where it awaits: what it does must be in transactions.
//!
//! Several publishers each run every task. Work that only one of them may do takes a lease in the database.

mod driver;
mod metrics;
mod status;
mod task;

pub use driver::{Activation, Driver};
pub use metrics::ALL as METRICS;
pub use status::{Statuses, TaskStatus, page};
pub use task::{Outcome, Report, Schedule, Task};
