//! How do we reach Postgres, with which role and which deadlines?
//!
//! Whoever `DATABASE_URL` logs in as, the session steps down to the service's own role, which row level security
//! binds. Every wait has a deadline, so a frozen database is an error within seconds, never a hang.

use super::metrics::{answers, queried, waited};
use crate::tls::Wanted;
use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use std::error::Error as _;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest wait for a free connection.
const WAIT: Duration = Duration::from_millis(1_000);
/// Longest time to make a connection.
const CREATE: Duration = Duration::from_millis(2_000);
/// Longest time one exchange with the database may take before its connection is given up.
pub(super) const EXCHANGE: Duration = Duration::from_millis(2_500);
/// Longest time the database works on one statement, milliseconds; below [`EXCHANGE`] so that it stops working first.
const STATEMENT_MS: u64 = 2_000;

/// Which of the three database roles a process works as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Appends and queries.
    Publisher,
    /// Reads.
    Gateway,
    /// Owns the schema: migrations and API keys.
    Owner,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Publisher => "carillon_publisher",
            Role::Gateway => "carillon_gateway",
            Role::Owner => "carillon_owner",
        }
    }
}

/// Where the log is and how to use it.
#[derive(Clone)]
pub struct LogConfig {
    /// `postgres://…`; holds a password, so the struct has no `Debug`.
    pub url: String,
    /// Which role to work as.
    pub role: Role,
    /// Most connections at a time.
    pub pool_size: usize,
}

/// Why the log did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be reached, or was too slow. What was asked may or may not have been done.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// `DATABASE_URL` cannot be used.
    #[error("database configuration: {0}")]
    Config(String),
    /// The schema is not there (or not up to date).
    #[error("the database is not migrated: run carillon-publisher migrate ({0})")]
    NotMigrated(String),
    /// A row or table that the statement needs was locked by others for longer than it may wait. Nothing was done.
    #[error("locked by another transaction: {0}")]
    Locked(String),
    /// The database refused a statement.
    #[error("database error: {0}")]
    Database(String),
}

impl LogError {
    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, LogError::Unavailable(_) | LogError::Locked(_))
    }
}

impl From<tokio_postgres::Error> for LogError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else { return LogError::Unavailable(told(&error)) };
        let text = format!("{} ({})", db.message(), db.code().code());
        let class = db.code().code().get(..2).unwrap_or_default();
        match db.code() {
            &SqlState::UNDEFINED_TABLE
            | &SqlState::UNDEFINED_FUNCTION
            | &SqlState::UNDEFINED_OBJECT
            | &SqlState::INVALID_SCHEMA_NAME => LogError::NotMigrated(text),
            // A role that does not exist (yet) is refused as an invalid parameter of the connection.
            &SqlState::INVALID_PARAMETER_VALUE if text.contains("role") => LogError::NotMigrated(text),
            &SqlState::READ_ONLY_SQL_TRANSACTION => LogError::Unavailable(text),
            &SqlState::LOCK_NOT_AVAILABLE => LogError::Locked(text),
            // 08 connection, 53 resources, 55 lock not available, 57 operator intervention, 58 system, 40 rolled back
            _ if matches!(class, "08" | "40" | "53" | "55" | "57" | "58") => LogError::Unavailable(text),
            _ => LogError::Database(text),
        }
    }
}

/// The driver says what it did, and only the source of its error what went wrong.
fn told(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl From<PoolError> for LogError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => LogError::Unavailable("every connection is busy".into()),
            other => LogError::Unavailable(other.to_string()),
        }
    }
}

/// A handle on every tenant's log. Cloning is cheap; no connection is made before the first use.
#[derive(Clone)]
pub struct Log {
    pool: Pool,
}

impl Log {
    /// Prepares a pool; only a wrong configuration fails.
    pub fn connect(config: LogConfig) -> Result<Self, LogError> {
        let (driver, tls) = driver(&config.url, config.role)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(driver, tls, recycling);
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CREATE))
            .recycle_timeout(Some(WAIT))
            .build()
            .map_err(|error| LogError::Config(error.to_string()))?;
        Ok(Self { pool })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), LogError> {
        let client = self.client("ping").await?;
        exchange(client, async |client| Ok(client.simple_query("SELECT 1").await.map(drop)?)).await
    }

    /// Connections in use and connections held, for metrics.
    pub fn usage(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.size)
    }

    /// A connection for one exchange, which is counted under this name.
    pub(super) async fn client(&self, query: &'static str) -> Result<Object, LogError> {
        queried(query);
        let began = Instant::now();
        let client = self.pool.get().await;
        waited(began.elapsed());
        let client = client.map_err(LogError::from);
        if client.is_err() {
            answers(false);
        }
        client
    }
}

/// Runs one exchange within its deadline. A connection that missed it is in an unknown state, so the pool loses it.
pub(super) async fn exchange<T>(
    client: Object,
    work: impl AsyncFnOnce(&Object) -> Result<T, LogError>,
) -> Result<T, LogError> {
    match tokio::time::timeout(EXCHANGE, work(&client)).await {
        Ok(result) => {
            answers(!matches!(result, Err(LogError::Unavailable(_))));
            result
        }
        Err(_) => {
            answers(false);
            drop(Object::take(client));
            Err(LogError::Unavailable(format!("no answer within {} ms", EXCHANGE.as_millis())))
        }
    }
}

/// The driver's configuration: what the URL says, TLS if it wants or the server offers it, our role, and deadlines.
pub(super) fn driver(url: &str, role: Role) -> Result<(tokio_postgres::Config, MakeRustlsConnect), LogError> {
    let (wanted, url) = Wanted::of_postgres(url);
    let tls = wanted.client().map_err(|error| LogError::Config(format!("TLS: {error}")))?;
    let mut config =
        tokio_postgres::Config::from_str(&url).map_err(|error| LogError::Config(told(&error)))?;
    let mut options = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    // Migrations choose their role and their time limits themselves. A generic plan is always the right one here
    // (every statement goes by an index that begins with the tenant), and planning over many partitions for each
    // execution would cost more than most executions do.
    if role != Role::Owner {
        options.push_str(&format!(
            "-c role={} -c statement_timeout={STATEMENT_MS} -c lock_timeout={STATEMENT_MS} \
             -c idle_in_transaction_session_timeout=10000 -c plan_cache_mode=force_generic_plan -c jit=off",
            role.name()
        ));
    }
    config.options(options.trim());
    config.application_name(role.name());
    config.connect_timeout(CREATE);
    config.keepalives_idle(Duration::from_secs(30));
    config.tcp_user_timeout(Duration::from_secs(10));
    Ok((config, MakeRustlsConnect::new(tls)))
}
