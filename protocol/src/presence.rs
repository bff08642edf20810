//! What do gateways tell each other about who is in a channel?
//!
//! Each says only who is connected to it. What it says has numbers for each tenant, and stands in one Redis hash as a whole:
//! the field of somebody is `<channel>\n<user>` (no name has a control character), its value the JSON below.

use crate::channel::Channel;
use crate::envelope::EnvelopeFault;
use crate::ident::{TenantId, UserId};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One run of one gateway: what a node says is its own as long as it runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The gateway's name, 1–64 bytes.
    pub node: Box<str>,
    /// Tells its runs apart; chosen at random at its start.
    pub incarnation: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.node, self.incarnation)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (node, incarnation) = text.rsplit_once(':').ok_or(InvalidOrigin)?;
        let incarnation = u64::from_str_radix(incarnation, 16).map_err(|_| InvalidOrigin)?;
        Ok(Self { node: node.into(), incarnation })
    }
}

/// A text that names no run of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a gateway and the number of its run")]
pub struct InvalidOrigin;

const MAGIC: &[u8; 2] = b"P1";

/// The envelope of a change.
pub fn encode_envelope(tenant: &TenantId, from: &Origin, change: &Change) -> Bytes {
    let mut out = BytesMut::with_capacity(256 + change.items.len() * 96);
    out.put_slice(MAGIC);
    put_name(&mut out, tenant.as_str());
    put_name(&mut out, &from.node);
    out.put_u64_le(from.incarnation);
    change.encode(&mut out);
    out.freeze()
}

/// Reads it back; none if it is another kind of message.
pub fn read_envelope(mut message: Bytes) -> Option<Result<(TenantId, Origin, Change), EnvelopeFault>> {
    if !message.starts_with(MAGIC) {
        return None;
    }
    message.advance(MAGIC.len());
    let mut read = || {
        let tenant =
            TenantId::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("tenant"))?;
        let node = take_name(&mut message)?.into();
        let incarnation = message.try_get_u64_le().map_err(|_| EnvelopeFault::Malformed("incarnation"))?;
        Ok((tenant, Origin { node, incarnation }, Change::decode(message.clone())?))
    };
    Some(read())
}

/// Somebody in a channel, as one gateway says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// When `meta` was set.
    pub set_ms: u64,
    /// How long they stay when their gateway dies.
    pub grace_ms: u32,
    /// What they say about themselves: JSON.
    pub meta: Option<Arc<str>>,
}

/// What became of somebody in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// They are here.
    Here(Entry),
    /// They have no connection at that gateway any more.
    Gone {
        /// They said so, and are not waited for.
        goodbye: bool,
    },
}

/// One person in one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which channel.
    pub channel: Channel,
    /// Who.
    pub user: UserId,
    /// What became of them.
    pub what: What,
}

/// What a gateway says at once about a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Follows the one before by 1; by more where the gateway has written everything anew.
    pub n: u64,
    /// At most [`ITEMS`].
    pub items: Vec<Item>,
}

/// People in one change.
pub const ITEMS: usize = 500;

impl Change {
    /// Its bytes, behind the head of an envelope:
    ///
    /// ```text
    /// n u64 · count u16 · count × ( channel · user (each: length u8, bytes) · what u8 (0: gone, 1: goodbye, 2: here)
    ///     here: since u64 · set u64 · grace u32 · length of meta u16, bytes )          all integers little-endian
    /// ```
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.n);
        debug_assert!(self.items.len() <= ITEMS);
        out.put_u16_le(self.items.len() as u16);
        for item in &self.items {
            put_name(out, item.channel.as_str());
            put_name(out, item.user.as_str());
            match &item.what {
                What::Gone { goodbye } => out.put_u8(u8::from(*goodbye)),
                What::Here(entry) => {
                    out.put_u8(2);
                    out.put_u64_le(entry.since_ms);
                    out.put_u64_le(entry.set_ms);
                    out.put_u32_le(entry.grace_ms);
                    let meta = entry.meta.as_deref().unwrap_or_default();
                    debug_assert!(meta.len() <= usize::from(u16::MAX));
                    out.put_u16_le(meta.len() as u16);
                    out.put_slice(meta.as_bytes());
                }
            }
        }
    }

    /// Reads it back.
    pub fn decode(mut message: Bytes) -> Result<Self, EnvelopeFault> {
        let n = message.try_get_u64_le().map_err(|_| EnvelopeFault::Malformed("change number"))?;
        let count = message.try_get_u16_le().map_err(|_| EnvelopeFault::Malformed("count"))?;
        if usize::from(count) > ITEMS {
            return Err(EnvelopeFault::Malformed("count"));
        }
        let mut items = Vec::with_capacity(count.into());
        for _ in 0..count {
            let channel =
                Channel::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("channel"))?;
            let user = UserId::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("user"))?;
            let what = match message.try_get_u8() {
                Ok(0) => What::Gone { goodbye: false },
                Ok(1) => What::Gone { goodbye: true },
                Ok(2) => What::Here(entry(&mut message)?),
                _ => return Err(EnvelopeFault::Malformed("what")),
            };
            items.push(Item { channel, user, what });
        }
        if message.has_remaining() {
            return Err(EnvelopeFault::Malformed("end"));
        }
        Ok(Self { n, items })
    }
}

fn entry(message: &mut Bytes) -> Result<Entry, EnvelopeFault> {
    let fault = |_| EnvelopeFault::Malformed("entry");
    let (since_ms, set_ms) =
        (message.try_get_u64_le().map_err(fault)?, message.try_get_u64_le().map_err(fault)?);
    let (grace_ms, length) =
        (message.try_get_u32_le().map_err(fault)?, message.try_get_u16_le().map_err(fault)?);
    let meta = match text(message, length.into())? {
        empty if empty.is_empty() => None,
        json => Some(Arc::from(meta_of(&json).ok_or(EnvelopeFault::Malformed("meta"))?)),
    };
    Ok(Entry { since_ms, set_ms, grace_ms, meta })
}

/// A text that is JSON and nothing else, as it stands in frames.
fn meta_of(json: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(json).ok().map(RawValue::get)
}

fn put_name(out: &mut BytesMut, name: &str) {
    debug_assert!(name.len() <= usize::from(u8::MAX));
    out.put_u8(name.len() as u8);
    out.put_slice(name.as_bytes());
}

fn take_name(message: &mut Bytes) -> Result<String, EnvelopeFault> {
    let length = message.try_get_u8().map_err(|_| EnvelopeFault::Malformed("name"))?;
    text(message, length.into())
}

fn text(message: &mut Bytes, length: usize) -> Result<String, EnvelopeFault> {
    if message.remaining() < length {
        return Err(EnvelopeFault::Malformed("end"));
    }
    String::from_utf8(message.split_to(length).to_vec()).map_err(|_| EnvelopeFault::Malformed("text"))
}

/// The name of somebody's field in a gateway's hash.
pub fn field(channel: &Channel, user: &UserId) -> String {
    format!("{channel}\n{user}")
}

/// Whose field it is; none if it is nobody's.
pub fn read_field(field: &str) -> Option<(Channel, UserId)> {
    let (channel, user) = field.split_once('\n')?;
    Some((Channel::new(channel).ok()?, UserId::new(user).ok()?))
}

/// What stands in somebody's field.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    n: u64,
    since: u64,
    #[serde(default)]
    set: u64,
    grace: u32,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

impl Entry {
    /// As it is stored, with the number of the change that said it.
    pub fn to_json(&self, n: u64) -> String {
        let meta = self.meta.as_deref().and_then(|meta| serde_json::from_str(meta).ok());
        let stored = Stored { n, since: self.since_ms, set: self.set_ms, grace: self.grace_ms, meta };
        // Numbers and JSON that was read as such: nothing of it can fail to serialise.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads it back; fields of later releases are passed over.
    pub fn from_json(json: &str) -> Option<(u64, Self)> {
        let Stored { n, since, set, grace, meta } = serde_json::from_str(json).ok()?;
        let meta = meta.map(|meta| Arc::from(meta.get()));
        Some((n, Self { since_ms: since, set_ms: set, grace_ms: grace, meta }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change() -> impl Strategy<Value = Change> {
        let what = prop_oneof![
            any::<bool>().prop_map(|goodbye| What::Gone { goodbye }),
            (any::<u64>(), any::<u64>(), any::<u32>(), prop::option::of("[a-zé\"]{0,40}")).prop_map(
                |(since_ms, set_ms, grace_ms, meta)| What::Here(Entry {
                    since_ms,
                    set_ms,
                    grace_ms,
                    meta: meta.map(|text| serde_json::to_string(&text).unwrap().into()),
                })
            )
        ];
        let item = ("[A-Za-z0-9_.@:-]{1,128}|role:[a-zé ]{1,60}", "[a-zé ]{1,60}", what).prop_map(
            |(channel, user, what)| Item {
                channel: Channel::new(channel).unwrap(),
                user: UserId::new(user).unwrap(),
                what,
            },
        );
        (any::<u64>(), prop::collection::vec(item, 0..20)).prop_map(|(n, items)| Change { n, items })
    }

    fn encoded(change: &Change) -> Bytes {
        let mut out = BytesMut::new();
        change.encode(&mut out);
        out.freeze()
    }

    proptest! {
        #[test]
        fn what_was_said_is_heard(change in change(), cut in any::<prop::sample::Index>()) {
            let whole = encoded(&change);
            prop_assert!(Change::decode(whole.slice(..cut.index(whole.len()))).is_err());
            prop_assert_eq!(Change::decode(whole), Ok(change));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Change::decode(bytes.into());
        }

        #[test]
        fn what_is_stored_is_read_back(change in change()) {
            for Item { channel, user, what } in change.items {
                prop_assert_eq!(read_field(&field(&channel, &user)), Some((channel, user)));
                if let What::Here(entry) = what {
                    prop_assert_eq!(Entry::from_json(&entry.to_json(change.n)), Some((change.n, entry)));
                }
            }
        }
    }

    #[test]
    fn a_field_that_is_nobodys_is_passed_over() {
        for other in ["n", "", "a b\nmila", "branch:1\n", "branch:1"] {
            assert_eq!(read_field(other), None, "{other:?}");
        }
        assert_eq!(Entry::from_json("{}"), None);
    }
}
