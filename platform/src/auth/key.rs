//! What can check a signature, and with which algorithm?
//!
//! The one place where signatures are checked. A [`Key`] knows its algorithm from its own form (a secret, a PEM
//! block, a JWK); no token can make it act under another.

use super::token::Token;
use crate::env::Secret;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// The object identifier of the curve P-256 in DER (RFC 5480 §2.1.1.1). Its points are as long as those of
/// secp256k1, so the length alone does not tell.
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// An RSA public key of 2048 bits has at least this many bytes in DER (PKCS #1): the modulus and its frame.
const RSA_DER_BYTES: usize = 264;
/// Bytes of an RSA modulus of 2048 to 8192 bits: what the library verifies with.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Bytes of an uncompressed point of P-256, of one of its coordinates, and of an Ed25519 key.
const P256_POINT_BYTES: usize = 65;
const COORDINATE_BYTES: usize = 32;

/// A key that checks signatures of one algorithm.
pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    /// HS256 with a shared secret.
    pub(super) fn of_secret(secret: &Secret) -> Self {
        let key = DecodingKey::from_secret(secret.expose().as_bytes());
        Self { kid: None, algorithm: Algorithm::HS256, key }
    }

    /// A public key of a JSON Web Key Set; `None` for one that is not for checking signatures of our algorithms.
    /// A symmetric key (`oct`) is none of them: what everyone may fetch is no secret.
    pub(super) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures {
            return None;
        }
        let (algorithm, key) = match (jwk.kty.as_str(), jwk.alg.as_deref(), jwk.crv.as_deref()) {
            ("RSA", None | Some("RS256"), _) => {
                let (n, e) = (decoded(&jwk.n)?, decoded(&jwk.e)?);
                if !RSA_MODULUS_BYTES.contains(&n.len()) {
                    return None;
                }
                (Algorithm::RS256, DecodingKey::from_rsa_raw_components(&n, &e))
            }
            ("EC", None | Some("ES256"), Some("P-256")) => {
                let (x, y) = (coordinate(&jwk.x)?, coordinate(&jwk.y)?);
                (Algorithm::ES256, DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
            }
            ("OKP", None | Some("EdDSA" | "Ed25519"), Some("Ed25519")) => {
                (Algorithm::EdDSA, DecodingKey::from_ed_der(&coordinate(&jwk.x)?))
            }
            _ => return None,
        };
        Some(Self { kid: jwk.kid.as_deref().map(Into::into), algorithm, key })
    }

    /// Whether this key has signed the token.
    pub(super) fn verifies(&self, token: &Token<'_>) -> bool {
        self.fits(token)
            && jsonwebtoken::crypto::verify(
                token.signature,
                token.signed.as_bytes(),
                &self.key,
                self.algorithm,
            )
            .unwrap_or(false)
    }

    /// Whether the token names this key's algorithm, and this key if both have a name.
    fn fits(&self, token: &Token<'_>) -> bool {
        let named = match (&self.kid, &token.kid) {
            (Some(ours), Some(theirs)) => **ours == **theirs,
            _ => true,
        };
        named && algorithm(&token.algorithm) == Some(self.algorithm)
    }

    /// Whether the token names this very key.
    pub(super) fn is_named_by(&self, token: &Token<'_>) -> bool {
        self.kid.is_some() && self.kid.as_deref() == token.kid.as_deref()
    }
}

/// The algorithm of a token's `alg`, if it is one of ours.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// Whether a public key could have this `alg`; for others a key set need not be asked.
pub(super) fn is_public_algorithm(name: &str) -> bool {
    algorithm(name).is_some_and(|algorithm| algorithm != Algorithm::HS256)
}

/// A member of a JSON Web Key Set (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn decoded(part: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part.as_deref()?).ok()
}

fn coordinate(part: &Option<String>) -> Option<Vec<u8>> {
    decoded(part).filter(|bytes| bytes.len() == COORDINATE_BYTES)
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
        if length(&key) != P256_POINT_BYTES || !der.windows(P256_OID.len()).any(|bytes| bytes == P256_OID) {
            return Err("holds an EC key of another curve than P-256".to_owned());
        }
        (Algorithm::ES256, key)
    } else if let Ok(key) = DecodingKey::from_ed_pem(pem)
        && length(&key) == COORDINATE_BYTES
    {
        (Algorithm::EdDSA, key)
    } else {
        return Err("holds a key that is not an RSA, P-256 or Ed25519 key".to_owned());
    };
    Ok(Key { kid: None, algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Signer;
    use super::*;
    use serde_json::{Value, json};

    fn taken(jwk: &Value) -> bool {
        Key::of_jwk(&serde_json::from_value(jwk.clone()).unwrap()).is_some()
    }

    #[test]
    fn a_jwk_keeps_to_the_algorithm_of_its_type() {
        for signer in [Signer::rsa(), Signer::p256(), Signer::ed25519()] {
            let jwk: Value = serde_json::from_str(&signer.jwk("k")).unwrap();
            assert!(taken(&jwk), "{jwk}");
            for (name, value) in [
                ("alg", json!("HS256")),
                ("alg", json!("none")),
                ("use", json!("enc")),
                ("key_ops", json!(["encrypt"])),
            ] {
                let mut changed = jwk.clone();
                changed[name] = value;
                assert!(!taken(&changed), "{changed}");
            }
        }
    }

    #[test]
    fn a_jwk_of_another_type_curve_or_size_is_passed_over() {
        let short = URL_SAFE_NO_PAD.encode([1; 128]);
        let point = URL_SAFE_NO_PAD.encode([1; 32]);
        for jwk in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "oct", "alg": "HS256", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "n": short, "e": "AQAB"}),
            json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
            json!({"kty": "RSA"}),
            json!({"kty": "EC", "crv": "P-384", "x": point, "y": point}),
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": point}),
            json!({"kty": "OKP", "crv": "X25519", "x": point}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        ] {
            assert!(!taken(&jwk), "{jwk}");
        }
    }
}
