//! `api-key`: how does an API key begin and end?

use super::{CliError, print};
use crate::config;
use carillon_backplane::api_key::Fresh;
use carillon_backplane::log::{ApiKey, Log, LogConfig, Role};
use carillon_platform::env::Env;
use carillon_protocol::TenantId;
use clap::{Args, Subcommand};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECS: u64 = 86_400;

#[derive(Subcommand)]
pub(super) enum ApiKeyCommand {
    /// Create a key. It is printed once and cannot be read back.
    Create(Create),
    /// End a key. It stops working within 10 seconds.
    Revoke {
        /// The key's id: the part between `crln_` and the next underscore.
        id: String,
    },
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["tenant", "all_tenants"])))]
pub(super) struct Create {
    /// The one tenant the key is for.
    #[arg(long)]
    tenant: Option<String>,
    /// For every tenant; requests then name theirs.
    #[arg(long)]
    all_tenants: bool,
    /// What it is good for: publish, read, admin; separated by commas.
    #[arg(long = "scope", value_name = "SCOPES", required = true, value_delimiter = ',', value_parser = ["publish", "read", "admin"])]
    scopes: Vec<String>,
    /// Days until it ends. Default: never.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    expires_days: Option<u64>,
    /// Print JSON: {"id","key","tenant","scopes"}.
    #[arg(long)]
    json: bool,
}

impl ApiKeyCommand {
    /// Does it.
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let url = config::database_url(env)?;
        let log = Log::connect(LogConfig { url, role: Role::Owner })?;
        match self {
            ApiKeyCommand::Create(create) => create.run(&log).await,
            ApiKeyCommand::Revoke { id } => {
                if log.revoke_api_key(&id).await? {
                    print(&format!("{id} is revoked; it stops working within 10 seconds"))
                } else {
                    Err(CliError::Usage(format!("there is no working API key with the id {id:?}")))
                }
            }
        }
    }
}

impl Create {
    async fn run(self, log: &Log) -> Result<(), CliError> {
        let tenant = self.tenant.map(TenantId::new).transpose();
        let tenant = tenant.map_err(|fault| CliError::Usage(fault.to_string()))?;
        let fresh = Fresh::make().map_err(|error| CliError::System(std::io::Error::other(error)))?;
        let has = |scope: &str| self.scopes.iter().any(|given| given == scope);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let key = ApiKey {
            id: fresh.id,
            hash: fresh.hash,
            tenant,
            publish: has("publish"),
            read: has("read"),
            admin: has("admin"),
            relay: false,
            expires_at_secs: self.expires_days.map(|days| now + days * DAY_SECS),
        };
        log.create_api_key(&key).await?;
        if !self.json {
            return print(&fresh.text);
        }
        let scopes: Vec<&str> = ["publish", "read", "admin"].into_iter().filter(|scope| has(scope)).collect();
        let json =
            serde_json::json!({"id": key.id, "key": fresh.text, "tenant": key.tenant, "scopes": scopes});
        print(&json.to_string())
    }
}
