//! What is in a packet of Socket.IO?
//!
//! Version 5 of its protocol: `<type>[<attachments>-][<namespace>,][<ack id>][<JSON>]`. Binary attachments follow in messages of their
//! own, which nobody here reads: an event of the log is JSON.

use serde_json::value::RawValue;

/// The namespace that stands for none.
pub const MAIN: &str = "/";
/// Attachments that one packet may announce, as in the reference parser.
pub const ATTACHMENTS: u8 = 10;
/// What clients and servers of Socket.IO say themselves: no name for an event.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its type.
    pub kind: PacketKind,
    /// Which namespace it is for, with its slash.
    pub namespace: &'a str,
    /// Names the callback that waits for an answer.
    pub id: Option<u64>,
    /// Its payload: one JSON value, of the form that its type has.
    pub data: Option<&'a str>,
}

/// The type of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// `0`: of a client, to come into a namespace, with an object that says who it is; of a server, that it is in.
    Connect,
    /// `1`: the namespace is left.
    Disconnect,
    /// `2`: an array, the name of an event and its arguments.
    Event,
    /// `3`: an array, the arguments of a callback.
    Ack,
    /// `4`: the namespace cannot be entered.
    ConnectError,
    /// `5`: an event with so many attachments.
    BinaryEvent(u8),
    /// `6`: the arguments of a callback with so many attachments.
    BinaryAck(u8),
}

/// Why a text is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketFault {
    /// Its type is none.
    #[error("a Socket.IO packet begins with its type, 0 to 6")]
    Type,
    /// A binary packet does not say how many attachments follow, or more than [`ATTACHMENTS`].
    #[error("a binary Socket.IO packet says how many attachments follow, at most 10")]
    Attachments,
    /// A number that is too large to be one.
    #[error("the ack id of a Socket.IO packet is a number below 2^53")]
    Id,
    /// What follows is not JSON.
    #[error("the payload of a Socket.IO packet is not JSON")]
    Json,
    /// It is JSON, and not what this type has.
    #[error("the payload of a Socket.IO packet is not what its type has")]
    Payload,
}

/// JavaScript counts exactly up to here.
const LARGEST_ID: u64 = (1 << 53) - 1;

impl<'a> Packet<'a> {
    /// Of the main namespace.
    pub fn of(kind: PacketKind, id: Option<u64>, data: Option<&'a str>) -> Self {
        Self { kind, namespace: MAIN, id, data }
    }

    /// Reads one packet.
    ///
    /// # Errors
    /// If it is none, the first fault.
    pub fn parse(text: &'a str) -> Result<Self, PacketFault> {
        let mut chars = text.chars();
        let kind = chars.next().ok_or(PacketFault::Type)?;
        let (kind, rest) = match kind {
            '0' => (PacketKind::Connect, chars.as_str()),
            '1' => (PacketKind::Disconnect, chars.as_str()),
            '2' => (PacketKind::Event, chars.as_str()),
            '3' => (PacketKind::Ack, chars.as_str()),
            '4' => (PacketKind::ConnectError, chars.as_str()),
            '5' => attachments(chars.as_str()).map(|(count, rest)| (PacketKind::BinaryEvent(count), rest))?,
            '6' => attachments(chars.as_str()).map(|(count, rest)| (PacketKind::BinaryAck(count), rest))?,
            _ => return Err(PacketFault::Type),
        };
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => (MAIN, rest),
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits).unwrap_or((rest, ""));
        let id = match number {
            "" => None,
            number => {
                let id = number.parse().ok().filter(|id| *id <= LARGEST_ID);
                Some(id.ok_or(PacketFault::Id)?)
            }
        };
        let data = match rest {
            "" => None,
            json => Some(serde_json::from_str::<&RawValue>(json).map_err(|_| PacketFault::Json)?.get()),
        };
        let packet = Self { kind, namespace, id, data };
        if packet.has_its_payload() { Ok(packet) } else { Err(PacketFault::Payload) }
    }

    fn has_its_payload(&self) -> bool {
        let begins = |with: &[char]| self.data.is_some_and(|data| data.starts_with(with));
        match self.kind {
            PacketKind::Connect => self.id.is_none() && (self.data.is_none() || begins(&['{'])),
            PacketKind::Disconnect => self.id.is_none() && self.data.is_none(),
            PacketKind::ConnectError => self.id.is_none() && begins(&['{', '"']),
            PacketKind::Ack | PacketKind::BinaryAck(_) => self.id.is_some() && begins(&['[']),
            PacketKind::Event | PacketKind::BinaryEvent(_) => self.event().is_some(),
        }
    }

    /// The name of the event and its arguments, each JSON; none if it is no event.
    pub fn event(&self) -> Option<(String, Vec<&'a RawValue>)> {
        if !matches!(self.kind, PacketKind::Event | PacketKind::BinaryEvent(_)) {
            return None;
        }
        let mut list: Vec<&'a RawValue> = serde_json::from_str(self.data?).ok()?;
        if list.is_empty() {
            return None;
        }
        let arguments = list.split_off(1);
        let name: String = serde_json::from_str(list.first()?.get()).ok()?;
        (!RESERVED.contains(&name.as_str())).then_some((name, arguments))
    }

    /// The text of the packet, without the type of the Engine.IO packet around it.
    pub fn to_text(self) -> String {
        let (kind, attachments) = match self.kind {
            PacketKind::Connect => ('0', None),
            PacketKind::Disconnect => ('1', None),
            PacketKind::Event => ('2', None),
            PacketKind::Ack => ('3', None),
            PacketKind::ConnectError => ('4', None),
            PacketKind::BinaryEvent(count) => ('5', Some(count)),
            PacketKind::BinaryAck(count) => ('6', Some(count)),
        };
        let mut text = String::with_capacity(self.data.map_or(0, str::len) + 24);
        text.push(kind);
        if let Some(count) = attachments {
            text.push_str(&count.to_string());
            text.push('-');
        }
        if self.namespace != MAIN {
            text.push_str(self.namespace);
            text.push(',');
        }
        if let Some(id) = self.id {
            text.push_str(&id.to_string());
        }
        text.push_str(self.data.unwrap_or_default());
        text
    }
}

/// The number of attachments at the beginning of a text, and what follows it.
fn attachments(text: &str) -> Result<(u8, &str), PacketFault> {
    let (number, rest) = text.split_once('-').ok_or(PacketFault::Attachments)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let count = number.parse().ok().filter(|count| is_number && *count <= ATTACHMENTS);
    Ok((count.ok_or(PacketFault::Attachments)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_protocol_are_read_and_written() {
        let of = |kind, namespace, id, data| Packet { kind, namespace, id, data };
        for (text, packet) in [
            ("0", of(PacketKind::Connect, "/", None, None)),
            (r#"0{"token":"123"}"#, of(PacketKind::Connect, "/", None, Some(r#"{"token":"123"}"#))),
            ("0/admin,", of(PacketKind::Connect, "/admin", None, None)),
            (r#"0/admin,{"sid":"o"}"#, of(PacketKind::Connect, "/admin", None, Some(r#"{"sid":"o"}"#))),
            (
                r#"4{"message":"Not authorized"}"#,
                of(PacketKind::ConnectError, "/", None, Some(r#"{"message":"Not authorized"}"#)),
            ),
            (r#"2["foo"]"#, of(PacketKind::Event, "/", None, Some(r#"["foo"]"#))),
            (r#"2/admin,["bar"]"#, of(PacketKind::Event, "/admin", None, Some(r#"["bar"]"#))),
            (r#"212["foo"]"#, of(PacketKind::Event, "/", Some(12), Some(r#"["foo"]"#))),
            (r#"3/admin,13["bar"]"#, of(PacketKind::Ack, "/admin", Some(13), Some(r#"["bar"]"#))),
            ("312[]", of(PacketKind::Ack, "/", Some(12), Some("[]"))),
            ("1/admin,", of(PacketKind::Disconnect, "/admin", None, None)),
            (
                r#"51-["baz",{"_placeholder":true,"num":0}]"#,
                of(PacketKind::BinaryEvent(1), "/", None, Some(r#"["baz",{"_placeholder":true,"num":0}]"#)),
            ),
            (
                r#"61-/admin,1[{"_placeholder":true,"num":0}]"#,
                of(PacketKind::BinaryAck(1), "/admin", Some(1), Some(r#"[{"_placeholder":true,"num":0}]"#)),
            ),
        ] {
            assert_eq!(Packet::parse(text), Ok(packet), "{text}");
            assert_eq!(packet.to_text(), text);
        }
        assert_eq!(Packet::parse("1/admin").map(|packet| packet.namespace), Ok("/admin"));
        let event = Packet::parse(r#"2["chat message", {"a":1},null]"#).unwrap().event().unwrap();
        assert_eq!(event.0, "chat message");
        assert_eq!(event.1.iter().map(|argument| argument.get()).collect::<Vec<_>>(), [r#"{"a":1}"#, "null"]);
    }

    #[test]
    fn what_is_no_packet_is_named() {
        for (fault, texts) in [
            (PacketFault::Type, &["", "7", "x", "ž", "\u{1f600}"][..]),
            (
                PacketFault::Attachments,
                &["5[\"a\"]", "5-[\"a\"]", "511-[\"a\"]", "5+1-[\"a\"]", "5999999-[\"a\"]", "6", "5x-"],
            ),
            (PacketFault::Id, &["29007199254740992[\"a\"]", "2999999999999999999999[\"a\"]"]),
            (PacketFault::Json, &["2[\"a\"", "0{", "2[\"a\"]x", "2a", "0/admin,{]", "2[\"a\"],", "0,"]),
            (
                PacketFault::Payload,
                &[
                    "2",
                    "2[]",
                    "2{}",
                    "2[1]",
                    "2[null,2]",
                    "2\"a\"",
                    "2[\"connect\"]",
                    "2[\"disconnect\",1]",
                    "0[]",
                    "0\"t\"",
                    "01",
                    "1{}",
                    "3[]",
                    "31",
                    "312{}",
                    "4",
                    "4[]",
                    "41",
                    "50-[]",
                    "60-[]",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(Packet::parse(text), Err(fault), "{text:?}");
            }
        }
        // Deep, and still no trouble for the stack.
        let deep = format!("2[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        let _ = Packet::parse(&deep);
    }

    fn kind() -> impl Strategy<Value = PacketKind> {
        prop_oneof![
            Just(PacketKind::Connect),
            Just(PacketKind::Event),
            Just(PacketKind::Ack),
            Just(PacketKind::ConnectError),
            (0..=ATTACHMENTS).prop_map(PacketKind::BinaryEvent),
            (0..=ATTACHMENTS).prop_map(PacketKind::BinaryAck),
        ]
    }

    proptest! {
        #[test]
        fn every_packet_is_read_as_it_was_written(
            kind in kind(), namespace in "/[^,\0]{0,8}", id in 0..=LARGEST_ID, has_id: bool, text in "\\PC{0,20}",
        ) {
            let text = serde_json::to_string(&text).unwrap();
            let data = match kind {
                PacketKind::Connect | PacketKind::ConnectError => format!("{{\"a\":{text}}}"),
                PacketKind::Event | PacketKind::BinaryEvent(_) => format!("[\"a b\",{text}]"),
                _ => format!("[{text}]"),
            };
            let id = match kind {
                PacketKind::Ack | PacketKind::BinaryAck(_) => Some(id),
                PacketKind::Event | PacketKind::BinaryEvent(_) => has_id.then_some(id),
                _ => None,
            };
            let packet = Packet { kind, namespace: &namespace, id, data: Some(&data) };
            let text = packet.to_text();
            prop_assert_eq!(Packet::parse(&text), Ok(packet));
        }

        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_is_read_again(
            bytes in prop::collection::vec(any::<u8>(), 0..60), lead in "[0-7]{0,2}(/[a-z]{0,3},?)?[0-9]{0,20}",
        ) {
            let text = lead + &String::from_utf8_lossy(&bytes);
            if let Ok(packet) = Packet::parse(&text) {
                let again = packet.to_text();
                prop_assert_eq!(Packet::parse(&again), Ok(packet));
                let _ = packet.event();
            }
        }
    }
}
