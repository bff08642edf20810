//! Why did the log not do what was asked, and whose fault is it?
//!
//! Three things that look alike to who waits are told apart, because they ask for different deeds: a database that is
//! [`Down`](LogError::Down) is asked by nobody until it answers again; one that is [`Busy`](LogError::Busy) does its
//! work, and one caller comes later; a question that is [`TooSlow`](LogError::TooSlow) should be another question. A
//! breaker, a gauge or a probe that takes the second or the third for the first lets one caller stop all others.

use deadpool::managed::{PoolError, TimeoutType};
use std::error::Error as _;
use tokio_postgres::error::{DbError, SqlState};

/// Why the log did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It cannot be reached, or an answer never came. What was asked may or may not have been done.
    #[error("database unavailable: {0}")]
    Down(String),
    /// It works, but not for this caller at this time: every connection for this kind of work is in use, too many wait
    /// for one, or another transaction came first. Nothing was done.
    #[error("database busy: {0}")]
    Busy(String),
    /// It works, and a row or table that the statement needs was locked by others for longer than it may wait. Nothing
    /// was done.
    #[error("locked by another transaction: {0}")]
    Locked(String),
    /// It works, and what was asked took longer than a statement may. Nothing was done.
    #[error("database statement too slow: {0}")]
    TooSlow(String),
    /// It answers and takes no events. Nothing was done.
    #[error("{0}: {1}")]
    Unwritable(Unwritable, String),
    /// The session is not the one that was asked for: something between drops its options. Nothing was done.
    #[error("database session refused: {0}")]
    Session(String),
    /// It answers and has no memory or no places for locks left for what was asked. Nothing was done.
    #[error("the database has no memory or no places for locks left: {0}")]
    Exhausted(String),
    /// `DATABASE_URL` cannot be used.
    #[error("database configuration: {0}")]
    Config(String),
    /// The schema is not there (or not up to date).
    #[error("the database is not migrated: run carillon-publisher migrate ({0})")]
    NotMigrated(String),
    /// The database refused a statement.
    #[error("database error: {0}")]
    Database(String),
}

/// Why a database that answers takes no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unwritable {
    /// No space is left where it keeps its data.
    #[error("the database's disk is full")]
    Full,
    /// Its transactions are read-only by setting.
    #[error("the database is read-only")]
    ReadOnly,
    /// It follows a primary: it was demoted, or the address leads to a replica.
    #[error("the database is a standby")]
    Standby,
    /// There is no partition for the present day.
    #[error("the log has no partition for now")]
    NoPartition,
}

impl Unwritable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::ReadOnly, Self::Standby, Self::NoPartition];

    /// The stable name, in problem codes and reasons of readiness.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "database_full",
            Self::ReadOnly => "database_read_only",
            Self::Standby => "database_standby",
            Self::NoPartition => "no_partition",
        }
    }
}

impl LogError {
    /// Whether the database is to be left alone until it answers again. Nothing else may trip a breaker.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down(_))
    }

    /// Whether nobody is served, or nobody who writes, until something changes.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Unwritable(..) | Self::Session(_))
    }

    /// Whether the log is well, and only this caller, or this question, was refused.
    pub fn is_overload(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Locked(_) | Self::TooSlow(_) | Self::Exhausted(_))
    }

    /// The stable name, for metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Down(_) => "down",
            Self::Busy(_) => "busy",
            Self::Locked(_) => "locked",
            Self::TooSlow(_) => "too_slow",
            Self::Exhausted(_) => "exhausted",
            Self::Unwritable(why, _) => why.code(),
            Self::Session(_) => "session",
            Self::Config(_) => "config",
            Self::NotMigrated(_) => "not_migrated",
            Self::Database(_) => "refused",
        }
    }
}

impl From<tokio_postgres::Error> for LogError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => classify(&Told::of(db)),
            None => Self::Down(told(&error)),
        }
    }
}

/// What of a database's refusal says which kind it is. Messages are in the server's language, so none is looked at
/// except where a code is not enough.
struct Told<'a> {
    code: &'a SqlState,
    message: &'a str,
    table: Option<&'a str>,
    constraint: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(db: &'a DbError) -> Self {
        Self { code: db.code(), message: db.message(), table: db.table(), constraint: db.constraint() }
    }
}

fn classify(told: &Told<'_>) -> LogError {
    let text = format!("{} ({})", told.message, told.code.code());
    match *told.code {
        SqlState::LOCK_NOT_AVAILABLE => return LogError::Locked(text),
        SqlState::QUERY_CANCELED => return LogError::TooSlow(text),
        SqlState::DISK_FULL => return LogError::Unwritable(Unwritable::Full, text),
        SqlState::READ_ONLY_SQL_TRANSACTION => return LogError::Unwritable(Unwritable::ReadOnly, text),
        // A row that no partition takes violates a constraint that has no name.
        SqlState::CHECK_VIOLATION if told.table == Some("events") && told.constraint.is_none() => {
            return LogError::Unwritable(Unwritable::NoPartition, text);
        }
        // A pooler that takes no start-up options says so in these words (08P01), in one language.
        SqlState::PROTOCOL_VIOLATION if told.message.contains("startup parameter") => {
            return LogError::Session(format!("{text}; {}", super::session::WITHOUT_OPTIONS));
        }
        SqlState::OUT_OF_MEMORY => return LogError::Exhausted(text),
        SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_FUNCTION
        | SqlState::UNDEFINED_OBJECT
        | SqlState::INVALID_SCHEMA_NAME => return LogError::NotMigrated(text),
        // A role that does not exist (yet) is refused as an invalid parameter of the connection.
        SqlState::INVALID_PARAMETER_VALUE if text.contains("role") => return LogError::NotMigrated(text),
        _ => {}
    }
    match told.code.code().get(..2).unwrap_or_default() {
        // connection, operator intervention, system error
        "08" | "57" | "58" => LogError::Down(text),
        // rolled back for another transaction, resources, an object in use
        "40" | "53" | "55" => LogError::Busy(text),
        _ => LogError::Database(text),
    }
}

/// The driver says what it did, and only the source of its error what went wrong.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl From<PoolError<LogError>> for LogError {
    fn from(error: PoolError<LogError>) -> Self {
        match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => Self::Busy("every connection is in use".into()),
            other => Self::Down(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(code: &str) -> &'static str {
        let code = SqlState::from_code(code);
        classify(&Told { code: &code, message: "m", table: None, constraint: None }).kind()
    }

    #[test]
    fn only_a_database_that_cannot_be_reached_is_down() {
        for code in ["08006", "08003", "57P01", "57P02", "57P03", "58030"] {
            assert_eq!(kind_of(code), "down", "{code}");
        }
        for code in ["55006", "40P01", "40001", "53300"] {
            assert_eq!(kind_of(code), "busy", "{code}");
        }
        assert_eq!(kind_of("53200"), "exhausted");
        assert_eq!(kind_of("55P03"), "locked");
        assert_eq!(kind_of("57014"), "too_slow");
        assert_eq!(kind_of("53100"), "database_full");
        assert_eq!(kind_of("25006"), "database_read_only");
        assert_eq!(kind_of("42P01"), "not_migrated");
        assert_eq!(kind_of("23505"), "refused");
    }

    #[test]
    fn a_pooler_that_refuses_our_options_is_named() {
        let (code, message) = (SqlState::PROTOCOL_VIOLATION, "unsupported startup parameter: options");
        let error = classify(&Told { code: &code, message, table: None, constraint: None });
        assert_eq!(error.kind(), "session");
        assert!(error.to_string().contains("ignore_startup_parameters"), "{error}");
        assert_eq!(kind_of("08P01"), "down");
    }

    #[test]
    fn a_row_without_a_partition_is_told_from_a_violated_check() {
        let code = SqlState::CHECK_VIOLATION;
        let kind =
            |table, constraint| classify(&Told { code: &code, message: "m", table, constraint }).kind();
        assert_eq!(kind(Some("events"), None), "no_partition");
        assert_eq!(kind(Some("events"), Some("events_seq_check")), "refused");
        assert_eq!(kind(Some("tenants"), None), "refused");
    }
}
