//! How is a client told something about one of its tenants, or about none?
//!
//! On a connection that is in several tenants a frame names the one it is about (`Connection::say_of`).

use super::session::At;
use super::tables::Tables;
use super::world::Socket;
use crate::metrics::metrics;
use carillon_protocol::TenantId;
use carillon_protocol::server::ServerFrame;

/// What a frame is refused with that is about a tenant the connection is not in.
pub(super) const NOT_ATTACHED: &str = "not_attached";

impl<S: Socket> Tables<S> {
    /// Says something to a client that is about no tenant.
    pub(super) fn say(&mut self, key: u32, frame: &ServerFrame<'_>) {
        if let Some(connection) = self.get_mut(key) {
            connection.say(frame);
        }
    }

    /// Says something to a client about the tenant of one of its sessions.
    pub(super) fn say_of(&mut self, at: At, frame: &ServerFrame<'_>, now_ms: u64) {
        let epoch = self.standing(at).map(|standing| standing.epoch);
        if let Some(connection) = self.get_mut(at.key) {
            connection.say_of(at.session, frame, epoch.as_ref(), now_ms);
        }
    }

    /// Answers a request that is about none of its tenants with an error.
    pub(super) fn refuse_frame(&mut self, key: u32, id: Option<&str>, code: &'static str, message: &str) {
        metrics().frame_refused(code);
        let id = id.and_then(|id| serde_json::from_str(id).ok());
        self.say(key, &ServerFrame::Error { id, code, message, channels: None });
    }

    /// The same about a tenant that the connection is not in.
    pub(super) fn refuse_about(
        &mut self,
        key: u32,
        tenant: &TenantId,
        id: Option<&str>,
        code: &'static str,
        message: &str,
    ) {
        metrics().frame_refused(code);
        let id = id.and_then(|id| serde_json::from_str(id).ok());
        if let Some(connection) = self.get_mut(key) {
            connection.say_about(tenant, &ServerFrame::Error { id, code, message, channels: None });
        }
    }

    /// Answers a request with an error; the connection stays as it was.
    pub(super) fn refuse(
        &mut self,
        at: At,
        id: Option<&str>,
        code: &'static str,
        message: &str,
        now_ms: u64,
    ) {
        self.refuse_as(at, id, (code, code), message, now_ms);
    }

    /// The same where several reasons have one code: the second of the pair is what the metric counts it under.
    pub(super) fn refuse_as(
        &mut self,
        at: At,
        id: Option<&str>,
        (code, counted): (&'static str, &'static str),
        message: &str,
        now_ms: u64,
    ) {
        metrics().frame_refused(counted);
        let id = id.and_then(|id| serde_json::from_str(id).ok());
        self.say_of(at, &ServerFrame::Error { id, code, message, channels: None }, now_ms);
    }
}
