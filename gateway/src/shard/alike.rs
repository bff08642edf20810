//! What have the sessions of a connection, or of a room, in common?
//!
//! It is kept once: somebody who is in sixteen tenants has one name, one channel of their own by that name, and few different roles.

use super::room::RoomKey;
use super::tables::Tables;
use super::world::Socket;
use carillon_platform::auth::Identity;
use carillon_protocol::Channel;

/// Makes an identity share what it has in common with others: its tenant's name with its room, its roles with whoever has the same.
pub(super) fn share<S: Socket>(identity: &mut Identity, room: RoomKey, tables: &mut Tables<S>) {
    if let Some(room) = tables.rooms.get(room) {
        identity.tenant = room.stream.tenant.clone();
    }
    identity.roles = tables.role_lists.shared(&identity.roles);
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
