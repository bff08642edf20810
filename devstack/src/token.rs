//! How does a developer's user token come to be?

use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

/// The tenant the examples speak of: a photo studio with appointments.
pub const DEMO_TENANT: &str = "studio-nova";
/// The person the examples speak of: works at the reception of [`DEMO_TENANT`].
pub const DEMO_USER: &str = "anna";
/// What [`DEMO_USER`] may subscribe to beside her own channels: the contacts of the studio.
pub const DEMO_CHANNELS: &str = "contact:*";

/// What a token says about its bearer (PROTOCOL, section 1).
#[derive(Debug, Clone, Serialize)]
pub struct Claims {
    /// User id.
    pub sub: String,
    /// Default tenant.
    pub tenant: String,
    /// Roles in the default tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Further tenants and the roles there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, Vec<String>>,
    /// Channel patterns the user may subscribe to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// `publish`, `admin`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    /// What they say about themselves to whoever sees who is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<serde_json::Value>,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Valid until, Unix seconds.
    pub exp: u64,
}

impl Claims {
    /// A user of one tenant without roles, from `now` (Unix seconds) for `ttl` seconds.
    pub fn new(tenant: impl Into<String>, user: impl Into<String>, now: u64, ttl: u64) -> Self {
        Self {
            sub: user.into(),
            tenant: tenant.into(),
            roles: Vec::new(),
            tenants: BTreeMap::new(),
            channels: Vec::new(),
            caps: Vec::new(),
            meta: None,
            iat: now,
            exp: now.saturating_add(ttl),
        }
    }

    /// With these roles.
    #[must_use]
    pub fn roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// And in this tenant with these roles.
    #[must_use]
    pub fn also<S: Into<String>>(
        mut self,
        tenant: impl Into<String>,
        roles: impl IntoIterator<Item = S>,
    ) -> Self {
        self.tenants.insert(tenant.into(), roles.into_iter().map(Into::into).collect());
        self
    }

    /// With these channel patterns.
    #[must_use]
    pub fn channels<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.channels = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// With these capabilities.
    #[must_use]
    pub fn caps<S: Into<String>>(mut self, caps: impl IntoIterator<Item = S>) -> Self {
        self.caps = caps.into_iter().map(Into::into).collect();
        self
    }

    /// Signs the claims with a shared secret (HS256).
    pub fn sign(&self, secret: &str) -> Result<String, TokenError> {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::default(), self, &key).map_err(TokenError)
    }
}

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign a token: {0}")]
pub struct TokenError(jsonwebtoken::errors::Error);

/// Unix seconds now.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    use super::*;

    #[test]
    fn a_signed_token_carries_the_contract_s_fields() {
        let claims = Claims::new("studio-nova", "anna", now(), 60).roles(["staff"]).channels(["contact:*"]);
        let token = claims.sign("a secret of at least thirty-two bytes").unwrap();
        let key = DecodingKey::from_secret(b"a secret of at least thirty-two bytes");
        let seen = jsonwebtoken::decode::<serde_json::Value>(token, &key, &Validation::new(Algorithm::HS256))
            .unwrap()
            .claims;
        assert_eq!(seen["sub"], "anna");
        assert_eq!(seen["tenant"], "studio-nova");
        assert_eq!(seen["roles"][0], "staff");
        assert_eq!(seen["channels"][0], "contact:*");
        assert_eq!(seen["exp"].as_u64().unwrap() - seen["iat"].as_u64().unwrap(), 60);
        assert!(seen.get("caps").is_none());
    }
}
