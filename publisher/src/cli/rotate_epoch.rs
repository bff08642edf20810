//! `rotate-epoch`: what does an operator do about a log that shows in no way that it took the place of another?

use super::{CliError, print};
use crate::config;
use carillon_backplane::log::{Log, LogConfig, Role};
use carillon_platform::env::Env;
use carillon_protocol::TenantId;
use clap::Args;

#[derive(Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["tenant", "all"])))]
pub(super) struct RotateEpoch {
    /// The one tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Every tenant.
    #[arg(long)]
    all: bool,
    /// Nothing was published since the restore: cursors up to the heads stay good. Without this every client is reset.
    #[arg(long)]
    nothing_published_since: bool,
}

impl RotateEpoch {
    /// Does it.
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let tenant = self.tenant.map(TenantId::new).transpose();
        let tenant = tenant.map_err(|fault| CliError::Usage(fault.to_string()))?;
        let url = config::database_url(env)?;
        let log = Log::connect(LogConfig { url, role: Role::Owner })?;
        match (log.rotate_epochs(tenant.as_ref(), self.nothing_published_since).await?, tenant) {
            (0, Some(tenant)) => Err(CliError::Usage(format!("there is no tenant {tenant}"))),
            (1, _) => print("1 tenant has a new epoch; gateways tell its clients within a second"),
            (count, _) => print(&format!(
                "{count} tenants have a new epoch; gateways tell their clients within a second"
            )),
        }
    }
}
