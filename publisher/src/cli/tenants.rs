//! `tenants`: how is a tenant suspended, and how does that end?

use super::{CliError, print};
use crate::config;
use carillon_backplane::log::{Log, LogConfig, Role};
use carillon_platform::env::Env;
use carillon_protocol::TenantId;
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum TenantsCommand {
    /// End a tenant's connections and refuse everybody who publishes or reads in it. Nothing of it is lost.
    Suspend {
        /// The tenant.
        tenant: String,
    },
    /// Let a suspended tenant go on where it was.
    Resume {
        /// The tenant.
        tenant: String,
    },
}

impl TenantsCommand {
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let (name, suspended) = match self {
            Self::Suspend { tenant } => (tenant, true),
            Self::Resume { tenant } => (tenant, false),
        };
        let tenant = TenantId::new(name).map_err(|fault| CliError::Usage(fault.to_string()))?;
        let log = Log::connect(LogConfig { url: config::database_url(env)?, role: Role::Owner })?;
        if !log.set_suspended(&tenant, suspended).await? {
            return Err(CliError::Usage(format!("there is no tenant {tenant}")));
        }
        let what = if suspended { "is suspended" } else { "is not suspended any more" };
        print(&format!("{tenant} {what}; every service knows it within a second"))
    }
}
