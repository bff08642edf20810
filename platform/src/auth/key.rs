//! What can check a signature, and with which algorithm?
//!
//! The one place where signatures are checked. A [`Key`] knows its algorithms from its own form (a secret, a PEM
//! block, a JWK); no token can make it act under another. A public key has one. A shared secret has those for which it is
//! long enough: libraries choose among them by its length (jjwt signs with HS512 when it has 64 bytes).

use super::token::Token;
use crate::env::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};

/// The object identifiers of the curves P-256 (RFC 5480 §2.1.1.1) and P-384 in DER. Points of P-256 are as long as those
/// of secp256k1, so the length alone does not tell.
const P256_OID: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384_OID: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// An RSA public key of 2048 bits has at least this many bytes in DER (PKCS #1): the modulus and its frame.
const RSA_DER_BYTES: usize = 264;
/// Bytes of an Ed25519 key.
pub(super) const ED25519_BYTES: usize = 32;

/// HMAC algorithms, and the shortest secret of each (RFC 7518 §3.2). HS256 takes shorter ones, which existing
/// installations have; how short is a matter of the configuration.
const HMAC: [(&str, Algorithm, usize); 3] =
    [("HS256", Algorithm::HS256, 0), ("HS384", Algorithm::HS384, 48), ("HS512", Algorithm::HS512, 64)];

/// Algorithms of public keys, by the names that tokens and key sets have for them (RFC 7518 §3.1, RFC 8037 §3.1,
/// RFC 9864 §2.2).
const PUBLIC: [(&str, Algorithm); 10] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("Ed25519", Algorithm::EdDSA),
];

/// Names of algorithms that are never accepted; an error may repeat them.
const REFUSED: [&str; 5] = ["none", "ES512", "ES256K", "Ed448", "ML-DSA-44"];

/// A key that checks signatures.
pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// A shared secret: HS256, and the longer ones for which it has enough bytes.
    pub(super) fn of_secret(secret: &Secret) -> Self {
        let bytes = secret.expose().as_bytes();
        let long_enough = HMAC.iter().filter(|(_, _, least)| bytes.len() >= *least);
        Self {
            kid: None,
            algorithms: long_enough.map(|(_, algorithm, _)| *algorithm).collect(),
            key: DecodingKey::from_secret(bytes),
        }
    }

    /// A public key of one algorithm.
    pub(super) fn public(kid: Option<&str>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { kid: kid.map(Into::into), algorithms: vec![algorithm], key }
    }

    /// Whether this key has signed the token.
    pub(super) fn verifies(&self, token: &Token<'_>) -> bool {
        let Some(algorithm) = algorithm(&token.algorithm).filter(|wanted| self.algorithms.contains(wanted))
        else {
            return false;
        };
        self.may_be_meant(token)
            && jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), &self.key, algorithm)
                .unwrap_or(false)
    }

    /// Whether this key is for the algorithm that a token names.
    pub(super) fn is_for(&self, name: &str) -> bool {
        algorithm(name).is_some_and(|algorithm| self.algorithms.contains(&algorithm))
    }

    /// Whether the token names this key, or one of both has no name.
    fn may_be_meant(&self, token: &Token<'_>) -> bool {
        match (&self.kid, &token.kid) {
            (Some(ours), Some(theirs)) => **ours == **theirs,
            _ => true,
        }
    }
}

/// The algorithm of a token's `alg`, if it is one of ours.
fn algorithm(name: &str) -> Option<Algorithm> {
    let hmac = HMAC.iter().map(|(known, algorithm, _)| (known, algorithm));
    let public = PUBLIC.iter().map(|(known, algorithm)| (known, algorithm));
    hmac.chain(public).find(|(known, _)| **known == name).map(|(_, algorithm)| *algorithm)
}

/// The algorithm of public keys with this name; for others a key set need not be asked.
pub(super) fn public_algorithm(name: &str) -> Option<Algorithm> {
    PUBLIC.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// Why a token's algorithm is not accepted, when no key is for it. Only names that are known are repeated: others
/// are the token's own words.
pub(super) fn why_not(name: &str, has_secret: bool) -> String {
    let hmac = HMAC.iter().find(|(known, _, _)| *known == name);
    let known = HMAC.map(|(known, _, _)| known).into_iter().chain(PUBLIC.map(|(known, _)| known));
    match (hmac, known.chain(REFUSED).find(|known| *known == name)) {
        (Some((name, _, bytes)), _) if has_secret => {
            format!("{name} is not accepted: it needs a shared secret of {bytes} bytes or more")
        }
        (_, Some(name)) => format!("{name} is not accepted: no key of this service is for it"),
        (_, None) => "is not accepted".to_owned(),
    }
}

/// The public keys of a PEM file, one or more; the fault as a predicate if there are none or one is not ours.
pub(super) fn of_pem(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----").ok_or("has a PEM block that does not end")?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&end).ok_or("has a PEM block that does not end")?;
        keys.push(of_block(label, body)?);
        rest = after;
    }
    if keys.is_empty() { Err("holds no public key in PEM form".to_owned()) } else { Ok(keys) }
}

fn of_block(label: &str, body: &str) -> Result<Key, String> {
    if label.contains("PRIVATE KEY") {
        return Err("holds a private key; only the public one belongs here".to_owned());
    }
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Err(
            "holds something else than a PUBLIC KEY (a CERTIFICATE gives its key with openssl x509 -pubkey)"
                .to_owned(),
        );
    }
    let pem = format!("-----BEGIN {label}-----{body}-----END {label}-----\n");
    let pem = pem.as_bytes();
    let length = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    let (algorithm, key) = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        if length(&key) < RSA_DER_BYTES {
            return Err("holds an RSA key of fewer than 2048 bits".to_owned());
        }
        (Algorithm::RS256, key)
    } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let der = STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap_or_default();
        let names = |oid: &[u8]| der.windows(oid.len()).any(|bytes| bytes == oid);
        match length(&key) {
            65 if names(P256_OID) => (Algorithm::ES256, key),
            97 if names(P384_OID) => (Algorithm::ES384, key),
            _ => return Err("holds an EC key of another curve than P-256 or P-384".to_owned()),
        }
    } else if let Ok(key) = DecodingKey::from_ed_pem(pem)
        && length(&key) == ED25519_BYTES
    {
        (Algorithm::EdDSA, key)
    } else {
        return Err("holds a key that is not an RSA, P-256, P-384 or Ed25519 key".to_owned());
    };
    Ok(Key::public(None, algorithm, key))
}
