//! Who does not get an event, although it is for them?
//!
//! One connection at most, which the publisher has named: its own, as a rule. It is looked up once for an event, by its place in
//! the shard's table; its place in a channel's list says where to leave it out, so that nobody else is compared with it.

use super::connection::Connection;
use super::membership::ChannelKey;
use super::messages::ConnectionId;
use super::room::RoomKey;
use super::session::Session;
use super::world::Socket;
use crate::stream::entry::{Entry, Excepted};
use carillon_protocol::UserId;
use slab::Slab;

/// The session of this shard and room that does not get an event.
pub(super) struct LeftOut(u32);

impl LeftOut {
    /// Of whom an event speaks, if they are here.
    pub(super) fn of<S: Socket>(
        entry: &Entry,
        shard: u16,
        room: RoomKey,
        connections: &Slab<Connection<S>>,
    ) -> Option<Self> {
        let place = entry.except.as_deref().filter(|except| except.at.shard == shard)?.at.place;
        let connection = connections.get(place as usize)?;
        let session = connection.sessions().iter().find(|session| session.room == room)?;
        keeps_from(entry, connection.id, session).then_some(Self(place))
    }

    /// The members of a channel but this one, in two parts.
    pub(super) fn parted<'a, S: Socket>(
        &self,
        members: &'a [u32],
        channel: ChannelKey,
        room: RoomKey,
        connections: &Slab<Connection<S>>,
    ) -> [&'a [u32]; 2] {
        let sessions = connections.get(self.0 as usize).map(Connection::sessions).unwrap_or_default();
        let session = sessions.iter().find(|session| session.room == room);
        match session.and_then(|session| session.channels.place(channel)) {
            Some(place) => {
                let (before, rest) = members.split_at_checked(place as usize).unwrap_or((members, &[]));
                debug_assert_eq!(rest.first(), Some(&self.0), "a session knows its place");
                [before, rest.get(1..).unwrap_or_default()]
            }
            None => [members, &[]],
        }
    }
}

/// Whether an event is not for this session of a connection.
pub(super) fn keeps_from(entry: &Entry, connection: ConnectionId, session: &Session) -> bool {
    let Some(Excepted { at, of }) = entry.except.as_deref() else { return false };
    let is_theirs = |user: &UserId| session.service().is_none() && session.user() == user;
    connection.whereabouts() == *at && of.as_ref().is_none_or(is_theirs)
}
