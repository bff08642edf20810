//! How do partitions come and go, and how are keys forgotten?
//!
//! Outside the write path and without holding it up: what needs a table for itself waits 50 ms for it at most, and what
//! is much is done in slices. Each call is one transaction; `migrations/V7__maintenance_blocks_nobody.sql` has the
//! functions, `docs/adr/0015-retention-waits-fifty-milliseconds-at-most.md` the reasons.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::work::Work;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Hours an idempotency key is remembered.
const KEY_HOURS: i32 = 48;

const LEASE: &str = "SELECT carillon.lease_maintenance($1, $2, $3)";
const CREATE: &str = "SELECT carillon.create_partitions($1)";
const STATE: &str = "SELECT ahead, due FROM carillon.partition_state($1)";
const DROP: &str = "SELECT dropped, busy, due FROM carillon.drop_due_partition($1)";
const FORGET_NOTICES: &str = "SELECT forgotten, overdue FROM carillon.forget_some_notices($1, $2)";
const FORGET_LATEST: &str = "SELECT forgotten, overdue FROM carillon.forget_some_latest($1, $2)";
const FORGET: &str = "SELECT forgotten, overdue FROM carillon.forget_some_keys($1, $2)";

/// A task that one process of the installation does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// Dropping partitions.
    Retention,
    /// Forgetting idempotency keys.
    Keys,
    /// Forgetting keys of latest values.
    Latest,
    /// Forgetting counts of hours.
    Analytics,
    /// Forgetting devices.
    Devices,
    /// Making and dropping partitions of sessions.
    Sessions,
    /// Closing what dead gateways left open.
    LostSessions,
    /// Making and dropping partitions of what people did.
    Activity,
    /// Forgetting notices.
    Notices,
    /// Copying what retention drops.
    Archive,
}

/// What partitions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionState {
    /// Days from today on that have one, up to the first that has none. With 0 nothing can be appended.
    pub ahead: u32,
    /// Those that are past retention.
    pub due: u32,
}

/// What became of the wish to drop a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dropped {
    /// None is due.
    Nothing,
    /// This one is gone, and so many more are due.
    One {
        /// Its name.
        partition: String,
        /// How many are left.
        left: u32,
    },
    /// Somebody uses the log (a backup, a long search). Nobody waited.
    InUse {
        /// How many are due.
        due: u32,
    },
    /// It is not in the archive yet.
    NotArchived {
        /// How many are due.
        due: u32,
    },
    /// It was not free within 50 ms.
    Locked {
        /// How many are due.
        due: u32,
    },
}

/// What one slice of keys came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForgottenKeys {
    /// Keys deleted.
    pub forgotten: u64,
    /// For how long the oldest that is left should have been gone; zero when none is due.
    pub overdue: Duration,
}

impl Log {
    /// Takes or renews the lease of a task for `holder`. Answers who holds it now.
    pub async fn lease_maintenance(
        &self,
        task: Maintenance,
        holder: &str,
        lease: Duration,
    ) -> Result<String, LogError> {
        let name = match task {
            Maintenance::Retention => "retention",
            Maintenance::Keys => "keys",
            Maintenance::Latest => "latest",
            Maintenance::Analytics => "analytics",
            Maintenance::Devices => "devices",
            Maintenance::Sessions => "sessions",
            Maintenance::LostSessions => "lost_sessions",
            Maintenance::Activity => "activity",
            Maintenance::Notices => "notices",
            Maintenance::Archive => "archive",
        };
        let seconds = lease.as_secs() as i32;
        Ok(self.maintain(LEASE, &[&name, &holder, &seconds]).await?.get(0))
    }

    /// Makes the partitions of today and the next `ahead_days`. Answers how many were missing. Conflicts with neither
    /// appending nor reading, and any number of processes may do it at once.
    pub async fn create_partitions(&self, ahead_days: u32) -> Result<u32, LogError> {
        Ok(self.maintain(CREATE, &[&(ahead_days as i32)]).await?.get::<_, i32>(0) as u32)
    }

    /// What partitions there are.
    pub async fn partition_state(&self, retention_days: u32) -> Result<PartitionState, LogError> {
        let row = self.maintain(STATE, &[&(retention_days as i32)]).await?;
        let number = |column: &str| row.get::<_, i32>(column) as u32;
        Ok(PartitionState { ahead: number("ahead"), due: number("due") })
    }

    /// Drops the oldest partition whose events are all older than `retention_days`, if there is one and it can be had:
    /// appends and reads wait for it 50 ms at most, as a rule not at all.
    pub async fn drop_due_partition(&self, retention_days: u32) -> Result<Dropped, LogError> {
        let row = self.maintain(DROP, &[&(retention_days as i32)]).await?;
        let due = row.get::<_, i32>("due") as u32;
        Ok(match (row.get("dropped"), row.get::<_, Option<&str>>("busy")) {
            (Some(partition), _) => Dropped::One { partition, left: due },
            (None, Some("user")) => Dropped::InUse { due },
            (None, Some("archive")) => Dropped::NotArchived { due },
            (None, Some(_)) => Dropped::Locked { due },
            (None, None) => Dropped::Nothing,
        })
    }

    /// Forgets at most `most` idempotency keys that are older than two days, the oldest first.
    pub async fn forget_keys(&self, most: u32) -> Result<ForgottenKeys, LogError> {
        self.forget(FORGET, KEY_HOURS, most).await
    }

    /// Forgets at most `most` keys of latest values that no event has touched for so many days, the oldest first, and as many whose
    /// deletion is past.
    pub async fn forget_latest(&self, days: u32, most: u32) -> Result<ForgottenKeys, LogError> {
        self.forget(FORGET_LATEST, days as i32, most).await
    }

    /// Forgets at most `most` notices that were stored more than `days` ago, and at most as many marks on them.
    pub async fn forget_notices(&self, days: u32, most: u32) -> Result<ForgottenKeys, LogError> {
        self.forget(FORGET_NOTICES, days as i32, most).await
    }

    pub(super) async fn forget(&self, sql: &str, age: i32, most: u32) -> Result<ForgottenKeys, LogError> {
        let row = self.maintain(sql, &[&age, &(most as i32)]).await?;
        let overdue = Duration::from_secs_f64(row.get::<_, f64>("overdue").max(0.0));
        Ok(ForgottenKeys { forgotten: row.get::<_, i64>("forgotten") as u64, overdue })
    }

    async fn maintain(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query_one(&statement, params).await?)
        })
        .await
    }
}
