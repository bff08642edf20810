//! `audit`: who changed what?

use super::{CliError, print};
use crate::config;
use crate::http::audit::record;
use carillon_backplane::log::{AuditAsk, Log, LogConfig, Owner, Role};
use carillon_platform::env::Env;
use carillon_protocol::TenantId;
use clap::Args;
use jiff::Timestamp;

/// Records that are read at a time.
const PAGE: usize = 200;

#[derive(Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["tenant", "installation"])))]
pub(super) struct Audit {
    /// What was changed of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// What was changed of the installation.
    #[arg(long)]
    installation: bool,
    /// By whom, as listed: key:ID, user:ID, service, login:NAME.
    #[arg(long)]
    actor: Option<String>,
    /// What: webhook.deleted, or webhook for all that was done to webhooks.
    #[arg(long)]
    action: Option<String>,
    /// To which, as listed.
    #[arg(long)]
    target: Option<String>,
    /// From this time on: RFC 3339.
    #[arg(long)]
    from: Option<Timestamp>,
    /// Before this time: RFC 3339.
    #[arg(long)]
    to: Option<Timestamp>,
    /// Older than the record of this id.
    #[arg(long, default_value_t = i64::MAX, hide_default_value = true)]
    before: i64,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

impl Audit {
    /// Prints them.
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let tenant = self.tenant.map(TenantId::new).transpose();
        let tenant = tenant.map_err(|fault| CliError::Usage(fault.to_string()))?;
        let owner = tenant.map_or(Owner::Installation, Owner::Tenant);
        let log = Log::connect(LogConfig { url: config::database_url(env)?, role: Role::Owner })?;
        let Self { actor, action, target, from, to, before, limit, .. } = self;
        let mut ask = AuditAsk { actor, action, target, from, to, before, limit: PAGE };
        let mut left = limit as usize;
        while left > 0 {
            ask.limit = left.min(PAGE);
            let page = log.audit(&owner, &ask).await?;
            let is_last = page.len() < ask.limit;
            left -= page.len();
            for entry in page {
                ask.before = entry.id;
                print(&serde_json::to_string(&record(entry)).map_err(std::io::Error::other)?)?;
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }
}
