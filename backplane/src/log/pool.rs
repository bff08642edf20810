//! How do we reach Postgres, with which role and which deadlines?
//!
//! Whoever `DATABASE_URL` logs in as, the session steps down to the service's own role, which row level security
//! binds ([`session`](super::session) proves it). Every wait has a deadline, so a frozen database is an error within
//! seconds, never a hang; and each kind of work waits for its own connections only ([`work`](super::work)).

use super::error::{LogError, Unwritable, told};
use super::metrics::{answered, queried, waited};
use super::places::Kept;
use super::session::{Generation, LIMITS, READ_COMMITTED, Session, Sessions};
use super::strain::Strain;
use super::work::Work;
use crate::tls::Wanted;
use deadpool::managed::{Object, Pool, PoolError, QueueMode, Timeouts};
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time to make a connection and check its session.
const CREATE: Duration = Duration::from_millis(2_000);
/// Longest time to check the session of a connection that is there.
const RECHECK: Duration = Duration::from_millis(1_000);
/// Longest time one exchange with the database may take before its connection is given up.
pub(super) const EXCHANGE: Duration = Duration::from_millis(2_500);
/// How long a connection is kept that nothing wants, unless it is the last of its kind.
const IDLE: Duration = Duration::from_secs(60);

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
    pub(super) fn name(self) -> &'static str {
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
}

/// A session for one exchange; it goes back to its kind when dropped.
pub(super) type Client = Object<Sessions>;

/// A handle on every tenant's log. Cloning is cheap; no connection is made before the first use.
#[derive(Clone)]
pub struct Log {
    pools: Arc<[Pool<Sessions>; Work::ALL.len()]>,
    /// What whole stretches of a log are read for.
    pub(super) reading: Work,
    /// Which partitions there were a moment ago.
    pub(super) calendar: Kept,
    strain: Strain,
    /// Who asks for what is done through this handle, for the record.
    pub(super) actor: Option<Arc<str>>,
    /// For connections that are in no pool.
    direct: Arc<(tokio_postgres::Config, MakeRustlsConnect)>,
}

impl Log {
    /// Prepares the pools; only a wrong configuration fails.
    pub fn connect(config: LogConfig) -> Result<Self, LogError> {
        let (driver, tls) = driver(&config.url, config.role)?;
        let (generation, strain) = (Generation::default(), Strain::default());
        let pools: Result<Vec<_>, LogError> = Work::ALL
            .into_iter()
            .map(|work| {
                let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
                let manager = Manager::from_config(driver.clone(), tls.clone(), recycling);
                let (generation, strain) = (generation.clone(), strain.clone());
                pool(Sessions { manager, role: config.role, work, generation, strain })
            })
            .collect();
        let pools = pools?.try_into().map_err(|_| LogError::Config("a kind of work has no pool".into()))?;
        let (pools, direct) = (Arc::new(pools), Arc::new((driver, tls)));
        Ok(Self { pools, reading: Work::Resume, calendar: Kept::default(), strain, actor: None, direct })
    }

    /// The same log, whose stretches are read for streams that miss them: never behind those who come back.
    #[must_use]
    pub fn for_repairs(&self) -> Self {
        Self { reading: Work::Repair, ..self.clone() }
    }

    /// The same log, whose changes are recorded as this one's: `key:<id>` or `user:<id>`.
    #[must_use]
    pub fn acting(&self, by: &str) -> Self {
        Self { actor: Some(by.into()), ..self.clone() }
    }

    /// The same log, whose stretches are read for webhooks.
    #[must_use]
    pub fn for_webhooks(&self) -> Self {
        Self { reading: Work::Deliver, ..self.clone() }
    }

    /// How to make a connection that is in no pool.
    pub(super) fn direct(&self) -> &(tokio_postgres::Config, MakeRustlsConnect) {
        &self.direct
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), LogError> {
        let client = self.client(Work::Watch, "ping").await?;
        exchange(client, async |client| Ok(client.simple_query("SELECT 1").await.map(drop)?)).await
    }

    /// Why a kind of work gets nothing but refusals from a database that answers, if one does.
    pub fn exhausted(&self) -> Option<LogError> {
        self.strain.told(Instant::now())
    }

    /// Connections in use and connections held, for metrics.
    pub fn usage(&self) -> (usize, usize) {
        let status = self.pools.iter().map(Pool::status);
        status.fold((0, 0), |(used, held), pool| {
            (used + pool.size.saturating_sub(pool.available), held + pool.size)
        })
    }

    /// Closes connections that nothing wanted for a while; the last of each kind stays, warm.
    pub(super) fn close_idle(&self) {
        for pool in self.pools.iter() {
            let mut spare = pool.status().available.saturating_sub(1);
            pool.retain(|_, metrics| {
                let close = spare > 0 && metrics.last_used() > IDLE;
                spare -= usize::from(close);
                !close
            });
        }
    }

    /// A connection for one exchange of this kind of work, which is counted under this name.
    pub(super) async fn client(&self, work: Work, query: &'static str) -> Result<Client, LogError> {
        queried(query);
        let began = Instant::now();
        let pool = &self.pools[work as usize];
        let client = match pool.status().waiting < work.share().waiting {
            true => pool.get().await.map_err(|error| {
                if let PoolError::Backend(why) = &error {
                    self.strain.no_session(work, why, Instant::now());
                }
                LogError::from(error)
            }),
            false => Err(LogError::Busy(format!("too much waits for {}", work.name()))),
        };
        waited(began.elapsed());
        if let Err(error) = &client {
            answered(work, Some(error));
        }
        client
    }
}

/// The connections of one kind of work. The one used last is used next: its backend has the plans and the pages at hand
/// (an append costs 359 µs of it, and 666 on ten that take turns).
fn pool(sessions: Sessions) -> Result<Pool<Sessions>, LogError> {
    let share = sessions.work.share();
    Pool::builder(sessions)
        .max_size(share.connections)
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: Some(share.wait), create: Some(CREATE), recycle: Some(RECHECK) })
        .build()
        .map_err(|error| LogError::Config(error.to_string()))
}

/// Runs one exchange within its deadline. A connection that missed it is in an unknown state, so the pool loses it; with
/// one that leads nowhere, or to a server that nobody can write to, all that were made before are lost.
pub(super) async fn exchange<T>(
    client: Client,
    work: impl AsyncFnOnce(&Session) -> Result<T, LogError>,
) -> Result<T, LogError> {
    let mut held = Held(None);
    let late = || LogError::Down(format!("no answer within {} ms", EXCHANGE.as_millis()));
    let result = tokio::time::timeout(EXCHANGE, work(held.0.insert(client))).await;
    let result = result.unwrap_or_else(|_| Err(late()));
    if let Some(client) = held.0.take() {
        answered(client.work, result.as_ref().err());
        let pool = Object::pool(&client);
        if let Some(pool) = &pool {
            pool.manager().strain.note(client.work, result.as_ref().err(), Instant::now());
        }
        if result.as_ref().is_err_and(leads_astray) {
            if let Some(pool) = &pool {
                pool.manager().generation.end();
            }
            drop(Object::take(client));
        }
    }
    result
}

/// Whether an error says that the session leads to nowhere, or to a server that is no primary any more.
fn leads_astray(error: &LogError) -> bool {
    error.is_down() || matches!(error, LogError::Unwritable(Unwritable::ReadOnly, _))
}

/// A session during an exchange. When the caller goes away in the middle of it, its statement goes on: the session is
/// given back when that has ended, so that the next caller does not stand behind it, and nobody gets more of the
/// database by hanging up.
struct Held(Option<Client>);

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(client), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            if !matches!(tokio::time::timeout(EXCHANGE, client.batch_execute("")).await, Ok(Ok(()))) {
                drop(Object::take(client));
            }
        });
    }
}

/// The driver's configuration: what the URL says, TLS if it wants or the server offers it, our role, and deadlines.
pub(super) fn driver(url: &str, role: Role) -> Result<(tokio_postgres::Config, MakeRustlsConnect), LogError> {
    let (wanted, url) = Wanted::of_postgres(url);
    let tls = wanted.client().map_err(|error| LogError::Config(format!("TLS: {error}")))?;
    let mut config =
        tokio_postgres::Config::from_str(&url).map_err(|error| LogError::Config(told(&error)))?;
    let mut options = config.get_options().unwrap_or_default().to_owned();
    // Migrations choose their role and their time limits themselves.
    if role != Role::Owner {
        for (name, value) in [("role", role.name())].into_iter().chain(LIMITS) {
            options.push_str(&format!(" -c {name}={value}"));
        }
        options.push_str(&format!(" -c {READ_COMMITTED}"));
    }
    config.options(options.trim());
    config.application_name(role.name());
    config.connect_timeout(CREATE);
    config.keepalives_idle(Duration::from_secs(30));
    config.tcp_user_timeout(Duration::from_secs(10));
    Ok((config, MakeRustlsConnect::new(tls)))
}
