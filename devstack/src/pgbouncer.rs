//! A pooler in front of a private Postgres: what becomes of the services' sessions behind one?

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::ports;
use crate::postgres::{Account, DATABASE, PostgresError};
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};

const READY: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(5);

/// How PgBouncer is started.
#[derive(Debug, Clone)]
pub struct PgBouncerConfig {
    /// `pgbouncer`.
    pub program: PathBuf,
    /// Where its configuration and its log lie; created if it is not there. Whoever runs Postgres must be able to enter
    /// every folder above it.
    pub folder: PathBuf,
    /// The port of the Postgres behind it.
    pub postgres: u16,
    /// Whom it logs in as there, whoever its clients say they are.
    pub login: String,
    /// Lines of its section `[pgbouncer]`.
    pub settings: String,
}

/// A running PgBouncer. It runs as Postgres does: it refuses to be root.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    listen: SocketAddr,
}

/// Why there is no pooler.
#[derive(Debug, thiserror::Error)]
pub enum PgBouncerError {
    /// Root needs another account to run it.
    #[error(transparent)]
    Account(#[from] PostgresError),
    /// Its configuration cannot be written.
    #[error("cannot configure pgbouncer: {0}")]
    Configuration(#[from] io::Error),
    /// The server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl PgBouncer {
    /// Starts it on a free port and waits until it accepts connections.
    pub async fn start(config: PgBouncerConfig) -> Result<Self, PgBouncerError> {
        let account = Account::choose()?;
        account.create_private(&config.folder)?;
        let listen = ports::loopback(ports::free()?);
        let file = config.folder.join("pgbouncer.ini");
        fs::write(&file, ini(&config, listen.port()))?;
        let process = Process::start(Spec {
            name: "pgbouncer".into(),
            program: config.program,
            args: vec![file.into()],
            env: Vec::new(),
            log: config.folder.join("pgbouncer.log"),
            folder: "/".into(),
            account: account.0,
            lifetime: Lifetime::Tied(Signal::KILL),
            stop: Signal::INT,
            grace: GRACE,
        })?;
        process.ready(READY, || async { TcpStream::connect(listen).await.is_ok() }).await?;
        Ok(Self { process, listen })
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.listen
    }
}

/// Everything that is not said here is PgBouncer's default.
fn ini(config: &PgBouncerConfig, port: u16) -> String {
    let PgBouncerConfig { postgres, login, settings, .. } = config;
    format!(
        "[databases]\n\
         {DATABASE} = host=127.0.0.1 port={postgres} user={login}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         {settings}\n"
    )
}
