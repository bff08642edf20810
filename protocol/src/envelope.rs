//! How does a batch of events, word of changed settings, or something for live connections travel through Redis?
//!
//! A fixed binary form, so that a gateway cuts it into shared slices without parsing JSON:
//!
//! ```text
//! magic "C2" · tenant · epoch (each: length u8, bytes) · first seq u64 · tag of the event before it u64 (0: not known)
//! commit time u64 (µs since 1970) · count u16
//! count × ( channels u8 × (length u8, bytes) · body length u32, bytes )            all integers little-endian
//! ```
//!
//! Form C3 is for batches with events that somebody does not get: behind the events stands, as often as a count u16 says,
//! which event u16 · which connection · of which person (each: length u8, bytes; no person: length 0), the events ascending. So
//! a batch without such an event has no byte of it. A gateway of the release before does not know C3 and takes the events from
//! the log.
//!
//! Form C1 has no tag. It is read, so gateways of this release understand publishers of the release before; the other way
//! round a gateway takes the events from the log, therefore an upgrade begins with the gateways.
//!
//! Beside batches there is word that a tenant's settings have changed, magic "S1" and the tenant: whoever hears it looks at the
//! version in the database. A gateway of the release before does not know the form and passes over it; it has no settings.
//! And there is what only those get who are connected now ([`live`]), magic "L1": it is in no log and has no number. A gateway of
//! the release before passes over that, too: its clients get no signals until it has been replaced.
//!
//! The tenant stands inside as well as in the Redis channel's name: a gateway believes a message only if both agree.

mod live;

pub use live::{Live, LiveKind, Origin, encode_signal, is_live};

use crate::channel::Channel;
use crate::connection::{ConnectionName, Except};
use crate::ident::{Epoch, Seq, TenantId, UserId};
use crate::presence::{self, Change, read_envelope};
use crate::tag::Tag;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: &[u8; 2] = b"C2";
/// The form that says who does not get some of the events.
const EXCEPTING: &[u8; 2] = b"C3";
/// The form without a tag.
const UNTAGGED: &[u8; 2] = b"C1";
/// Word of changed settings.
const SETTINGS: &[u8; 2] = b"S1";

/// What comes through a tenant's Redis channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// New events.
    Batch(Batch),
    /// The settings of this tenant have changed.
    Settings(TenantId),
    /// Something for those who are connected now.
    Live(Live),
    /// A gateway says who is connected to it.
    Presence(TenantId, presence::Origin, Change),
}

impl Message {
    /// Whose it says it is.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Batch(batch) => &batch.tenant,
            Self::Settings(tenant) | Self::Presence(tenant, ..) => tenant,
            Self::Live(live) => &live.tenant,
        }
    }
}

/// Consecutive events of one tenant, as one transaction committed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose log.
    pub tenant: TenantId,
    /// Which epoch of it.
    pub epoch: Epoch,
    /// Seq of the first event; the others follow without a gap.
    pub first: Seq,
    /// The tag of the event before the first, if it is known: who has another there has another log.
    pub before: Option<Tag>,
    /// When the events were committed, microseconds since 1970 by the database's clock.
    pub at_micros: u64,
    /// At least one, at most 65,535.
    pub events: Vec<EnvelopeEvent>,
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeEvent {
    /// Where it goes.
    pub channels: Vec<Channel>,
    /// Its CloudEvents JSON.
    pub body: Bytes,
    /// Who does not get it.
    pub except: Option<Box<Except>>,
}

impl Batch {
    /// Seq of the last event.
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + self.events.len() as u64 - 1)
    }
}

/// A message that is not an envelope this version understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// Another format or version; during an upgrade the log delivers what the fast path cannot.
    #[error("unknown format or version")]
    UnknownFormat,
    /// Ends too early, has bytes left over, or a name in it is not valid.
    #[error("malformed at {0}")]
    Malformed(&'static str),
}

/// The bytes of a batch. Names are bounded by their types, so every length fits its field.
pub fn encode(batch: &Batch) -> Bytes {
    let bodies: usize = batch.events.iter().map(|e| e.body.len() + 64).sum();
    let mut out = BytesMut::with_capacity(128 + bodies);
    let excepts = batch.events.iter().filter(|event| event.except.is_some()).count();
    out.put_slice(if excepts > 0 { EXCEPTING } else { MAGIC });
    put_name(&mut out, batch.tenant.as_str());
    put_name(&mut out, batch.epoch.as_str());
    out.put_u64_le(batch.first.0);
    out.put_u64_le(Tag::number(batch.before));
    out.put_u64_le(batch.at_micros);
    debug_assert!((1..=usize::from(u16::MAX)).contains(&batch.events.len()));
    out.put_u16_le(batch.events.len() as u16);
    for event in &batch.events {
        debug_assert!(event.channels.len() <= usize::from(u8::MAX));
        out.put_u8(event.channels.len() as u8);
        for channel in &event.channels {
            put_name(&mut out, channel.as_str());
        }
        out.put_u32_le(event.body.len() as u32);
        out.put_slice(&event.body);
    }
    if excepts > 0 {
        put_excepts(&mut out, excepts, &batch.events);
    }
    out.freeze()
}

fn put_excepts(out: &mut BytesMut, count: usize, events: &[EnvelopeEvent]) {
    out.put_u16_le(count as u16);
    for (index, event) in (0..).zip(events) {
        if let Some(except) = &event.except {
            out.put_u16_le(index);
            put_name(out, except.connection.as_str());
            put_name(out, except.of.as_ref().map_or("", UserId::as_str));
        }
    }
}

fn put_name(out: &mut BytesMut, name: &str) {
    debug_assert!(name.len() <= usize::from(u8::MAX));
    out.put_u8(name.len() as u8);
    out.put_slice(name.as_bytes());
}

/// The bytes of the word that a tenant's settings have changed.
pub fn encode_settings(tenant: &TenantId) -> Bytes {
    let mut out = BytesMut::with_capacity(SETTINGS.len() + 1 + tenant.as_str().len());
    out.put_slice(SETTINGS);
    put_name(&mut out, tenant.as_str());
    out.freeze()
}

/// Reads whatever came.
pub fn read(mut message: Bytes) -> Result<Message, EnvelopeFault> {
    if message.starts_with(live::MAGIC) {
        message.advance(live::MAGIC.len());
        return live::read(message).map(Message::Live);
    }
    if let Some(said) = read_envelope(message.clone()) {
        return said.map(|(tenant, from, change)| Message::Presence(tenant, from, change));
    }
    if !message.starts_with(SETTINGS) {
        return decode(message).map(Message::Batch);
    }
    message.advance(SETTINGS.len());
    let tenant = TenantId::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("tenant"))?;
    if message.has_remaining() {
        return Err(EnvelopeFault::Malformed("end"));
    }
    Ok(Message::Settings(tenant))
}

/// Reads a batch; bodies are slices of `message`, nothing of them is copied.
pub fn decode(mut message: Bytes) -> Result<Batch, EnvelopeFault> {
    let excepting = message.starts_with(EXCEPTING);
    let tagged = excepting || message.starts_with(MAGIC);
    if !tagged && !message.starts_with(UNTAGGED) {
        return Err(EnvelopeFault::UnknownFormat);
    }
    message.advance(MAGIC.len());
    let tenant = TenantId::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("tenant"))?;
    let epoch = Epoch::new(take_name(&mut message)?).map_err(|_| EnvelopeFault::Malformed("epoch"))?;
    let first = message.try_get_u64_le().map_err(|_| EnvelopeFault::Malformed("first seq"))?;
    let before =
        if tagged { message.try_get_u64_le().map_err(|_| EnvelopeFault::Malformed("tag"))? } else { 0 };
    let at_micros = message.try_get_u64_le().map_err(|_| EnvelopeFault::Malformed("commit time"))?;
    let count = message.try_get_u16_le().map_err(|_| EnvelopeFault::Malformed("count"))?;
    if count == 0 || first == 0 || first.checked_add(u64::from(count)).is_none() {
        return Err(EnvelopeFault::Malformed("count"));
    }
    let mut events = Vec::with_capacity(usize::from(count).min(1024));
    for _ in 0..count {
        let named = message.try_get_u8().map_err(|_| EnvelopeFault::Malformed("channels"))?;
        let mut channels = Vec::with_capacity(usize::from(named));
        for _ in 0..named {
            let name = take_name(&mut message)?;
            channels.push(Channel::new(name).map_err(|_| EnvelopeFault::Malformed("channel"))?);
        }
        let length = message.try_get_u32_le().map_err(|_| EnvelopeFault::Malformed("body length"))?;
        let body = take(&mut message, length as usize)?;
        events.push(EnvelopeEvent { channels, body, except: None });
    }
    if excepting {
        take_excepts(&mut message, &mut events)?;
    }
    if message.has_remaining() {
        return Err(EnvelopeFault::Malformed("end"));
    }
    Ok(Batch { tenant, epoch, first: Seq(first), before: Tag::from_number(before), at_micros, events })
}

fn take_excepts(message: &mut Bytes, events: &mut [EnvelopeEvent]) -> Result<(), EnvelopeFault> {
    let fault = EnvelopeFault::Malformed("except");
    let count = message.try_get_u16_le().map_err(|_| fault)?;
    let mut next = 0;
    for _ in 0..count {
        let index = usize::from(message.try_get_u16_le().map_err(|_| fault)?);
        let connection = ConnectionName::new(take_name(message)?).map_err(|_| fault)?;
        let of = Some(take_name(message)?).filter(|name| !name.is_empty());
        let of = of.map(UserId::new).transpose().map_err(|_| fault)?;
        let event = events.get_mut(index).filter(|_| index >= next).ok_or(fault)?;
        event.except = Some(Box::new(Except { connection, of }));
        next = index + 1;
    }
    if count == 0 { Err(fault) } else { Ok(()) }
}

fn take(message: &mut Bytes, length: usize) -> Result<Bytes, EnvelopeFault> {
    if message.remaining() < length {
        return Err(EnvelopeFault::Malformed("end"));
    }
    Ok(message.split_to(length))
}

fn take_name(message: &mut Bytes) -> Result<String, EnvelopeFault> {
    let length = message.try_get_u8().map_err(|_| EnvelopeFault::Malformed("name"))?;
    let name = take(message, usize::from(length))?;
    String::from_utf8(name.to_vec()).map_err(|_| EnvelopeFault::Malformed("name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch() -> impl Strategy<Value = Batch> {
        let except = ("[a-z][a-z.-]{0,20}-[0-9a-f]{8}-[1-9]-0-[1-9]{1,19}", prop::option::of("[a-zé ]{1,9}"))
            .prop_map(|(name, of)| {
                let connection = ConnectionName::new(name).unwrap();
                Box::new(Except { connection, of: of.map(|user| UserId::new(user).unwrap()) })
            });
        let event = (
            prop::collection::vec("[A-Za-z0-9_.@-]{1,20}|user:[a-zé ]{1,9}", 0..4),
            prop::collection::vec(any::<u8>(), 0..200),
            prop_oneof![5 => Just(None), 1 => except.prop_map(Some)],
        )
            .prop_map(|(channels, body, except)| EnvelopeEvent {
                channels: channels.iter().map(|c| Channel::new(c).unwrap()).collect(),
                body: body.into(),
                except,
            });
        (
            "[a-z0-9][a-z0-9_-]{0,62}",
            "[A-Za-z0-9_-]{1,32}",
            1..u64::MAX / 2,
            any::<u64>(),
            any::<u64>(),
            prop::collection::vec(event, 1..20),
        )
            .prop_map(|(tenant, epoch, first, before, at_micros, events)| Batch {
                tenant: TenantId::new(tenant).unwrap(),
                epoch: Epoch::new(epoch).unwrap(),
                first: Seq(first),
                before: Tag::from_number(before),
                at_micros,
                events,
            })
    }

    /// What a publisher of the release before sends.
    #[test]
    fn the_form_without_a_tag_is_read() {
        let mut message = b"C1\x04acme\x02e1".to_vec();
        message.extend(7u64.to_le_bytes());
        message.extend(9u64.to_le_bytes());
        message.extend(1u16.to_le_bytes());
        message.extend(b"\x01\x06tenant\x02\0\0\0{}");
        let batch = decode(message.into()).unwrap();
        assert_eq!((batch.first, batch.before, batch.at_micros), (Seq(7), None, 9));
        assert_eq!((batch.events.len(), &batch.events[0].body[..]), (1, &b"{}"[..]));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(batch in batch()) {
            prop_assert_eq!(decode(encode(&batch)).unwrap(), batch);
        }

        #[test]
        fn who_excepts_nobody_pays_nothing(batch in batch()) {
            let mut plain = batch.clone();
            plain.events.iter_mut().for_each(|event| event.except = None);
            let (with, without) = (encode(&batch), encode(&plain));
            prop_assert!(without.starts_with(MAGIC), "what a gateway of the release before reads");
            let of = |except: &Except| except.of.as_ref().map_or(0, |user| user.as_str().len());
            let excepts = batch.events.iter().filter_map(|event| event.except.as_deref());
            let bytes: usize = excepts.map(|except| 4 + except.connection.as_str().len() + of(except)).sum();
            let count = if bytes > 0 { 2 } else { 0 };
            prop_assert_eq!(with.len(), without.len() + count + bytes);
            prop_assert_eq!(&with[2..without.len()], &without[2..]);
        }

        #[test]
        fn word_of_settings_is_told_from_a_batch(batch in batch(), cut in any::<prop::sample::Index>()) {
            let whole = encode_settings(&batch.tenant);
            prop_assert_eq!(read(whole.clone()), Ok(Message::Settings(batch.tenant.clone())));
            prop_assert!(read(whole.slice(..cut.index(whole.len()))).is_err());
            // What a gateway of the release before makes of it.
            prop_assert_eq!(decode(whole), Err(EnvelopeFault::UnknownFormat));
            prop_assert_eq!(read(encode(&batch)), Ok(Message::Batch(batch)));
        }

        #[test]
        fn a_cut_or_lengthened_envelope_is_refused(batch in batch(), cut in any::<prop::sample::Index>()) {
            let whole = encode(&batch);
            prop_assert!(decode(whole.slice(..cut.index(whole.len()))).is_err());
            let mut longer = whole.to_vec();
            longer.push(0);
            prop_assert!(decode(longer.into()).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300), batch in batch(), at in any::<prop::sample::Index>(),
        ) {
            let _ = read(bytes.clone().into());
            bytes.splice(0..0, *MAGIC);
            let _ = decode(bytes.into());
            let mut flipped = encode(&batch).to_vec();
            let at = at.index(flipped.len());
            flipped[at] ^= 0x5A;
            let _ = decode(flipped.into());
        }
    }
}
