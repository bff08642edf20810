//! What becomes of a packet of Socket.IO?
//!
//! The first `CONNECT` is what the first frame of a WebSocket is, an event is a frame, and its callback the answer. What no server of
//! Socket.IO would take ends the connection, as there.

use super::commands::carry_out;
use super::connection::Stage;
use super::context::Context;
use super::messages::Request;
use super::tables::Tables;
use super::wire::Wire;
use super::world::{Socket, World};
use crate::metrics::metrics;
use crate::socketio::connect::{Connect, connect};
use crate::socketio::engine::EnginePacket;
use crate::socketio::incoming;
use crate::socketio::namespaces::Namespace;
use crate::socketio::outgoing::{Form, Offset, another_namespace, no_namespace};
use crate::socketio::packet::{Packet, PacketKind};
use crate::ws::encode::push_text;
use carillon_protocol::CloseCode;
use carillon_protocol::client;

/// What somebody is told who says a lot before the welcome.
pub(super) const TOO_EARLY: &str = "too much before the welcome";

/// A packet, as the connection's stage has it.
pub(super) fn on_packet<W: World>(
    key: u32,
    text: &str,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let packet = match EnginePacket::parse(text) {
        Ok(EnginePacket::Message(text)) => Packet::parse(text).map_err(|fault| fault.to_string()),
        Ok(EnginePacket::Ping(data)) => {
            if let Some(connection) = tables.get_mut(key).filter(|connection| !connection.is_ending()) {
                push_text(connection.outbox.control(), &[EnginePacket::Pong(data).to_text().as_bytes()]);
            }
            return;
        }
        Ok(EnginePacket::Close) => return goodbye(key, tables, context),
        // A sign of life, or what only the other side says.
        Ok(EnginePacket::Pong(_) | EnginePacket::Noop | EnginePacket::Upgrade | EnginePacket::Open(_)) => {
            return;
        }
        Err(fault) => Err(fault.to_string()),
    };
    match packet {
        Ok(packet) if enters(key, &packet, tables) => inside(key, text, &packet, tables, context),
        Ok(packet) => elsewhere(key, &packet, tables, context),
        Err(fault) => violation(key, &fault, tables, context),
    }
}

/// Whether a packet is for the namespace that the connection is in, or the one that it comes into with it: the first CONNECT says which.
fn enters<S: Socket>(key: u32, packet: &Packet<'_>, tables: &mut Tables<S>) -> bool {
    let Some(connection) = tables.get_mut(key) else { return false };
    let Wire::SocketIo(form) = connection.wire else { return false };
    let Some(namespace) = Namespace::find(packet.namespace) else { return false };
    if matches!((&connection.stage, packet.kind), (Stage::Greeting(_), PacketKind::Connect)) {
        connection.wire = Wire::SocketIo(Form { namespace, ..form });
        return true;
    }
    namespace == form.namespace
}

/// A packet for a namespace that the connection is not in.
fn elsewhere<W: World>(
    key: u32,
    packet: &Packet<'_>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    match packet.kind {
        PacketKind::Connect => {
            let Some(connection) = tables.get_mut(key).filter(|connection| !connection.is_ending()) else {
                return;
            };
            let refusal = match Namespace::find(packet.namespace) {
                Some(_) => {
                    metrics().frame_refused("one_namespace");
                    another_namespace(packet.namespace, connection.wire.namespace())
                }
                None => {
                    metrics().frame_refused("invalid_namespace");
                    no_namespace(packet.namespace)
                }
            };
            push_text(connection.outbox.control(), &[refusal.as_bytes()]);
        }
        PacketKind::Disconnect => {}
        _ => violation(key, "nobody is connected to this namespace", tables, context),
    }
}

/// A packet for the namespace that the connection is in.
fn inside<W: World>(
    key: u32,
    text: &str,
    packet: &Packet<'_>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get_mut(key) else { return };
    match (&connection.stage, packet.kind) {
        (Stage::Closing { .. } | Stage::Gone(_), _) => {}
        (_, PacketKind::Disconnect) => goodbye(key, tables, context),
        (Stage::Greeting(_), PacketKind::Connect) => greet(key, packet.data, tables, context),
        (Stage::Greeting(_), _) => violation(key, "the first packet must be CONNECT", tables, context),
        (Stage::Entering(_), PacketKind::Event) => {
            if !connection.hold(text) {
                tables.turn_away(key, "too_many_requests", CloseCode::TooMany, TOO_EARLY, context);
            }
        }
        (Stage::Open(_), PacketKind::Event) => emitted(key, packet, tables, context),
        (_, PacketKind::BinaryEvent(_)) => {
            let why = "binary arguments are not taken: an event of the log is JSON";
            let id = packet.id.map(|id| id.to_string());
            tables.refuse_frame(key, id.as_deref(), "invalid_frame", why);
        }
        // Connected it is, and callbacks of ours there are none.
        (_, PacketKind::Connect | PacketKind::Ack | PacketKind::BinaryAck(_) | PacketKind::ConnectError) => {}
    }
}

/// What a client emits: a frame of the contract, or nothing that is known.
fn emitted<W: World>(
    key: u32,
    packet: &Packet<'_>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some((name, arguments)) = packet.event() else { return };
    let id = packet.id.map(|id| id.to_string());
    let namespace = tables.get_mut(key).map_or(Namespace::MAIN, |connection| connection.wire.namespace());
    match incoming::frame(&name, &arguments, packet.id) {
        Ok(frame) => match client::parse(&frame) {
            Ok(frame) => match incoming::in_namespace(frame, namespace) {
                Ok(frame) => carry_out(key, frame, tables, context),
                Err(why) => tables.refuse_frame(key, id.as_deref(), "invalid_frame", &why),
            },
            Err(fault) => tables.refuse_frame(key, id.as_deref(), fault.code, &fault.message),
        },
        Err(fault) => tables.refuse_frame(key, id.as_deref(), fault.code, &fault.message),
    }
}

/// The CONNECT of a connection brings a token, unless the request has brought one. What else it says is read when that has been
/// verified.
fn greet<W: World>(
    key: u32,
    payload: Option<&str>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(namespace) = tables.get_mut(key).map(|connection| connection.wire.namespace()) else { return };
    let said = match connect(payload, namespace) {
        Ok(said) => said,
        Err(why) => {
            return tables.turn_away(key, "invalid_frame", CloseCode::ProtocolError, &why, context);
        }
    };
    let Some(connection) = tables.get_mut(key) else { return };
    let Stage::Greeting(url) = &connection.stage else { return };
    let Connect { token, naming, recovers, comes_back, frame } = said;
    let Some(token) = token.or_else(|| url.credentials()) else {
        let reason = "CONNECT must bring a token: auth: { token }";
        return tables.turn_away(key, "token_missing", CloseCode::Unauthenticated, reason, context);
    };
    let Wire::SocketIo(form) = connection.wire else { return };
    // A browser that does not say so recovers, too: it ignores an argument that it does not expect.
    let is_able = comes_back.is_some() || form.offset != Offset::None;
    let recovers = recovers.unwrap_or(is_able);
    let offset = if recovers { Offset::Position } else { Offset::None };
    connection.wire = Wire::SocketIo(Form { naming, offset, namespace });
    let stage = std::mem::replace(&mut connection.stage, Stage::Entering(Vec::new()));
    if let Stage::Greeting(url) = stage {
        let (from, connection) = (connection.permit.address(), connection.id);
        let comes_back = comes_back.filter(|_| recovers).map(Box::new);
        if recovers {
            tables.recovery.begin(key, comes_back.as_ref().map(|back| back.id.clone()));
        }
        context.world.request(Request::Enter { connection, from, token, frame, url, comes_back });
    }
}

/// The client leaves in order.
fn goodbye<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    if let Some(connection) = tables.get_mut(key) {
        connection.watched = None;
    }
    tables.say_goodbye(key);
    tables.close(key, CloseCode::Bye, "", context);
}

fn violation<W: World>(key: u32, why: &str, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    metrics().violations.increment(1);
    tables.close(key, CloseCode::ProtocolError, why, context);
}
