//! Who is the bearer of this user token, and what may they do?
//!
//! A token's way: [`bearer`] takes it out of a header, [`Verifier::verify`] checks its form, signature and claims,
//! [`Claims::enter`] makes it an [`Identity`] in one tenant. The algorithm is a property of the key, never of the
//! token (RFC 8725 §3.1): a token is only tried with keys for the algorithm it names, so it cannot turn a public
//! key into a shared secret; `none` has no key. Of the token's header only `alg` and `kid` are read: `jku`, `x5u`
//! and `jwk` mean nothing here, and a `kid` is only compared with those of known keys.
//!
//! No error and no log line holds a token or a part of it.

mod claims;
pub mod config;
mod error;
mod identity;
mod in_tenant;
mod jwk;
mod jwks;
mod key;
mod mint;
mod revoked;
pub mod ticket;
mod token;

#[cfg(test)]
mod testkit;

pub use claims::Claims;
pub use config::AuthConfig;
pub use error::{AuthError, Refusal};
pub use identity::{Caps, Credentials, Identity, ServiceKey};
pub use in_tenant::{InTenant, InTenants};
pub use jwks::METRICS;
pub use mint::{ClaimsForMint, mint};
pub use revoked::{IssuedAt, Revocation, Revoked, Target};
pub use token::{TOKEN_BYTES, bearer};

use crate::env::ConfigError;
use claims::Rules;
use jwks::Jwks;
use key::Key;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use token::Token;

/// Checks user tokens. Cheap to share behind an `Arc`; keys from a JWKS URL are kept here.
pub struct Verifier {
    fixed: Vec<Key>,
    has_secret: bool,
    jwks: Option<Jwks>,
    rules: Rules,
    /// What tokens for several tenants have in common: they are kept as long as their connections.
    in_tenants: Mutex<InTenants>,
}

impl Verifier {
    /// Takes the keys the configuration names and reads the key file. A JWKS URL is fetched at the first token
    /// that needs it, or by [`Verifier::load_keys`].
    pub fn new(config: AuthConfig) -> Result<Self, ConfigError> {
        let mut fixed: Vec<Key> = config.secrets.iter().map(Key::of_secret).collect();
        if let Some(path) = &config.public_key_file {
            fixed.extend(config::read_public_keys(path)?);
        }
        let has_secret = !config.secrets.is_empty();
        let jwks = config.jwks_url.map(Jwks::new).transpose()?;
        if fixed.is_empty() && jwks.is_none() {
            return Err(config::no_keys());
        }
        let (audiences, issuers) = (config.audiences, config.issuers);
        let rules = Rules { audiences, issuers, clock_skew: config.clock_skew };
        Ok(Self { fixed, has_secret, jwks, rules, in_tenants: Mutex::default() })
    }

    /// Fetches the JWKS if there is one and it was never fetched, so that the first user need not wait.
    /// [`AuthError::KeysUnavailable`] when that fails; tokens are refused with the same error until it succeeds.
    pub async fn load_keys(&self, now: SystemTime) -> Result<(), AuthError> {
        match &self.jwks {
            Some(jwks) => jwks.load(now).await,
            None => Ok(()),
        }
    }

    /// Checks a token; `now` is the time that counts for its expiry and for the age of fetched keys. Waits only
    /// when a key must be fetched, at most as long as one fetch may take (5 s).
    pub async fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, AuthError> {
        let token = Token::parse(token)?;
        if !self.fixed.iter().any(|key| key.verifies(&token)) {
            match &self.jwks {
                Some(jwks) => jwks.verify(&token, now).await,
                None => Err(AuthError::Signature),
            }
            .map_err(|error| self.explain(error, &token))?;
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Claims::read(&token.payload, now, &self.rules, |of| {
            self.in_tenants.lock().unwrap_or_else(PoisonError::into_inner).shared(of)
        })
    }

    /// A signature that no key could have checked is a matter of the algorithm.
    fn explain(&self, error: AuthError, token: &Token<'_>) -> AuthError {
        let of_a_key = self.fixed.iter().any(|key| key.is_for(&token.algorithm))
            || self.jwks.as_ref().is_some_and(|jwks| jwks.has_key_for(&token.algorithm));
        match error {
            AuthError::Signature if !of_a_key => {
                AuthError::Algorithm(key::why_not(&token.algorithm, self.has_secret))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testkit::{Signer, at, claims_json, mint_for};
    use super::*;
    use crate::env::Secret;
    use jsonwebtoken::Algorithm;
    use std::time::Duration;

    const SECRET: &str = "0123456789abcdef";
    const NOW: u64 = 1_800_000_000;

    fn config() -> AuthConfig {
        AuthConfig {
            secrets: vec![Secret::new(SECRET)],
            public_key_file: None,
            jwks_url: None,
            audiences: Vec::new(),
            issuers: Vec::new(),
            clock_skew: Duration::from_secs(5),
        }
    }

    fn with_pem(pem: &str) -> (tempfile::NamedTempFile, AuthConfig) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        let config =
            AuthConfig { secrets: Vec::new(), public_key_file: Some(file.path().to_owned()), ..config() };
        (file, config)
    }

    async fn code(verifier: &Verifier, token: &str) -> &'static str {
        match verifier.verify(token, at(NOW)).await {
            Ok(_) => "accepted",
            Err(error) => error.code(),
        }
    }

    #[tokio::test]
    async fn a_token_of_the_current_or_the_previous_secret_is_accepted() {
        let previous = "fedcba9876543210";
        let secrets = vec![Secret::new(SECRET), Secret::new(previous)];
        let verifier = Verifier::new(AuthConfig { secrets, ..config() }).unwrap();
        assert_eq!(code(&verifier, &mint_for(SECRET, NOW)).await, "accepted");
        assert_eq!(code(&verifier, &mint_for(previous, NOW)).await, "accepted");
        assert_eq!(code(&verifier, &mint_for("another secret!!", NOW)).await, "token_signature");
    }

    #[tokio::test]
    async fn each_kind_of_public_key_verifies_its_own_algorithm() {
        for signer in [Signer::rsa(), Signer::p256(), Signer::p384(), Signer::ed25519()] {
            let (_file, config) = with_pem(&signer.public_pem);
            let verifier = Verifier::new(config).unwrap();
            let token = signer.sign(&claims_json(NOW), None);
            assert_eq!(code(&verifier, &token).await, "accepted", "{:?}", signer.algorithm);
            let other = Signer::like(&signer).sign(&claims_json(NOW), None);
            assert_eq!(code(&verifier, &other).await, "token_signature", "{:?}", signer.algorithm);
        }
    }

    #[tokio::test]
    async fn one_key_file_holds_several_keys_for_rotation() {
        let (old, new) = (Signer::p256(), Signer::ed25519());
        let (_file, config) = with_pem(&format!("{}\n# next\n{}", old.public_pem, new.public_pem));
        let verifier = Verifier::new(config).unwrap();
        for signer in [old, new] {
            assert_eq!(code(&verifier, &signer.sign(&claims_json(NOW), None)).await, "accepted");
        }
    }

    #[tokio::test]
    async fn a_public_key_is_never_a_shared_secret() {
        let signer = Signer::rsa();
        let (_file, config) = with_pem(&signer.public_pem);
        let both = AuthConfig { secrets: vec![Secret::new(SECRET)], ..config };
        let verifier = Verifier::new(both).unwrap();
        for secret in [signer.public_pem.as_str(), signer.public_pem.trim_end()] {
            assert_eq!(code(&verifier, &mint_for(secret, NOW)).await, "token_signature");
        }
        assert_eq!(
            code(&verifier, &mint_for(SECRET, NOW)).await,
            "accepted",
            "the twin: the real secret works"
        );
    }

    #[tokio::test]
    async fn a_token_without_a_signature_or_with_a_foreign_algorithm_is_refused() {
        let verifier = Verifier::new(config()).unwrap();
        let good = mint_for(SECRET, NOW);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let payload = signed.split_once('.').unwrap().1;
        for alg in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA"] {
            let header = testkit::part(&format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
            for signature in [signature, "", "AA"] {
                let refused = code(&verifier, &format!("{header}.{payload}.{signature}")).await;
                assert!(["token_signature", "token_malformed"].contains(&refused), "{alg}: {refused}");
            }
        }
    }

    #[tokio::test]
    async fn a_secret_takes_the_longer_hmacs_when_it_is_long_enough() {
        for (bytes, accepted) in [
            (16, &["HS256"][..]),
            (47, &["HS256"]),
            (48, &["HS256", "HS384"]),
            (63, &["HS256", "HS384"]),
            (64, &["HS256", "HS384", "HS512"]),
        ] {
            let secret = "s".repeat(bytes);
            let verifier =
                Verifier::new(AuthConfig { secrets: vec![Secret::new(secret.as_str())], ..config() })
                    .unwrap();
            for (alg, algorithm) in
                [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
            {
                let token = testkit::hmac(&secret, algorithm, &claims_json(NOW));
                let result = verifier.verify(&token, at(NOW)).await;
                assert_eq!(result.is_ok(), accepted.contains(&alg), "{alg} with {bytes} bytes");
                if let Err(error) = result {
                    let text = error.to_string();
                    assert!(
                        text.starts_with(&format!("the token's algorithm {alg} is not accepted: it needs"))
                            && error.code() == "token_signature",
                        "{text}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn an_algorithm_without_a_key_is_named_and_a_strange_one_is_not_repeated() {
        let verifier = Verifier::new(config()).unwrap();
        let payload = testkit::part(&claims_json(NOW));
        let text = async |alg: &str| {
            let header = testkit::part(&format!(r#"{{"alg":"{alg}"}}"#));
            verifier.verify(&format!("{header}.{payload}.AA"), at(NOW)).await.err().unwrap().to_string()
        };
        for alg in ["RS256", "ES512", "none"] {
            let wanted =
                format!("the token's algorithm {alg} is not accepted: no key of this service is for it");
            assert_eq!(text(alg).await, wanted);
        }
        assert_eq!(text("<script>").await, "the token's algorithm is not accepted");
        assert_eq!(text("HS256").await, AuthError::Signature.to_string());
    }

    #[tokio::test]
    async fn keys_that_the_token_itself_brings_are_not_looked_at() {
        let verifier = Verifier::new(config()).unwrap();
        let thief = Signer::ed25519();
        for extra in [
            r#""jku":"http://127.0.0.1:9/keys""#,
            r#""x5u":"http://127.0.0.1:9/cert""#,
            &format!(r#""jwk":{}"#, thief.jwk("k")),
            r#""kid":"../../../../dev/null""#,
            r#""kid":"' OR 1=1 --""#,
        ] {
            let token = thief.sign_with_header(&format!(r#"{{"alg":"EdDSA",{extra}}}"#), &claims_json(NOW));
            assert_eq!(code(&verifier, &token).await, "token_signature", "{extra}");
        }
    }

    #[tokio::test]
    async fn a_changed_payload_breaks_the_signature() {
        let verifier = Verifier::new(config()).unwrap();
        let good = mint_for(SECRET, NOW);
        let parts: Vec<&str> = good.split('.').collect();
        let other = testkit::part(&claims_json(NOW).replace("acme", "evil"));
        assert_eq!(code(&verifier, &format!("{}.{other}.{}", parts[0], parts[2])).await, "token_signature");
    }

    #[tokio::test]
    async fn no_error_repeats_the_token() {
        let verifier = Verifier::new(config()).unwrap();
        let token = mint_for("another secret!!", NOW);
        let error = verifier.verify(&token, at(NOW)).await.err().unwrap();
        for part in token.split('.') {
            assert!(!format!("{error} {error:?}").contains(part));
        }
    }

    #[test]
    fn no_key_at_all_is_a_configuration_fault() {
        let error = Verifier::new(AuthConfig { secrets: Vec::new(), ..config() }).err().unwrap();
        assert_eq!(error.variable, "CARILLON_JWT_SECRET");
        assert!(error.to_string().contains("CARILLON_JWKS_URL"), "{error}");
    }

    #[test]
    fn a_key_file_that_is_not_one_public_key_or_more_is_a_configuration_fault() {
        let signer = Signer::rsa();
        let secp256k1 = Signer::secp256k1_public_pem();
        for (pem, fault) in [
            ("", "holds no public key"),
            ("hello", "holds no public key"),
            (signer.private_pem.as_str(), "holds a private key"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "CERTIFICATE"),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
                "not an RSA, P-256, P-384 or Ed25519 key",
            ),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n", "does not end"),
            (secp256k1.as_str(), "another curve than P-256 or P-384"),
            (Signer::rsa_1024_public_pem().as_str(), "2048"),
        ] {
            let (_file, config) = with_pem(pem);
            let error = Verifier::new(config).err().unwrap_or_else(|| panic!("accepted: {fault}"));
            assert_eq!(error.variable, "CARILLON_JWT_PUBLIC_KEY_FILE");
            assert!(error.to_string().contains(fault), "{error}");
        }
        let missing = AuthConfig { public_key_file: Some("/nonexistent".into()), ..config() };
        assert!(Verifier::new(missing).err().unwrap().to_string().contains("cannot be read"));
    }
}
