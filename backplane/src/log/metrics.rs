//! What does the log count?

use ::metrics::{counter, describe_counter};

const QUERIES: &str = "carillon_log_queries_total";

/// Gives the installed recorder the meaning of every metric of the log.
pub fn describe() {
    describe_counter!(
        QUERIES,
        "Exchanges with Postgres, by query: append, heads (of all tenants of a node), open, oldest, rotate, read (a page \
         after a cursor), newest (where history begins), list, event, key, janitor, ping."
    );
}

/// Counts one exchange.
pub(super) fn queried(query: &'static str) {
    counter!(QUERIES, "query" => query).increment(1);
}
