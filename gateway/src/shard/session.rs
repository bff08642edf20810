//! What is known of somebody in one tenant, and what may happen to it?
//!
//! A connection has a session for each tenant it is in: one as a rule, sixteen at most, in the order in which it came into them.
//! A session is a cursor on that tenant's log, with the identity that reads it and the channels that are read.

use super::history::HistoryJob;
use super::membership::Memberships;
use super::messages::Ticket;
use super::past::{Past, Position, Reading};
use super::room::{Member, RoomKey};
use crate::stream::backlog::Reader;
use carillon_platform::auth::{Credentials, Identity, InTenant, ServiceKey};
use carillon_protocol::{Seq, TenantId, UserId};
use std::sync::Arc;

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
    pub(super) channels: Memberships,
    /// The tenant, and their roles there.
    in_tenant: Arc<InTenant>,
    /// What they have shown, for all tenants.
    credentials: Arc<Credentials>,
    /// Where it stands, what is read of the log for it, and what will be.
    pub(super) past: Past,
}

impl Session {
    /// In a room that it is still to enter, and in no channel yet.
    pub(super) fn new(room: RoomKey, identity: &Identity, in_tenant: Arc<InTenant>) -> Self {
        debug_assert!(in_tenant.is_of(identity), "the tenant and roles are the identity's");
        Self {
            room,
            place: 0,
            channels: Memberships::with_capacity(0),
            in_tenant,
            credentials: identity.credentials.clone(),
            past: Past::default(),
        }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.in_tenant.tenant
    }

    pub(super) fn roles(&self) -> &Arc<[String]> {
        &self.in_tenant.roles
    }

    pub(super) fn user(&self) -> &UserId {
        &self.credentials.user
    }

    /// The API key, when it is a service and no person.
    pub(super) fn service(&self) -> Option<&ServiceKey> {
        self.credentials.service.as_ref()
    }

    /// Who it is; names and lists are shared, not copied.
    pub(super) fn identity(&self) -> Identity {
        let InTenant { tenant, roles } = &*self.in_tenant;
        Identity { tenant: tenant.clone(), roles: roles.clone(), credentials: self.credentials.clone() }
    }

    /// It goes on with another token. Answers who it was.
    pub(super) fn renew(&mut self, identity: &Identity, in_tenant: Arc<InTenant>) -> Identity {
        debug_assert!(in_tenant.is_of(identity), "the tenant and roles are the identity's");
        debug_assert!(in_tenant.tenant == self.in_tenant.tenant, "a session stays in its tenant");
        let before = self.identity();
        self.in_tenant = in_tenant;
        self.credentials = identity.credentials.clone();
        before
    }

    /// Where it stands in a room whose live members stand at `room_cursor`.
    pub(super) fn cursor(&self, room_cursor: Seq) -> Seq {
        match self.past.position() {
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
        Reader { group: self.tenant().clone(), member: self.user().clone() }
    }

    pub(super) fn is_live(&self) -> bool {
        self.past.position() == Position::Live
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert_eq!(size_of::<Session>(), 48);
    }
}
