//! Keys, tokens and payloads for the tests of this module. Keys are made anew in each run: none is in the repository.

use super::{Caps, ClaimsForMint, mint};
use crate::env::Secret;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use carillon_protocol::{TenantId, UserId};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A moment, in seconds since 1970.
pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// One encoded part of a token.
pub(super) fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A payload that is valid for a minute from `now` on.
pub(super) fn claims_json(now: u64) -> String {
    format!(r#"{{"sub":"mila","tenant":"acme","roles":["reception"],"exp":{}}}"#, now + 60)
}

/// An HS256 token that is valid for a minute from `now` on.
pub(super) fn mint_for(secret: &str, now: u64) -> String {
    let claims = ClaimsForMint {
        user: UserId::new("mila").unwrap(),
        tenant: Some(TenantId::new("acme").unwrap()),
        roles: vec!["reception".to_owned()],
        tenants: BTreeMap::new(),
        channels: Vec::new(),
        caps: Caps { publish: true, admin: false },
        audience: None,
        issuer: None,
    };
    mint(&Secret::new(secret), &claims, at(now), Duration::from_secs(60))
}

/// A token signed with a shared secret.
pub(super) fn hmac(secret: &str, algorithm: Algorithm, payload: &str) -> String {
    let signed = format!("{}.{}", part(&format!(r#"{{"alg":"{algorithm:?}"}}"#)), part(payload));
    let key = EncodingKey::from_secret(secret.as_bytes());
    format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap())
}

/// A private key and its public half.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) public_pem: String,
    pub(super) private_pem: String,
    key: EncodingKey,
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

impl Signer {
    pub(super) fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        let key = EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap();
        Self { algorithm: Algorithm::RS256, public_pem: pem("PUBLIC KEY", public.as_ref()), private_pem, key }
    }

    pub(super) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        let key = EncodingKey::from_ec_pem(private_pem.as_bytes()).unwrap();
        Self { algorithm: Algorithm::ES256, public_pem: pem("PUBLIC KEY", public.as_ref()), private_pem, key }
    }

    pub(super) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        let key = EncodingKey::from_ed_pem(private_pem.as_bytes()).unwrap();
        Self { algorithm: Algorithm::EdDSA, public_pem: pem("PUBLIC KEY", public.as_ref()), private_pem, key }
    }

    /// Another key of the same kind.
    pub(super) fn like(other: &Self) -> Self {
        match other.algorithm {
            Algorithm::RS256 => Self::rsa(),
            Algorithm::ES256 => Self::p256(),
            Algorithm::ES384 => Self::p384(),
            _ => Self::ed25519(),
        }
    }

    pub(super) fn p384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        let key = EncodingKey::from_ec_pem(private_pem.as_bytes()).unwrap();
        Self { algorithm: Algorithm::ES384, public_pem: pem("PUBLIC KEY", public.as_ref()), private_pem, key }
    }

    /// The same key, to sign with another algorithm of its kind.
    pub(super) fn with(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// A public key of a curve we do not take; its points are as long as those of P-256.
    pub(super) fn secp256k1_public_pem() -> String {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256K1_SHA256_FIXED_SIGNING).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        pem("PUBLIC KEY", public.as_ref())
    }

    /// A public key too short for us; nobody has its private half.
    pub(super) fn rsa_1024_public_pem() -> String {
        // RSAPublicKey ::= SEQUENCE { modulus of 1024 bits, exponent 65537 } (RFC 8017 appendix A.1.1).
        let mut der = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
        der.extend([0xc3; 128]);
        der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        pem("RSA PUBLIC KEY", &der)
    }

    pub(super) fn sign(&self, payload: &str, kid: Option<&str>) -> String {
        let alg = format!("{:?}", self.algorithm);
        let kid = kid.map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
        self.sign_with_header(&format!(r#"{{"alg":"{alg}"{kid}}}"#), payload)
    }

    pub(super) fn sign_with_header(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", part(header), part(payload));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    /// The public half as a member of a key set.
    pub(super) fn jwk(&self, kid: &str) -> String {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        serde_json::to_string(&jwk).unwrap()
    }
}
