//! How does a client of Socket.IO know that it can come back, and where to?
//!
//! Events of the log carry the position as their last argument, the same for all readers. It says enough as long as a client is in the
//! channels that it names when it connects. From the first other one on these are kept in Redis: until that is so the last offset that the
//! client has is one that recovers nothing, and from then on offsets say that there is something kept.

use super::connection::Standing;
use super::context::Context;
use super::messages::Request;
use super::session::At;
use super::tables::Tables;
use super::wire::Wire;
use super::world::{Socket, World};
use crate::authorize::Recovered;
use crate::metrics::metrics;
use crate::socketio::connect::id_prefix;
use crate::socketio::outgoing::{Form, Offset};
use carillon_protocol::Channel;
use std::sync::Arc;

/// JSON of the most channels that are kept for one client.
const KEPT_BYTES: usize = 16 * 1024;

/// A client that recovers is in its channels. Answers the id by which it comes back.
pub(super) fn entered<W: World>(
    key: u32,
    recovered: Recovered,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Option<Arc<str>> {
    let (goes_on, kept_ms) = match recovered {
        Recovered::Nothing => (false, None),
        Recovered::Position => (true, None),
        Recovered::Rooms => (true, Some(context.now_ms)),
    };
    let session = tables.session(At { key, session: 0 })?;
    let prefix = id_prefix(session.tenant(), session.user());
    let new_id = || format!("{prefix}{:016x}", fastrand::u64(..));
    let id = tables.recovery.entered(key, goes_on, kept_ms, new_id)?;
    if recovered == Recovered::Rooms {
        set_offset(key, Offset::Rooms, tables);
    }
    metrics().fallback(if goes_on { "socketio_recovered" } else { "socketio_new" });
    Some(id)
}

/// Has the channels of a client kept that recovers, if they have changed.
pub(super) fn keep_rooms<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    if !tables.get(key).is_some_and(|connection| matches!(connection.wire, Wire::SocketIo(_))) {
        return;
    }
    let Some((session_id, number)) = tables.recovery.take_change(key) else { return };
    let Some(request) = kept_rooms(key, (session_id, number), tables) else {
        return tables.recovery.cannot_be_kept(key);
    };
    context.world.request(request);
}

/// What is to be kept; none if nothing can be: then its client has been told so, and nothing else is told until it changes again.
fn kept_rooms<S: Socket>(
    key: u32,
    (session_id, number): (Arc<str>, u32),
    tables: &Tables<S>,
) -> Option<Request> {
    let connection = tables.get(key).filter(|connection| connection.is_open())?;
    let (connection, session) = (connection.id, connection.sessions().first()?);
    let room = tables.rooms.get(session.room)?;
    let keys = session.channels.channels();
    if tables.chosen(session.member(key)).is_some() || keys.iter().any(|own| room.types_of(*own).is_some()) {
        // Which types it wants of them is not kept.
        return None;
    }
    let own = session.identity().channels();
    let names = keys.into_iter().filter_map(|own| room.name_of(own));
    let channels: Vec<Channel> = names.filter(|name| !own.contains(name)).cloned().collect();
    let bytes: usize = channels.iter().map(|channel| channel.as_str().len() + 3).sum();
    if bytes > KEPT_BYTES {
        return None;
    }
    let (tenant, user) = (session.tenant().clone(), session.user().clone());
    Some(Request::Keep { connection, number, tenant, user, session: session_id, channels })
}

/// Whether the channels of a connection are kept. It is left to be settled.
pub(super) fn kept<W: World>(
    key: u32,
    number: u32,
    is_kept: bool,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if tables.recovery.kept(key, number, is_kept, context.now_ms) {
        set_offset(key, Offset::Rooms, tables);
        let Some(Standing { cursor, epoch }) = tables.standing(At { key, session: 0 }) else { return };
        let Some(connection) = tables.get_mut(key).filter(|connection| connection.is_open()) else { return };
        connection.wire.push_recovery(connection.outbox.control(), Some((&epoch, cursor)));
    }
}

fn set_offset<S: Socket>(key: u32, offset: Offset, tables: &mut Tables<S>) {
    if let Some(connection) = tables.get_mut(key)
        && let Wire::SocketIo(form) = connection.wire
    {
        connection.wire = Wire::SocketIo(Form { offset, ..form });
    }
}
