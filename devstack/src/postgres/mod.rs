//! A private Postgres: a cluster of its own, reachable on loopback and a Unix socket only.

mod account;
mod cluster;
mod standby;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use self::account::{Account, elsewhere, socket_folder};
use crate::ports::Ports;
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};

/// Superuser and owner of everything.
pub const SUPERUSER: &str = "carillon";
/// The one database.
pub const DATABASE: &str = "carillon";

/// A start may have to replay the log of a crash.
const READY: Duration = Duration::from_secs(30);
/// A fast shutdown writes a checkpoint.
const GRACE: Duration = Duration::from_secs(20);

/// What a private Postgres shall be like.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Folder of `initdb` and `postgres`.
    pub bin: PathBuf,
    /// The stack's data folder; must exist.
    pub data: PathBuf,
    /// Its log file.
    pub log: PathBuf,
    /// The superuser's password over TCP for a new cluster; none trusts everybody on loopback.
    pub password: Option<String>,
    /// No fsync: everything is thrown away anyway. A killed server still recovers, a crashed machine would not.
    pub ephemeral: bool,
    /// Whether it ends with us (the signal is chosen here).
    pub detached: bool,
    /// Where its port comes from.
    pub ports: Ports,
    /// `name=value`: settings that are not as they are for a small machine.
    pub settings: Vec<String>,
}

impl PostgresConfig {
    /// One that lives in this folder, trusts everybody on loopback, and is thrown away.
    pub fn throw_away(bin: PathBuf, folder: &Path) -> Self {
        let log = folder.join("postgres.log");
        Self {
            bin,
            data: folder.to_path_buf(),
            log,
            password: None,
            ephemeral: true,
            detached: false,
            ports: Ports::random(),
            settings: Vec::new(),
        }
    }
}

/// A running private Postgres.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    socket: PathBuf,
    data: PathBuf,
    fresh: bool,
}

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Root needs another account to run it.
    #[error("postgres does not run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoAccount,
    /// The data lies where its user cannot go.
    #[error("the user that runs postgres cannot enter {}", folder.display())]
    Unreachable {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder or file of it cannot be used.
    #[error("cannot use {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that prepares the cluster failed.
    #[error("{tool} failed: {source}")]
    Tool {
        /// The program.
        tool: &'static str,
        /// Its last words.
        source: io::Error,
    },
    /// The server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl PostgresError {
    fn folder(folder: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let folder = folder.to_path_buf();
        move |source| Self::Folder { folder: folder.clone(), source }
    }

    fn tool(tool: &'static str, source: io::Error) -> Self {
        Self::Tool { tool, source }
    }
}

impl Postgres {
    /// Makes the cluster if there is none yet, starts the server and waits until it accepts connections.
    pub async fn start(config: PostgresConfig) -> Result<Self, PostgresError> {
        let account = Account::choose()?;
        let home = account.home(&config.data)?;
        let data = home.join("data");
        let fresh = !data.join("PG_VERSION").exists();
        if fresh {
            let plan = cluster::Plan { bin: config.bin.clone(), account, password: config.password.clone() };
            let target = data.clone();
            let created = tokio::task::spawn_blocking(move || {
                // What an interrupted earlier start left is worth nothing.
                if target.exists() {
                    fs::remove_dir_all(&target).map_err(PostgresError::folder(&target))?;
                }
                cluster::create(&plan, &target)
            });
            created.await.map_err(|panic| PostgresError::tool("initdb", io::Error::other(panic)))??;
        }
        let port =
            config.ports.take("postgres").map_err(|error| PostgresError::folder(&home)(error.into()))?;
        let socket = socket_folder(&home.join("run"));
        account.create_private(&socket).map_err(PostgresError::folder(&socket))?;
        let process = Process::start(server(&config, account, &data, &socket, port))?;
        let postgres = Self { process, port, socket, data, fresh };
        postgres.ready().await?;
        Ok(postgres)
    }

    /// Waits until it accepts connections.
    pub async fn ready(&self) -> Result<(), ProcessError> {
        self.process.ready(READY, || std::future::ready(self.says_ready())).await
    }

    /// Kills it if it runs, starts it again on the same port and data, and waits until it is ready.
    ///
    /// Sessions of a killed server live a moment longer, and as long as one does a new server refuses to start.
    pub async fn restart(&self) -> Result<(), ProcessError> {
        let deadline = Instant::now() + READY;
        loop {
            self.process.restart()?;
            match self.ready().await {
                Err(ProcessError::Exited { log, .. })
                    if log.contains("still in use") && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket; short enough for sockets of other servers too.
    pub fn socket_folder(&self) -> &Path {
        &self.socket
    }

    /// Whether this start made the cluster.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The superuser's URL through `port` (its own or a proxy's).
    pub fn url(port: u16, password: Option<&str>) -> String {
        Self::url_of(SUPERUSER, port, password)
    }

    /// A login's URL through `port`.
    pub fn url_of(login: &str, port: u16, password: Option<&str>) -> String {
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{login}{password}@127.0.0.1:{port}/{DATABASE}")
    }

    /// Like pg_ctl: the eighth line of postmaster.pid says `ready` once connections are accepted.
    fn says_ready(&self) -> bool {
        let Ok(note) = fs::read_to_string(self.data.join("postmaster.pid")) else { return false };
        let mut lines = note.lines();
        let ours = lines.next().is_some_and(|pid| pid.trim() == self.process.pid().to_string());
        ours && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }
}

fn server(config: &PostgresConfig, account: Account, data: &Path, socket: &Path, port: u16) -> Spec {
    let lifetime = match (config.detached, config.ephemeral) {
        (true, _) => Lifetime::Detached,
        (false, true) => Lifetime::Tied(Signal::QUIT),
        (false, false) => Lifetime::Tied(Signal::INT),
    };
    Spec {
        name: "postgres".into(),
        program: config.bin.join("postgres"),
        args: arguments(data, socket, port, config),
        env: Vec::new(),
        log: config.log.clone(),
        folder: "/".into(),
        account: account.0,
        lifetime,
        stop: Signal::INT,
        grace: GRACE,
    }
}

/// Settings for a small machine; everything that is not said here is Postgres's default.
fn arguments(data: &Path, socket: &Path, port: u16, config: &PostgresConfig) -> Vec<std::ffi::OsString> {
    let durable = if config.ephemeral { "off" } else { "on" };
    let buffers = if config.ephemeral { "32MB" } else { "128MB" };
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", socket.display()),
        format!("shared_buffers={buffers}"),
        "max_connections=200".into(),
        "synchronous_commit=on".into(),
        format!("fsync={durable}"),
        format!("full_page_writes={durable}"),
        "search_path=carillon, public".into(),
        "timezone=UTC".into(),
        "log_timezone=UTC".into(),
        "log_line_prefix=%m [%p] ".into(),
    ];
    let mut args = vec!["-D".into(), data.into()];
    let settings = settings.into_iter().chain(config.settings.iter().cloned());
    args.extend(settings.flat_map(|setting| ["-c".into(), setting.into()]));
    args
}

#[cfg(test)]
mod tests;
