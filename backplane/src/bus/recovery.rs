//! In which channels was a client of Socket.IO that comes back?
//!
//! One small hash for each person, with a field for each of their sessions that has joined channels since it connected, written by the
//! node it is connected to and read by the one it comes back to. What is gone from here is asked of the client again.
//!
//! Commands, for an ACL: `MULTI`, `EXEC`, `EVAL`, `HGET`, `HSET`, `HLEN`, `HGETALL`, `HDEL` and `EXPIRE` on keys `<prefix>:socketio:*`.

use super::fred::Word;
use super::presence::{PresenceStore, StoreFault};
use carillon_protocol::{Channel, TenantId, UserId};

/// How long a person's sessions are kept after one of them was last written, in seconds.
const KEPT_S: &str = "172800";
/// Sessions of one person that are kept; of more the one goes that was written first.
const SESSIONS: &str = "16";

/// Keeps a session, unless something newer is kept of it. Arguments: its id, the time, its channels, for how long, how many of a person.
/// Answers 1 if it is kept.
const KEEP: &str = "
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old and tonumber(string.match(old, '^(%d+) ')) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
while redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5]) do
  local first, at, all = nil, nil, redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local n = tonumber(string.match(all[i + 1], '^(%d+) ')) or 0
    if not at or n < at then first, at = all[i], n end
  end
  redis.call('HDEL', KEYS[1], first)
end
return 1";

/// Redis as recovery uses it, on the connection of presence.
#[derive(Clone)]
pub struct RecoveryStore(PresenceStore);

impl RecoveryStore {
    pub(super) fn new(store: PresenceStore) -> Self {
        Self(store)
    }

    /// Keeps the channels of a session for two days, as they are at this time (microseconds since 1970). False if something newer is kept.
    ///
    /// # Errors
    /// When they may not be kept.
    pub async fn keep(
        &self,
        (tenant, user, session): (&TenantId, &UserId, &str),
        at_us: u64,
        channels: &[Channel],
    ) -> Result<bool, StoreFault> {
        let key = self.0.names().recovery(tenant, user);
        let json = serde_json::to_string(channels).unwrap_or_default();
        let mut words = vec![Word::from(KEEP), "1".into(), Word::from(&*key), session.into()];
        words.extend([at_us.to_string().into(), Word::from(json), KEPT_S.into(), SESSIONS.into()]);
        let answers = self.0.link()?.transaction(&key, vec![("EVAL", words)]).await?;
        Ok(answers.first() == Some(&Some(1)))
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
        let kept = self.0.link()?.field(&self.0.names().recovery(tenant, user), session).await?;
        let json = kept.as_deref().and_then(|kept| kept.split_once(' ')).map(|(_, json)| json);
        Ok(json.and_then(|json| serde_json::from_str(json).ok()))
    }
}
