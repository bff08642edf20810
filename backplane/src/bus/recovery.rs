//! In which channels was a client of Socket.IO that comes back?
//!
//! One small hash for each session that has joined channels since it connected, written by the node it is connected to and read by the
//! one it comes back to. What is gone from here is asked of the client again.
//!
//! Commands, for an ACL: `MULTI`, `EXEC`, `HSET`, `EXPIRE` and `HGETALL` on keys `<prefix>:socketio:*`.

use super::fred::Word;
use super::presence::{PresenceStore, StoreFault};
use carillon_protocol::{Channel, TenantId, UserId};

/// How long a session is kept after it was last written, in seconds.
const KEPT_S: &str = "172800";

/// Redis as recovery uses it, on the connection of presence.
#[derive(Clone)]
pub struct RecoveryStore(PresenceStore);

impl RecoveryStore {
    pub(super) fn new(store: PresenceStore) -> Self {
        Self(store)
    }

    /// Keeps the channels of a session for two days.
    ///
    /// # Errors
    /// When they may not be kept.
    pub async fn keep(
        &self,
        (tenant, user, session): (&TenantId, &UserId, &str),
        channels: &[Channel],
    ) -> Result<(), StoreFault> {
        let key = self.0.names().recovery(tenant, session);
        let json = serde_json::to_string(channels).unwrap_or_default();
        let set =
            vec![Word::from(&*key), "user".into(), user.as_str().into(), "channels".into(), json.into()];
        let prolong = vec![Word::from(&*key), KEPT_S.into()];
        self.0.link()?.transaction(&key, vec![("HSET", set), ("EXPIRE", prolong)]).await?;
        Ok(())
    }

    /// The channels that are kept of a session of this person; none if there are none.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn channels(
        &self,
        tenant: &TenantId,
        user: &UserId,
        session: &str,
    ) -> Result<Option<Vec<Channel>>, StoreFault> {
        let kept = self.0.link()?.hash(&self.0.names().recovery(tenant, session)).await?;
        let is_theirs = kept.get("user").is_some_and(|owner| owner == user.as_str());
        let channels = kept.get("channels").filter(|_| is_theirs);
        Ok(channels.and_then(|json| serde_json::from_str(json).ok()))
    }
}
