//! How does the suite get a system of its own, and how does it go for certain?

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use crate::failure::Failure;

/// Longest time until everything is ready; the first start may have to install servers.
const START: Duration = Duration::from_secs(300);

/// A private stack. Its processes and its data go when this value goes, whatever happened in between.
pub(super) struct Stack {
    carillon: PathBuf,
    data: PathBuf,
    /// What it said of itself: keys and addresses.
    told: PathBuf,
    /// How many gateways it has.
    pub(super) gateways: u16,
    /// Superuser's URL of its Postgres.
    pub(super) database_url: String,
}

impl Stack {
    /// Starts one in a fresh folder and writes what it says to `told`.
    pub(super) async fn start(
        carillon: &Path,
        data: &Path,
        gateways: u16,
        told: &Path,
    ) -> Result<Self, Failure> {
        let [carillon, data, told] = [carillon, data, told].map(Path::to_path_buf);
        // Before anything runs: a start that is broken off is cleaned up too.
        let mut stack = Self { carillon, data, told, gateways, database_url: String::new() };
        stack.reset()?;
        writeln!(std::io::stderr(), "starting a stack with {gateways} gateway(s)")?;
        let mut up = tokio::process::Command::new(&stack.carillon);
        up.args(["up", "--detach", "--json", "--no-demo", "--gateways", &gateways.to_string()])
            .arg("--data")
            .arg(&stack.data)
            .stdin(Stdio::null())
            // A file, not a pipe: what stays running would keep a pipe open.
            .stdout(File::create(&stack.told)?)
            .kill_on_drop(true);
        let late = |_| Failure::Late { what: "a running stack".into(), patience: START };
        let status = timeout(START, up.status()).await.map_err(late)??;
        if !status.success() {
            return Err(Failure::Usage(format!("{} up: {status}", stack.carillon.display())));
        }
        stack.database_url = database_url(&std::fs::read_to_string(&stack.told)?)?;
        Ok(stack)
    }

    /// Stops whatever runs in the folder and deletes it.
    fn reset(&self) -> Result<(), Failure> {
        if !self.data.exists() {
            return Ok(());
        }
        let mut reset = Command::new(&self.carillon);
        reset.arg("reset").arg("--data").arg(&self.data).stdin(Stdio::null()).stdout(Stdio::null());
        match reset.status()? {
            status if status.success() => Ok(()),
            status => Err(Failure::Usage(format!("the stack in {} stays: {status}", self.data.display()))),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // It is not there when nothing was started yet.
        let _ = std::fs::remove_file(&self.told);
        if let Err(failure) = self.reset() {
            // Nobody else hears of it, and processes that go on need to be known.
            let _ = writeln!(std::io::stderr(), "carillon-loadtest: {failure}");
        }
    }
}

fn database_url(told: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Told {
        database_url: String,
    }
    let told: Told = serde_json::from_str(told)
        .map_err(|error| Failure::Usage(format!("the stack said something else: {error}")))?;
    Ok(told.database_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_named() {
        let told = r#"{"lb":"http://l","database_url":"postgres://x","pids":{}}"#;
        assert_eq!(database_url(told).unwrap(), "postgres://x");
        assert!(database_url("{}").is_err());
    }

    #[tokio::test]
    async fn a_start_that_fails_is_told_and_cleaned_up() {
        let told = std::env::temp_dir().join(format!("carillon-bench-{}.json", std::process::id()));
        let data = told.with_extension("data");
        let started = Stack::start(Path::new("/bin/false"), &data, 1, &told).await;
        assert!(started.err().unwrap().to_string().contains("/bin/false up"));
        assert!(!told.exists());
    }
}
