//! In which form does a frame reach a client?
//!
//! A WebSocket gets messages, an event stream `data:` lines, a poll one JSON answer. Everything before that (rooms,
//! cursors, catching up, deadlines) is the same for all of them.

use super::connection::Stage;
use super::entering::FAREWELL_MS;
use super::worker::Worker;
use crate::stream::entry::Entry;
use crate::ws::Deflate;
use crate::ws::deflate::Deflater;
use crate::ws::encode::{push_close, push_text};
use bytes::Bytes;
use carillon_protocol::server::{ResetReason, ServerFrame};
use carillon_protocol::{CloseCode, Epoch, Seq};
use std::net::Shutdown;
use std::sync::Arc;

/// JSON below which compression saves too little to be worth anything: it all goes out in one packet anyway.
const TOO_SHORT: usize = 256;
/// JSON from which compression pays for a single reader.
const LONG: usize = 2_048;
/// Readers from which it pays for anything between: compressing costs what about two writes cost.
const SHARED: usize = 4;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// WebSocket messages, in both directions; compressed where that was agreed on and is worth it.
    WebSocket(Option<Deflate>),
    /// `text/event-stream`.
    EventStream,
    /// One answer: the events there are, or the first that come within the time, or none.
    Poll {
        /// How long it waits for events.
        wait_ms: u32,
        /// JSON of events beyond which the answer takes no more; the next poll gets them.
        most: u32,
    },
}

impl Wire {
    /// Whether the client may compress what it sends.
    pub(super) fn compresses(self) -> bool {
        matches!(self, Wire::WebSocket(Some(_)))
    }

    pub(super) fn is_websocket(self) -> bool {
        matches!(self, Wire::WebSocket(_))
    }

    /// An event as this client gets it, shared with all others of its kind. `readers` get it now. The same question has
    /// the same answer on every shard at any time: the rest of a frame is found again by asking. Polls have their own way.
    pub(super) fn event<'a>(
        self,
        entry: &'a Entry,
        epoch: &Epoch,
        deflater: &mut Option<Deflater>,
        readers: usize,
    ) -> &'a Bytes {
        match self {
            Wire::WebSocket(None) | Wire::Poll { .. } => &entry.frame,
            Wire::WebSocket(Some(deflate)) => {
                let length = entry.json().len();
                let worth = length >= LONG || (length >= TOO_SHORT && readers >= SHARED);
                let shared = worth && deflate.takes(length);
                let form = shared.then(|| entry.deflate(deflater.get_or_insert_default()));
                form.flatten().unwrap_or(&entry.frame)
            }
            Wire::EventStream => entry.event_stream(epoch),
        }
    }
}

impl Worker {
    /// Sends a frame, at once if the socket takes it.
    pub(super) fn answer(&mut self, key: u32, frame: &ServerFrame<'_>) {
        let epoch = self.member(key).map(|member| self.rooms[member.room as usize].life.epoch.clone());
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        match (connection.wire, frame) {
            (Wire::WebSocket(_), _) => push_text(connection.outbox.control(), &[&frame.to_json()]),
            (Wire::EventStream, _) => push_message(connection.outbox.control(), frame, epoch.as_ref()),
            (Wire::Poll { .. }, ServerFrame::Reset { reason, seq, .. }) => {
                return self.answer_poll(key, std::iter::empty(), *seq, Some(*reason));
            }
            (Wire::Poll { .. }, _) => {}
        }
        self.flush(key);
    }

    /// Answers a poll, which ends it: with as many of these events as an answer holds, and the cursor to come back with,
    /// which is `upto` if all of them fit.
    pub(super) fn answer_poll<'a>(
        &mut self,
        key: u32,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        upto: Seq,
        reset: Option<ResetReason>,
    ) {
        let Some(member) = self.member(key) else { return };
        let Some(Wire::Poll { most, .. }) = self.connections.get(key as usize).map(|poll| poll.wire) else {
            return;
        };
        let epoch = self.rooms[member.room as usize].life.epoch.clone();
        let (mut body, mut seq, mut count) = (b"{\"events\":[".to_vec(), upto, 0);
        let mut last = upto;
        for entry in entries {
            if count > 0 && body.len() + entry.json().len() > most as usize {
                seq = last;
                break;
            }
            if count > 0 {
                body.push(b',');
            }
            body.extend_from_slice(entry.json());
            (last, count) = (entry.seq, count + 1);
        }
        body.extend_from_slice(format!(r#"],"seq":{seq},"epoch":"{epoch}""#).as_bytes());
        if let Some(reason) = reset {
            body.extend_from_slice(format!(r#","reset":"{reason}""#).as_bytes());
        }
        body.push(b'}');
        let connection = &mut self.connections[key as usize];
        connection.outbox.control().append(&mut body);
        self.counts.deliveries += count;
        self.begin_closing(key, "answered");
    }

    /// Ends what can be ended in this form: a close frame, a word why, or the answer of a poll.
    pub(super) fn say_goodbye(&mut self, key: u32, code: CloseCode, reason: &str) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let out = connection.outbox.control();
        match connection.wire {
            Wire::WebSocket(_) => push_close(out, code.code(), reason),
            Wire::EventStream => {
                // A browser comes back by itself, and hears from the status whether it may.
                let frame =
                    ServerFrame::Error { id: None, code: code.label(), message: reason, channels: None };
                push_message(out, &frame, None);
            }
            Wire::Poll { .. } => {}
        }
    }

    /// Half-closes an answer whose last byte is written: its end is how the client knows that it is whole.
    pub(super) fn end_answer(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if connection.wire.is_websocket() || !connection.outbox.is_empty() {
            return;
        }
        let Stage::Closing { until_ms } = &mut connection.stage else { return };
        *until_ms = self.now_ms + FAREWELL_MS;
        // Fails only when the client is gone, which reading will tell.
        let _ = connection.socket.shutdown(Shutdown::Write);
        self.reschedule(key);
    }

    /// The client took some of an answer that is ending: it has its time again for the rest.
    pub(super) fn answer_goes_on(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if let (false, Stage::Closing { until_ms }) = (connection.wire.is_websocket(), &mut connection.stage)
        {
            *until_ms = self.now_ms + self.config.stall_ms;
        }
    }
}

/// Appends a frame as a message of an event stream. Frames that tell the cursor carry it as their id, so that a browser
/// that comes back begins there; one that asks to come back later says when in the stream's own words.
fn push_message(out: &mut Vec<u8>, frame: &ServerFrame<'_>, epoch: Option<&Epoch>) {
    let cursor = match frame {
        ServerFrame::Welcome { seq, .. }
        | ServerFrame::Heartbeat { seq, .. }
        | ServerFrame::Reset { seq, .. } => Some(seq),
        _ => None,
    };
    if let (Some(seq), Some(epoch)) = (cursor, epoch) {
        out.extend_from_slice(format!("id: {epoch}:{seq}\n").as_bytes());
    }
    if let ServerFrame::Goaway { reconnect_ms } = frame {
        out.extend_from_slice(format!("retry: {reconnect_ms}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&frame.to_json());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::ws::handshake;

    #[test]
    fn an_event_is_compressed_where_that_is_worth_it() {
        let budget = Budget::new(usize::MAX);
        let epoch = Epoch::new("e1").unwrap();
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
            wire.event(entry, &epoch, &mut deflater, readers).len() < entry.frame.len()
        };
        assert!(!is_short(usual, &entry(200), 1_000), "too short");
        assert!(!is_short(usual, &entry(300), 3) && is_short(usual, &entry(300), 4), "for several readers");
        assert!(is_short(usual, &entry(3_000), 1), "long");
        assert!(!is_short(plain, &entry(3_000), 4), "not agreed on");
        assert!(is_short(narrow, &entry(300), 4) && !is_short(narrow, &entry(3_000), 4), "a small window");
    }

    #[test]
    fn messages_carry_the_cursor_where_a_frame_tells_it() {
        let epoch = Epoch::new("e1").unwrap();
        let message = |frame: &ServerFrame<'_>| {
            let mut out = Vec::new();
            push_message(&mut out, frame, Some(&epoch));
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
    }
}
