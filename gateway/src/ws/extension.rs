//! Which compression does a client offer, and what do the two sides agree on (RFC 7692 section 7.1)?
//!
//! Only permessage-deflate is known, and what we send is always without context takeover: every message stands by itself, so
//! an event is compressed once and the same bytes go to every socket. What a client sends may lean on what it sent before
//! where nothing else was offered: some libraries (Netty) end the handshake at a parameter that they did not offer, though the RFC
//! lets a server ask for it. Their window is kept, from their first compressed message on ([`Decoder`](super::Decoder)). The first offer that can be kept is taken; one that
//! cannot (another extension, a parameter unknown, repeated or with a wrong value) is passed over, as the RFC asks,
//! and never a reason to refuse the handshake.

use super::handshake::is_token_byte;
use http::{HeaderMap, HeaderValue, header};

const NAME: &[u8] = b"permessage-deflate";

/// Window of the shared compressor, in bits: the largest there is.
const WINDOW_BITS: u8 = 15;

/// The window that is asked for where a client lets us, in bits: zlib's smallest. What it sends is short.
const CLIENT_WINDOW_BITS: u8 = 9;

/// permessage-deflate was agreed on, without context takeover in what we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    client: Client,
    /// The largest window the client is willing to keep for us, in bits, 8-15, if it named one.
    server_max_window_bits: Option<u8>,
}

impl Deflate {
    /// Reads all `Sec-WebSocket-Extensions` lines and agrees to the first offer that can be kept.
    pub(super) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
        // Browsers know what the RFC allows; they are many, and compress whatever they send. An Origin tells nothing: Netty
        // has one, too.
        let agent = headers.get(header::USER_AGENT);
        let is_browser = agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
        let accept = |offer| accept(offer, is_browser);
        lines.into_iter().flat_map(|line| split(line.as_bytes(), b',')).find_map(accept)
    }

    /// How far back a client's message may point into those before it, in bits; none if it may not.
    pub const fn client_window_bits(self) -> Option<u8> {
        match self.client {
            Client::Alone => None,
            Client::Asked(bits) | Client::Known(bits) => Some(bits),
        }
    }

    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub(super) fn response(self) -> HeaderValue {
        let client = match self.client {
            Client::Alone => "; client_no_context_takeover".to_owned(),
            Client::Asked(bits) => format!("; client_max_window_bits={bits}"),
            Client::Known(_) => String::new(),
        };
        let server = self.server_max_window_bits.map(|bits| format!("; server_max_window_bits={bits}"));
        let agreed =
            format!("permessage-deflate; server_no_context_takeover{client}{}", server.unwrap_or_default());
        HeaderValue::try_from(agreed).expect("fixed texts and numbers are a valid header value")
    }

    /// Whether this client can read a compressed frame whose payload had `payload_len` bytes before compression.
    ///
    /// Shared frames are compressed with a 15-bit window. A client that asked for a smaller one understands them as
    /// long as nothing in them can point further back than its window, which a short payload guarantees. It gets
    /// longer ones uncompressed; that is allowed for any message.
    pub const fn takes(self, payload_len: usize) -> bool {
        match self.server_max_window_bits {
            Some(bits) if bits < WINDOW_BITS => payload_len <= 1 << bits,
            _ => true,
        }
    }
}

/// What a client's messages may lean on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// Nothing: each stands by itself.
    Alone,
    /// On so much of those before, as we ask for.
    Asked(u8),
    /// On so much of those before, without a word of ours.
    Known(u8),
}

/// Judges one offer: a name and its parameters.
fn accept(offer: &[u8], is_browser: bool) -> Option<Deflate> {
    let mut parts = split(offer, b';');
    if parts.next()? != NAME {
        return None;
    }
    let mut seen: [bool; 4] = [false; 4];
    let mut server_max_window_bits = None;
    // What it promises by itself.
    let mut client_bits = WINDOW_BITS;
    for part in parts {
        let (name, value) = match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (part[..at].trim_ascii_end(), Some(part[at + 1..].trim_ascii_start())),
            None => (part, None),
        };
        let which = match (name, value) {
            (b"server_no_context_takeover", None) => 0,
            (b"client_no_context_takeover", None) => 1,
            (b"server_max_window_bits", Some(value)) => {
                server_max_window_bits = Some(window_bits(value)?);
                2
            }
            // Its leave for us to ask for a small window of its own, or its promise.
            (b"client_max_window_bits", None) => 3,
            (b"client_max_window_bits", Some(value)) => {
                client_bits = window_bits(value)?;
                3
            }
            _ => return None,
        };
        if std::mem::replace(&mut seen[which], true) {
            return None;
        }
    }
    let [_, alone, _, may_ask] = seen;
    let client = match (alone || is_browser, may_ask) {
        (true, _) => Client::Alone,
        (false, true) if client_bits > CLIENT_WINDOW_BITS => Client::Asked(CLIENT_WINDOW_BITS),
        (false, _) => Client::Known(client_bits),
    };
    Some(Deflate { client, server_max_window_bits })
}

/// A number from 8 to 15 without leading zeros, plain or quoted (RFC 7692 section 7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    match unquoted(value)?.as_slice() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What a token or a quoted string stands for; the RFC wants a token within the quotes too (RFC 6455 section 9.1).
fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let text = match value {
        [b'"', quoted @ .., b'"'] => {
            let mut text = Vec::with_capacity(quoted.len());
            let mut bytes = quoted.iter();
            while let Some(byte) = bytes.next() {
                text.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
            }
            text
        }
        token => token.to_vec(),
    };
    (!text.is_empty() && text.iter().copied().all(is_token_byte)).then_some(text)
}

/// The parts between separators that do not stand within a quoted string, without the blanks around them. An empty
/// part is kept: between two semicolons it is a parameter without a name, and makes its offer fail.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |byte| {
        let was_escaped = std::mem::take(&mut escaped);
        match *byte {
            b'\\' if quoted && !was_escaped => escaped = true,
            b'"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        !quoted && *byte == separator
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer's header for these lines of offers.
    fn answer(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers
                .append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Deflate::negotiate(&headers).map(|deflate| deflate.response().to_str().unwrap().to_owned())
    }

    const AGREED: &str = "permessage-deflate; server_no_context_takeover";

    #[test]
    fn nothing_is_asked_of_a_client_that_it_did_not_offer() {
        let alone = format!("{AGREED}; client_no_context_takeover");
        for (offer, wanted, bits) in [
            ("permessage-deflate", AGREED, Some(15)),
            ("permessage-deflate; client_max_window_bits=8", AGREED, Some(8)),
            (
                "permessage-deflate; client_max_window_bits",
                &format!("{AGREED}; client_max_window_bits=9"),
                Some(9),
            ),
            (
                "permessage-deflate; client_max_window_bits=12",
                &format!("{AGREED}; client_max_window_bits=9"),
                Some(9),
            ),
            ("permessage-deflate; client_no_context_takeover", &alone, None),
            ("permessage-deflate; client_no_context_takeover; client_max_window_bits", &alone, None),
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(wanted), "{offer}");
            let agreed = |is_browser| accept(offer.as_bytes(), is_browser).unwrap();
            assert_eq!(agreed(false).client_window_bits(), bits, "{offer}");
            // A browser keeps to the RFC, whatever it offered.
            assert_eq!(agreed(true).response(), alone.as_str(), "{offer}");
        }
        for (agent, wanted) in [("Mozilla/5.0 (X11; Linux x86_64)", alone.as_str()), ("netty/4", AGREED)] {
            let headers = [
                (header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate"),
                (header::ORIGIN, "https://app.example"),
                (header::USER_AGENT, agent),
            ];
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            let agreed = Deflate::negotiate(&HeaderMap::from_iter(headers)).unwrap();
            assert_eq!(agreed.response(), wanted, "{agent}");
        }
    }

    #[test]
    fn offers_that_can_be_kept_are_agreed_to() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate,deflate-frame,x-webkit-deflate-frame",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=9",
            "permessage-deflate;server_no_context_takeover",
            "x-other; a=\"quoted, with; all \\\" of it\", permessage-deflate",
            ", ,permessage-deflate,",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(AGREED), "{offer}");
        }
        assert_eq!(answer(&["x-webkit-deflate-frame", "permessage-deflate"]).as_deref(), Some(AGREED));
        for (value, bits) in
            [("8", 8), ("9", 9), ("10", 10), ("15", 15), ("\"12\"", 12), ("\"1\\1\"", 11), (" 14 ", 14)]
        {
            let offer = format!("permessage-deflate; server_max_window_bits={value}");
            let expected = format!("{AGREED}; server_max_window_bits={bits}");
            assert_eq!(answer(&[&offer]), Some(expected), "{offer}");
        }
    }

    #[test]
    fn offers_that_cannot_be_kept_are_passed_over() {
        for parameters in [
            "x",
            "x=1",
            "",
            "client_max_window_bits;",
            "server_no_context_takeover=1",
            "client_no_context_takeover=",
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=1",
            "server_max_window_bits=\"\"",
            "server_max_window_bits=\"9",
            "server_max_window_bits=\"9 \"",
            "server_max_window_bits=+9",
            "client_max_window_bits=7",
            "client_max_window_bits=x",
            "Server_no_context_takeover",
            "server_max_window_bits=9; server_max_window_bits=9",
            "client_max_window_bits; client_max_window_bits=9",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
        ] {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&[&offer]), None, "{offer}");
            let fallback = format!("{AGREED}; server_max_window_bits=9");
            let next = "permessage-deflate; server_max_window_bits=9";
            assert_eq!(answer(&[&offer, next]), Some(fallback), "{offer}");
        }
        for other in ["", "permessage-deflate-2", "permessage-bzip2", "\"permessage-deflate\"", "=", ";"] {
            assert_eq!(answer(&[other]), None, "{other}");
        }
        assert_eq!(answer(&[]), None);
    }

    #[test]
    fn the_first_good_offer_is_taken() {
        let offers =
            ["permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate"];
        assert_eq!(answer(&offers), Some(format!("{AGREED}; server_max_window_bits=10")));
    }

    #[test]
    fn a_client_with_a_small_window_takes_what_fits_it() {
        let with = |server_max_window_bits| Deflate { client: Client::Alone, server_max_window_bits };
        assert!(with(None).takes(usize::MAX) && with(Some(15)).takes(usize::MAX));
        assert!(with(Some(8)).takes(256) && !with(Some(8)).takes(257));
        assert!(with(Some(14)).takes(16_384) && !with(Some(14)).takes(16_385));
        assert!(size_of::<Option<Deflate>>() <= 4, "it stands in every connection");
    }
}
