//! How does somebody run SQL in a stack's database, beside all services and all row level security?

use super::{Stack, StackError};
use crate::{environment, find};
use std::process::Stdio;
use tokio::process::{Child, Command};

impl Stack {
    /// Runs SQL as superuser and answers what `psql` prints: a row a line, columns parted by `|`.
    pub async fn sql(&self, text: &str) -> Result<String, StackError> {
        run(&self.database_url(), text).await
    }

    /// Runs SQL, each text in one request of one session, until it ends or the child is dropped: for locks that are held, snapshots
    /// that stay open, and what goes on and on.
    pub fn sql_until_dropped(&self, texts: &[&str]) -> Result<Child, StackError> {
        let mut psql = psql(&self.database_url(), texts)?;
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        psql.spawn().map_err(|error| fault(&error.to_string()))
    }
}

/// Runs SQL as the login of the URL.
pub(super) async fn run(url: &str, text: &str) -> Result<String, StackError> {
    let output = psql(url, &[text])?.output().await.map_err(|error| fault(&error.to_string()))?;
    if !output.status.success() {
        return Err(fault(String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn psql(url: &str, texts: &[&str]) -> Result<Command, StackError> {
    let mut psql = Command::new(find::servers()?.postgres_bin.join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .args(texts.iter().flat_map(|text| ["-c", *text]))
        .arg(url)
        .env_clear()
        .envs(environment::inherited())
        .kill_on_drop(true);
    Ok(psql)
}

fn fault(reason: &str) -> StackError {
    StackError::Sql(reason.to_owned())
}
