//! What is an event while it waits to be written?
//!
//! Encoded once, for every reader at once. A WebSocket message is made when the event comes; the forms that only some
//! connections want (compressed, event stream) are made for the first of them and shared by the others.

use super::Stream;
use super::compact::{Compacted, Forms};
use crate::budget::Charge;
use crate::chunk::chunk;
use crate::socketio::namespaces::Forms as SocketIoForms;
use crate::socketio::outgoing::{self, Form, Told};
use crate::ws::Opcode;
use crate::ws::deflate::Deflater;
use crate::ws::encode::{payload, text_frame};
use bytes::Bytes;
use carillon_protocol::connection::Whereabouts;
use carillon_protocol::event::event_type;
use carillon_protocol::server::naming;
use carillon_protocol::{Channel, Epoch, Seq, TenantId, UserId};
use std::sync::{Arc, OnceLock};

/// What an event costs beside its bytes: the entry, its two reference counts, its place in a ring, and the heads of its
/// allocations.
const FIXED_BYTES: usize = size_of::<Entry>() + 2 * size_of::<usize>() + size_of::<Arc<Entry>>() + 3 * 16;

/// A message of an event stream, in both ways that answers of unknown length travel: the same bytes.
#[derive(Debug)]
pub(crate) struct Message {
    chunk: Bytes,
    bare: Bytes,
}

impl Message {
    /// With these fields, the last of which the JSON ends.
    pub(crate) fn new(fields: &[u8], json: &[u8]) -> Self {
        let (chunk, within) = chunk(&[fields, json, b"\n\n"]);
        let chunk = Bytes::from(chunk);
        Self { bare: chunk.slice(within), chunk }
    }

    /// An event's JSON, with the cursor it leads to as its id.
    pub(super) fn at(epoch: &Epoch, seq: Seq, json: &[u8]) -> Self {
        Self::new(format!("id: {epoch}:{seq}\ndata: ").as_bytes(), json)
    }

    /// As a chunk, or as it is.
    pub(crate) fn form(&self, chunked: bool) -> &Bytes {
        if chunked { &self.chunk } else { &self.bare }
    }

    /// Bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.chunk.len()
    }
}

/// A WebSocket message that is not the plain one: it names its tenant, for connections that are in several, or is compact.
#[derive(Debug)]
pub(crate) struct Named {
    frame: Bytes,
    deflated: OnceLock<Option<Bytes>>,
}

impl Named {
    /// The same frame as this JSON, which names none.
    pub(crate) fn new(json: &[u8], tenant: &TenantId) -> Self {
        Self::of(&naming(json, tenant))
    }

    /// This JSON.
    pub(crate) fn of(json: &[u8]) -> Self {
        Self { frame: text_frame(&[json]), deflated: OnceLock::new() }
    }

    /// The whole message.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The compressed message, made now if it was not; none if it would not be shorter.
    pub(crate) fn deflate(&self, deflater: &mut Deflater, charge: &Charge) -> Option<&Bytes> {
        let form = self.deflated.get_or_init(|| {
            let form = deflater.frame(Opcode::Text, payload(&self.frame));
            charge.add(form.as_ref().map_or(0, Bytes::len));
            form
        });
        form.as_ref()
    }

    /// Bytes of memory it takes, not compressed.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.frame.len()
    }
}

/// The messages of clients of Socket.IO, each made for the first who has its events in that form.
pub(crate) type SocketIo = SocketIoForms<{ Form::COUNT }>;

/// A connection that does not get an event.
#[derive(Debug)]
pub(crate) struct Excepted {
    pub(crate) at: Whereabouts,
    /// Whose it must be; none: whosever.
    pub(crate) of: Option<UserId>,
}

/// An event, ready for every socket.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    pub(crate) channels: Box<[Channel]>,
    /// The whole WebSocket message: header and JSON.
    pub(crate) frame: Bytes,
    /// Commit time, microseconds since 1970; zero when unknown.
    pub(crate) at_micros: u64,
    /// The connection of this process that does not get it, if there is one.
    pub(crate) except: Option<Box<Excepted>>,
    deflated: OnceLock<Option<Bytes>>,
    event_stream: OnceLock<Box<Message>>,
    named: OnceLock<Box<Named>>,
    socket_io: OnceLock<Box<SocketIo>>,
    /// None if there is no other form than the plain one.
    compact: OnceLock<Option<Box<Compacted>>>,
    /// Its type, for those who choose; found for the first of them.
    kind: OnceLock<Box<str>>,
    /// What it weighs in the process's memory.
    charge: Charge,
}

impl Entry {
    /// Encodes an event, once. `charge` counts the bytes it takes, until it is dropped.
    pub(crate) fn new(
        seq: Seq,
        channels: Box<[Channel]>,
        json: &[u8],
        at_micros: u64,
        charge: impl FnOnce(usize) -> Charge,
    ) -> Self {
        let frame = text_frame(&[json]);
        let charge = charge(base_weight(&channels, &frame));
        Self {
            seq,
            channels,
            frame,
            at_micros,
            except: None,
            deflated: OnceLock::new(),
            event_stream: OnceLock::new(),
            named: OnceLock::new(),
            socket_io: OnceLock::new(),
            compact: OnceLock::new(),
            kind: OnceLock::new(),
            charge,
        }
    }

    /// The same event, kept from one connection.
    pub(crate) fn excepting(mut self, excepted: Excepted) -> Self {
        self.charge.add(size_of::<Excepted>() + excepted.of.as_ref().map_or(0, |user| user.as_str().len()));
        self.except = Some(Box::new(excepted));
        self
    }

    /// Bytes of memory it takes without the forms that some of its readers want: it never changes.
    pub(crate) fn base_weight(&self) -> usize {
        base_weight(&self.channels, &self.frame)
    }

    /// Bytes of memory it takes, with every form that was made of it.
    pub(crate) fn weight(&self) -> usize {
        self.charge.bytes()
    }

    /// The JSON of the `event` frame.
    pub(crate) fn json(&self) -> &[u8] {
        payload(&self.frame)
    }

    /// The event itself, as the log has it.
    pub(crate) fn body(&self) -> &[u8] {
        const NAME: &[u8] = b",\"event\":";
        // Within a JSON string a quote has a backslash before it, so no channel's name looks like the member's.
        let json = self.json();
        let at = json.windows(NAME.len()).position(|bytes| bytes == NAME).map_or(0, |at| at + NAME.len());
        json.get(at..json.len().saturating_sub(1)).unwrap_or_default()
    }

    /// Its type; empty if it is no event.
    pub(crate) fn kind(&self) -> &str {
        self.kind.get_or_init(|| {
            let kind: Box<str> = event_type(self.body()).unwrap_or_default().into();
            self.charge.add(kind.len());
            kind
        })
    }

    /// The compressed WebSocket message, made now if it was not; none if it would not be shorter.
    pub(crate) fn deflate(&self, deflater: &mut Deflater) -> Option<&Bytes> {
        let form = self.deflated.get_or_init(|| {
            let form = deflater.frame(Opcode::Text, self.json());
            self.charge.add(form.as_ref().map_or(0, Bytes::len));
            form
        });
        form.as_ref()
    }

    /// As a WebSocket message that names its tenant, made now if it was not.
    pub(crate) fn named(&self, tenant: &TenantId) -> &Named {
        self.named.get_or_init(|| {
            let named = Named::new(self.json(), tenant);
            self.charge.add(named.weight());
            Box::new(named)
        })
    }

    /// The same compressed; none if it would not be shorter.
    pub(crate) fn named_deflate(&self, tenant: &TenantId, deflater: &mut Deflater) -> Option<&Bytes> {
        self.named(tenant).deflate(deflater, &self.charge)
    }

    /// As a packet of Socket.IO, with the cursor it leads to, made now if it was not.
    pub(crate) fn socket_io(&self, form: Form, epoch: &Epoch) -> &Bytes {
        let forms = self.socket_io.get_or_init(|| {
            self.charge.add(size_of::<SocketIo>());
            Box::default()
        });
        let make = || {
            let (seq, channels, body) = (self.seq, &*self.channels, self.body());
            let told = Told { seq, channels, body, epoch: Some(epoch), replay: None };
            text_frame(&[outgoing::event(form, told).as_bytes()])
        };
        // There is a place for each form; the frame itself stands where there is none.
        forms.get(form.namespace, form.number(), make, |bytes| self.charge.add(bytes)).unwrap_or(&self.frame)
    }

    /// As a message of an event stream, with the cursor it leads to as its id; as a chunk, or as it is.
    pub(crate) fn event_stream(&self, epoch: &Epoch, chunked: bool) -> &Bytes {
        let message = self.event_stream.get_or_init(|| {
            let message = Message::at(epoch, self.seq, self.json());
            self.charge.add(message.weight());
            Box::new(message)
        });
        message.form(chunked)
    }

    /// Its compact forms for a reader in this stream who was told these names, and those that it knows with them; none
    /// if it has none. Made now if they were not.
    pub(crate) fn compact(&self, stream: &Stream, told: u16) -> Option<(&Forms, u16)> {
        let make = || Compacted::of(self.seq, &self.channels, self.body(), stream, &self.charge);
        Some(self.compact.get_or_init(make).as_ref()?.for_who_knows(told, &self.charge))
    }

    /// One of them as a WebSocket message, compressed; none if it would not be shorter.
    pub(crate) fn compact_deflate<'a>(&self, forms: &'a Forms, deflater: &mut Deflater) -> Option<&'a Bytes> {
        forms.message().deflate(deflater, &self.charge)
    }

    /// One of them as a message of an event stream.
    pub(crate) fn compact_event_stream<'a>(
        &self,
        forms: &'a Forms,
        epoch: &Epoch,
        chunked: bool,
    ) -> &'a Bytes {
        forms.event_stream(self.seq, epoch, &self.charge).form(chunked)
    }
}

fn base_weight(channels: &[Channel], frame: &Bytes) -> usize {
    let names: usize = channels.iter().map(|name| size_of::<Channel>() + 16 + name.as_str().len()).sum();
    FIXED_BYTES + names + frame.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::socketio::outgoing::{Naming, Offset};

    #[test]
    fn the_event_is_found_in_its_frame() {
        let budget = Budget::new(usize::MAX);
        let body = br#"{"id":"1","data":{"x":",\"event\":{}"}}"#;
        for name in ["tenant", r#"user:a,"event":{}"#] {
            let channels: Box<[Channel]> = Box::new([Channel::new(name).unwrap()]);
            let json = carillon_protocol::event::event_frame(Seq(7), &channels, body, None);
            let entry = Entry::new(Seq(7), channels, &json, 0, |bytes| budget.charge(bytes));
            assert_eq!(entry.body(), body);
        }
    }

    #[test]
    fn i10_every_form_of_an_event_is_charged_until_it_is_gone() {
        let budget = Budget::new(usize::MAX);
        let channels = Box::new([Channel::new("contact:1").unwrap()]);
        let entry = Entry::new(Seq(7), channels, br#"{"type":"event"}"#, 0, |bytes| budget.charge(bytes));
        let plain = budget.used();
        assert!(plain > FIXED_BYTES + entry.frame.len() && plain == entry.weight());
        let epoch = Epoch::new("e1").unwrap();
        let (bare, chunk) = (entry.event_stream(&epoch, false), entry.event_stream(&epoch, true));
        assert_eq!(bare, &b"id: e1:7\ndata: {\"type\":\"event\"}\n\n"[..]);
        assert_eq!(chunk, &[&b"21\r\n"[..], bare, b"\r\n"].concat());
        assert_eq!(bare.as_ptr(), chunk[4..].as_ptr(), "made once");
        assert_eq!(budget.used(), plain + size_of::<Message>() + chunk.len());
        let typed =
            Entry::new(Seq(7), Box::new([]), br#"{"type":"event","event":{"type":"a.b"}}"#, 0, |bytes| {
                budget.charge(bytes)
            });
        let before = budget.used();
        assert_eq!((typed.kind(), typed.kind(), budget.used()), ("a.b", "a.b", before + 3));
        drop(typed);
        let mut deflater = Deflater::new();
        assert!(entry.deflate(&mut deflater).is_none(), "too short to become shorter");
        let long = Entry::new(Seq(8), Box::new([]), &[b'x'; 1_000], 0, |bytes| budget.charge(bytes));
        let before = budget.used();
        let compressed = long.deflate(&mut deflater).unwrap().len();
        assert!(compressed < 100 && budget.used() == before + compressed);
        assert_eq!(
            long.deflate(&mut deflater).unwrap().as_ptr(),
            long.deflate(&mut deflater).unwrap().as_ptr(),
            "made once"
        );
        let tenant = TenantId::new("school-2").unwrap();
        let (before, named) = (budget.used(), long.named(&tenant).frame());
        assert!(named.ends_with(br#""tenant":"school-2"}"#));
        assert_eq!(budget.used(), before + size_of::<Named>() + named.len());
        assert_eq!(long.named(&tenant).frame().as_ptr(), named.as_ptr(), "made once");
        let json = br#"{"type":"event","seq":9,"channels":[],"event":{"type":"a"}}"#;
        let event = Entry::new(Seq(9), Box::new([]), json, 0, |bytes| budget.charge(bytes));
        assert_eq!(event.body(), br#"{"type":"a"}"#);
        let before = budget.used();
        let enveloped = Form { naming: Naming::Envelope, offset: Offset::Position, ..Form::PLAIN };
        let named = event.socket_io(Form::PLAIN, &epoch);
        let packed = event.socket_io(enveloped, &epoch);
        assert!(payload(named).starts_with(br#"42["a",null,{"type":"a""#));
        assert_eq!(budget.used(), before + size_of::<SocketIo>() + named.len() + packed.len());
        assert_eq!(named.as_ptr(), event.socket_io(Form::PLAIN, &epoch).as_ptr(), "made once");
        drop(event);
        let before = budget.used();
        let compressed = long.named_deflate(&tenant, &mut deflater).unwrap();
        assert_eq!(budget.used(), before + compressed.len());
        assert_eq!(
            long.named_deflate(&tenant, &mut deflater).unwrap().as_ptr(),
            compressed.as_ptr(),
            "made once"
        );
        drop(long);
        drop(entry);
        assert_eq!(budget.used(), 0);
    }
}
