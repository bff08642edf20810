//! Is every upgrade request judged by the rules of RFC 6455 section 4.2.1, and every origin by the allow-list?
//!
//! Input: a byte of choices (which of the four needed headers are there, compression, method,
//! version), then header lines
//! `name:value`. Header names of one letter are short for the ones that matter, and `*` gives the list of origins.

use carillon_gateway::ws::Deflate;
use carillon_gateway::ws::handshake::{HandshakeFault, SUBPROTOCOL, Upgrade, accept_key, check as judge};
use carillon_platform::origin::OriginPolicy;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use std::collections::BTreeMap;

/// Header, value; present when the bit of that index is set.
const NEEDED: [(HeaderName, &str); 4] = [
    (header::CONNECTION, "keep-alive, Upgrade"),
    (header::UPGRADE, "websocket"),
    (header::SEC_WEBSOCKET_VERSION, "13"),
    (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Panics when a verdict departs from the rules, or an answer cannot be sent.
pub fn check(input: &[u8]) {
    let (choices, lines) = input.split_first().unwrap_or((&0, &[]));
    let mut headers = HeaderMap::new();
    for (bit, (name, value)) in NEEDED.into_iter().enumerate() {
        if choices >> bit & 1 == 1 {
            headers.append(name, HeaderValue::from_static(value));
        }
    }
    let mut origins = None;
    for line in lines.split(|byte| *byte == b'\n') {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..at], line.get(at + 1..).unwrap_or_default());
        if name == b"*" {
            origins = std::str::from_utf8(value).ok();
        } else if let (Some(name), Ok(value)) = (header_name(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let method = if choices & 0x40 == 0 { Method::GET } else { Method::POST };
    let version = if choices & 0x80 == 0 { Version::HTTP_11 } else { Version::HTTP_10 };

    let compression = choices & 0x10 != 0;
    let verdict = judge(&method, version, &headers, compression);
    let good = method == Method::GET && version == Version::HTTP_11 && is_good(&headers);
    assert_eq!(verdict.is_ok(), good, "{verdict:?} for {headers:?}");
    match &verdict {
        Ok(upgrade) => can_be_accepted(upgrade, &headers, compression),
        Err(fault) => can_be_refused(*fault),
    }
    origin_rules(origins.unwrap_or("https://app.example.com"), &headers);
}

fn header_name(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"c" => header::CONNECTION,
        b"u" => header::UPGRADE,
        b"v" => header::SEC_WEBSOCKET_VERSION,
        b"k" => header::SEC_WEBSOCKET_KEY,
        b"p" => header::SEC_WEBSOCKET_PROTOCOL,
        b"e" => header::SEC_WEBSOCKET_EXTENSIONS,
        b"o" => header::ORIGIN,
        b"l" => header::CONTENT_LENGTH,
        b"t" => header::TRANSFER_ENCODING,
        other => return HeaderName::from_bytes(other).ok(),
    })
}

/// The entries of a comma list, over all lines of that name.
fn entries(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    // Bytes that are no UTF-8 become U+FFFD, which no grammar here knows either.
    let line = String::from_utf8_lossy(&lines.join(&b","[..])).into_owned();
    line.split(',')
        .map(|entry| entry.trim_matches([' ', '\t']).to_owned())
        .filter(|e| !e.is_empty())
        .collect()
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    let [line] = lines[..] else { return None };
    Some(String::from_utf8_lossy(line.as_bytes()).trim_matches([' ', '\t']).to_owned())
}

fn is_good(headers: &HeaderMap) -> bool {
    let lists =
        |name, wanted: &str| entries(headers, name).iter().any(|have| have.eq_ignore_ascii_case(wanted));
    let key = only(headers, header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    let base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    // 16 bytes are 22 characters and two for padding.
    let key = key.len() == 24 && key.strip_suffix("==").is_some_and(|key| key.chars().all(base64));
    let protocols = entries(headers, header::SEC_WEBSOCKET_PROTOCOL);
    let bearers: Vec<&String> = protocols.iter().filter(|name| name.starts_with("bearer.")).collect();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let protocols = protocols.iter().all(|name| name.chars().all(token))
        && (bearers.is_empty() || bearers.len() == 1 && bearers[0] != "bearer.");
    let body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.contains_key(header::CONTENT_LENGTH)
            && only(headers, header::CONTENT_LENGTH).as_deref() != Some("0");
    lists(header::CONNECTION, "upgrade")
        && lists(header::UPGRADE, "websocket")
        && only(headers, header::SEC_WEBSOCKET_VERSION).as_deref() == Some("13")
        && key
        && protocols
        && !body
}

fn can_be_accepted(upgrade: &Upgrade, headers: &HeaderMap, compression: bool) {
    let response = upgrade.response::<()>();
    let told = response.headers();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let key = only(headers, header::SEC_WEBSOCKET_KEY).expect("a key was needed");
    assert_eq!(told[header::SEC_WEBSOCKET_ACCEPT], accept_key(key.as_bytes()));

    let offered = entries(headers, header::SEC_WEBSOCKET_PROTOCOL);
    let selected = offered.iter().any(|name| name == SUBPROTOCOL).then_some(SUBPROTOCOL);
    assert_eq!(upgrade.protocol, selected);
    assert_eq!(
        told.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes),
        selected.map(str::as_bytes)
    );
    let bearer = offered.iter().find_map(|name| name.strip_prefix("bearer."));
    assert_eq!(upgrade.bearer.as_deref(), bearer);
    if bearer.is_some() {
        let mut other = upgrade.clone();
        other.bearer = Some("another".into());
        assert_eq!(format!("{upgrade:?}"), format!("{other:?}"), "a token is shown");
    }

    let agreed = told.get(header::SEC_WEBSOCKET_EXTENSIONS).map(|value| value.to_str().expect("plain text"));
    assert_eq!(upgrade.deflate.is_some(), agreed.is_some());
    let offers = entries(headers, header::SEC_WEBSOCKET_EXTENSIONS);
    if !compression || !offers.iter().any(|offer| offer.starts_with("permessage-deflate")) {
        assert_eq!(agreed, None, "for {offers:?}");
    } else if offers.iter().all(|offer| !offer.contains('"')) {
        // Who offers a draft beside it takes only what it offered.
        let strict = offers.iter().any(|offer| {
            offer.split(';').next().is_some_and(|name| name.trim_matches([' ', '\t']) == "deflate-frame")
        });
        let expected = offers.iter().find_map(|offer| agreement(offer, strict));
        assert_eq!(agreed, expected.as_deref(), "for {offers:?}");
    } else if let Some(agreed) = agreed {
        let strict = !agreed.contains("client_no_context_takeover");
        assert_eq!(agreement(agreed, strict).as_deref(), Some(agreed), "for {offers:?}");
    }
    let keeps = upgrade.deflate.is_some_and(Deflate::keeps_window);
    assert_eq!(keeps, agreed.is_some_and(|agreed| !agreed.contains("client_no_context_takeover")));
}

/// The answer to an offer of permessage-deflate without quoted values; none if it cannot be kept. A parameter that the client
/// did not offer may only be `client_no_context_takeover` (RFC 7692 section 7.1.1.2), and not for a `strict` one. What a client
/// says of its own window (`client_max_window_bits`, section 7.1.2.2) asks for no answer where any window is read.
fn agreement(offer: &str, strict: bool) -> Option<String> {
    let mut parts = offer.split(';').map(|part| part.trim_matches([' ', '\t']));
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut given = BTreeMap::new();
    for part in parts {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        let (name, value) =
            (name.trim_matches([' ', '\t']), value.map(|value| value.trim_matches([' ', '\t'])));
        let bits = value.is_some_and(|value| (8..=15).any(|bits: u8| bits.to_string() == value));
        let good = match name {
            "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
            "server_max_window_bits" => bits,
            "client_max_window_bits" => bits || value.is_none(),
            _ => false,
        };
        if !good || given.insert(name, value).is_some() {
            return None;
        }
    }
    let window = given.get("server_max_window_bits").copied().flatten();
    let window = window.map_or(String::new(), |bits| format!("; server_max_window_bits={bits}"));
    let client = !strict || given.contains_key("client_no_context_takeover");
    let client = if client { "; client_no_context_takeover" } else { "" };
    Some(format!("permessage-deflate; server_no_context_takeover{client}{window}"))
}

fn can_be_refused(fault: HandshakeFault) {
    assert!(fault.status().is_client_error() && !fault.code().is_empty() && !fault.to_string().is_empty());
    for (name, value) in fault.headers() {
        HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        HeaderValue::from_str(value).expect("a header's value");
    }
}

/// Whatever is on the list passes in its normal form, and nothing passes by ending or beginning like it.
fn origin_rules(list: &str, headers: &HeaderMap) {
    let policy = match OriginPolicy::parse(list) {
        Ok(policy) => policy,
        Err(fault) => {
            assert!(list.split(',').any(|entry| entry.trim() == fault.entry), "{fault} is not in {list:?}");
            return;
        }
    };
    let passes = |headers: &HeaderMap| policy.check(headers).is_ok();
    let asked: Vec<&HeaderValue> = headers.get_all(header::ORIGIN).iter().collect();
    assert!(!asked.is_empty() || passes(headers), "a client that is no browser");
    assert!(asked.len() < 2 || !passes(headers), "two origins");

    let OriginPolicy::Exact(origins) = &policy else { return };
    for origin in origins {
        assert_eq!(OriginPolicy::parse(origin), Ok(OriginPolicy::Exact([origin.clone()].into())), "{origin}");
        for (asked, expected) in [
            (origin.to_string(), true),
            (origin.to_ascii_uppercase(), &**origin != "null"),
            (format!("{origin}.evil.example"), origins.contains(&*format!("{origin}.evil.example"))),
            (format!("{origin}/"), false),
            (format!("{origin},{origin}"), false),
        ] {
            let value = HeaderValue::from_str(&asked).expect("an origin is text");
            let one: HeaderMap = [(header::ORIGIN, value)].into_iter().collect();
            assert_eq!(passes(&one), expected, "{asked} under {list:?}");
        }
    }
}
