//! How much of what a tenant may have is left, over all nodes?
//!
//! A token bucket for each tenant and kind, and a count of its connections, in Redis and by Redis' own clock: nobody's other clock
//! counts. Beside them stands what each gateway says that a tenant uses there. Each is one script on one key, so whoever asks sees what all the others took. A key that nobody uses is gone soon.
//!
//! Commands, for an ACL: `MULTI`, `EXEC`, `EVAL`, `TIME`, `HMGET`, `HGETALL`, `HSET`, `HGET`, `HDEL`, `HINCRBY` and
//! `PEXPIRE` on keys `<prefix>:limits:*`.

use super::fred::Word;
use super::presence::{PresenceStore, StoreFault};
use carillon_protocol::TenantId;
use serde::{Deserialize, Serialize};

/// Takes tokens. Arguments: how many come back a second and fit in, how many are needed, how many more are welcome, who asks. All that
/// is needed, or nothing; more than fit in when it is full, and then it is in debt. Answers in one number what was given, what is
/// left, and how many have asked in the last ten seconds.
const TAKE: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local rate, need, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local b = redis.call('HMGET', KEYS[1], 'n', 'at')
local n, at = tonumber(b[1] or rate), tonumber(b[2] or now)
n = math.min(rate, n + math.max(0, now - at) * rate / 1000)
local given = 0
if n >= math.min(need, rate) then given = need + math.max(0, math.min(more, math.floor(n - need))) end
n = n - given
redis.call('HSET', KEYS[1], 'n', tostring(n), 'at', now, 'by:' .. ARGV[4], now)
local asking, all = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 3) == 'by:' then
    if now - tonumber(all[i + 1]) > 10000 then redis.call('HDEL', KEYS[1], all[i]) else asking = asking + 1 end
  end
end
redis.call('PEXPIRE', KEYS[1], 60000)
return given * 1073741824 + math.max(0, math.min(1048575, math.floor(n))) * 1024 + math.min(1023, asking)";

/// Gives tokens back. Argument: how many. No more fit in than before: that is seen when they are taken.
const GIVE_BACK: &str = "
local n = redis.call('HGET', KEYS[1], 'n')
if n then redis.call('HSET', KEYS[1], 'n', tostring(tonumber(n) + tonumber(ARGV[1]))) end
return 0";

/// Counts connections. Arguments: how many there may be, how many the asker has, who it is, for how many milliseconds that holds, and
/// whether one of them is new. Answers how many others have, or that and one, negative, when the new one is too many.
const COUNT: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local others, all = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ARGV[3] then
    local n, at = string.match(all[i + 1], '^(%d+):(%d+)$')
    if not n or now - tonumber(at) > tonumber(ARGV[4]) then redis.call('HDEL', KEYS[1], all[i]) else others = others + tonumber(n) end
  end
end
local mine = tonumber(ARGV[2])
local full = ARGV[5] == '1' and others + mine > tonumber(ARGV[1])
if full then mine = mine - 1 end
redis.call('HSET', KEYS[1], ARGV[3], string.format('%d:%d', mine, now))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if full then return -1 - others end
return others";

/// Redis as limits use it, on the connection of presence.
#[derive(Clone)]
pub struct LimitStore(PresenceStore);

/// How long it counts what a gateway said of a tenant, in milliseconds.
const USAGE_MS: &str = "60000";

/// What a tenant uses on one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TenantUsage {
    /// Open connections.
    pub connections: u64,
    /// Their memberships in channels.
    pub subscriptions: u64,
    /// Events that passed, a second.
    pub events_per_second: f64,
    /// Event frames that were written, a second.
    pub deliveries_per_second: f64,
}

/// What is taken from a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many were given: none, or at least as many as were needed.
    pub given: u64,
    /// How many whole ones are left.
    pub left: u64,
    /// How many processes have asked lately, this one among them.
    pub asking: u64,
}

/// Who takes, and from which bucket.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// Whose bucket.
    pub tenant: &'a TenantId,
    /// Which of the tenant's: a word.
    pub kind: &'static str,
    /// How many come back a second, and fit in.
    pub rate: u32,
    /// All of these, or nothing.
    pub need: u32,
    /// As many of these as there are.
    pub more: u32,
    /// No other process has this name.
    pub asker: &'a str,
}

impl LimitStore {
    pub(super) fn new(store: PresenceStore) -> Self {
        Self(store)
    }

    /// Takes from a bucket.
    ///
    /// # Errors
    /// When Redis does not answer; what became of it is not known.
    pub async fn take(&self, take: Take<'_>) -> Result<Taken, StoreFault> {
        let key = self.0.names().limit(take.tenant, take.kind);
        let arguments = [take.rate.to_string(), take.need.to_string(), take.more.to_string()];
        let words = arguments.into_iter().chain([take.asker.to_owned()]);
        let answer = self.eval(&key, TAKE, words).await?.cast_unsigned();
        Ok(Taken { given: answer >> 30, left: (answer >> 10) & 0xf_ffff, asking: answer & 0x3ff })
    }

    /// Gives so many back to a bucket, which were taken for what did not happen.
    ///
    /// # Errors
    /// When Redis does not answer; what became of it is not known.
    pub async fn give_back(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        count: u32,
    ) -> Result<(), StoreFault> {
        let key = self.0.names().limit(tenant, kind);
        self.eval(&key, GIVE_BACK, [count.to_string()].into_iter()).await.map(|_| ())
    }

    /// Says that this process has `mine` connections of a tenant, one of them new or not, which holds for `lease_ms`. Whether they may
    /// be, with those of the others; always, when none is new.
    ///
    /// # Errors
    /// When Redis does not answer; what became of it is not known.
    pub async fn count(
        &self,
        tenant: &TenantId,
        (limit, mine, is_new): (u64, u64, bool),
        asker: &str,
        lease_ms: u64,
    ) -> Result<bool, StoreFault> {
        let key = self.0.names().limit(tenant, "connections");
        let numbers = [limit.to_string(), mine.to_string(), asker.to_owned(), lease_ms.to_string()];
        let is_new = if is_new { "1" } else { "0" };
        Ok(self.eval(&key, COUNT, numbers.into_iter().chain([is_new.to_owned()])).await? >= 0)
    }

    /// Adds to how many connections gateways have closed because somebody was disconnected: `target` names whom.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn closed(&self, tenant: &TenantId, target: &str, count: u64) -> Result<(), StoreFault> {
        let key = self.0.names().limit(tenant, "closed");
        let add = vec![Word::from(&*key), target.into(), count.to_string().into()];
        let prolong = vec![Word::from(&*key), USAGE_MS.into()];
        self.0.link()?.transaction(&key, vec![("HINCRBY", add), ("PEXPIRE", prolong)]).await?;
        Ok(())
    }

    /// How many that were since it was last forgotten.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn count_closed(&self, tenant: &TenantId, target: &str) -> Result<u64, StoreFault> {
        let count = self.0.link()?.field(&self.0.names().limit(tenant, "closed"), target).await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or_default())
    }

    /// Forgets how many that were.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn forget_closed(&self, tenant: &TenantId, target: &str) -> Result<(), StoreFault> {
        let key = self.0.names().limit(tenant, "closed");
        self.0.link()?.transaction(&key, vec![("HDEL", vec![Word::from(&*key), target.into()])]).await?;
        Ok(())
    }

    /// Says what a tenant uses on this gateway, or that it uses nothing any more.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn tell_usage(
        &self,
        tenant: &TenantId,
        me: &str,
        usage: &TenantUsage,
        is_over: bool,
    ) -> Result<(), StoreFault> {
        let key = self.0.names().limit(tenant, "usage");
        let json = serde_json::to_string(usage).unwrap_or_default();
        let commands = if is_over {
            vec![("HDEL", vec![Word::from(&*key), me.into()])]
        } else {
            let set = vec![Word::from(&*key), me.into(), json.into()];
            vec![("HSET", set), ("PEXPIRE", vec![Word::from(&*key), USAGE_MS.into()])]
        };
        self.0.link()?.transaction(&key, commands).await?;
        Ok(())
    }

    /// What each gateway has said of a tenant; also those that are gone since.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn usage(&self, tenant: &TenantId) -> Result<Vec<(String, TenantUsage)>, StoreFault> {
        let told = self.0.link()?.hash(&self.0.names().limit(tenant, "usage")).await?;
        let read = |(run, json): (String, String)| Some((run, serde_json::from_str(&json).ok()?));
        Ok(told.into_iter().filter_map(read).collect())
    }

    async fn eval(
        &self,
        key: &str,
        script: &'static str,
        arguments: impl Iterator<Item = String>,
    ) -> Result<i64, StoreFault> {
        let link = self.0.link()?;
        let words = [Word::from(script), "1".into(), key.into()];
        let words = words.into_iter().chain(arguments.map(Word::from)).collect();
        let answers = link.transaction(key, vec![("EVAL", words)]).await?;
        answers.first().copied().flatten().ok_or_else(|| StoreFault("the script answered no number".into()))
    }
}
