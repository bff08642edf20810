//! What becomes of what a client sends?

use super::connection::{Connection, Gone, Stage};
use super::mailbox::Errand;
use super::worker::Worker;
use crate::metrics::metrics;
use crate::ws::encode::push_pong;
use crate::ws::{Flow, Incoming, Violation};
use carillon_protocol::CloseCode;
use carillon_protocol::client::{self, ClientFrame, Request};
use carillon_protocol::limits::CLIENT_MESSAGE_BYTES;
use carillon_protocol::server::ServerFrame;
use std::io::{ErrorKind, Read};

/// Reads of one connection in one turn, so that a flood does not starve the others.
const READS: usize = 4;
/// Bytes of frames that may wait while a token is checked.
const HELD_BYTES: usize = 64 * 1024;

impl Worker {
    /// Reads what the socket has, unless the client must take its answers first.
    pub(super) fn read_on(&mut self, key: u32) {
        if self.input.is_empty() {
            // The buffer is lent to a read further up the stack, which goes on by itself.
            return;
        }
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            if !connection.unread || connection.outbox.is_full() || matches!(connection.stage, Stage::Gone) {
                return;
            }
            let mut input = std::mem::take(&mut self.input);
            let read = connection.socket.read(&mut input);
            match read {
                Ok(0) => self.hung_up(key),
                Ok(length) => {
                    connection.heard_ms = self.now_ms;
                    self.counts.received_bytes += length as u64;
                    if let Some(at_ms) = connection.pinged_ms.take() {
                        metrics().ping_seconds.record(self.now_ms.saturating_sub(at_ms.get()) as f64 / 1e3);
                    }
                    self.take_in(key, &mut input[..length]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => connection.unread = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.broken(key),
            }
            self.input = input;
        }
        if self
            .connections
            .get(key as usize)
            .is_some_and(|c| c.unread && !c.outbox.is_full() && !matches!(c.stage, Stage::Gone))
        {
            self.ready.push(key);
        }
    }

    /// Decodes bytes and acts on each message.
    pub(super) fn take_in(&mut self, key: u32, input: &mut [u8]) {
        // The decoder is lent out while its messages are acted on: they may close or even remove the connection.
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if !connection.wire.is_websocket() {
            // Who only listens has said all in the request; what comes all the same is not read as anything.
            if !connection.bucket.take(self.config.frame_rate, self.now_ms) {
                self.close(key, CloseCode::TooMany, "nothing is expected from a listener");
            }
            return;
        }
        let (id, wire, mut decoder) =
            (connection.id, connection.wire, std::mem::take(&mut connection.decoder));
        let mut inflater = wire.compresses().then(|| self.inflater.take().unwrap_or_default());
        let fed = decoder.feed(input, CLIENT_MESSAGE_BYTES, inflater.as_mut(), &mut |incoming| {
            self.on_message(key, incoming);
            let goes_on = self.connections.get(key as usize).is_some_and(is_open);
            if goes_on { Flow::Continue } else { Flow::Stop }
        });
        self.inflater = inflater.or(self.inflater.take());
        if let Some(connection) = self.connections.get_mut(key as usize).filter(|c| c.id == id) {
            connection.decoder = decoder;
        }
        if let Err(violation) = fed {
            self.on_violation(key, violation);
        }
    }

    fn on_violation(&mut self, key: u32, violation: Violation) {
        metrics().violations.increment(1);
        let code =
            if violation.rfc_close_code() == 1009 { CloseCode::TooBig } else { CloseCode::ProtocolError };
        self.close(key, code, violation.reason());
    }

    fn on_message(&mut self, key: u32, incoming: Incoming<'_>) {
        let (rate, now_ms) = (self.config.frame_rate, self.now_ms);
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if !connection.bucket.take(rate, now_ms) {
            return self.close(key, CloseCode::TooMany, "too many frames");
        }
        if matches!(incoming, Incoming::Pong(_)) {
            return;
        }
        self.counts.received += 1;
        match incoming {
            Incoming::Text(text) => self.on_text(key, text),
            Incoming::Binary(_) => {
                self.refuse(key, None, "invalid_frame", "frames are JSON text, not binary")
            }
            Incoming::Ping(payload) => {
                push_pong(connection.outbox.control(), payload);
                self.flush(key);
            }
            Incoming::Pong(_) => {}
            Incoming::Close(_) => self.said_goodbye(key),
        }
    }

    pub(super) fn on_text(&mut self, key: u32, text: &str) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        match &mut connection.stage {
            Stage::Member(_) => match client::parse(text) {
                Ok(frame) => self.carry_out(key, frame),
                Err(fault) => self.refuse(key, fault.id.as_deref(), fault.code, &fault.message),
            },
            Stage::Greeting(_) => self.greet(key, text),
            Stage::Entering(held) => {
                let bytes: usize = held.iter().map(|text| text.len()).sum();
                if bytes + text.len() > HELD_BYTES {
                    return self.close(key, CloseCode::TooMany, "too much before the welcome");
                }
                held.push(text.into());
            }
            Stage::Closing { .. } | Stage::Gone => {}
        }
    }

    /// The first frame of a connection without a token must bring one.
    fn greet(&mut self, key: u32, text: &str) {
        let Ok(ClientFrame { request: Request::Auth { token }, .. }) = client::parse(text) else {
            return self.close(key, CloseCode::Unauthenticated, "the first frame must be auth");
        };
        let connection = &mut self.connections[key as usize];
        let stage = std::mem::replace(&mut connection.stage, Stage::Entering(Vec::new()));
        let (connection, Stage::Greeting(hello)) = (connection.id, stage) else { return };
        self.run(Errand::Enter { connection, token, hello: *hello });
    }

    /// Answers a request with an error; the connection stays as it was.
    pub(super) fn refuse(&mut self, key: u32, id: Option<&str>, code: &str, message: &str) {
        let id = id.and_then(|id| serde_json::from_str(id).ok());
        self.answer(key, &ServerFrame::Error { id, code, message, channels: None });
    }

    /// The client closes: it gets its own farewell back.
    fn said_goodbye(&mut self, key: u32) {
        let closing = self
            .connections
            .get(key as usize)
            .is_some_and(|c| matches!(c.stage, Stage::Closing { .. } | Stage::Gone));
        if !closing {
            self.close(key, CloseCode::Bye, "");
        }
        // Both have said it: nothing more will be read, and what was written is on its way.
        if self.connections.get(key as usize).is_some_and(|c| c.outbox.is_empty()) {
            self.remove(key, None);
        }
    }

    fn hung_up(&mut self, key: u32) {
        self.remove(key, Some(Gone::Left));
    }

    /// The socket failed.
    pub(super) fn broken(&mut self, key: u32) {
        self.remove(key, Some(Gone::Left));
    }
}

fn is_open(connection: &Connection) -> bool {
    !matches!(connection.stage, Stage::Closing { .. } | Stage::Gone)
}
