//! Which compression does a client offer, and what do the two sides agree on (RFC 7692 section 7.1)?
//!
//! Only permessage-deflate is known, and only without context takeover of ours: every message stands by itself, so an event
//! is compressed once and the same bytes go to every socket. The first offer that can be kept is taken; one that
//! cannot (another extension, a parameter unknown, repeated or with a wrong value) is passed over, as the RFC asks,
//! and never a reason to refuse the handshake.
//!
//! A client's messages stand by themselves, too: the answer says so (`client_no_context_takeover`), also to one that did not
//! offer it, as section 7.1.1.2 allows; so none needs a window. One kind of clients fails at that answer: Netty and what is
//! built on it. They are known by what only they offer beside it, the draft `deflate-frame`, and are answered with what they
//! offered and no more, where a window can be had for them ([`Deflate::keeps_window`]).

use super::handshake::is_token_byte;
use http::{HeaderMap, HeaderValue, header};

const NAME: &[u8] = b"permessage-deflate";

/// A draft before it, which only clients offer that take no parameter they did not name.
const DRAFT: &[u8] = b"deflate-frame";

/// Window of the shared compressor, in bits: the largest there is.
const WINDOW_BITS: u8 = 15;

/// permessage-deflate was agreed on, without context takeover of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The largest window the client is willing to keep for us, in bits, 8-15, if it named one.
    server_max_window_bits: Option<u8>,
    /// Whether the client's messages stand by themselves.
    client_no_context_takeover: bool,
}

impl Deflate {
    /// Reads all `Sec-WebSocket-Extensions` lines and agrees to the first offer that can be kept.
    pub(super) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let lines = || headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).into_iter();
        let offers = || lines().flat_map(|line| split(line.as_bytes(), b','));
        let (agreed, named) = offers().find_map(accept)?;
        let is_draft = |offer| split(offer, b';').next() == Some(DRAFT);
        Some(Self { client_no_context_takeover: named || !offers().any(is_draft), ..agreed })
    }

    /// Whether the client's messages may refer back to its earlier ones, so that they need a window of up to 32 KiB.
    pub const fn keeps_window(self) -> bool {
        !self.client_no_context_takeover
    }

    /// What was agreed on with a client that keeps a window of so many bits.
    #[cfg(test)]
    pub(crate) fn with_window(bits: u8) -> Self {
        Self { server_max_window_bits: Some(bits), client_no_context_takeover: true }
    }

    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub(super) fn response(self) -> HeaderValue {
        const OURS: &str = "permessage-deflate; server_no_context_takeover";
        const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let agreed = if self.client_no_context_takeover { BOTH } else { OURS };
        match self.server_max_window_bits {
            None => HeaderValue::from_static(agreed),
            Some(bits) => HeaderValue::try_from(format!("{agreed}; server_max_window_bits={bits}"))
                .expect("a fixed text and a number are a valid header value"),
        }
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

/// Judges one offer: a name and its parameters. Tells also whether it names `client_no_context_takeover`.
fn accept(offer: &[u8]) -> Option<(Deflate, bool)> {
    let mut parts = split(offer, b';');
    if parts.next()? != NAME {
        return None;
    }
    let mut seen: [bool; 4] = [false; 4];
    let mut agreed = Deflate { server_max_window_bits: None, client_no_context_takeover: true };
    for part in parts {
        let (name, value) = match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (part[..at].trim_ascii_end(), Some(part[at + 1..].trim_ascii_start())),
            None => (part, None),
        };
        let which = match (name, value) {
            (b"server_no_context_takeover", None) => 0,
            (b"client_no_context_takeover", None) => 1,
            (b"server_max_window_bits", Some(value)) => {
                agreed.server_max_window_bits = Some(window_bits(value)?);
                2
            }
            // The client's promise to keep its own window small, or its leave for us to ask for that (section 7.1.2.2). We
            // read any, so the answer does not name it.
            (b"client_max_window_bits", None) => 3,
            (b"client_max_window_bits", Some(value)) => {
                window_bits(value)?;
                3
            }
            _ => return None,
        };
        if std::mem::replace(&mut seen[which], true) {
            return None;
        }
    }
    Some((agreed, seen[1]))
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

    const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn offers_that_can_be_kept_are_agreed_to() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate;server_no_context_takeover ;\tclient_no_context_takeover",
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
    fn who_takes_only_what_it_offered_gets_no_more() {
        const OURS: &str = "permessage-deflate; server_no_context_takeover";
        let netty = "permessage-deflate,deflate-frame,x-webkit-deflate-frame";
        assert_eq!(answer(&[netty]).as_deref(), Some(OURS));
        assert_eq!(
            answer(&["deflate-frame", "permessage-deflate; client_max_window_bits=9"]).as_deref(),
            Some(OURS)
        );
        let window = "permessage-deflate; server_max_window_bits=10,deflate-frame; no_context_takeover";
        assert_eq!(answer(&[window]), Some(format!("{OURS}; server_max_window_bits=10")));
        let named = "permessage-deflate; client_no_context_takeover,deflate-frame";
        assert_eq!(answer(&[named]).as_deref(), Some(AGREED), "it can, and costs no window");
        for other in
            ["permessage-deflate,x-webkit-deflate-frame", "permessage-deflate,Deflate-Frame,deflate-frames"]
        {
            assert_eq!(answer(&[other]).as_deref(), Some(AGREED), "{other}");
        }
        assert_eq!(answer(&["deflate-frame"]), None);
        let agreed = |line: &'static str| {
            let headers =
                [(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(line))].into_iter().collect();
            Deflate::negotiate(&headers).unwrap()
        };
        assert!(agreed("permessage-deflate,deflate-frame").keeps_window());
        assert!(!agreed("permessage-deflate").keeps_window());
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
        let with =
            |server_max_window_bits| Deflate { server_max_window_bits, client_no_context_takeover: true };
        assert!(with(None).takes(usize::MAX) && with(Some(15)).takes(usize::MAX));
        assert!(with(Some(8)).takes(256) && !with(Some(8)).takes(257));
        assert!(with(Some(14)).takes(16_384) && !with(Some(14)).takes(16_385));
        assert!(size_of::<Option<Deflate>>() <= 3, "it stands in every connection");
    }
}
