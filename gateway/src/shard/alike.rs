//! What have the sessions of a connection, or of a room, in common?
//!
//! It is kept once: somebody who is in sixteen tenants has one name, one channel of their own by that name, and few different roles.

use super::room::RoomKey;
use super::tables::Tables;
use super::world::Socket;
use carillon_platform::auth::{Identity, InTenant};
use carillon_protocol::Channel;
use std::sync::Arc;

/// What an identity says of its tenant and its roles there, shared with whoever has the same; the tenant's name also with its room.
pub(super) fn in_tenant<S: Socket>(
    identity: &Identity,
    room: RoomKey,
    tables: &mut Tables<S>,
) -> Arc<InTenant> {
    let tenant = tables.rooms.get(room).map_or(&identity.tenant, |room| &room.stream.tenant);
    tables.in_tenants.shared(InTenant { tenant: tenant.clone(), roles: identity.roles.clone() })
}

/// The channels that somebody who comes into a room is in without asking. Those that the connection's first session is in too share
/// its name of them.
pub(super) fn own_channels<S: Socket>(key: u32, identity: &Identity, tables: &Tables<S>) -> Vec<Channel> {
    let mut own = identity.channels();
    let first = tables.get(key).and_then(|connection| connection.sessions().first());
    let known = first.and_then(|first| Some((first, tables.rooms.get(first.room)?)));
    if let Some((first, room)) = known {
        for channel in &mut own {
            let key = room.own_key(&first.channels, channel);
            if let Some(shared) = key.and_then(|key| room.name_of(key)) {
                channel.clone_from(shared);
            }
        }
    }
    own
}
