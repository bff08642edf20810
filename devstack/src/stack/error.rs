//! Why does a stack not run?

use std::io;
use std::path::PathBuf;

use crate::find::{Missing, NotBuilt};
use crate::haproxy::HaproxyError;
use crate::ports::PortError;
use crate::postgres::PostgresError;
use crate::process::ProcessError;
use crate::redis::RedisError;

/// Why a stack did not start, grow or stop.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Config(&'static str),
    /// Servers are missing.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Our binaries are missing.
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
    /// The data folder cannot be used.
    #[error("cannot use {}: {source}", folder.display())]
    Folder {
        /// The folder or file.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A port cannot be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A proxy or the probes' client did not start.
    #[error("cannot start {what}: {source}")]
    Part {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// No Redis.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// No load balancer.
    #[error(transparent)]
    Haproxy(#[from] HaproxyError),
    /// A service did not start or stop.
    #[error(transparent)]
    Service(#[from] ProcessError),
    /// A command of the publisher (`migrate`, `api-key create`) failed.
    #[error("carillon-publisher {command} failed: {reason}")]
    Command {
        /// Its arguments.
        command: String,
        /// Its exit status and last words.
        reason: String,
    },
    /// `psql` refused.
    #[error("psql: {0}")]
    Sql(String),
}
