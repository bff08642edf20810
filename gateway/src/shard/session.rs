//! What is known of somebody in one tenant, and what may happen to it?
//!
//! A connection has a session for each tenant it is in: one as a rule, sixteen at most, in the order in which it came into them.
//! A session is a cursor on that tenant's log, with the identity that reads it and the channels that are read.

use super::history::HistoryJob;
use super::membership::Memberships;
use super::messages::Ticket;
use super::past::{Past, Reading};
use super::room::{Member, RoomKey};
use crate::stream::backlog::Reader;
use carillon_platform::auth::Identity;
use carillon_protocol::Seq;

/// How soon a log that did not answer is asked again.
pub(super) const ASK_AGAIN_MS: u64 = 500;

/// Which session of which connection a frame or an answer is for: by its number there, which is good until one of them is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) key: u32,
    pub(super) session: usize,
}

/// Somebody in a tenant.
pub(super) struct Session {
    pub(super) room: RoomKey,
    /// Its place in the room's list of connections.
    pub(super) place: u32,
    pub(super) position: Position,
    pub(super) channels: Memberships,
    pub(super) identity: Identity,
    /// What is read of the log for it, and what will be.
    pub(super) past: Past,
}

/// Where a session stands in its tenant's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At the room's cursor; new events are written as they come.
    Live,
    /// It has got everything up to here and reads on at its own pace.
    Behind(Seq),
}

impl Session {
    /// Where it stands in a room whose live members stand at `room_cursor`.
    pub(super) fn cursor(&self, room_cursor: Seq) -> Seq {
        match self.position {
            Position::Live => room_cursor,
            Position::Behind(cursor) => cursor,
        }
    }

    /// Whom the tables beside the rooms know it as, if it is a session of this connection.
    pub(super) fn member(&self, key: u32) -> Member {
        Member { key, room: self.room }
    }

    /// In whose name it reads the log.
    pub(super) fn reader(&self) -> Reader {
        Reader { group: self.identity.tenant.clone(), member: self.identity.user.clone() }
    }

    pub(super) fn is_live(&self) -> bool {
        self.position == Position::Live
    }

    /// Whether it gets nothing live before the latest events of keys that it asked for.
    pub(super) fn is_held(&self) -> bool {
        !self.is_live() && self.past.jobs().any(HistoryJob::is_latest)
    }

    /// Whether a page of the log is on its way.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.past.reading(), Reading::Asked(_))
    }

    /// Whether this is the answer that is waited for; if so it is not waited for any more.
    pub(super) fn answered(&mut self, ticket: Ticket) -> bool {
        let awaited = self.past.reading() == Reading::Asked(ticket);
        if awaited {
            self.past.set_reading(Reading::Nothing);
        }
        awaited
    }
}
