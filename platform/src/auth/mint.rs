//! How is a token for development made?

use super::identity::Caps;
use crate::env::Secret;
use carillon_protocol::{ChannelPattern, TenantId, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// What a minted token shall say. Real tokens come from the application that knows its users.
#[derive(Debug, Clone)]
pub struct ClaimsForMint {
    /// `sub`.
    pub user: UserId,
    /// The default tenant.
    pub tenant: Option<TenantId>,
    /// Roles in the default tenant.
    pub roles: Vec<String>,
    /// Roles in further tenants.
    pub tenants: BTreeMap<TenantId, Vec<String>>,
    /// Channels the user may subscribe to.
    pub channels: Vec<ChannelPattern>,
    /// What else the user may do.
    pub caps: Caps,
    /// `aud`, when the verifier asks for one.
    pub audience: Option<String>,
    /// `iss`, when the verifier asks for one.
    pub issuer: Option<String>,
}

#[derive(Serialize)]
struct Payload<'a> {
    sub: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a TenantId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tenants: &'a BTreeMap<TenantId, Vec<String>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [ChannelPattern],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caps: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: u64,
    exp: u64,
}

/// An HS256 token that is valid from `now` for `ttl` (whole seconds).
pub fn mint(secret: &Secret, claims: &ClaimsForMint, now: SystemTime, ttl: Duration) -> String {
    let iat = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let caps = [("publish", claims.caps.publish), ("admin", claims.caps.admin)];
    let payload = Payload {
        sub: &claims.user,
        tenant: claims.tenant.as_ref(),
        roles: &claims.roles,
        tenants: &claims.tenants,
        channels: &claims.channels,
        caps: caps.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect(),
        aud: claims.audience.as_deref(),
        iss: claims.issuer.as_deref(),
        iat,
        exp: iat.saturating_add(ttl.as_secs()),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &key)
        .expect("texts and numbers always serialise, and HMAC takes a key of any length")
}
