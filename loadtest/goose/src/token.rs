//! How does a user token come to be? (A JWT signed with the shared secret, HS256.)

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::Error;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

/// Lifetime in seconds: longer than any run.
const LIFETIME: u64 = 6 * 3600;

/// What a token says about its bearer (docs/PROTOCOL.md, section 2).
#[derive(Debug, Serialize)]
pub(crate) struct Claims<'a> {
    /// User id.
    pub(crate) sub: &'a str,
    /// Their tenant.
    pub(crate) tenant: &'a str,
    /// Their roles there.
    pub(crate) roles: &'a [&'a str],
    /// Patterns of channels they may join.
    pub(crate) channels: &'a [&'a str],
    /// What they may do: `publish`, `admin`.
    pub(crate) caps: &'a [&'a str],
}

#[derive(Serialize)]
struct Dated<'a> {
    #[serde(flatten)]
    claims: &'a Claims<'a>,
    iat: u64,
    exp: u64,
}

/// Signs the claims for a few hours.
pub(crate) fn mint(claims: &Claims<'_>, secret: &str) -> Result<String, Error> {
    let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let dated = Dated { claims, iat, exp: iat + LIFETIME };
    jsonwebtoken::encode(&Header::default(), &dated, &EncodingKey::from_secret(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    use super::*;

    #[test]
    fn a_token_carries_the_claims_and_ends_later_than_it_began() {
        let claims =
            Claims { sub: "anna", tenant: "acme", roles: &["admin"], channels: &["*"], caps: &["publish"] };
        let token = mint(&claims, "a secret of at least thirty-two bytes").unwrap();
        let key = DecodingKey::from_secret(b"a secret of at least thirty-two bytes");
        let said = jsonwebtoken::decode::<serde_json::Value>(token, &key, &Validation::new(Algorithm::HS256))
            .unwrap()
            .claims;
        assert_eq!(
            (&said["sub"], &said["tenant"], &said["caps"][0]),
            (&"anna".into(), &"acme".into(), &"publish".into())
        );
        assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), LIFETIME);
    }
}
