//! What becomes of what a client sends?

use super::acks::ponged;
use super::commands::carry_out;
use super::connection::Stage;
use super::context::Context;
use super::messages::Request;
use super::packets::{TOO_EARLY, on_packet};
use super::tables::Tables;
use super::wire::Wire;
use super::world::World;
use crate::metrics::metrics;
use crate::ws::encode::push_pong;
use crate::ws::{Flow, Incoming, Inflater, Violation};
use carillon_protocol::CloseCode;
use carillon_protocol::client;
use carillon_protocol::limits::{CLIENT_MESSAGE_BYTES, SERVER_FRAME_BYTES};
use std::io::{ErrorKind, Read};

/// Bytes read from a socket in one go; shared by all connections of a shard.
const INPUT: usize = 64 * 1024;
/// Reads of one connection in one turn, so that a flood does not starve the others.
const READS: usize = 4;
/// The same where what is not read is lost: more than the kernel holds of a socket pair.
const LAST_READS: usize = 32;
/// What a client closes with when a message is larger than its library takes (RFC 6455 section 7.4.1).
const MESSAGE_TOO_BIG: u16 = 1009;

/// What reading needs, lent to one connection after another.
pub(super) struct Inbound {
    input: Vec<u8>,
    /// Inflates what clients send; there once one may compress.
    inflater: Option<Inflater>,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self { input: vec![0; INPUT], inflater: None }
    }

    /// Reads what the socket has and acts on it, until the client must take its answers first or others have their turn.
    pub(super) fn read<W: World>(
        &mut self,
        key: u32,
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        self.read_some(key, READS, false, tables, context);
    }

    /// The same until the socket has nothing more: it is the last time.
    pub(super) fn read_rest<W: World>(
        &mut self,
        key: u32,
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        if let Some(connection) = tables.get_mut(key) {
            connection.unread = true;
        }
        self.read_some(key, LAST_READS, true, tables, context);
    }

    fn read_some<W: World>(
        &mut self,
        key: u32,
        reads: usize,
        is_last: bool,
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        for _ in 0..reads {
            let Some(connection) = tables.get_mut(key) else { return };
            let has_rest = is_last && connection.unread && !connection.is_gone();
            if !has_rest && !connection.wants_to_be_read() {
                return;
            }
            match connection.socket.read(&mut self.input) {
                Ok(0) => connection.lose(),
                Ok(length) => {
                    // It had no more: whatever comes after this the poll reports, unless it was the last that ever comes.
                    connection.unread = length == self.input.len() || connection.has_end;
                    connection.heard_ms = context.now_ms;
                    context.counts.received_bytes += length as u64;
                    connection.pinged_ms = None;
                    let mut input = std::mem::take(&mut self.input);
                    self.take_in(key, input.get_mut(..length).unwrap_or_default(), tables, context);
                    self.input = input;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => connection.unread = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => connection.lose(),
            }
        }
    }

    /// Decodes bytes and acts on each message.
    pub(super) fn take_in<W: World>(
        &mut self,
        key: u32,
        input: &mut [u8],
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        let Some(connection) = tables.get_mut(key) else { return };
        if !connection.wire.is_websocket() {
            // Who only listens has said all in the request; what comes all the same is not read as anything.
            if !connection.allowance.take_frame(context.config.frame_rate, context.now_ms) {
                tables.close(key, CloseCode::TooMany, "nothing is expected from a listener", context);
            }
            return;
        }
        let compresses = connection.wire.compresses();
        // The decoder is lent out while its messages are acted on: they may change the connection, but never remove it.
        let mut decoder = std::mem::take(&mut connection.decoder);
        let inflater = compresses.then(|| self.inflater.get_or_insert_default());
        let fed = decoder.feed(input, CLIENT_MESSAGE_BYTES, inflater, &mut |incoming| {
            on_message(key, incoming, tables, context);
            let goes_on = tables.get(key).is_some_and(|connection| !connection.is_ending());
            if goes_on { Flow::Continue } else { Flow::Stop }
        });
        if let Some(connection) = tables.get_mut(key) {
            connection.decoder = decoder;
        }
        if let Err(violation) = fed {
            on_violation(key, violation, tables, context);
        }
    }
}

fn on_violation<W: World>(
    key: u32,
    violation: Violation,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    metrics().violations.increment(1);
    let code = if violation.rfc_close_code() == 1009 { CloseCode::TooBig } else { CloseCode::ProtocolError };
    tables.close(key, code, violation.reason(), context);
}

fn on_message<W: World>(
    key: u32,
    incoming: Incoming<'_>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get_mut(key) else { return };
    if !connection.allowance.take_frame(context.config.frame_rate, context.now_ms) {
        return tables.close(key, CloseCode::TooMany, "too many frames", context);
    }
    if !matches!(incoming, Incoming::Pong(_)) {
        context.counts.received += 1;
    }
    match incoming {
        Incoming::Pong(payload) => ponged(key, payload, tables, context),
        Incoming::Text(text) => on_text(key, text, tables, context),
        // What it belongs to was refused when it was announced.
        Incoming::Binary(_) if matches!(connection.wire, Wire::SocketIo(_)) => {}
        Incoming::Binary(_) => {
            tables.refuse_frame(key, None, "invalid_frame", "frames are JSON text, not binary");
        }
        Incoming::Ping(payload) => {
            if !connection.is_ending() {
                push_pong(connection.outbox.control(), payload);
            }
        }
        Incoming::Close(why) => {
            // The client closes: it gets its own farewell back.
            let is_goodbye = matches!(why, None | Some((1000, _)));
            let reason = match why {
                Some((MESSAGE_TOO_BIG, _)) => {
                    metrics().frames_too_big.increment(1);
                    let watched = connection.watched.take();
                    let stuck =
                        watched.and_then(|watched| context.config.stuck.ended(*watched, context.unix_s()));
                    stuck.map_or_else(too_big, |at| at.to_string())
                }
                // In order: it will come back when it likes, with the cursor it likes.
                None | Some((1000 | 1001, _)) => {
                    connection.watched = None;
                    String::new()
                }
                Some(_) => String::new(),
            };
            if is_goodbye {
                tables.say_goodbye(key);
            }
            tables.close(key, CloseCode::Bye, &reason, context);
            if let Some(connection) = tables.get_mut(key) {
                connection.farewell_answered();
            }
        }
    }
}

/// What a client is told whose library takes smaller messages than an event may need.
fn too_big() -> String {
    format!("frames have up to {SERVER_FRAME_BYTES} bytes (limits.frame_bytes): raise your library's limit")
}

/// A text, as the connection's form has it.
pub(super) fn on_text<W: World>(
    key: u32,
    text: &str,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    match tables.get(key).map(|connection| connection.wire) {
        Some(Wire::SocketIo(_)) => on_packet(key, text, tables, context),
        _ => on_frame(key, text, tables, context),
    }
}

/// A text frame, as the connection's stage has it.
fn on_frame<W: World>(key: u32, text: &str, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(connection) = tables.get_mut(key) else { return };
    match &mut connection.stage {
        Stage::Open(_) => match client::parse(text) {
            Ok(frame) => carry_out(key, frame, tables, context),
            Err(fault) => tables.refuse_frame(key, fault.id.as_deref(), fault.code, &fault.message),
        },
        Stage::Greeting(_) => greet(key, text, tables, context),
        Stage::Entering(_) => {
            if !connection.hold(text) {
                tables.turn_away(key, "too_many_requests", CloseCode::TooMany, TOO_EARLY, context);
            }
        }
        Stage::Closing { .. } | Stage::Gone(_) => {}
    }
}

/// The first frame of a connection without a token must bring one. It may say what its URL does not; both are read when the
/// token has been verified.
fn greet<W: World>(key: u32, text: &str, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Ok(token) = client::first_token(text) else {
        let reason = "the first frame must be auth";
        return tables.turn_away(key, "token_missing", CloseCode::Unauthenticated, reason, context);
    };
    let Some(connection) = tables.get_mut(key) else { return };
    let stage = std::mem::replace(&mut connection.stage, Stage::Entering(Vec::new()));
    if let Stage::Greeting(url) = stage {
        let (from, frame) = (connection.permit.address(), text.into());
        context.world.request(Request::Enter {
            connection: connection.id,
            from,
            token,
            frame,
            url,
            comes_back: None,
        });
    }
}
