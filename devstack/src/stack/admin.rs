//! What does the publisher's command line do for a stack? Migrations and API keys.

use std::path::Path;

use serde::Deserialize;
use tokio::process::Command;

use super::error::StackError;
use crate::environment;

/// Whom an API key may act for.
#[derive(Debug, Clone, Copy)]
pub enum KeyTenant<'a> {
    /// Every tenant; each request names its own.
    All,
    /// This one only.
    One(&'a str),
}

/// Brings the database to the binaries' version.
pub(super) async fn migrate(publisher: &Path, database_url: &str) -> Result<(), StackError> {
    run(publisher, database_url, &["migrate"]).await.map(drop)
}

/// Creates an API key with these scopes (`publish`, `read`, `admin`) and returns it.
pub(super) async fn create_api_key(
    publisher: &Path,
    database_url: &str,
    tenant: KeyTenant<'_>,
    scopes: &[&str],
) -> Result<String, StackError> {
    #[derive(Deserialize)]
    struct Created {
        key: String,
    }
    let scopes = scopes.join(",");
    let mut args = vec!["api-key", "create", "--scope", &scopes, "--json"];
    match tenant {
        KeyTenant::All => args.push("--all-tenants"),
        KeyTenant::One(tenant) => args.extend(["--tenant", tenant]),
    }
    let text = run(publisher, database_url, &args).await?;
    let created: Created = serde_json::from_str(&text).map_err(|error| StackError::Command {
        command: args.join(" "),
        reason: format!("it printed no key: {error}"),
    })?;
    Ok(created.key)
}

async fn run(publisher: &Path, database_url: &str, args: &[&str]) -> Result<String, StackError> {
    let fault = |reason| StackError::Command { command: args.join(" "), reason };
    let output = Command::new(publisher)
        .args(args)
        .env_clear()
        .envs(environment::inherited())
        .env("DATABASE_URL", database_url)
        .env("CARILLON_LOG", "warn")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| fault(source.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(fault(format!("{}; {}", output.status, words.trim())))
}
