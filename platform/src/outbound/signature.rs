//! How does a receiver know that a request is ours?
//!
//! By Standard Webhooks (standardwebhooks.com): the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, an HMAC over
//! them and the body. During a rotation both secrets sign, in one header line with one space between: some libraries read the
//! first of two lines only, and some fail at a second space.

use crate::env::Secret;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

/// What a written secret begins with.
const PREFIX: &str = "whsec_";
/// Random bytes in a fresh secret: a multiple of three, so that base64 has no padding, which some libraries refuse.
const FRESH_BYTES: usize = 33;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A secret that requests to one receiver are signed with.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl SigningSecret {
    /// Reads a secret as it is written: `whsec_` and base64 of 24 to 64 bytes.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// A new one, as it is written.
    pub fn fresh() -> Secret {
        let mut bytes = [0; FRESH_BYTES];
        // Fails only where the system has no randomness at all; then nothing else is safe either.
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's randomness");
        Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }
}

/// The headers of a request with this body, sent at `timestamp` (seconds since 1970), signed with each of these secrets.
pub fn headers(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> [(HeaderName, HeaderValue); 3] {
    let signed: Vec<String> = secrets
        .iter()
        .map(|SigningSecret(key)| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        })
        .collect();
    // Ids are ours, and base64 is ASCII.
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    [(ID, value(id)), (TIMESTAMP, value(&timestamp.to_string())), (SIGNATURE, value(&signed.join(" ")))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        // standard-webhooks/spec: "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.
        let secret = SigningSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let [id, timestamp, signature] =
            headers(&[secret.clone(), secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(id.1, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(timestamp.1, "1614265330");
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature.1, format!("{one} {one}"), "one line, one space");
    }

    #[test]
    fn a_fresh_secret_can_be_read_and_has_no_padding() {
        let (one, other) = (SigningSecret::fresh(), SigningSecret::fresh());
        assert!(one.expose().starts_with("whsec_") && !one.expose().ends_with('='));
        assert_ne!(one.expose(), other.expose());
        assert!(SigningSecret::read(one.expose()).is_some());
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*"] {
            assert!(SigningSecret::read(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{:?}", SigningSecret::read(one.expose())), "Some((secret))");
    }
}
