//! In which form does a frame reach a client?
//!
//! A WebSocket gets messages, a client of Socket.IO packets in messages, an event stream `data:` lines, a poll and a command one JSON
//! answer. Everything before that (rooms, cursors, catching up, deadlines) is the same for all of them.

use crate::chunk::{LAST, chunk};
use crate::live::Passing;
use crate::socketio::engine::{EnginePacket, Handshake};
use crate::socketio::namespaces::Namespace;
use crate::socketio::outgoing::{self, Form, Told};
use crate::stream::Stream;
use crate::stream::compact::Forms;
use crate::stream::entry::Entry;
use crate::ws::deflate::Deflater;
use crate::ws::encode::{push_close, push_text, text_frame};
use crate::ws::{Decoder, Deflate};
use bytes::Bytes;
use carillon_backplane::log::LoggedEvent;
use carillon_protocol::event::event_frame;
use carillon_protocol::limits::CLIENT_MESSAGE_BYTES;
use carillon_protocol::server::{ResetReason, ServerFrame, naming};
use carillon_protocol::{CloseCode, Epoch, Seq, TenantId};
use std::sync::Arc;

/// JSON below which compression saves too little to be worth anything: it all goes out in one packet anyway.
const TOO_SHORT: usize = 256;
/// JSON from which compression pays for a single reader.
const LONG: usize = 2_048;
/// Readers from which it pays for anything between: compressing costs what about two writes cost.
const SHARED: usize = 4;

/// How long a closing connection may take to read our close frame and answer it.
pub(super) const FAREWELL_MS: u64 = 2_000;
/// The same for clients of Socket.IO: some do not answer it, and see nothing but the end of the connection.
const SHORT_FAREWELL_MS: u64 = 1_000;
/// How much later than it should come a client of Socket.IO waits for a ping.
const PING_TIMEOUT_MS: u64 = 20_000;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// WebSocket messages, in both directions; compressed where that was agreed on and is worth it.
    WebSocket(Option<Deflate>),
    /// Packets of Socket.IO in WebSocket messages, in both directions, with events in this form.
    SocketIo(Form),
    /// `text/event-stream`, in chunks or to the end of the connection.
    EventStream {
        /// HTTP/1.0 has no chunks.
        chunked: bool,
    },
    /// One answer: the events there are, or the first that come within the time, or none.
    Poll {
        /// How long it waits for events.
        wait_ms: u32,
        /// JSON of events beyond which the answer takes no more; the next poll gets them.
        most: u32,
    },
    /// One answer, to the one frame that came with the request.
    Command,
}

/// In which form a client gets live events, and what it knows for that. As small as the set of names lets it be: every connection has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format(u16);

impl Format {
    /// Which of the tenant's names the client was told on this connection: there are fifteen at most.
    const NAMES: u16 = !Self::COMPACT.0;
    /// The form that everybody reads.
    pub(crate) const PLAIN: Self = Self(0);
    /// The compact one, for who was told nothing yet.
    pub(crate) const COMPACT: Self = Self(1 << 15);

    /// The connection comes into another tenant, which has other names.
    pub(super) fn forget(&mut self) {
        self.0 &= Self::COMPACT.0;
    }

    /// The compact forms of an event for this client, which is told with them what it does not know yet; none where it gets the plain one.
    fn forms<'a>(&mut self, entry: &'a Entry, stream: &Stream) -> Option<&'a Forms> {
        if *self == Self::PLAIN {
            return None;
        }
        let (forms, knows) = entry.compact(stream, self.0 & Self::NAMES)?;
        self.0 |= knows;
        Some(forms)
    }

    /// The JSON of an event for this client.
    pub(super) fn json<'a>(&mut self, entry: &'a Entry, stream: &Stream) -> &'a [u8] {
        self.forms(entry, stream).map_or_else(|| entry.json(), Forms::json)
    }
}

/// What the events of a room have in common for those who get them.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) stream: &'a Stream,
    pub(super) epoch: &'a Epoch,
    /// The tenant, where it is to be named. Such events are plain.
    pub(super) tenant: Option<&'a TenantId>,
}

impl Wire {
    /// Whether the client may compress what it sends.
    pub(super) fn compresses(self) -> bool {
        matches!(self, Wire::WebSocket(Some(_)))
    }

    /// What reads its messages.
    pub(super) fn decoder(self) -> Decoder {
        match self {
            Wire::WebSocket(Some(deflate)) if deflate.keeps_window() => Decoder::with_window(),
            _ => Decoder::new(),
        }
    }

    /// The namespace of Socket.IO that its client is in.
    pub(super) fn namespace(self) -> Namespace {
        match self {
            Wire::SocketIo(form) => form.namespace,
            _ => Namespace::MAIN,
        }
    }

    pub(super) fn is_websocket(self) -> bool {
        matches!(self, Wire::WebSocket(_) | Wire::SocketIo(_))
    }

    /// Whether an event postpones the next heartbeat. A client of Socket.IO gives a server up that does not ping it in time, whatever
    /// else it gets.
    pub(super) fn is_told_by_events(self) -> bool {
        !matches!(self, Wire::SocketIo(_))
    }

    /// How long its client has to answer our farewell; the stall time of a client that reads an answer. Some clients of Socket.IO see
    /// nothing but the end of the connection.
    pub(super) fn farewell_ms(self, stall_ms: u64) -> u64 {
        match self {
            Wire::WebSocket(_) => FAREWELL_MS,
            Wire::SocketIo(_) => SHORT_FAREWELL_MS,
            Wire::EventStream { .. } | Wire::Poll { .. } | Wire::Command => stall_ms,
        }
    }

    /// An event as this client gets it, shared with all others of its kind; with its tenant where that is to be named.
    /// `readers` get it now. The same question has the same answer on every shard at any time: the rest of a frame is found
    /// again by asking, with what the client knew before. Polls have their own way.
    pub(super) fn event<'a>(
        self,
        entry: &'a Entry,
        Of { stream, epoch, tenant }: Of<'_>,
        format: &mut Format,
        deflater: &mut Option<Deflater>,
        readers: usize,
    ) -> &'a Bytes {
        let forms = if tenant.is_none() { format.forms(entry, stream) } else { None };
        if let Some(forms) = forms {
            return self.compact(entry, forms, epoch, deflater, readers);
        }
        match self {
            Wire::WebSocket(deflate) => {
                let shared = deflate.is_some_and(|it| is_shared(it, entry.json().len(), readers));
                let form = shared.then(|| {
                    let deflater = deflater.get_or_insert_default();
                    match tenant {
                        None => entry.deflate(deflater),
                        Some(tenant) => entry.named_deflate(tenant, deflater),
                    }
                });
                let plain = || tenant.map_or(&entry.frame, |tenant| entry.named(tenant).frame());
                form.flatten().unwrap_or_else(plain)
            }
            Wire::SocketIo(form) => entry.socket_io(form, epoch),
            Wire::Poll { .. } | Wire::Command => &entry.frame,
            Wire::EventStream { chunked } => entry.event_stream(epoch, chunked),
        }
    }

    fn compact<'a>(
        self,
        entry: &'a Entry,
        forms: &'a Forms,
        epoch: &Epoch,
        deflater: &mut Option<Deflater>,
        readers: usize,
    ) -> &'a Bytes {
        match self {
            Wire::EventStream { chunked } => entry.compact_event_stream(forms, epoch, chunked),
            Wire::WebSocket(Some(deflate)) if is_shared(deflate, forms.json().len(), readers) => entry
                .compact_deflate(forms, deflater.get_or_insert_default())
                .unwrap_or_else(|| forms.message().frame()),
            _ => forms.message().frame(),
        }
    }

    /// A signal as this client gets it, likewise. Polls get none.
    pub(super) fn signal<'a>(
        self,
        passing: &'a Passing,
        tenant: Option<&TenantId>,
        deflater: &mut Option<Deflater>,
        readers: usize,
    ) -> &'a Bytes {
        match self {
            Wire::WebSocket(deflate) => {
                let shared = deflate.is_some_and(|it| is_shared(it, passing.json().len(), readers));
                let form = shared.then(|| {
                    let deflater = deflater.get_or_insert_default();
                    match tenant {
                        None => passing.deflate(deflater),
                        Some(tenant) => passing.named_deflate(tenant, deflater),
                    }
                });
                let plain = || tenant.map_or(passing.frame(), |tenant| passing.named(tenant).frame());
                form.flatten().unwrap_or_else(plain)
            }
            Wire::SocketIo(form) => passing.socket_io(form),
            Wire::Poll { .. } | Wire::Command => passing.frame(),
            Wire::EventStream { chunked } => passing.event_stream(chunked),
        }
    }

    /// A piece of history as this client gets it, as a WebSocket message: nobody else reads history.
    pub(super) fn history(self, event: &LoggedEvent, id: &str, tenant: Option<&TenantId>) -> Bytes {
        let LoggedEvent { seq, channels, body, .. } = event;
        if let Wire::SocketIo(form) = self {
            let told = Told { seq: *seq, channels, body: body.as_bytes(), epoch: None, replay: Some(id) };
            return text_frame(&[outgoing::event(form, told).as_bytes()]);
        }
        let json = event_frame(*seq, channels, body.as_bytes(), Some(id));
        match tenant {
            Some(tenant) => text_frame(&[&naming(&json, tenant)]),
            None => text_frame(&[&json]),
        }
    }

    /// Appends what comes before anything else.
    pub(super) fn push_opening(self, out: &mut Vec<u8>, connection: &str, heartbeat_ms: u64) {
        if let Wire::SocketIo(_) = self {
            let handshake = Handshake {
                session: connection,
                upgrades: false,
                ping_interval_ms: heartbeat_ms,
                ping_timeout_ms: PING_TIMEOUT_MS,
                max_payload: CLIENT_MESSAGE_BYTES,
            };
            push_text(out, &[handshake.to_text().as_bytes()]);
        }
    }

    /// Appends that a client is connected, under this name and, if it recovers, with this id.
    pub(super) fn push_connected(self, out: &mut Vec<u8>, connection: &str, recovers_as: Option<&str>) {
        if let Wire::SocketIo(form) = self {
            push_text(out, &[outgoing::connected(form.namespace, connection, recovers_as).as_bytes()]);
        }
    }

    /// Appends that a client can come back to this position, or that it cannot.
    pub(super) fn push_recovery(self, out: &mut Vec<u8>, position: Option<(&Epoch, Seq)>) {
        if let Wire::SocketIo(form) = self {
            push_text(out, &[outgoing::recovery(form, position).as_bytes()]);
        }
    }

    /// Appends what a page expects to hear every so often, beside its cursor.
    pub(super) fn push_heartbeat(self, out: &mut Vec<u8>) {
        if let Wire::SocketIo(_) = self {
            push_text(out, &[EnginePacket::Ping("").to_text().as_bytes()]);
        }
    }

    /// Appends why somebody is not let in who would get the same answer again; who may come back soon is told by the close alone, and
    /// comes back by itself. True if it was told: then its client ends the connection, and some see nothing but the end if we do.
    pub(super) fn push_refusal(self, out: &mut Vec<u8>, code: &str, close: CloseCode, reason: &str) -> bool {
        let is_final = matches!(
            close,
            CloseCode::ProtocolError
                | CloseCode::Unauthenticated
                | CloseCode::Forbidden
                | CloseCode::Disconnected
        );
        match self {
            Wire::SocketIo(form) if is_final => {
                push_text(out, &[outgoing::refused(form.namespace.name(), code, reason).as_bytes()]);
                true
            }
            _ => false,
        }
    }

    /// Appends a frame in this form, with its tenant where that is to be named; a poll has none but its answer, a command's
    /// is a frame.
    pub(super) fn push(
        self,
        out: &mut Vec<u8>,
        frame: &ServerFrame<'_>,
        tenant: Option<&TenantId>,
        epoch: Option<&Epoch>,
    ) {
        match self {
            Wire::WebSocket(_) => {
                let json = tenant.map_or_else(|| frame.to_json(), |tenant| frame.to_json_naming(tenant));
                push_text(out, &[&json]);
            }
            Wire::SocketIo(form) => {
                let packet = outgoing::frame(&frame.to_json(), epoch.zip(frame.cursor()), form);
                if let Some(packet) = packet {
                    push_text(out, &[packet.as_bytes()]);
                }
            }
            Wire::EventStream { chunked } => push_message(out, frame, epoch, chunked),
            Wire::Command if frame.is_answer() => {
                let json = tenant.map_or_else(|| frame.to_json(), |tenant| frame.to_json_naming(tenant));
                out.extend_from_slice(&json);
            }
            Wire::Poll { .. } | Wire::Command => {}
        }
    }

    /// Appends what ends a connection in this form: a close frame, or a word why.
    pub(super) fn push_farewell(self, out: &mut Vec<u8>, code: CloseCode, reason: &str) {
        match self {
            Wire::WebSocket(_) | Wire::SocketIo(_) => push_close(out, code.code(), reason),
            Wire::EventStream { chunked } => {
                // A browser comes back by itself, and hears from the status whether it may.
                let frame =
                    ServerFrame::Error { id: None, code: code.label(), message: reason, channels: None };
                push_message(out, &frame, None, chunked);
                if chunked {
                    out.extend_from_slice(LAST);
                }
            }
            Wire::Command => {
                let frame =
                    ServerFrame::Error { id: None, code: code.label(), message: reason, channels: None };
                out.extend_from_slice(&frame.to_json());
            }
            Wire::Poll { .. } => {}
        }
    }
}

/// Whether JSON of this length is compressed, once for all, for a client who agreed on compression in this way.
fn is_shared(deflate: Deflate, length: usize, readers: usize) -> bool {
    (length >= LONG || (length >= TOO_SHORT && readers >= SHARED)) && deflate.takes(length)
}

/// Appends the answer of a poll: as many of these events as an answer of `most` bytes of JSON holds, at least one, and the cursor to come back with, which is
/// `upto` if all of them fit. Answers how many there are.
pub(super) fn push_poll_answer<'a>(
    out: &mut Vec<u8>,
    most: usize,
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    mut json: impl FnMut(&'a Entry) -> &'a [u8],
    upto: Seq,
    reset: Option<ResetReason>,
    epoch: &Epoch,
) -> u64 {
    let begin = out.len();
    out.extend_from_slice(b"{\"events\":[");
    let (mut seq, mut count, mut last) = (upto, 0, upto);
    for entry in entries {
        let json = json(entry);
        if count > 0 && out.len() - begin + json.len() > most {
            seq = last;
            break;
        }
        if count > 0 {
            out.push(b',');
        }
        out.extend_from_slice(json);
        (last, count) = (entry.seq, count + 1);
    }
    out.extend_from_slice(format!(r#"],"seq":{seq},"epoch":"{epoch}""#).as_bytes());
    if let Some(reason) = reset {
        out.extend_from_slice(format!(r#","reset":"{reason}""#).as_bytes());
    }
    out.push(b'}');
    count
}

/// Appends a frame as a message of an event stream. Frames that tell the cursor carry it as their id, so that a browser
/// that comes back begins there; one that asks to come back later says when in the stream's own words.
fn push_message(out: &mut Vec<u8>, frame: &ServerFrame<'_>, epoch: Option<&Epoch>, chunked: bool) {
    let mut fields = String::new();
    if let (Some(seq), Some(epoch)) = (frame.cursor(), epoch) {
        fields = format!("id: {epoch}:{seq}\n");
    }
    if let ServerFrame::Goaway { reconnect_ms } = frame {
        fields = format!("retry: {reconnect_ms}\n");
    }
    let (message, within) = chunk(&[fields.as_bytes(), b"data: ", &frame.to_json(), b"\n\n"]);
    let bytes = if chunked { Some(message.as_slice()) } else { message.get(within) };
    out.extend_from_slice(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::stream::ring::RingLimits;
    use crate::ws::handshake;

    fn stream() -> Stream {
        let (tenant, epoch) = (TenantId::new("acme").unwrap(), Epoch::new("e1").unwrap());
        Stream::new(tenant, epoch, Seq(0), Seq(1), RingLimits { events: 9, bytes: 9_000 })
    }

    #[test]
    fn an_event_is_compressed_where_that_is_worth_it() {
        let budget = Budget::new(usize::MAX);
        let epoch = Epoch::new("e1").unwrap();
        let stream = stream();
        let entry = |length: usize| {
            let json = "{\"a\":1}".repeat(length / 7);
            Entry::new(Seq(1), Box::new([]), json.as_bytes(), 0, |bytes| budget.charge(bytes))
        };
        let agreed = |offer: &str| {
            let headers = [
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
                ("sec-websocket-extensions", offer),
            ];
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers = http::HeaderMap::from_iter(headers);
            let upgrade =
                handshake::check(&http::Method::GET, http::Version::HTTP_11, &headers, true).unwrap();
            Wire::WebSocket(upgrade.deflate)
        };
        let (plain, usual) = (agreed("x"), agreed("permessage-deflate"));
        let narrow = agreed("permessage-deflate; server_max_window_bits=9");
        let mut deflater = None;
        let mut is_short = |wire: Wire, entry: &Entry, readers: usize| {
            let of = Of { stream: &stream, epoch: &epoch, tenant: None };
            let mut format = Format::PLAIN;
            wire.event(entry, of, &mut format, &mut deflater, readers).len() < entry.frame.len()
        };
        assert!(!is_short(usual, &entry(200), 1_000), "too short");
        assert!(!is_short(usual, &entry(300), 3) && is_short(usual, &entry(300), 4), "for several readers");
        assert!(is_short(usual, &entry(3_000), 1), "long");
        assert!(!is_short(plain, &entry(3_000), 4), "not agreed on");
        assert!(is_short(narrow, &entry(300), 4) && !is_short(narrow, &entry(3_000), 4), "a small window");
    }

    #[test]
    fn the_answer_of_a_poll_is_as_programs_are_told() {
        let budget = Budget::new(usize::MAX);
        let json = br#"{"type":"event","seq":7,"channels":["a"],"event":{}}"#;
        let entry = Arc::new(Entry::new(Seq(7), Box::new([]), json, 0, |bytes| budget.charge(bytes)));
        let mut out = Vec::new();
        let reset = Some(ResetReason::TooOld);
        let (entries, json, epoch) = (std::iter::once(&entry), Entry::json, Epoch::new("e1").unwrap());
        push_poll_answer(&mut out, 1_000, entries, json, Seq(9), reset, &epoch);
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&answer["seq"], &answer["events"][0]["seq"]), (&9.into(), &7.into()));
        let document: serde_json::Value =
            serde_json::from_str(carillon_protocol::asyncapi::DOCUMENT).unwrap();
        let described = &document["components"]["messages"]["polled"]["payload"]["properties"];
        let names =
            |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&answer), names(described));
        assert!(described["reset"]["enum"].as_array().unwrap().contains(&answer["reset"]));
    }

    #[test]
    fn messages_carry_the_cursor_where_a_frame_tells_it() {
        let epoch = Epoch::new("e1").unwrap();
        let message = |frame: &ServerFrame<'_>| {
            let mut out = Vec::new();
            push_message(&mut out, frame, Some(&epoch), false);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            message(&ServerFrame::Heartbeat { seq: Seq(7), epoch: None }),
            "id: e1:7\ndata: {\"type\":\"heartbeat\",\"seq\":7}\n\n"
        );
        assert_eq!(
            message(&ServerFrame::Goaway { reconnect_ms: 250 }),
            "retry: 250\ndata: {\"type\":\"goaway\",\"reconnect_ms\":250}\n\n"
        );
        assert_eq!(
            message(&ServerFrame::Expiring { in_ms: 9 }),
            "data: {\"type\":\"expiring\",\"in_ms\":9}\n\n"
        );
        let mut out = Vec::new();
        let wire = Wire::EventStream { chunked: true };
        wire.push(&mut out, &ServerFrame::Goaway { reconnect_ms: 250 }, None, None);
        wire.push_farewell(&mut out, CloseCode::Restart, "");
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("37\r\nretry: 250\ndata: {") && text.ends_with("\n\n\r\n0\r\n\r\n"),
            "{text:?}"
        );
    }
}
