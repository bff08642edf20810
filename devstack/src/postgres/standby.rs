//! How does a second server follow a running one?
//!
//! A base backup over the network and streaming replication, asynchronous: what a failover may lose is lost here, too.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::cluster::{Plan, succeeded};
use super::{Account, Postgres, PostgresConfig, PostgresError, SUPERUSER};

impl Postgres {
    /// Starts a hot standby of this server, in a folder of its own.
    pub async fn standby(&self, config: PostgresConfig) -> Result<Self, PostgresError> {
        let account = Account::choose()?;
        let data = account.home(&config.data)?.join("data");
        let plan = Plan { bin: config.bin.clone(), account, password: None };
        let (port, target) = (self.port.to_string(), data.clone());
        let copied = tokio::task::spawn_blocking(move || {
            let mut backup = plan.command_in_bin("pg_basebackup");
            backup.args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                SUPERUSER,
                "-X",
                "stream",
                "-c",
                "fast",
                "-R",
                "-D",
            ]);
            succeeded("pg_basebackup", backup.arg(target).output())
        });
        copied.await.map_err(|panic| PostgresError::tool("pg_basebackup", io::Error::other(panic)))??;
        // Says sooner than every ten seconds where it is, and asks sooner again when its primary was away.
        set(&data, "wal_receiver_status_interval = 1\nwal_retrieve_retry_interval = 200ms\n")?;
        Self::start(config).await
    }

    /// A switchover: stops it, which waits until its standbys have everything, lets `promote` make one of them the
    /// primary, and starts it again as a standby of that one, which listens on this port.
    pub async fn demote(&self, port: u16, promote: impl Future<Output = ()>) -> Result<(), PostgresError> {
        self.process.terminate().await?;
        promote.await;
        set(&self.data, &format!("primary_conninfo = 'host=127.0.0.1 port={port} user={SUPERUSER}'\n"))?;
        let signal = self.data.join("standby.signal");
        fs::write(&signal, []).map_err(PostgresError::folder(&signal))?;
        Ok(self.restart().await?)
    }
}

/// Adds lines to what `ALTER SYSTEM` has set.
fn set(data: &Path, lines: &str) -> Result<(), PostgresError> {
    let settings = data.join("postgresql.auto.conf");
    let file = fs::File::options().append(true).open(&settings);
    let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
    written.map_err(PostgresError::folder(&settings))
}
