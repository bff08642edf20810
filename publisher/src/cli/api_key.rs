//! `api-key`: which API keys are there, and how does one begin, change and end?

use super::{CliError, print};
use crate::config;
use crate::http::keys::shapes::{ApiKeyMade, shown};
use crate::http::keys::{MOST, MOST_OVERLAP, OVERLAP};
use carillon_backplane::api_key::Fresh;
use carillon_backplane::log::{ApiKey, KeyChange, KeyEntry, Log, LogConfig, Owner, Role};
use carillon_platform::env::Env;
use carillon_protocol::TenantId;
use clap::{Args, Subcommand};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECS: u64 = 86_400;

#[derive(Subcommand)]
pub(super) enum ApiKeyCommand {
    /// Create a key. It is printed once and cannot be read back.
    Create(Create),
    /// List keys by id, one JSON object a line, also those that have ended.
    List(List),
    /// Replace a key by another that may do the same. The new one is printed once and cannot be read back.
    Rotate(Rotate),
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

#[derive(Args)]
#[command(group(clap::ArgGroup::new("of").required(true).args(["tenant", "all_tenants"])))]
pub(super) struct List {
    /// Those of a tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Those for every tenant.
    #[arg(long)]
    all_tenants: bool,
}

#[derive(Args)]
pub(super) struct Rotate {
    /// The key's id: the part between `crln_` and the next underscore.
    id: String,
    /// For how long the key before goes on, in seconds.
    #[arg(long, default_value_t = OVERLAP, value_parser = clap::value_parser!(u64).range(0..=MOST_OVERLAP))]
    overlap_seconds: u64,
    /// Print JSON: what `list` says of it, and "key".
    #[arg(long)]
    json: bool,
}

/// Keys that are read at a time.
const PAGE: usize = 200;

impl ApiKeyCommand {
    /// Does it.
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let url = config::database_url(env)?;
        let log = Log::connect(LogConfig { url, role: Role::Owner })?;
        match self {
            ApiKeyCommand::Create(create) => create.run(&log).await,
            ApiKeyCommand::List(list) => list.run(&log).await,
            ApiKeyCommand::Rotate(rotate) => rotate.run(&log).await,
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

impl List {
    async fn run(self, log: &Log) -> Result<(), CliError> {
        let tenant = self.tenant.map(TenantId::new).transpose();
        let tenant = tenant.map_err(|fault| CliError::Usage(fault.to_string()))?;
        let owner = tenant.map_or(Owner::Installation, Owner::Tenant);
        let mut after = String::new();
        loop {
            let page = log.api_keys(owner.tenant(), &after, None, PAGE).await?;
            let is_last = page.len() < PAGE;
            for key in page {
                after.clone_from(&key.id);
                print(&line(&owner, key)?)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

impl Rotate {
    async fn run(self, log: &Log) -> Result<(), CliError> {
        let none = || CliError::Usage(format!("there is no working API key with the id {:?}", self.id));
        let owner = log.owner_of_api_key(&self.id).await?.ok_or_else(none)?;
        let fresh = Fresh::make().map_err(|error| CliError::System(std::io::Error::other(error)))?;
        let overlap = u32::try_from(self.overlap_seconds).unwrap_or(u32::MAX);
        let made_of = (fresh.id.as_str(), &fresh.hash);
        match log.rotate_api_key(owner.tenant(), &self.id, made_of, overlap, MOST).await? {
            KeyChange::Done => {}
            KeyChange::NoKey | KeyChange::Ended => return Err(none()),
            KeyChange::TooMany => {
                let detail = format!("there are {MOST} keys that work, and no more may be: end some");
                return Err(CliError::Usage(detail));
            }
        }
        if !self.json {
            return print(&fresh.text);
        }
        let stored = log.api_keys(owner.tenant(), "", Some(&fresh.id), 1).await?;
        let key = stored.into_iter().next().ok_or_else(none)?;
        let made = ApiKeyMade { shown: shown(&owner, key), key: fresh.text };
        print(&serde_json::to_string(&made).map_err(std::io::Error::other)?)
    }
}

fn line(owner: &Owner, key: KeyEntry) -> Result<String, CliError> {
    Ok(serde_json::to_string(&shown(owner, key)).map_err(std::io::Error::other)?)
}
