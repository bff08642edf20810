//! What is stored of the connections that are here?
//!
//! Nothing is kept for that beside them: who has come, changed or gone is noted, and told to the node's writer twice a second, as it is
//! then. A poll and a command are questions, not connections that are open: they are not stored.

use super::asked::Asked;
use super::connection::Connection;
use super::context::Context;
use super::devices::names;
use super::room::{Room, RoomKey, Rooms};
use super::session::Session;
use super::wire::Wire;
use super::world::World;
use crate::records::{Keeping, SessionRecord};
use carillon_protocol::DeviceId;
use slab::Slab;
use std::collections::HashSet;
use std::sync::Arc;

/// How long a change waits for further ones.
const WAIT_MS: u64 = 500;
/// Sessions told in one turn.
const TURN: usize = 1_000;

/// What is to be told of sessions.
#[derive(Default)]
pub(super) struct Sessions {
    /// Whether anything is stored at all.
    keeps: bool,
    changed: HashSet<(u32, RoomKey)>,
    /// Those that have gone.
    ended: Vec<SessionRecord>,
    due_ms: Option<u64>,
    /// When this turn began, in the shard's time.
    now_ms: u64,
}

impl Sessions {
    pub(super) fn begin_turn(&mut self, now_ms: u64, keeps: bool) {
        (self.now_ms, self.keeps) = (now_ms, keeps);
    }

    /// When something is to be told, in the shard's time.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// A session has come, or something about it has changed.
    pub(super) fn note(&mut self, key: u32, room: RoomKey) {
        if self.keeps {
            self.changed.insert((key, room));
            self.due_ms.get_or_insert(self.now_ms + WAIT_MS);
        }
    }

    /// A session leaves its room; it is still in its channels.
    pub(super) fn end<W: World>(
        &mut self,
        connection: &Connection<W::Socket>,
        session: &Session,
        room: &Room,
        device: Option<&DeviceId>,
        context: &Context<W>,
    ) {
        let Some(keeping) = &context.config.records.keeping else { return };
        let key = connection.id.key;
        if let Some(mut record) = record(connection, session, room, (keeping, device), context) {
            record.ended = Some((context.world.unix_us() / 1_000, connection.end_label()));
            self.changed.remove(&(key, session.room));
            self.ended.push(record);
            self.due_ms.get_or_insert(self.now_ms + WAIT_MS);
        }
    }
}

/// Tells what has changed, if it is time or the shard ends.
pub(super) fn tell_on<W: World>(
    sessions: &mut Sessions,
    connections: &Slab<Connection<W::Socket>>,
    (rooms, asked): (&Rooms, &Asked),
    ends: bool,
    context: &Context<W>,
) {
    if sessions.due_ms.is_none_or(|due_ms| context.now_ms < due_ms && !ends) {
        return;
    }
    sessions.due_ms = None;
    let Some(keeping) = &context.config.records.keeping else { return };
    let mut waiting = context.config.records.sessions.waiting();
    for record in sessions.ended.drain(..) {
        if !waiting.put(record) {
            keeping.end_was_dropped();
        }
    }
    if waiting.is_busy() && !ends {
        // What is open can be told later, as it is then.
        sessions.due_ms = (!sessions.changed.is_empty()).then_some(context.now_ms + WAIT_MS);
        return;
    }
    let some: Vec<(u32, RoomKey)> = sessions.changed.iter().take(TURN).copied().collect();
    for (key, room_key) in some {
        sessions.changed.remove(&(key, room_key));
        let Some(connection) = connections.get(key as usize) else { continue };
        let own = connection.sessions().iter().find(|session| session.room == room_key);
        let (Some(session), Some(room)) = (own, rooms.get(room_key)) else { continue };
        let device = asked.device(key);
        if let Some(record) = record(connection, session, room, (keeping, device), context) {
            waiting.put(record);
        }
    }
    if sessions.changed.is_empty() {
        // What a storm has needed is given back.
        (sessions.changed, sessions.ended) = Default::default();
    } else {
        sessions.due_ms = Some(context.now_ms);
    }
}

fn record<W: World>(
    connection: &Connection<W::Socket>,
    session: &Session,
    room: &Room,
    (keeping, device): (&Arc<Keeping>, Option<&DeviceId>),
    context: &Context<W>,
) -> Option<SessionRecord> {
    let transport = match connection.wire {
        Wire::WebSocket(_) => "websocket",
        Wire::SocketIo(_) => "socketio",
        Wire::EventStream { .. } => "sse",
        Wire::Poll { .. } | Wire::Command => return None,
    };
    let open_ms = context.now_ms.saturating_sub(connection.opened_ms);
    Some(SessionRecord {
        keeping: keeping.clone(),
        id: connection.id,
        tenant: session.tenant().clone(),
        connection: connection.id.name(&context.config.run),
        user: session.user().clone(),
        device: device.cloned(),
        transport,
        address: keeping.addresses.then(|| connection.permit.address().to_string().into()),
        opened_ms: (context.world.unix_us() / 1_000).saturating_sub(open_ms),
        rtt_ms: connection.quality.rtt_ms(),
        lost_pings: connection.quality.lost(),
        channels: names(session, room),
        ended: None,
    })
}
