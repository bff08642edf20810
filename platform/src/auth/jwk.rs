//! Which key does a member of a key set hold, or why is it of no use?
//!
//! Providers publish more than RFC 7517 allows, and libraries on both sides have long agreed on what is meant: padded
//! and standard base64, numbers with a sign octet in front (Java's `BigInteger`) or without their leading zeros, a `kid`
//! that is a number, members that are null, empty texts or empty lists (.NET). All of that is read. What stays
//! strict is what a key is for: a member says its type, and nothing turns one that encrypts, is secret, or is private into one
//! that checks signatures.

use super::key::{ED25519_BYTES, Key, public_algorithm};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// Bytes of an RSA modulus of 2048 to 8192 bits: what the library verifies with.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Most bytes of an RSA exponent that the library verifies with.
const RSA_EXPONENT_BYTES: usize = 4;
/// Most characters of a provider's word that a warning repeats.
const SHOWN_CHARS: usize = 40;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A member that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PassedOver {
    /// Its name, or its place in the set when it has none.
    pub(super) key: String,
    /// Why, as a predicate.
    pub(super) reason: String,
    /// Whether it was never meant to check signatures, which is no fault: providers publish keys for encryption
    /// beside those for signatures.
    pub(super) for_something_else: bool,
}

/// The public key that a member holds (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2); `place` counts from 1.
pub(super) fn read(member: &Value, place: usize) -> Result<Key, PassedOver> {
    let kid = kid(member);
    let passed_over = |reason: String, for_something_else| PassedOver {
        key: kid.as_deref().map_or_else(|| format!("number {place}"), shown),
        reason,
        for_something_else,
    };
    if let Some(purpose) = other_purpose(member) {
        return Err(passed_over(format!("is for {purpose}, not for signatures"), true));
    }
    public_key(member)
        .map(|(algorithm, key)| Key::public(kid.as_deref(), algorithm, key))
        .map_err(|reason| passed_over(reason, false))
}

fn public_key(member: &Value) -> Result<(Algorithm, DecodingKey), String> {
    if !member.is_object() {
        return Err("is no JSON object".to_owned());
    }
    if text(member, "d").is_some() {
        return Err("is a private key: whoever fetches it can sign tokens".to_owned());
    }
    let alg = text(member, "alg");
    let stated = |allowed: &[Algorithm], unstated: Algorithm| match alg {
        None => Ok(unstated),
        Some(name) => public_algorithm(name).filter(|stated| allowed.contains(stated)).ok_or_else(|| {
            format!("is for the algorithm {}, which is not accepted with a key of its type", shown(name))
        }),
    };
    match text(member, "kty").ok_or("does not say its type (kty)")? {
        "RSA" => {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            Ok((stated(&[RS256, RS384, RS512, PS256, PS384, PS512], RS256)?, rsa(member)?))
        }
        "EC" => match text(member, "crv").ok_or("does not say its curve (crv)")? {
            "P-256" => Ok((stated(&[Algorithm::ES256], Algorithm::ES256)?, point(member, 32)?)),
            "P-384" => Ok((stated(&[Algorithm::ES384], Algorithm::ES384)?, point(member, 48)?)),
            curve => Err(format!("is on the curve {}, which is not accepted", shown(curve))),
        },
        "OKP" => match text(member, "crv").ok_or("does not say its curve (crv)")? {
            "Ed25519" => {
                let algorithm = stated(&[Algorithm::EdDSA], Algorithm::EdDSA)?;
                let x = bytes(member, "x")?;
                if x.len() != ED25519_BYTES {
                    return Err("has an x that is not 32 bytes".to_owned());
                }
                Ok((algorithm, DecodingKey::from_ed_der(&x)))
            }
            curve => Err(format!("is on the curve {}, which is not accepted", shown(curve))),
        },
        "oct" => Err("is a shared secret, and what everyone may fetch is none".to_owned()),
        kty => Err(format!("is of the type {}, which is not accepted", shown(kty))),
    }
}

fn rsa(member: &Value) -> Result<DecodingKey, String> {
    let (n, e) = (unsigned(member, "n")?, unsigned(member, "e")?);
    if !RSA_MODULUS_BYTES.contains(&n.len()) {
        return Err(format!("has {} bits; 2048 to 8192 are accepted", n.len() * 8));
    }
    let is_odd_and_three_or_more = e.last().is_some_and(|last| last % 2 == 1) && e != [1];
    if !is_odd_and_three_or_more || e.len() > RSA_EXPONENT_BYTES {
        return Err("has an exponent (e) that is not accepted".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

/// An uncompressed point (SEC 1 §2.3.3) whose coordinates have `size` bytes.
fn point(member: &Value, size: usize) -> Result<DecodingKey, String> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = unsigned(member, name)?;
        let missing = size
            .checked_sub(coordinate.len())
            .ok_or_else(|| format!("has an {name} of more than {size} bytes"))?;
        point.resize(point.len() + missing, 0);
        point.extend(coordinate);
    }
    Ok(DecodingKey::from_ec_der(&point))
}

/// What a member is for, if it is not for signatures.
fn other_purpose(member: &Value) -> Option<String> {
    match text(member, "use") {
        None | Some("sig") => {}
        Some("enc") => return Some("encryption".to_owned()),
        Some(other) => return Some(shown(other)),
    }
    let operations: Vec<&str> = match member.get("key_ops")? {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        _ => Vec::new(),
    };
    // A public key that says "sign" is one whose private half was exported first.
    let for_signatures = operations.iter().any(|operation| ["verify", "sign"].contains(operation));
    let first = operations.first()?;
    (!for_signatures).then(|| shown(first))
}

/// A name is a text (RFC 7517 §4.5); a number is one, too.
pub(super) fn kid(member: &Value) -> Option<String> {
    match member.get("kid")? {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn text<'a>(member: &'a Value, name: &str) -> Option<&'a str> {
    member.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// A word of the provider as warnings show it: quoted, escaped, cut when long.
fn shown(word: &str) -> String {
    match word.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &word[..end]),
        None => format!("{word:?}"),
    }
}

/// Bytes in base64url, however padded, or in standard base64. `,` is the padding of some.
fn bytes(member: &Value, name: &str) -> Result<Vec<u8>, String> {
    let text = text(member, name).ok_or_else(|| format!("has no {name}"))?;
    let url_safe = |c: char| match c {
        '+' => '-',
        '/' => '_',
        other => other,
    };
    let plain: String = text.split_whitespace().collect::<String>().chars().map(url_safe).collect();
    LENIENT
        .decode(plain.trim_end_matches(['=', ',']))
        .map_err(|_| format!("has a member {name} that is not base64url"))
}

/// A number without leading zeros, in bytes, the most significant first.
fn unsigned(member: &Value, name: &str) -> Result<Vec<u8>, String> {
    let bytes = bytes(member, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
