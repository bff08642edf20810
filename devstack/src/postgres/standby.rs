//! How does a second server follow a running one?
//!
//! A base backup over the network and streaming replication, asynchronous: what a failover may lose is lost here, too.

use std::fs;
use std::io::{self, Write};

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
        let settings = data.join("postgresql.auto.conf");
        let mut file =
            fs::File::options().append(true).open(&settings).map_err(PostgresError::folder(&settings))?;
        file.write_all(b"wal_receiver_status_interval = 1\nwal_retrieve_retry_interval = 200ms\n")
            .map_err(PostgresError::folder(&settings))?;
        Self::start(config).await
    }
}
