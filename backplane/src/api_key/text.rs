//! What does an API key look like, and how is one made and recognised?
//!
//! `crln_<id>_<secret>`: the id finds the stored key, the secret proves it. Only SHA-256 of the secret is stored;
//! that is enough for 32 random bytes, which nobody can guess (a slow hash protects only guessable secrets).

use crate::log::ApiKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every API key begins with.
pub const PREFIX: &str = "crln_";
const ID_BYTES: usize = 10;
const SECRET_BYTES: usize = 32;
/// Longest id that is looked up.
const ID_CHARS: usize = 32;
/// Longest secret that is hashed.
const SECRET_CHARS: usize = 128;

/// A key as it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Presented<'a> {
    /// The public part.
    pub(super) id: &'a str,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    /// The parts of a text that has the form of a key.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id_fits = (1..=ID_CHARS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let secret_fits = (1..=SECRET_CHARS).contains(&secret.len())
            && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (id_fits && secret_fits).then_some(Self { id, secret })
    }

    /// Whether the secret is the stored key's, in a time that does not depend on where they differ.
    pub(super) fn proves(&self, stored: &ApiKey) -> bool {
        hash(self.secret).ct_eq(&stored.hash).into()
    }
}

/// A fresh key: its id, its text (to be shown once), and the hash to be stored.
pub struct Fresh {
    /// The public part.
    pub id: String,
    /// The whole key.
    pub text: String,
    /// What is stored of the secret.
    pub hash: [u8; 32],
}

impl Fresh {
    /// Makes a key of the operating system's randomness.
    pub fn make() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = URL_SAFE_NO_PAD.encode(secret);
        Ok(Self { text: format!("{PREFIX}{id}_{secret}"), hash: hash(&secret), id })
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(fresh: &Fresh) -> ApiKey {
        ApiKey {
            id: fresh.id.clone(),
            hash: fresh.hash,
            tenant: None,
            publish: true,
            read: false,
            admin: false,
            relay: false,
            expires_at_secs: None,
        }
    }

    #[test]
    fn a_fresh_key_proves_itself_and_no_other() {
        let (one, other) = (Fresh::make().unwrap(), Fresh::make().unwrap());
        let presented = Presented::parse(&one.text).unwrap();
        assert_eq!(presented.id, one.id);
        assert!(presented.proves(&stored(&one)));
        assert!(!presented.proves(&stored(&other)));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let long = format!("crln_a_{}", "x".repeat(200));
        for text in
            ["", "crln_", "crln_abc", "crln__x", "crln_a_", "crln_a b_x", "key_a_x", "crln_a_x y", &long]
        {
            assert!(Presented::parse(text).is_none(), "{text}");
        }
    }
}
