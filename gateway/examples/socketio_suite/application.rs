//! What do the suites want to hear?
//!
//! That of Engine.IO its own messages; that of Socket.IO what it says of itself, and the arguments of its events.

use super::session::Message;
use carillon_gateway::socketio::engine::EnginePacket;
use carillon_gateway::socketio::packet::{Packet, PacketKind};
use serde_json::value::RawValue;
use std::collections::HashSet;
use uuid::Uuid;

const NAMESPACES: [&str; 2] = ["/", "/custom"];

/// What is spoken over a session.
pub(super) enum Application {
    /// Every message comes back.
    Echo,
    SocketIo {
        namespaces: HashSet<String>,
        /// Whether it has heard whom it speaks with.
        connected: bool,
        /// An answer that waits for its attachments, and those that came.
        pending: Option<(String, usize, Vec<Vec<u8>>)>,
    },
}

impl Application {
    pub(super) fn socket_io() -> Self {
        Self::SocketIo { namespaces: HashSet::new(), connected: false, pending: None }
    }

    /// Whether it has heard whom it speaks with, or needs not to.
    pub(super) fn is_connected(&self) -> bool {
        match self {
            Self::Echo => true,
            Self::SocketIo { connected, .. } => *connected,
        }
    }

    /// Hears a message; whether the session goes on.
    pub(super) fn text(&mut self, text: &str, tell: &mut Vec<Message>) -> bool {
        match self {
            Self::Echo => {
                tell.push(Message::Text(EnginePacket::Message(text).to_text()));
                true
            }
            Self::SocketIo { namespaces, connected, pending } => {
                let Ok(packet) = Packet::parse(text) else { return false };
                let mut say = |packet: Packet<'_>| {
                    tell.push(Message::Text(EnginePacket::Message(&packet.to_text()).to_text()));
                };
                let of = |kind, id, data| Packet { kind, namespace: packet.namespace, id, data };
                match packet.kind {
                    PacketKind::Connect if NAMESPACES.contains(&packet.namespace) => {
                        *connected = true;
                        namespaces.insert(packet.namespace.to_owned());
                        let sid = format!("{{\"sid\":\"{}\"}}", Uuid::now_v7().simple());
                        say(of(PacketKind::Connect, None, Some(&sid)));
                        let auth = format!("[\"auth\",{}]", packet.data.unwrap_or("{}"));
                        say(of(PacketKind::Event, None, Some(&auth)));
                        true
                    }
                    PacketKind::Connect => {
                        say(of(PacketKind::ConnectError, None, Some(r#"{"message":"Invalid namespace"}"#)));
                        true
                    }
                    PacketKind::Disconnect => {
                        namespaces.remove(packet.namespace);
                        true
                    }
                    PacketKind::Event | PacketKind::BinaryEvent(_)
                        if namespaces.contains(packet.namespace) =>
                    {
                        let Some((name, arguments)) = packet.event() else { return false };
                        let Some(answer) = answer(&packet, &name, &arguments) else { return true };
                        match packet.kind {
                            PacketKind::BinaryEvent(count @ 1..) => {
                                *pending = Some((answer, usize::from(count), Vec::new()));
                            }
                            _ => tell.push(Message::Text(answer)),
                        }
                        true
                    }
                    _ => false,
                }
            }
        }
    }

    /// The same for a binary message.
    pub(super) fn binary(&mut self, bytes: Vec<u8>, tell: &mut Vec<Message>) -> bool {
        match self {
            Self::Echo => {
                tell.push(Message::Binary(bytes));
                true
            }
            Self::SocketIo { pending, .. } => {
                let Some((answer, count, mut attachments)) = pending.take() else { return false };
                attachments.push(bytes);
                if attachments.len() < count {
                    *pending = Some((answer, count, attachments));
                } else {
                    tell.push(Message::Text(answer));
                    tell.extend(attachments.into_iter().map(Message::Binary));
                }
                true
            }
        }
    }
}

/// What is said to an event: the same arguments, under another name or to its callback.
fn answer(packet: &Packet<'_>, name: &str, arguments: &[&RawValue]) -> Option<String> {
    let mut list: Vec<&str> = arguments.iter().map(|argument| argument.get()).collect();
    let (kind, id) = match (name, packet.kind) {
        ("message", kind) => {
            list.insert(0, "\"message-back\"");
            (kind, None)
        }
        ("message-with-ack", PacketKind::BinaryEvent(count)) => (PacketKind::BinaryAck(count), packet.id),
        ("message-with-ack", _) => (PacketKind::Ack, packet.id),
        _ => return None,
    };
    let data = format!("[{}]", list.join(","));
    let packet = Packet { kind, namespace: packet.namespace, id, data: Some(&data) };
    Some(EnginePacket::Message(&packet.to_text()).to_text())
}
