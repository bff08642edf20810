//! `token`: how is a user token for development and tests made?

use super::{CliError, print};
use carillon_platform::auth::{Caps, ClaimsForMint, config as auth, mint};
use carillon_platform::env::Env;
use carillon_protocol::{Channel, ChannelPattern, TenantId, UserId};
use clap::Args;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

#[derive(Args)]
pub(super) struct Token {
    /// The tenant.
    #[arg(long)]
    tenant: String,
    /// The user (`sub`).
    #[arg(long)]
    user: String,
    /// A role in the tenant; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A channel or pattern (`contact:*`) the user may subscribe to; may be repeated.
    #[arg(long = "channel", value_name = "PATTERN")]
    channels: Vec<String>,
    /// A capability: publish or admin; may be repeated.
    #[arg(long = "cap", value_name = "CAP", value_parser = ["publish", "admin"])]
    caps: Vec<String>,
    /// Seconds until the token expires.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    ttl: u64,
}

impl Token {
    /// Prints the token.
    pub(super) fn run(self, env: &Env) -> Result<(), CliError> {
        let secret = env.optional(&auth::SECRET)?.ok_or_else(|| auth::SECRET.error("is not set"))?;
        let first = |list: Option<Vec<String>>| list.and_then(|list| list.into_iter().next());
        let usage = |fault: carillon_protocol::ident::InvalidName| CliError::Usage(fault.to_string());
        for role in &self.roles {
            Channel::role(role).map_err(usage)?;
        }
        let has = |cap: &str| self.caps.iter().any(|given| given == cap);
        let claims = ClaimsForMint {
            user: UserId::new(&self.user).map_err(usage)?,
            tenant: Some(TenantId::new(&self.tenant).map_err(usage)?),
            tenants: BTreeMap::new(),
            channels: self
                .channels
                .iter()
                .map(ChannelPattern::new)
                .collect::<Result<_, _>>()
                .map_err(usage)?,
            caps: Caps { publish: has("publish"), admin: has("admin") },
            audience: first(env.optional(&auth::AUDIENCE)?),
            issuer: first(env.optional(&auth::ISSUER)?),
            roles: self.roles,
        };
        print(&mint(&secret, &claims, SystemTime::now(), Duration::from_secs(self.ttl)))
    }
}
