//! pgpool-II in front of a private Postgres: a pooler that passes start-up options on.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::ports;
use crate::postgres::{Account, PostgresError};
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};

const READY: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);

/// How pgpool is started.
#[derive(Debug, Clone)]
pub struct PgpoolConfig {
    /// `pgpool`.
    pub program: PathBuf,
    /// Where its files and sockets lie; created if it is not there, and its path must be short. Whoever runs Postgres must
    /// be able to enter every folder above it.
    pub folder: PathBuf,
    /// The port of the Postgres behind it.
    pub postgres: u16,
    /// Who asks there which server is the primary.
    pub login: String,
    /// Further lines of its configuration.
    pub settings: String,
}

/// A running pgpool. It runs as Postgres does.
#[derive(Debug)]
pub struct Pgpool {
    process: Process,
    listen: SocketAddr,
}

/// Why there is no pooler.
#[derive(Debug, thiserror::Error)]
pub enum PgpoolError {
    /// Root needs another account to run it.
    #[error(transparent)]
    Account(#[from] PostgresError),
    /// Its configuration cannot be written.
    #[error("cannot configure pgpool: {0}")]
    Configuration(#[from] io::Error),
    /// The server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl Pgpool {
    /// Starts it on a free port and waits until it accepts connections.
    pub async fn start(config: PgpoolConfig) -> Result<Self, PgpoolError> {
        let account = Account::choose()?;
        account.create_private(&config.folder)?;
        let (listen, control) = (ports::loopback(ports::free()?), ports::free()?);
        let file = |name: &str| config.folder.join(name);
        fs::write(file("pgpool.conf"), conf(&config, listen.port(), control))?;
        // Nobody may command it, and everybody may come in as whom Postgres lets in.
        fs::write(file("pcp.conf"), "")?;
        fs::write(file("pool_hba.conf"), "")?;
        let args = ["-n", "-f", "pgpool.conf", "-F", "pcp.conf", "-a", "pool_hba.conf"];
        let in_folder = |arg: &str| if arg.starts_with('-') { arg.into() } else { file(arg).into() };
        let process = Process::start(Spec {
            name: "pgpool".into(),
            program: config.program.clone(),
            args: args.map(in_folder).into(),
            env: Vec::new(),
            log: file("pgpool.log"),
            folder: "/".into(),
            account: account.0,
            lifetime: Lifetime::Tied(Signal::INT),
            // Its children go with it only when it is asked to stop.
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

/// Everything that is not said here is pgpool's default.
fn conf(config: &PgpoolConfig, port: u16, control: u16) -> String {
    let PgpoolConfig { folder, postgres, login, settings, .. } = config;
    let folder = folder.display();
    format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         pcp_port = {control}\n\
         socket_dir = '{folder}'\n\
         pcp_socket_dir = '{folder}'\n\
         pid_file_name = '{folder}/pgpool.pid'\n\
         logdir = '{folder}'\n\
         backend_clustering_mode = 'streaming_replication'\n\
         backend_hostname0 = '127.0.0.1'\n\
         backend_port0 = {postgres}\n\
         sr_check_user = '{login}'\n\
         sr_check_database = 'postgres'\n\
         {settings}\n"
    )
}
