//! Which settings decide what makes a user token valid?

use super::key::{self, Key};
use crate::env::{Absent, ConfigError, Env, List, Millis, Secret, SecretText, TEXT, Url, Var};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Shortest shared secret, in bytes. RFC 7518 §3.2 asks for 32; existing installations have shorter ones.
const SECRET_BYTES: usize = 16;
/// Largest key file, in bytes.
const KEY_FILE_BYTES: u64 = 64 * 1024;

/// The shared secret of HMAC tokens.
pub const SECRET: Var<SecretText> = Var {
    name: "CARILLON_JWT_SECRET",
    absent: Absent::Optional("no HMAC tokens"),
    kind: SecretText { min: SECRET_BYTES },
    what: "shared secret of user tokens: HS256 (32 random bytes or more are recommended), from 48 bytes on also HS384, from 64 on HS512",
};

/// The shared secret that was valid before.
pub const SECRET_PREVIOUS: Var<SecretText> = Var {
    name: "CARILLON_JWT_SECRET_PREVIOUS",
    absent: Absent::Optional("none"),
    kind: SecretText { min: SECRET_BYTES },
    what: "the secret before a rotation; its tokens stay valid while this is set",
};

/// The file of public keys.
pub const PUBLIC_KEY_FILE: Var<crate::env::Path> = Var {
    name: "CARILLON_JWT_PUBLIC_KEY_FILE",
    absent: Absent::Optional("none"),
    kind: crate::env::Path,
    what: "PEM file with one or more public keys: RSA (RS256), EC P-256 (ES256), EC P-384 (ES384) or Ed25519 (EdDSA)",
};

/// The key set of an identity provider.
pub const JWKS_URL: Var<Url> = Var {
    name: "CARILLON_JWKS_URL",
    absent: Absent::Optional("none"),
    kind: Url(&["https", "http"]),
    what: "JSON Web Key Set of an identity provider; fetched at most once a minute, old keys stay when that fails",
};

/// Accepted audiences.
pub const AUDIENCE: Var<List<crate::env::Checked>> = Var {
    name: "CARILLON_JWT_AUDIENCE",
    absent: Absent::Optional("not checked"),
    kind: List(TEXT),
    what: "audiences of which a token must name one",
};

/// Accepted issuers.
pub const ISSUER: Var<List<crate::env::Checked>> = Var {
    name: "CARILLON_JWT_ISSUER",
    absent: Absent::Optional("not checked"),
    kind: List(TEXT),
    what: "issuers of which a token must name one",
};

/// How far the clock of a token's issuer may be ahead.
pub const CLOCK_SKEW: Var<Millis> = Var {
    name: "CARILLON_JWT_CLOCK_SKEW_MS",
    absent: Absent::Default("5000"),
    kind: Millis { min: 0, max: 300_000 },
    what: "how far iat and nbf of a token may lie in the future, because its issuer's clock is ahead; exp is exact",
};

/// What makes a user token valid.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Shared secrets of HMAC tokens, the current one first.
    pub secrets: Vec<Secret>,
    /// File of PEM public keys.
    pub public_key_file: Option<PathBuf>,
    /// Key set of an identity provider.
    pub jwks_url: Option<reqwest::Url>,
    /// Accepted `aud`; empty: not checked.
    pub audiences: Vec<String>,
    /// Accepted `iss`; empty: not checked.
    pub issuers: Vec<String>,
    /// How far `iat` and `nbf` may lie in the future.
    pub clock_skew: Duration,
}

impl AuthConfig {
    /// Reads and checks it. No source of keys at all is a fault; files are read by [`super::Verifier::new`].
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        let current = env.optional(&SECRET)?;
        let previous = env.optional(&SECRET_PREVIOUS)?;
        if current.is_none() && previous.is_some() {
            return Err(SECRET_PREVIOUS.error("is set, but CARILLON_JWT_SECRET is not"));
        }
        let config = Self {
            secrets: current.into_iter().chain(previous).collect(),
            public_key_file: env.optional(&PUBLIC_KEY_FILE)?,
            jwks_url: env.optional(&JWKS_URL)?,
            audiences: env.optional(&AUDIENCE)?.unwrap_or_default(),
            issuers: env.optional(&ISSUER)?.unwrap_or_default(),
            clock_skew: env.get(&CLOCK_SKEW)?,
        };
        if config.secrets.is_empty() && config.public_key_file.is_none() && config.jwks_url.is_none() {
            return Err(no_keys());
        }
        Ok(config)
    }
}

/// The fault of a configuration under which no token could ever be valid.
pub(super) fn no_keys() -> ConfigError {
    ConfigError::new(
        SECRET.name,
        "is not set, and no other source of keys for user tokens is",
        "at least one of CARILLON_JWT_SECRET, CARILLON_JWT_PUBLIC_KEY_FILE and CARILLON_JWKS_URL",
    )
}

/// Reads the keys of [`PUBLIC_KEY_FILE`].
pub(super) fn read_public_keys(path: &Path) -> Result<Vec<Key>, ConfigError> {
    let unreadable = |error: std::io::Error| {
        PUBLIC_KEY_FILE.error(format!("names {}, which cannot be read: {}", path.display(), error.kind()))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(KEY_FILE_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > KEY_FILE_BYTES {
        return Err(PUBLIC_KEY_FILE.error("names a file larger than 64 KiB"));
    }
    let text = String::from_utf8_lossy(&content);
    key::of_pem(&text).map_err(|fault| PUBLIC_KEY_FILE.error(format!("names a file that {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_keys_may_be_combined() {
        let env = Env::of([
            ("CARILLON_JWT_SECRET", "0123456789abcdef"),
            ("CARILLON_JWT_SECRET_PREVIOUS", "fedcba9876543210"),
            ("CARILLON_JWKS_URL", "https://id.example/jwks.json"),
            ("CARILLON_JWT_AUDIENCE", "carillon, backoffice"),
        ]);
        let config = AuthConfig::read(&env).unwrap();
        assert_eq!(config.secrets.len(), 2);
        assert_eq!(config.secrets[0].expose(), "0123456789abcdef", "the current secret is tried first");
        assert_eq!(config.audiences, ["carillon", "backoffice"]);
        assert!(config.jwks_url.is_some() && config.issuers.is_empty());
    }

    #[test]
    fn a_short_secret_and_a_lonely_previous_one_are_refused_by_name() {
        let refused = |name| AuthConfig::read(&Env::of([(name, "fifteen bytes..")])).err().unwrap();
        assert!(
            refused("CARILLON_JWT_SECRET").to_string().starts_with("CARILLON_JWT_SECRET has only 15 bytes")
        );
        let lonely = AuthConfig::read(&Env::of([("CARILLON_JWT_SECRET_PREVIOUS", "0123456789abcdef")]));
        assert_eq!(lonely.err().unwrap().variable, "CARILLON_JWT_SECRET_PREVIOUS");
    }

    #[test]
    fn no_source_of_keys_is_refused() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(AuthConfig::read(&Env::of(none)).err().unwrap(), no_keys());
    }
}
