//! How do partitions come and go?
//!
//! Outside the write path, ahead of time: an event never waits for its partition to be made. Several publishers may
//! do this at once; a lock in the database lets one at a time.

use super::error::LogError;
use super::pool::{Log, exchange};

/// Hours an idempotency key is remembered.
const KEY_HOURS: i32 = 48;

/// What one round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JanitorReport {
    /// Partitions made.
    pub created: u32,
    /// Partitions dropped: their events are older than the retention.
    pub dropped: u32,
    /// Idempotency keys forgotten.
    pub forgotten: u64,
}

impl Log {
    /// Makes partitions for the next `ahead_days`, drops those older than `retention_days`, forgets old keys.
    ///
    /// Each of the three is a transaction of its own that gives up after two seconds without its lock; the next
    /// round tries again.
    pub async fn janitor(&self, ahead_days: u32, retention_days: u32) -> Result<JanitorReport, LogError> {
        let (ahead, keep) = (ahead_days as i32, retention_days as i32);
        exchange(self.client("janitor").await?, async |client| {
            let created = client.query_one("SELECT carillon.create_partitions($1)", &[&ahead]).await?;
            let dropped = client.query_one("SELECT carillon.drop_partitions($1)", &[&keep]).await?;
            let forgotten = client.query_one("SELECT carillon.forget_keys($1)", &[&KEY_HOURS]).await?;
            Ok(JanitorReport {
                created: created.get::<_, i32>(0) as u32,
                dropped: dropped.get::<_, i32>(0) as u32,
                forgotten: forgotten.get::<_, i64>(0) as u64,
            })
        })
        .await
    }
}
