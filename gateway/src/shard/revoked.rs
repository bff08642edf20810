//! Who is out when an administrator disconnects somebody, or a tenant is suspended?
//!
//! Revocations come with the tenant's rules. Whoever is in the tenant's room by a token that is refused now is closed, and so is a
//! connection that was named; whoever comes in later is measured by the same.

use super::attaching::expel;
use super::connection::Connection;
use super::context::Context;
use super::messages::ConnectionId;
use super::room::{Room, RoomKey};
use super::session::Session;
use super::tables::Tables;
use super::world::{Socket, World};
use crate::authorize::Refusal;
use carillon_platform::auth::{Identity, Target};
use carillon_protocol::connection::Whereabouts;
use carillon_protocol::server::DetachReason;
use carillon_protocol::{CloseCode, DeviceId};
use std::collections::HashMap;

const REASON: &str = "an administrator has disconnected this connection";
const SUSPENDED: &str = "the tenant is suspended";

/// Ends who is in a room and was disconnected. They are left touched.
pub(super) fn end_revoked<W: World>(
    room_key: RoomKey,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(room) = tables.rooms.get(room_key) else { return };
    let revoked = room.rules.revoked().clone();
    if revoked.is_empty() {
        return;
    }
    let now = context.unix_s();
    let tenant = room.stream.tenant.clone();
    let target = |key: u32| {
        let session = tables.get(key).and_then(|connection| session_in(connection, room_key))?;
        Some((key, revoked.refusing(&session.identity(), tables.asked.device(key), now)?))
    };
    let mut out: Vec<(u32, Target)> = room.members().iter().filter_map(|key| target(*key)).collect();
    let own = revoked.connections().filter_map(|name| Some((name, context.config.run.finds(name)?)));
    for (name, Whereabouts { shard, place, number }) in own.filter(|(_, at)| at.shard == context.shard) {
        let is_here = tables.has(ConnectionId { shard, key: place, number })
            && tables.get(place).is_some_and(|connection| session_in(connection, room_key).is_some());
        if is_here && !out.iter().any(|(key, _)| *key == place) {
            out.push((place, Target::Connection(name.clone())));
        }
    }
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (key, target) in out {
        *counts.entry(target.name()).or_default() += 1;
        let at = tables.at(key, room_key);
        match at.filter(|_| tables.get(key).is_some_and(|connection| connection.sessions().len() > 1)) {
            // What an administrator of one tenant says is no matter of the others.
            Some(at) => expel(at, DetachReason::Disconnected, tables, context),
            None => tables.close(key, CloseCode::Disconnected, REASON, context),
        }
        tables.touched.push(key);
    }
    for (target, count) in counts {
        context.config.limits.closed(&tenant, target, count);
    }
}

/// Ends everybody who is in the room of a tenant that is suspended. They are left touched.
pub(super) fn end_suspended<W: World>(
    room_key: RoomKey,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(room) = tables.rooms.get(room_key).filter(|room| room.rules.is_suspended()) else { return };
    for key in room.members().to_vec() {
        let at = tables.at(key, room_key);
        match at.filter(|_| tables.get(key).is_some_and(|connection| connection.sessions().len() > 1)) {
            Some(at) => expel(at, DetachReason::Suspended, tables, context),
            None => tables.close(key, CloseCode::Forbidden, SUSPENDED, context),
        }
        tables.touched.push(key);
    }
}

/// What keeps somebody, on what a connection calls its device, out of a room: they were disconnected, or its tenant is suspended.
pub(super) fn keeps_out<W: World>(
    identity: &Identity,
    device: Option<&DeviceId>,
    room: Option<&Room>,
    context: &Context<W>,
) -> Option<Refusal> {
    let rules = &room?.rules;
    if rules.is_suspended() {
        return Some(Refusal::suspended());
    }
    rules.revoked().refuses(identity, device, context.unix_s()).then(Refusal::revoked)
}

fn session_in<S: Socket>(connection: &Connection<S>, room: RoomKey) -> Option<&Session> {
    connection.sessions().iter().find(|session| session.room == room)
}
