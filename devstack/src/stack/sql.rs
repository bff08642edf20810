//! How does somebody run SQL in a stack's database, beside all services and all row level security?

use super::{Stack, StackError};
use crate::{environment, find};
use std::process::Stdio;
use tokio::process::{Child, Command};

impl Stack {
    /// Runs SQL as superuser and answers what `psql` prints: a row a line, columns parted by `|`.
    pub async fn sql(&self, text: &str) -> Result<String, StackError> {
        let output = self.psql(text)?.output().await.map_err(|error| fault(&error.to_string()))?;
        if !output.status.success() {
            return Err(fault(String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs SQL until it ends or the child is dropped: for locks that are held and snapshots that stay open.
    pub fn sql_until_dropped(&self, text: &str) -> Result<Child, StackError> {
        let mut psql = self.psql(text)?;
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        psql.spawn().map_err(|error| fault(&error.to_string()))
    }

    fn psql(&self, text: &str) -> Result<Command, StackError> {
        let mut psql = Command::new(find::servers()?.postgres_bin.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text])
            .arg(self.database_url())
            .env_clear()
            .envs(environment::inherited())
            .kill_on_drop(true);
        Ok(psql)
    }
}

fn fault(reason: &str) -> StackError {
    StackError::Sql(reason.to_owned())
}
