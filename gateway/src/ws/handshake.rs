//! Is this HTTP request a WebSocket handshake we accept, and how is it answered (RFC 6455 section 4.2)?

use super::extension::Deflate;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use sha1::{Digest, Sha1};
use std::fmt;

/// The subprotocol of the contract, selected whenever a client offers it and not the compact one.
pub const SUBPROTOCOL: &str = "carillon.v1";

/// The same with events in the compact form, selected whenever a client offers it.
pub const COMPACT_SUBPROTOCOL: &str = "carillon.v1.compact";

/// Browsers cannot set `Authorization` on a WebSocket; they offer the token as a second subprotocol.
const BEARER_PREFIX: &str = "bearer.";

/// Joined to the client's key before hashing (section 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key's last character carries four unused bits, which some clients fill; only the 16 bytes matter.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// An accepted handshake. Owns what it needs: a kept header value would pin the HTTP library's whole read buffer.
#[derive(Clone, PartialEq, Eq)]
pub struct Upgrade {
    accept: Box<str>,
    /// The subprotocol to select: [`COMPACT_SUBPROTOCOL`] or else [`SUBPROTOCOL`], if the client offered it.
    pub protocol: Option<&'static str>,
    /// The user token, if one was offered as `bearer.<token>`. A secret: it never reaches logs.
    pub bearer: Option<Box<str>>,
    /// The compression agreed on, if any.
    pub deflate: Option<Deflate>,
}

impl Upgrade {
    /// Whether the client gets events in the compact form.
    pub fn is_compact(&self) -> bool {
        self.protocol == Some(COMPACT_SUBPROTOCOL)
    }

    /// The `101 Switching Protocols` answer.
    pub fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is a valid header value");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        if let Some(deflate) = self.deflate {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, deflate.response());
        }
        response
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bearer = self.bearer.as_ref().map(|_| "(hidden)");
        f.debug_struct("Upgrade")
            .field("protocol", &self.protocol)
            .field("bearer", &bearer)
            .field("deflate", &self.deflate)
            .finish_non_exhaustive()
    }
}

/// Why a request is refused before it becomes a WebSocket. No variant carries or prints what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HandshakeFault {
    /// Not a GET.
    #[error("a WebSocket handshake is a GET request")]
    Method,
    /// Not HTTP/1.1.
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    /// `Connection: Upgrade` or `Upgrade: websocket` is missing: an ordinary request, or a proxy took them away.
    #[error("this resource speaks WebSocket: send Connection: Upgrade and Upgrade: websocket")]
    NotUpgrade,
    /// `Sec-WebSocket-Version` is missing or not 13.
    #[error("Sec-WebSocket-Version must be 13")]
    WebSocketVersion,
    /// `Sec-WebSocket-Key` is missing, repeated, or not base64 of 16 bytes.
    #[error("Sec-WebSocket-Key must be one base64 value of 16 bytes")]
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of tokens, or offers two bearer tokens or an empty one.
    #[error("Sec-WebSocket-Protocol must be a list of tokens with at most one bearer token")]
    Protocols,
    /// The request announces a body, whose bytes could be taken for frames.
    #[error("a WebSocket handshake has no body")]
    Body,
    /// The page's origin is not on the allow-list, or `Origin` is repeated or malformed.
    #[error("this origin may not connect")]
    Origin,
}

impl HandshakeFault {
    /// The stable name of the fault, as the `code` of problem+json.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Method => "method_not_allowed",
            Self::HttpVersion => "http_version",
            Self::NotUpgrade => "upgrade_required",
            Self::WebSocketVersion => "websocket_version",
            Self::Key => "websocket_key",
            Self::Protocols => "websocket_protocol",
            Self::Body => "body_not_allowed",
            Self::Origin => "origin_not_allowed",
        }
    }

    /// The HTTP status that answers it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion | Self::Key | Self::Protocols | Self::Body => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }

    /// The headers HTTP and RFC 6455 section 4.4 ask for beside that status: names and values.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            Self::NotUpgrade | Self::WebSocketVersion => {
                &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")]
            }
            _ => &[],
        }
    }
}

/// Judges a handshake, all but its origin (see [`OriginPolicy`](carillon_platform::origin::OriginPolicy)). With `compression` an offer of
/// permessage-deflate is agreed to if it can be kept; other extensions are ignored, and without it all are.
///
/// # Errors
/// The first [`HandshakeFault`], in the order of the enum.
pub fn check(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    compression: bool,
) -> Result<Upgrade, HandshakeFault> {
    if method != Method::GET {
        return Err(HandshakeFault::Method);
    }
    if version != Version::HTTP_11 {
        return Err(HandshakeFault::HttpVersion);
    }
    let names =
        |name, token: &str| list(headers, name).any(|entry| entry.eq_ignore_ascii_case(token.as_bytes()));
    if !names(header::CONNECTION, "upgrade") || !names(header::UPGRADE, "websocket") {
        return Err(HandshakeFault::NotUpgrade);
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(HandshakeFault::WebSocketVersion);
    }
    let key =
        single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).ok_or(HandshakeFault::Key)?;
    let (protocol, bearer) = protocols(headers)?;
    let length =
        headers.contains_key(header::CONTENT_LENGTH).then(|| single(headers, &header::CONTENT_LENGTH));
    if headers.contains_key(header::TRANSFER_ENCODING) || !matches!(length, None | Some(Some(b"0"))) {
        return Err(HandshakeFault::Body);
    }
    let deflate = if compression { Deflate::negotiate(headers) } else { None };
    Ok(Upgrade { accept: accept_key(key).into(), protocol, bearer, deflate })
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2): proof that the server speaks WebSocket.
pub fn accept_key(key: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize())
}

fn is_key(key: &[u8]) -> bool {
    // The decoder wants room for whole groups of three.
    let mut nonce = [0; 18];
    KEY_BASE64.decode_slice(key, &mut nonce) == Ok(16)
}

type Offered = (Option<&'static str>, Option<Box<str>>);

fn protocols(headers: &HeaderMap) -> Result<Offered, HandshakeFault> {
    let mut protocol = None;
    let mut bearer: Option<Box<str>> = None;
    for entry in list(headers, header::SEC_WEBSOCKET_PROTOCOL) {
        let name = std::str::from_utf8(entry).ok().filter(|name| name.bytes().all(is_token_byte));
        let name = name.ok_or(HandshakeFault::Protocols)?;
        if name == COMPACT_SUBPROTOCOL {
            protocol = Some(COMPACT_SUBPROTOCOL);
        } else if name == SUBPROTOCOL {
            protocol = protocol.or(Some(SUBPROTOCOL));
        } else if let Some(token) = name.strip_prefix(BEARER_PREFIX) {
            if token.is_empty() || bearer.is_some() {
                return Err(HandshakeFault::Protocols);
            }
            bearer = Some(token.into());
        }
    }
    Ok((protocol, bearer))
}

/// A character of an HTTP token (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The entries of a comma list that may be spread over several header lines; empty entries do not count.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
}

/// The value of a header that stands exactly once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).into_iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Some(line.as_bytes().trim_ascii()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
