//! How do packets travel in the body of a request or an answer?
//!
//! Version 4 of Engine.IO: packets with U+001E between them; one with binary data is `b` and base64.

use super::engine::{EngineFault, EnginePacket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What stands between two packets.
const SEPARATOR: char = '\u{1e}';
/// Packets in one answer: a client in Python takes no more.
pub const PACKETS: usize = 16;

/// Packets in the body of a request. Whoever may send 50 a second may send 250 at once.
pub const MOST_SAID: usize = 1_000;

/// A packet in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As one text message of a WebSocket.
    Text(&'a str),
    /// As one binary message.
    Binary(Vec<u8>),
}

impl Piece<'_> {
    /// Bytes of its message.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) => data.len(),
        }
    }
}

/// Why a body is no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadFault {
    /// One of its packets is none.
    #[error(transparent)]
    Packet(#[from] EngineFault),
    /// What begins with `b` is not base64.
    #[error("a binary packet is `b` and base64")]
    Binary,
    /// It has more than [`MOST_SAID`].
    #[error("a body has at most {MOST_SAID} packets")]
    TooMany,
}

/// The packets of a body.
///
/// # Errors
/// If one of them is none, or there are too many: then none is to be acted on.
pub fn read(body: &str) -> Result<Vec<Piece<'_>>, PayloadFault> {
    // Counted first: a list of empty packets is many times as large as they are.
    if body.split(SEPARATOR).nth(MOST_SAID).is_some() {
        return Err(PayloadFault::TooMany);
    }
    body.split(SEPARATOR).map(piece).collect()
}

fn piece(text: &str) -> Result<Piece<'_>, PayloadFault> {
    match text.strip_prefix('b') {
        Some(data) => Ok(Piece::Binary(BASE64_STANDARD.decode(data).map_err(|_| PayloadFault::Binary)?)),
        None => {
            EnginePacket::parse(text)?;
            Ok(Piece::Text(text))
        }
    }
}

/// Appends a packet to a body.
pub fn push(body: &mut String, packet: &str) {
    if !body.is_empty() {
        body.push(SEPARATOR);
    }
    body.push_str(packet);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_protocol_are_read_and_written() {
        let texts = [Piece::Text("4hello"), Piece::Text("2"), Piece::Text("4world")];
        assert_eq!(read("4hello\u{1e}2\u{1e}4world").unwrap(), texts);
        let binary = [Piece::Text("4hello"), Piece::Binary(vec![1, 2, 3, 4])];
        assert_eq!(read("4hello\u{1e}bAQIDBA==").unwrap(), binary);
        let mut body = String::new();
        ["4hello", "2"].iter().for_each(|packet| push(&mut body, packet));
        assert_eq!(body, "4hello\u{1e}2");
    }

    #[test]
    fn a_body_with_one_packet_that_is_none_is_none() {
        for body in ["", "\u{1e}", "4a\u{1e}", "4a\u{1e}9", "abc", "b%%", "1x"] {
            assert!(read(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn i10_a_body_has_a_bound_of_packets() {
        let body = |count: usize| vec!["6"; count].join("\u{1e}");
        assert_eq!(read(&body(MOST_SAID)).unwrap().len(), MOST_SAID);
        assert_eq!(read(&body(MOST_SAID + 1)), Err(PayloadFault::TooMany));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "[0-9b]?\\PC{0,9}(\u{1e}[0-9b]?\\PC{0,9}){0,3}") {
            let _ = read(&body);
        }
    }
}
