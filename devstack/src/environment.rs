//! What does devstack take from its own environment? (The only place that reads it.)

use std::ffi::OsString;

/// Variables that children inherit; nothing else of the caller's shell reaches a service, so that a stray
/// `DATABASE_URL` cannot lead a private stack to somebody's real database.
const INHERITED: [&str; 8] =
    ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE", "LD_LIBRARY_PATH"];

/// The variables of [`INHERITED`] that are set.
pub(crate) fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// Folders to look for programs in.
pub(crate) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into())
}

/// Another Postgres than the one that would be found: the folder of its `initdb` and `postgres`.
pub(crate) fn postgres_bin() -> Option<std::path::PathBuf> {
    std::env::var_os("CARILLON_POSTGRES_BIN").filter(|folder| !folder.is_empty()).map(Into::into)
}

/// Whether a stack's services log in as docs/OPERATIONS.md says, and not as the superuser.
pub(crate) fn documented_logins() -> bool {
    std::env::var_os("CARILLON_POSTGRES_LOGINS").is_some_and(|value| value == "documented")
}

/// How much later than usual the services of a test's stack hear what they have subscribed to in Redis, in milliseconds.
///
/// A node hears of an event or a change after whoever made it has the answer; how long after, nobody promises. With this a
/// test that takes for granted that a node knows it already fails each time (`make late`).
pub(crate) fn redis_news_delay() -> std::time::Duration {
    let given = std::env::var("CARILLON_TEST_REDIS_LATE_MS").ok().and_then(|text| text.parse().ok());
    std::time::Duration::from_millis(given.unwrap_or(0))
}

/// Whether the user asked for output without colours (no-color.org), or the terminal has none.
pub fn refuses_colour() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb")
}
