//! What are the parts of a token, before anything in it is believed?

use super::error::AuthError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// A token taken apart. Nothing in it is proven yet.
pub(super) struct Token<'a> {
    /// What is signed: the encoded header and payload with the dot between them.
    pub(super) signed: &'a str,
    /// The encoded signature.
    pub(super) signature: &'a str,
    /// The algorithm the token claims; a key of another algorithm is not tried.
    pub(super) algorithm: String,
    /// The key the token claims to be signed with.
    pub(super) kid: Option<String>,
    /// The decoded payload.
    pub(super) payload: Vec<u8>,
}

/// The part of a header that is read (RFC 7515 §4.1).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<Value>,
    crit: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes a token in the compact form of RFC 7515 §3.1 apart.
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > TOKEN_BYTES {
            return Err(AuthError::Malformed("is longer than 8 KiB"));
        }
        let not_three = AuthError::Malformed("does not have three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or(not_three.clone())?;
        let (header, payload) = signed.split_once('.').ok_or(not_three.clone())?;
        if payload.contains('.') {
            return Err(not_three);
        }
        let decode =
            |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed("is not base64url"));
        // Only its form is checked here: the same signature must not have two spellings.
        decode(signature)?;
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|_| AuthError::Malformed("has no readable header with alg"))?;
        if header.crit.is_some() {
            // RFC 7515 §4.1.11: extensions marked critical must be understood; we understand none.
            return Err(AuthError::Malformed("asks for extensions (crit) this service does not know"));
        }
        let kid = match header.kid {
            None => None,
            Some(Value::String(name)) => Some(name),
            // RFC 7515 §4.1.4 asks for a text; providers whose key set has a number have it here, too.
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => return Err(AuthError::Malformed("has a kid that is no text")),
        };
        Ok(Self { signed, signature, algorithm: header.alg, kid, payload: decode(payload)? })
    }
}

/// The token in an `Authorization` header's value; [`AuthError::Missing`] for other schemes.
pub fn bearer(authorization: &str) -> Result<&str, AuthError> {
    let (scheme, token) = authorization.trim().split_once(' ').ok_or(AuthError::Missing)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(AuthError::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::part;
    use super::*;

    fn fault(token: &str) -> AuthError {
        Token::parse(token).err().unwrap_or_else(|| panic!("{token:?} was taken"))
    }

    #[test]
    fn a_token_comes_apart() {
        let text = format!("{}.{}.c2ln", part(r#"{"alg":"HS256","kid":"k1","jku":"http://x"}"#), part("{}"));
        let token = Token::parse(&text).unwrap();
        assert_eq!((token.algorithm.as_str(), token.kid.as_deref()), ("HS256", Some("k1")));
        assert_eq!(token.payload, b"{}");
        assert_eq!(format!("{}.{}", token.signed, token.signature), text);
    }

    #[test]
    fn what_is_not_a_token_is_malformed() {
        assert_eq!(fault(""), AuthError::Missing);
        let header = part(r#"{"alg":"HS256"}"#);
        for bad in ["x", "a.b", ".", "..", "...", "a.b.c.d", "\u{0}", "é.é.é"] {
            assert_eq!(fault(bad).code(), "token_malformed", "{bad}");
        }
        for bad in [
            format!("{header}.e30=.AA"),
            format!("{header}.e30.A+A"),
            format!("{header}.e30.AB"),
            format!("{}.e30.AA", part("[]")),
            format!("{}.e30.AA", part(r#"{"typ":"JWT"}"#)),
            format!("{}.e30.AA", part(r#"{"alg":1}"#)),
            format!("{}.e30.AA", part(r#"{"alg":"HS256","kid":[7]}"#)),
            format!("{}.e30.AA", part(r#"{"alg":"HS256","alg":"none"}"#)),
            format!("{}.e30.AA", part(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#)),
            format!("{}.e30.AA", part(&"[".repeat(4000))),
        ] {
            assert_eq!(fault(&bad).code(), "token_malformed", "{bad}");
        }
    }

    #[test]
    fn a_long_token_is_refused_unread() {
        let longest = format!("{}.{}.AA", part(r#"{"alg":"HS256"}"#), "A".repeat(TOKEN_BYTES));
        assert_eq!(fault(&longest), AuthError::Malformed("is longer than 8 KiB"));
        assert_eq!(fault(&"a".repeat(1 << 20)).code(), "token_malformed");
    }

    #[test]
    fn a_bearer_header_gives_its_token() {
        assert_eq!(bearer("Bearer a.b.c"), Ok("a.b.c"));
        assert_eq!(bearer("bearer   a.b.c "), Ok("a.b.c"));
        for bad in ["", "Bearer", "Bearer ", "Basic a.b.c", "a.b.c"] {
            assert_eq!(bearer(bad), Err(AuthError::Missing), "{bad}");
        }
    }
}
