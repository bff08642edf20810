//! Which connection is meant, among all of an installation?
//!
//! A client learns the name of its connection with `welcome` and may say later: not to this one. The name says where the
//! connection is found: which node, which run of it, which shard, and where in that shard. So a gateway sees at once whether
//! one of its own is meant, and a name from before a restart means nobody.

use crate::ident::{InvalidName, UserId};
use std::fmt;

/// Longest name, in bytes: a node's name of 64, and where in it.
pub const CONNECTION_BYTES: usize = 128;

/// The name of a connection: `<node>-<incarnation>-<shard>-<place>-<number>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectionName {
    text: Box<str>,
    incarnation: u32,
    at: Whereabouts,
}

/// Where in a process a connection is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Whereabouts {
    /// Which shard.
    pub shard: u16,
    /// The place in its table; used again after the connection.
    pub place: u32,
    /// Counts the shard's connections, so that no two at one place are mixed up.
    pub number: u64,
}

/// A run of a node's process: another one after each start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnation {
    /// The node's name.
    pub node: Box<str>,
    /// Drawn at the start.
    pub number: u32,
}

impl Incarnation {
    /// The name of a connection of this run.
    pub fn name(&self, at: Whereabouts) -> ConnectionName {
        let Whereabouts { shard, place, number } = at;
        let text = format!("{}-{:08x}-{shard}-{place}-{number}", self.node, self.number);
        ConnectionName { text: text.into(), incarnation: self.number, at }
    }

    /// Where in this run a connection is, if it is one of it.
    pub fn finds(&self, name: &ConnectionName) -> Option<Whereabouts> {
        (name.incarnation == self.number && self.name(name.at) == *name).then_some(name.at)
    }
}

impl ConnectionName {
    /// What a name looks like, in words.
    pub const ALLOWED: &'static str = "the connection that a welcome named";

    /// Takes a name that a gateway may have given.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let read = || {
            let mut parts = text.rsplitn(5, '-');
            let (number, place, shard) =
                (decimal(parts.next()?)?, decimal(parts.next()?)?, decimal(parts.next()?)?);
            let (incarnation, node) = (parts.next()?, parts.next()?);
            let is_node_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if text.len() > CONNECTION_BYTES || node.is_empty() || !node.bytes().all(is_node_byte) {
                return None;
            }
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if incarnation.len() != 8 || !incarnation.bytes().all(is_hex) {
                return None;
            }
            let at = Whereabouts { shard: shard.try_into().ok()?, place: place.try_into().ok()?, number };
            Some(Self { text: text.into(), incarnation: u32::from_str_radix(incarnation, 16).ok()?, at })
        };
        read().ok_or(InvalidName { what: "connection", allowed: Self::ALLOWED })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A number as it is written: no sign, no zeros before it.
fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionName({:?})", &*self.text)
    }
}

/// Who does not get an event as it happens, although it is for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Except {
    /// This connection,
    pub connection: ConnectionName,
    /// if it is this person's: nobody keeps an event from somebody else. None: whosever it is, a service says so.
    pub of: Option<UserId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(node: &str, number: u32) -> Incarnation {
        Incarnation { node: node.into(), number }
    }

    proptest! {
        #[test]
        fn a_name_is_found_by_the_run_that_gave_it_and_by_no_other(
            node in "[A-Za-z0-9_.-]{1,64}", other in "[A-Za-z0-9_.-]{1,64}", incarnation: u32, later: u32,
            shard in 0..64u16, place: u32, number: u64,
        ) {
            let at = Whereabouts { shard, place, number };
            let name = run(&node, incarnation).name(at);
            let read = ConnectionName::new(name.as_str());
            prop_assert_eq!(read.as_ref(), Ok(&name));
            prop_assert_eq!(run(&node, incarnation).finds(&name), Some(at));
            prop_assert_eq!(run(&node, later).finds(&name).is_some(), later == incarnation);
            prop_assert_eq!(run(&other, incarnation).finds(&name).is_some(), other == node);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            if let Ok(name) = ConnectionName::new(&text) {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }

    #[test]
    fn what_no_gateway_gave_is_refused() {
        assert!(ConnectionName::new("gateway-1-0000000a-0-4-7").is_ok());
        let long = format!("{}-0000000a-0-4-7", "n".repeat(CONNECTION_BYTES));
        for bad in [
            "",
            "gateway-1-0-7",
            "-0000000a-0-4-7",
            "gateway-0000000A-0-4-7",
            "gateway-000000a-0-4-7",
            "gateway-0000000a-65536-4-7",
            "gateway-0000000a-0-4294967296-7",
            "gateway-0000000a-0-04-7",
            "gateway-0000000a-0-4-+7",
            "gate way-0000000a-0-4-7",
            &long,
        ] {
            assert!(ConnectionName::new(bad).is_err(), "{bad}");
        }
    }
}
