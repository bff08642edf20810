//! How do we reach Postgres, with which role and which deadlines?
//!
//! Whoever `DATABASE_URL` logs in as, the session steps down to the service's own role, which row level security
//! binds. Every wait has a deadline, so a frozen database is an error within seconds, never a hang.

use super::error::{LogError, told};
use super::metrics::{answered, queried, waited};
use crate::tls::Wanted;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use std::str::FromStr;
use std::time::{Duration, Instant};
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
        if let Err(error) = &client {
            answered(Some(error));
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
            answered(result.as_ref().err());
            result
        }
        Err(_) => {
            drop(Object::take(client));
            let error = LogError::Down(format!("no answer within {} ms", EXCHANGE.as_millis()));
            answered(Some(&error));
            Err(error)
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
    // execution would cost more than most executions do. Such a plan may be older than the rows of a partition: one made
    // while today's was empty would read all of it, again and again, so no plan may choose that.
    if role != Role::Owner {
        options.push_str(&format!(
            "-c role={} -c statement_timeout={STATEMENT_MS} -c lock_timeout={STATEMENT_MS} \
             -c idle_in_transaction_session_timeout=10000 -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off",
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
