//! What is in a message of Engine.IO?
//!
//! Version 4, over WebSocket: one packet is one text message, its first character is the type. The server pings.

use std::fmt::Write;

/// The only version that is spoken (`EIO=4`).
pub const VERSION: &str = "4";

/// A packet, as one text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    /// `0`: the server's first packet, JSON.
    Open(&'a str),
    /// `1`: the session ends.
    Close,
    /// `2`: to be answered with a pong that has the same text (`probe`, or none).
    Ping(&'a str),
    /// `3`
    Pong(&'a str),
    /// `4`: a packet of Socket.IO.
    Message(&'a str),
    /// `5`: the client goes on with this transport.
    Upgrade,
    /// `6`: nothing.
    Noop,
}

/// Why a message is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineFault {
    /// It has no type.
    #[error("an Engine.IO packet begins with its type, 0 to 6")]
    Type,
    /// A packet without content has some.
    #[error("an Engine.IO packet of this type has no content")]
    Content,
}

impl<'a> EnginePacket<'a> {
    /// Reads one text message.
    ///
    /// # Errors
    /// If it is no packet.
    pub fn parse(text: &'a str) -> Result<Self, EngineFault> {
        let mut rest = text.chars();
        let kind = rest.next().ok_or(EngineFault::Type)?;
        let content = rest.as_str();
        let bare = |packet| if content.is_empty() { Ok(packet) } else { Err(EngineFault::Content) };
        match kind {
            '0' => Ok(Self::Open(content)),
            '1' => bare(Self::Close),
            '2' => Ok(Self::Ping(content)),
            '3' => Ok(Self::Pong(content)),
            '4' => Ok(Self::Message(content)),
            '5' => bare(Self::Upgrade),
            '6' => bare(Self::Noop),
            _ => Err(EngineFault::Type),
        }
    }

    /// The text message.
    pub fn to_text(self) -> String {
        let (kind, content) = match self {
            Self::Open(content) => ('0', content),
            Self::Close => ('1', ""),
            Self::Ping(content) => ('2', content),
            Self::Pong(content) => ('3', content),
            Self::Message(content) => ('4', content),
            Self::Upgrade => ('5', ""),
            Self::Noop => ('6', ""),
        };
        let mut text = String::with_capacity(1 + content.len());
        text.push(kind);
        text.push_str(content);
        text
    }
}

/// What a server tells about itself in its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// Names the session of Engine.IO; characters that need no escape in JSON.
    pub session: &'a str,
    /// Whether it may go on as a WebSocket.
    pub upgrades: bool,
    /// How often the server pings.
    pub ping_interval_ms: u64,
    /// How much later than that a client gives the connection up.
    pub ping_timeout_ms: u64,
    /// Bytes of the largest message that a client may send.
    pub max_payload: usize,
}

impl Handshake<'_> {
    /// The whole message.
    pub fn to_text(self) -> String {
        let Self { session, upgrades, ping_interval_ms, ping_timeout_ms, max_payload } = self;
        let mut json = String::new();
        let upgrades = if upgrades { "[\"websocket\"]" } else { "[]" };
        // Clients with intervals of zero reconnect in a loop.
        let (interval, timeout) = (ping_interval_ms.max(1), ping_timeout_ms.max(1));
        let _ = write!(
            json,
            r#"{{"sid":"{session}","upgrades":{upgrades},"pingInterval":{interval},"pingTimeout":{timeout},"maxPayload":{max_payload}}}"#
        );
        EnginePacket::Open(&json).to_text()
    }
}

/// Why a request of Engine.IO is refused: its own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `transport` is not one of those spoken.
    #[error("Transport unknown")]
    Transport,
    /// `sid` names no session.
    #[error("Session ID unknown")]
    Session,
    /// A session begins with a GET.
    #[error("Bad handshake method")]
    Method,
    /// The request is not what its transport has.
    #[error("Bad request")]
    Request,
    /// The page's origin may not connect.
    #[error("Forbidden")]
    Forbidden,
    /// `EIO` is not [`VERSION`].
    #[error("Unsupported protocol version")]
    Version,
}

impl Refused {
    /// The protocol's number of it.
    pub fn number(self) -> u8 {
        match self {
            Self::Transport => 0,
            Self::Session => 1,
            Self::Method => 2,
            Self::Request => 3,
            Self::Forbidden => 4,
            Self::Version => 5,
        }
    }

    /// As it is counted.
    pub fn code(self) -> &'static str {
        match self {
            Self::Transport => "socketio_transport",
            Self::Session => "socketio_session",
            Self::Method => "socketio_method",
            Self::Request => "socketio_request",
            Self::Forbidden => "origin_not_allowed",
            Self::Version => "socketio_version",
        }
    }

    /// The HTTP status that answers it.
    pub fn status(self) -> u16 {
        if self == Self::Forbidden { 403 } else { 400 }
    }

    /// The body of the answer.
    pub fn to_json(self) -> String {
        format!(r#"{{"code":{},"message":"{self}"}}"#, self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_type_is_read_and_written() {
        for (text, packet) in [
            ("0{}", EnginePacket::Open("{}")),
            ("1", EnginePacket::Close),
            ("2", EnginePacket::Ping("")),
            ("2probe", EnginePacket::Ping("probe")),
            ("3probe", EnginePacket::Pong("probe")),
            ("42[\"a\"]", EnginePacket::Message("2[\"a\"]")),
            ("4", EnginePacket::Message("")),
            ("5", EnginePacket::Upgrade),
            ("6", EnginePacket::Noop),
        ] {
            assert_eq!(EnginePacket::parse(text), Ok(packet));
            assert_eq!(packet.to_text(), text);
        }
    }

    #[test]
    fn what_is_no_packet_is_named() {
        for text in ["", "7", "a", "ž", "\0", "-1", "b4AAAA"] {
            assert_eq!(EnginePacket::parse(text), Err(EngineFault::Type), "{text:?}");
        }
        for text in ["1x", "5probe", "6 "] {
            assert_eq!(EnginePacket::parse(text), Err(EngineFault::Content), "{text:?}");
        }
    }

    #[test]
    fn the_first_packet_is_what_clients_expect_and_its_times_are_never_zero() {
        let handshake = Handshake {
            session: "a-1",
            upgrades: false,
            ping_interval_ms: 0,
            ping_timeout_ms: 20_000,
            max_payload: 65_536,
        };
        assert_eq!(
            handshake.to_text(),
            r#"0{"sid":"a-1","upgrades":[],"pingInterval":1,"pingTimeout":20000,"maxPayload":65536}"#
        );
        let polls = Handshake { upgrades: true, ..handshake }.to_text();
        assert!(polls.contains(r#""upgrades":["websocket"]"#), "{polls}");
    }

    #[test]
    fn a_refusal_is_told_in_the_protocol_s_own_words() {
        assert_eq!(Refused::Version.to_json(), r#"{"code":5,"message":"Unsupported protocol version"}"#);
        assert_eq!((Refused::Forbidden.status(), Refused::Session.status()), (403, 400));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_as_it_came(text in "[0-7]?\\PC{0,40}") {
            if let Ok(packet) = EnginePacket::parse(&text) {
                prop_assert_eq!(packet.to_text(), text);
            }
        }
    }
}
