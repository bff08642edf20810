//! How does something that only those who are connected now get travel through Redis?
//!
//! ```text
//! magic "L1" · tenant · node (each: length u8, bytes) · incarnation u64 · kind u8 · what the kind has
//! kind 1, a signal: shard u16 · typing u8 (0: none, 1: start, 2: stop) · channel · user (each: length u8, bytes)
//!                   length u32, JSON of the frame                                           all integers little-endian
//! ```
//!
//! It has no number and no place among the events: a sequencer never sees it. A kind that this release does not know is read as
//! [`LiveKind::Unknown`] and left alone, so a later release may add kinds while gateways of this one still run.

use super::{EnvelopeFault, put_name, take, take_name};
use crate::channel::Channel;
use crate::ident::{TenantId, UserId};
use crate::signal::{Signal, Typing};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What such a message begins with.
pub(super) const MAGIC: &[u8; 2] = b"L1";
const SIGNAL: u8 = 1;

/// One run of one gateway: what a node says is its own as long as it runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The gateway's name, 1–64 bytes.
    pub node: Box<str>,
    /// Tells its runs apart; chosen at random at its start.
    pub incarnation: u64,
}

/// Something for those who are connected now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Whose.
    pub tenant: TenantId,
    /// Which gateway says so.
    pub from: Origin,
    /// What.
    pub kind: LiveKind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveKind {
    /// A signal of somebody who is connected there.
    Signal(Signal),
    /// Something of a later release.
    Unknown(u8),
}

/// Whether a message is of this form; it need not be whole.
pub fn is_live(message: &[u8]) -> bool {
    message.starts_with(MAGIC)
}

/// The bytes of a signal's envelope.
pub fn encode_signal(tenant: &TenantId, from: &Origin, signal: &Signal) -> Bytes {
    let mut out = opened(tenant, from, SIGNAL, 16 + 2 * 134 + signal.frame.len());
    out.put_u16_le(signal.shard);
    out.put_u8(match signal.typing {
        None => 0,
        Some(Typing::Start) => 1,
        Some(Typing::Stop) => 2,
    });
    put_name(&mut out, signal.channel.as_str());
    put_name(&mut out, signal.user.as_str());
    out.put_u32_le(signal.frame.len() as u32);
    out.put_slice(&signal.frame);
    out.freeze()
}

/// An envelope up to its kind, with room for so many bytes more.
fn opened(tenant: &TenantId, from: &Origin, kind: u8, more: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(2 + 64 + 65 + 9 + more);
    out.put_slice(MAGIC);
    put_name(&mut out, tenant.as_str());
    put_name(&mut out, &from.node);
    out.put_u64_le(from.incarnation);
    out.put_u8(kind);
    out
}

/// Reads a message of this form, behind its magic. The frame is a slice of it.
pub(super) fn read(mut message: Bytes) -> Result<Live, EnvelopeFault> {
    let tenant = TenantId::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("tenant"))?;
    let node = take_name(&mut message)?.into();
    let incarnation = message.try_get_u64_le().map_err(|_| EnvelopeFault::Malformed("incarnation"))?;
    let kind = match message.try_get_u8().map_err(|_| EnvelopeFault::Malformed("kind"))? {
        SIGNAL => LiveKind::Signal(signal(message)?),
        other => LiveKind::Unknown(other),
    };
    Ok(Live { tenant, from: Origin { node, incarnation }, kind })
}

fn signal(mut message: Bytes) -> Result<Signal, EnvelopeFault> {
    let shard = message.try_get_u16_le().map_err(|_| EnvelopeFault::Malformed("shard"))?;
    let typing = match message.try_get_u8() {
        Ok(0) => None,
        Ok(1) => Some(Typing::Start),
        Ok(2) => Some(Typing::Stop),
        _ => return Err(EnvelopeFault::Malformed("typing")),
    };
    let channel = Channel::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("channel"))?;
    let user = UserId::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("user"))?;
    let length = message.try_get_u32_le().map_err(|_| EnvelopeFault::Malformed("frame length"))?;
    let frame = take(&mut message, length as usize)?;
    if message.has_remaining() {
        return Err(EnvelopeFault::Malformed("end"));
    }
    Ok(Signal { shard, channel, user, typing, frame })
}

#[cfg(test)]
mod tests {
    use super::super::{Message, decode, read as read_any};
    use super::*;
    use proptest::prelude::*;

    fn live() -> impl Strategy<Value = Live> {
        let typing = prop_oneof![Just(None), Just(Some(Typing::Start)), Just(Some(Typing::Stop))];
        let signal = (
            any::<u16>(),
            "[A-Za-z0-9_.@-]{1,128}|user:[a-zé ]{1,60}",
            "[a-zé ]{1,60}",
            typing,
            prop::collection::vec(any::<u8>(), 0..300),
        )
            .prop_map(|(shard, channel, user, typing, frame)| Signal {
                shard,
                channel: Channel::new(channel).unwrap(),
                user: UserId::new(user).unwrap(),
                typing,
                frame: frame.into(),
            });
        ("[a-z0-9][a-z0-9_-]{0,62}", "[A-Za-z0-9_.-]{1,64}", any::<u64>(), signal).prop_map(
            |(tenant, node, incarnation, signal)| Live {
                tenant: TenantId::new(tenant).unwrap(),
                from: Origin { node: node.into(), incarnation },
                kind: LiveKind::Signal(signal),
            },
        )
    }

    fn encoded(live: &Live) -> Bytes {
        let LiveKind::Signal(signal) = &live.kind else { panic!("no signal") };
        encode_signal(&live.tenant, &live.from, signal)
    }

    /// Frozen: what one release sends the next one reads.
    #[test]
    fn the_form_is_as_described_and_kinds_of_later_releases_are_passed_over() {
        let mut bytes = b"L1\x04acme\x02g1".to_vec();
        bytes.extend(7u64.to_le_bytes());
        let later = [&bytes[..], b"\x09whatever follows"].concat();
        bytes.extend(b"\x01\x03\0\x01\x03a:1\x04mila\x02\0\0\0{}");
        let signal = Signal {
            shard: 3,
            channel: Channel::new("a:1").unwrap(),
            user: UserId::new("mila").unwrap(),
            typing: Some(Typing::Start),
            frame: Bytes::from_static(b"{}"),
        };
        let from = Origin { node: "g1".into(), incarnation: 7 };
        let tenant = TenantId::new("acme").unwrap();
        assert_eq!(encode_signal(&tenant, &from, &signal), bytes);
        let (kind, same) = (LiveKind::Unknown(9), (tenant.clone(), from.clone()));
        assert_eq!(read_any(later.into()), Ok(Message::Live(Live { tenant, from, kind })));
        let live = Live { tenant: same.0, from: same.1, kind: LiveKind::Signal(signal) };
        assert_eq!(read_any(bytes.into()), Ok(Message::Live(live)));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_and_a_cut_or_lengthened_one_is_refused(
            live in live(), cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        ) {
            let whole = encoded(&live);
            prop_assert!(is_live(&whole));
            prop_assert_eq!(read_any(whole.clone()), Ok(Message::Live(live)));
            prop_assert!(read_any(whole.slice(..cut.index(whole.len()))).is_err());
            prop_assert!(read_any([&whole[..], b"x"].concat().into()).is_err());
            // What a gateway of the release before makes of it.
            prop_assert_eq!(decode(whole.clone()), Err(EnvelopeFault::UnknownFormat));
            let mut flipped = whole.to_vec();
            let at = at.index(flipped.len());
            flipped[at] ^= 0x5A;
            let _ = read_any(flipped.into());
        }
    }
}
