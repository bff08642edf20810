//! What can be asked of this program on the command line?

mod api_key;
mod archive;
mod audit;
mod outbox;
mod probe;
mod rotate_epoch;
mod tenants;
mod token;

use crate::archive::Fault;
use crate::config::{self, Config, WorkConfig};
use crate::serve::{ServeError, serve};
use crate::work::work;
use carillon_backplane::bus::BusError;
use carillon_backplane::log::{LogError, migrate};
use carillon_platform::env::{ConfigError, Env, reference};
use carillon_platform::ops::{HealthError, healthcheck};
use carillon_platform::telemetry;
use clap::{Parser, Subcommand};
use std::io::{self, Write};

/// Carillon's publisher: takes events over HTTP, commits them, tells the gateways. Configured by environment
/// variables; `config` lists them.
#[derive(Parser)]
#[command(name = "carillon-publisher", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Serve,
    /// Read the logs in the background (projectors, webhooks) until SIGTERM or SIGINT, and take no requests.
    Work,
    /// Bring the database's schema up to date. Safe to repeat and while services run.
    Migrate,
    /// Print the variables and the values in effect.
    Config,
    /// Exit with 0 if the process on this host's ops port is ready.
    Healthcheck,
    /// Publish an event and receive it on a WebSocket: does the whole installation work?
    Probe(probe::Probe),
    /// Mint a user token with CARILLON_JWT_SECRET, for development and tests.
    Token(token::Token),
    /// Create, list, rotate or revoke API keys. DATABASE_URL must be a login that may act as carillon_owner.
    #[command(subcommand)]
    ApiKey(api_key::ApiKeyCommand),
    /// List who changed what administrators set, newest first, one JSON object a line. DATABASE_URL must be a login that may act as
    /// carillon_owner.
    Audit(audit::Audit),
    /// Look at events that could not be taken over from an application's transaction. DATABASE_URL must be a login that may act as
    /// carillon_owner.
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Look into the archive, compare it with its manifests, or bring events back from it.
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// Suspend a tenant, or let it go on. DATABASE_URL must be a login that may act as carillon_owner.
    #[command(subcommand)]
    Tenants(tenants::TenantsCommand),
    /// Give tenants a new epoch, after a restore that shows in no other way. DATABASE_URL must be a login that may act as
    /// carillon_owner.
    RotateEpoch(rotate_epoch::RotateEpoch),
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A variable is wrong or missing: exit code 64.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An argument is wrong: exit code 64.
    #[error("{0}")]
    Usage(String),
    /// The service could not start.
    #[error(transparent)]
    Serve(ServeError),
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] LogError),
    /// An event did not get through.
    #[error("{0}")]
    Probe(String),
    /// The archive is not what it should be.
    #[error("{0}")]
    Archive(#[from] Fault),
    /// Not ready.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// No randomness, no output.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Config(error) => CliError::Config(error),
            // These two are found only when the URL is used, and are wrong configuration all the same.
            ServeError::Database(error) => CliError::Usage(error.to_string()),
            ServeError::Redis(BusError::Config(text)) => {
                CliError::Usage(format!("REDIS_URL cannot be used: {text}"))
            }
            other => CliError::Serve(other),
        }
    }
}

impl CliError {
    /// Whether the operator's input is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, CliError::Config(_) | CliError::Usage(_))
    }
}

impl Cli {
    /// Does what was asked.
    pub async fn run(self, env: &Env) -> Result<(), CliError> {
        match self.command {
            Command::Serve => {
                let config = Config::read(env)?;
                telemetry::init(&config.common.log).map_err(ServeError::from)?;
                for warning in env.unknown(&config::variables()) {
                    tracing::warn!("{warning}");
                }
                Ok(serve(config).await?)
            }
            Command::Work => {
                let config = WorkConfig::read(env)?;
                telemetry::init(&config.log).map_err(ServeError::from)?;
                for warning in env.unknown(&config::variables()) {
                    tracing::warn!("{warning}");
                }
                Ok(work(config).await?)
            }
            Command::Migrate => {
                let report = migrate(&config::database_url(env)?).await?;
                match report.applied.len() {
                    0 => print("the schema is up to date"),
                    n => print(&format!("{n} applied:\n{}", report.applied.join("\n"))),
                }
            }
            Command::Config => {
                let variables = config::variables();
                print(&format!("{}\nIn effect:\n{}", reference(&variables), env.effective(&variables)))
            }
            Command::Healthcheck => Ok(healthcheck(config::ops_address(env)?).await?),
            Command::Probe(probe) => probe.run(env).await,
            Command::Token(token) => token.run(env),
            Command::ApiKey(command) => command.run(env).await,
            Command::Audit(audit) => audit.run(env).await,
            Command::Outbox(command) => command.run(env).await,
            Command::Archive(command) => command.run(env).await,
            Command::Tenants(command) => command.run(env).await,
            Command::RotateEpoch(rotate) => rotate.run(env).await,
        }
    }
}

/// Prints to stdout. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), CliError> {
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
