//! What does the log count?

use super::work::Work;
use super::{Log, LogError};
use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

const QUERIES: &str = "carillon_log_queries_total";
const FAILURES: &str = "carillon_log_failures_total";
const UP: &str = "carillon_db_up";
const POOL: &str = "carillon_db_pool_connections";
const IN_USE: &str = "carillon_db_pool_in_use";
const WAIT: &str = "carillon_db_pool_wait_seconds";
/// How often the pool is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Gives the installed recorder the meaning of every metric of the log.
pub fn describe() {
    describe_counter!(
        QUERIES,
        "Exchanges with Postgres, by query: append, locked (whose rows others hold), heads (of all tenants of a node), open, oldest, rotate, settle (new epochs after a change of lineage), read (a page \
         after a cursor), span (which numbers some days have, in a log of many partitions), bounds, index and walk (the steps of a search), lease, news, lag, project and maintain (readers of the log), event, \
         key, maintenance (partitions and retention), prove (that an event could be stored), database (which one it is), ping."
    );
    describe_counter!(
        FAILURES,
        "Exchanges with Postgres that failed, by work (append, watch, ask, repair, resume, search, upkeep, deliver, outbox: each has \
         connections of its own) and kind: down (not reached, or no answer), busy (no free \
         connection, another transaction came first), locked (a row or table), too_slow (took more than two seconds), exhausted (no memory or no \
         places for locks are left in the database), database_full, database_read_only, database_standby, \
         no_partition (it takes no events), session (its options were dropped on the way), not_migrated, config, \
         refused (an error of the statement)."
    );
    describe_gauge!(
        UP,
        "1 while Postgres answers: 0 after an exchange that failed because it could not be reached or no answer came. \
         A caller that is refused because others are busy, or asks too much, does not change it."
    );
    describe_gauge!(POOL, "Connections to Postgres this process holds, looked at once a second.");
    describe_gauge!(IN_USE, "Connections to Postgres in use, looked at once a second.");
    describe_histogram!(
        WAIT,
        "From wanting a connection to Postgres to having one; a new one is made within it."
    );
}

/// Counts one exchange.
pub(super) fn queried(query: &'static str) {
    counter!(QUERIES, "query" => query).increment(1);
}

/// Notes how an exchange ended: whether the database answered, and what it refused.
pub(super) fn answered(work: Work, error: Option<&LogError>) {
    gauge!(UP).set(if error.is_some_and(LogError::is_down) { 0.0 } else { 1.0 });
    if let Some(error) = error {
        counter!(FAILURES, "work" => work.name(), "kind" => error.kind()).increment(1);
    }
}

/// Notes how long a connection was waited for.
pub(super) fn waited(time: Duration) {
    histogram!(WAIT).record(time.as_secs_f64());
}

/// Tells how the connections are used and closes those that nothing wants, until the process ends.
pub async fn watch_pool(log: Log) {
    let (pool, in_use) = (gauge!(POOL), gauge!(IN_USE));
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let (used, held) = log.usage();
        in_use.set(used as f64);
        pool.set(held as f64);
        log.close_idle();
    }
}
