//! As whom does the canary go?

use crate::auth::{Caps, ClaimsForMint, config, mint};
use crate::env::{Absent, ConfigError, Env, Secret, SecretText, Var};
use carillon_protocol::{ChannelPattern, TenantId, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A token that somebody else made.
pub const TOKEN: Var<SecretText> = Var {
    name: "CARILLON_CANARY_TOKEN",
    absent: Absent::Optional("made with CARILLON_JWT_SECRET"),
    kind: SecretText { min: 16 },
    what: "user token of the canary (and of probe): tenant, channels canary:*, caps publish",
};

/// How long a token made here is valid; each use makes a new one.
const TTL: Duration = Duration::from_secs(3_600);

/// Gives a user token whenever one is needed.
pub type TokenSource = Arc<dyn Fn() -> Secret + Send + Sync>;

/// The configured token, or one made with the shared secret.
///
/// # Errors
/// There is neither.
pub fn token_source(env: &Env, tenant: &TenantId) -> Result<TokenSource, ConfigError> {
    if let Some(token) = env.optional(&TOKEN)? {
        return Ok(Arc::new(move || token.clone()));
    }
    let secret = env
        .optional(&config::SECRET)?
        .ok_or_else(|| TOKEN.error("is not set, and there is no CARILLON_JWT_SECRET to make one with"))?;
    let first = |list: Option<Vec<String>>| list.and_then(|list| list.into_iter().next());
    let claims = ClaimsForMint {
        user: UserId::new("canary").map_err(|_| TOKEN.error("has no user"))?,
        tenant: Some(tenant.clone()),
        roles: Vec::new(),
        tenants: BTreeMap::new(),
        channels: vec![ChannelPattern::new("canary:*").map_err(|_| TOKEN.error("has no channel"))?],
        caps: Caps { publish: true, admin: false },
        audience: first(env.optional(&config::AUDIENCE)?),
        issuer: first(env.optional(&config::ISSUER)?),
    };
    Ok(Arc::new(move || Secret::new(mint(&secret, &claims, SystemTime::now(), TTL))))
}
