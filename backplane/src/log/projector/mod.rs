//! Who reads every tenant's log with a stored cursor?
//!
//! A projector takes the events after its cursor and commits its result, the new cursor and the proof of its lease in one
//! transaction, tenant by tenant. So whatever dies between two steps, no event is skipped and none counts twice.
//!
//! | module | question it answers |
//! |---|---|
//! | `lease` | which tenants does this worker read, and which of them have news? |
//! | `step` | how does one batch of a tenant's events become a result and a cursor? |
//! | `lag` | how far behind the log is a projector? |
//! | `analytics` | the reader that counts events by hour |
//! | `channel_index` | the reader that writes which events went to which channel |
//!
//! A further reader is a file with a [`Reader`] and a line where the publisher starts them. What it writes must be in the
//! transaction it is given. Tenants are divided by hash into 64 slots, and a slot has one worker at a time
//! (`migrations/V6`); a worker that was replaced is fenced off by the lease's number, which its transaction renews first.

mod analytics;
mod channel_index;
mod lag;
mod lease;
mod step;

use super::error::LogError;
pub use analytics::{ANALYTICS_KEYS, Analytics};
use carillon_protocol::{Seq, TenantId};
pub use channel_index::ChannelIndex;
pub use lag::Lag;
pub use lease::{News, Slot};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
pub use step::{Batch, Progress};

/// Most events of one batch.
pub(super) const BATCH: i64 = 2_000;
/// The projector that writes the channel index.
pub(super) const CHANNEL_INDEX: &str = "channel_index";

/// The projector that counts events by hour.
pub(super) const ANALYTICS: &str = "analytics";

/// What a reader promises to do, in the transaction of its batch.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// A reader of the log.
pub trait Reader: Send + Sync + 'static {
    /// Its name in the database, in metrics and in the log.
    fn name(&self) -> &'static str;

    /// How long it rests once it has read everything.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Writes what follows from the events of the batch. They are all there; what is not, retention has dropped.
    fn read<'a>(&'a self, batch: &'a Batch<'a>) -> Work<'a, ()>;

    /// Forgets what followed from the events after `after`, which the log does not have any more, in the days of the batch,
    /// and answers whether nothing is left to be forgotten there. It is asked again until it says so.
    fn forget<'a>(&'a self, batch: &'a Batch<'a>, after: Seq) -> Work<'a, bool>;

    /// Looks after its tables, now and then, in no transaction.
    fn maintain<'a>(&'a self, log: &'a super::Log) -> Work<'a, ()>;
}

/// Whose events are read under which lease.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// The lease.
    pub slot: Slot,
    /// Who holds it.
    pub worker: &'a str,
}
