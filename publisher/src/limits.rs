//! May a tenant publish so much now, and is it suspended? And how many notices may it send today (`notices`)?
//!
//! Its limit is a token bucket in Redis that all publishers take from. Small takings cost no question each: beside what a request
//! needs some more is taken ahead, for what comes within the next fiftieth of a second. While Redis is away each publisher has its
//! share: the limit by how many publishers asked before. A tenant without a limit costs a look into a table here.

mod notices;

use crate::health::Health;
use carillon_backplane::bus::{LimitStore, Take};
use carillon_backplane::log::{Append, Log, StoredLimits};
use carillon_platform::rules::TenantLimits;
use carillon_platform::telemetry::Seldom;
use carillon_protocol::TenantId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use notices::{DayLeft, NoNotices, NoticesTaken};

/// How often limits that were changed are read.
const LOOK: Duration = Duration::from_secs(1);
/// How much earlier than what is known limits are read again, in microseconds: a server that took over may number a little behind.
const OVERLAP_US: u64 = 60_000_000;
/// What is taken ahead is for so long: one part of a second in so many.
const AHEAD: u32 = 50;
/// Longest wait for the first reading.
const FIRST: Duration = Duration::from_secs(2);
/// Longest wait for Redis.
const ANSWER: Duration = Duration::from_millis(500);

static AWAY: Seldom<()> = Seldom::new();

/// The limits of all tenants, and what is used of them.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    store: Option<LimitStore>,
    me: String,
    known: Mutex<HashMap<TenantId, TenantLimits>>,
    suspended: Mutex<HashSet<TenantId>>,
    used: Mutex<HashMap<TenantId, Used>>,
    notices: notices::Days,
}

/// What is at hand of a tenant's events.
#[derive(Debug, Clone, Copy)]
struct Used {
    /// Taken ahead, good until then.
    ahead: u64,
    until: Instant,
    /// How many publishers take from the bucket.
    asking: u64,
    /// What is left of this publisher's share, in thousandths, and when that was: for when Redis is away.
    share_milli: u64,
    at: Instant,
}

/// What a tenant may still publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Events a second, its limit.
    pub limit: u32,
    /// Events that it may publish at once.
    pub events: u64,
    /// How long it takes until what was asked for fits in; nothing: it did.
    pub wait: Duration,
}

impl Limits {
    /// Nothing is limited before [`Limits::follow`] has read what is set; without a store each publisher counts for itself.
    pub fn new(store: Option<LimitStore>, me: String) -> Self {
        let (known, suspended, used) = <(Mutex<_>, Mutex<_>, Mutex<_>)>::default();
        Self(Arc::new(Inner { store, me, known, suspended, used, notices: notices::Days::default() }))
    }

    /// Reads what is set, before the first request is taken. While the database is away nobody is served from it.
    pub async fn begin(&self, log: &Log) {
        match tokio::time::timeout(FIRST, log.limits_since(0)).await {
            Ok(Ok(all)) => self.set(all),
            Ok(Err(error)) => tracing::debug!(%error, "limits cannot be read yet"),
            Err(_) => tracing::debug!("limits are not read in time"),
        }
    }

    /// Reads what is set, once a second, for ever.
    pub async fn follow(self, log: Log, health: Health) {
        let mut version = 0_u64;
        let mut pause = tokio::time::interval(LOOK);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pause.tick().await;
            match health.ask(log.limits_since(version.saturating_sub(OVERLAP_US))).await {
                Ok(changed) => {
                    version = changed.last().map_or(version, |last| last.version.max(version));
                    self.set(changed);
                }
                // Health tells that the database is away; what is known holds.
                Err(error) => tracing::debug!(%error, "limits cannot be read"),
            }
        }
    }

    fn set(&self, changed: Vec<StoredLimits>) {
        let mut known = lock(&self.0.known);
        for StoredLimits { tenant, limits, suspended, .. } in changed {
            self.suspend(&tenant, suspended);
            let limits = TenantLimits::stored(limits.as_deref());
            if limits.events_per_second.is_none() {
                lock(&self.0.used).remove(&tenant);
            }
            if limits.notices_per_day.is_none() {
                self.0.notices.forget(&tenant);
            }
            if limits.is_empty() {
                known.remove(&tenant)
            } else {
                known.insert(tenant, limits)
            };
        }
    }

    /// Whether a tenant may do nothing for now.
    pub fn is_suspended(&self, tenant: &TenantId) -> bool {
        let suspended = lock(&self.0.suspended);
        !suspended.is_empty() && suspended.contains(tenant)
    }

    /// Notes that a tenant is suspended, or is not any more.
    pub fn suspend(&self, tenant: &TenantId, suspended: bool) {
        let mut known = lock(&self.0.suspended);
        match suspended {
            true => known.insert(tenant.clone()),
            false => known.remove(tenant),
        };
    }

    /// Takes so many events of a tenant's limit: all or none. Nothing when it has no limit.
    pub async fn take(&self, tenant: &TenantId, events: u32) -> Option<Left> {
        let limit = lock(&self.0.known).get(tenant)?.events_per_second?;
        if let Some(left) = self.take_ahead(tenant, limit, events) {
            return Some(left);
        }
        let Some(store) = &self.0.store else { return Some(self.take_share(tenant, limit, events)) };
        let more = limit / AHEAD;
        let (kind, asker) = ("events", &*self.0.me);
        let take = store.take(Take { tenant, kind, rate: limit, need: events, more, asker });
        match tokio::time::timeout(ANSWER, take).await {
            Ok(Ok(taken)) => {
                let now = Instant::now();
                let ahead = taken.given.saturating_sub(events.into());
                let mut used = lock(&self.0.used);
                let known = used.entry(tenant.clone()).or_insert(Used::new(limit, now));
                known.asking = taken.asking.max(1);
                if taken.given > 0 {
                    (known.ahead, known.until) =
                        (known.ahead_at(now) + ahead, now + Duration::from_secs(1) / AHEAD);
                    let left = Left { limit, events: taken.left + known.ahead, wait: Duration::ZERO };
                    return Some(left);
                }
                let missing = u64::from(events.min(limit)).saturating_sub(taken.left).max(1);
                Some(Left { limit, events: taken.left, wait: time_for(missing, limit) })
            }
            Ok(Err(error)) => {
                self.tell(&error.to_string());
                Some(self.take_share(tenant, limit, events))
            }
            Err(_) => {
                self.tell("no answer in time");
                Some(self.take_share(tenant, limit, events))
            }
        }
    }

    /// Takes so many events of each tenant's limit: all or none. What is left of the tightest, if any has one; else what refuses.
    pub async fn take_all(&self, wanted: &BTreeMap<TenantId, u32>) -> Result<Option<Left>, Left> {
        let mut tightest: Option<Left> = None;
        let mut taken: BTreeMap<TenantId, u32> = BTreeMap::new();
        for (tenant, events) in wanted {
            let Some(left) = self.take(tenant, *events).await else { continue };
            if !left.wait.is_zero() {
                self.give_back(&taken).await;
                return Err(left);
            }
            taken.insert(tenant.clone(), *events);
            tightest = Some(tightest.filter(|known| known.events <= left.events).unwrap_or(left));
        }
        Ok(tightest)
    }

    /// Takes what the notices of a request need of each tenant's of today: all or none. Those of tenants without such a limit are not
    /// counted, nor is a repeat of what is stored: it is not stored again. Whether it is one is looked up only where the limit would
    /// refuse it, so others cost no question.
    pub async fn take_notices(
        &self,
        (log, health): (&Log, &Health),
        appends: &[Append],
    ) -> Result<NoticesTaken, NoNotices> {
        let all: Vec<&Append> = appends.iter().filter(|append| append.event.notice.is_some()).collect();
        let refused = match self.take_of_day((log, health), &notices::wanted(&all, &HashSet::new())).await {
            Err(NoNotices::Limit(left)) => NoNotices::Limit(left),
            taken => return taken,
        };
        if all.iter().all(|append| append.key.is_none()) {
            return Err(refused);
        }
        let known = health.ask(log.known_keys(&all)).await.map_err(NoNotices::Log)?;
        if known.is_empty() {
            return Err(refused);
        }
        self.take_of_day((log, health), &notices::wanted(&all, &known)).await
    }

    async fn take_of_day(
        &self,
        (log, health): (&Log, &Health),
        wanted: &BTreeMap<TenantId, u32>,
    ) -> Result<NoticesTaken, NoNotices> {
        let mut taken = NoticesTaken::default();
        for (tenant, notices) in wanted {
            let limit = lock(&self.0.known).get(tenant).and_then(|limits| limits.notices_per_day);
            let Some(limit) = limit else { continue };
            taken.add(self.0.notices.take((log, health), tenant, limit, *notices).await?);
        }
        Ok(taken)
    }

    /// How many notices a tenant with a limit of them has sent today; none without one, or when the log does not say.
    pub async fn notices_today(&self, (log, health): (&Log, &Health), tenant: &TenantId) -> Option<u64> {
        let limit = lock(&self.0.known).get(tenant)?.notices_per_day?;
        self.0.notices.today((log, health), tenant, limit).await.ok()
    }

    /// Gives back what was taken for events that were not stored.
    pub async fn give_back(&self, taken: &BTreeMap<TenantId, u32>) {
        for (tenant, events) in taken {
            let limit = lock(&self.0.known).get(tenant).and_then(|limits| limits.events_per_second);
            let Some(limit) = limit else { continue };
            let is_told = match &self.0.store {
                Some(store) => {
                    let giving = store.give_back(tenant, "events", *events);
                    matches!(tokio::time::timeout(ANSWER, giving).await, Ok(Ok(())))
                }
                None => false,
            };
            if !is_told {
                // Taken of this publisher's share, most likely, while Redis was away then, too.
                let mut used = lock(&self.0.used);
                if let Some(used) = used.get_mut(tenant) {
                    used.give_back(limit, *events);
                }
            }
        }
    }

    fn tell(&self, error: &str) {
        if let Some(times) = AWAY.due(()) {
            tracing::warn!(error, times, "tenants' limits have no redis: each publisher counts its share");
        }
    }

    fn take_ahead(&self, tenant: &TenantId, limit: u32, events: u32) -> Option<Left> {
        let now = Instant::now();
        let mut used = lock(&self.0.used);
        let known = used.get_mut(tenant)?;
        let left = known.ahead_at(now).checked_sub(events.into())?;
        known.ahead = left;
        Some(Left { limit, events: left, wait: Duration::ZERO })
    }

    /// Of this publisher's part of the limit, as long as nobody knows what the others take.
    fn take_share(&self, tenant: &TenantId, limit: u32, events: u32) -> Left {
        let now = Instant::now();
        let mut used = lock(&self.0.used);
        used.entry(tenant.clone()).or_insert(Used::new(limit, now)).take_share(limit, events, now)
    }
}

impl Used {
    fn new(limit: u32, now: Instant) -> Self {
        Self { ahead: 0, until: now, asking: 1, share_milli: u64::from(limit) * 1_000, at: now }
    }

    fn ahead_at(&self, now: Instant) -> u64 {
        if now < self.until { self.ahead } else { 0 }
    }

    fn give_back(&mut self, limit: u32, events: u32) {
        let full = self.full(limit);
        self.share_milli = (self.share_milli + (u64::from(events) * 1_000).min(full)).min(full);
    }

    /// What the share has in a second, in thousandths.
    fn full(&self, limit: u32) -> u64 {
        (u64::from(limit) * 1_000 / self.asking).max(1_000)
    }

    /// All or nothing; more than the share has in a second when that is full, and then it is empty for longer.
    fn take_share(&mut self, limit: u32, events: u32, now: Instant) -> Left {
        let full = self.full(limit);
        let since = now.duration_since(self.at).as_millis() as u64;
        let has = (self.share_milli + since.min(1_000_000) * full / 1_000).min(full);
        let need = (u64::from(events) * 1_000).min(full);
        match has.checked_sub(need) {
            Some(left) => {
                (self.share_milli, self.at) = (left, now);
                Left { limit, events: left / 1_000, wait: Duration::ZERO }
            }
            None => {
                let wait = Duration::from_millis(((need - has) * 1_000).div_ceil(full));
                Left { limit, events: has / 1_000, wait }
            }
        }
    }
}

fn time_for(missing: u64, limit: u32) -> Duration {
    Duration::from_millis((missing * 1_000).div_ceil(u64::from(limit).max(1)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    fn limited(events_per_second: u32) -> Limits {
        let limits = Limits::new(None, "me".into());
        let text = format!("{{\"events_per_second\":{events_per_second}}}");
        limits.set(vec![StoredLimits { tenant: tenant(), limits: Some(text), suspended: false, version: 1 }]);
        limits
    }

    #[tokio::test]
    async fn without_a_limit_nothing_is_counted_and_with_one_a_second_s_worth_passes() {
        let limits = Limits::new(None, "me".into());
        assert_eq!(limits.take(&tenant(), 1_000).await, None);
        let limits = limited(10);
        let taken = limits.take(&tenant(), 8).await.unwrap();
        assert_eq!((taken.limit, taken.events, taken.wait), (10, 2, Duration::ZERO));
        let refused = limits.take(&tenant(), 5).await.unwrap();
        assert!(refused.wait > Duration::from_millis(200) && refused.wait <= Duration::from_millis(300));
        assert!(limits.take(&tenant(), 2).await.unwrap().wait.is_zero(), "what was refused took nothing");
        limits.set(vec![StoredLimits { tenant: tenant(), limits: None, suspended: false, version: 2 }]);
        assert_eq!(limits.take(&tenant(), 1_000).await, None);
    }

    #[tokio::test]
    async fn a_request_over_several_tenants_takes_nothing_of_any_where_one_refuses() {
        let limits = limited(10);
        let other = TenantId::new("beta").unwrap();
        let text = Some(r#"{"events_per_second":1}"#.to_owned());
        limits.set(vec![StoredLimits { tenant: other.clone(), limits: text, suspended: false, version: 2 }]);
        assert!(limits.take(&other, 1).await.unwrap().wait.is_zero());
        let both = BTreeMap::from([(tenant(), 10), (other, 1)]);
        for _ in 0..3 {
            assert_eq!(limits.take_all(&both).await.unwrap_err().limit, 1);
        }
        let own = BTreeMap::from([(tenant(), 10)]);
        assert_eq!(limits.take_all(&own).await.unwrap().unwrap().events, 0, "all of it was there");
        limits.give_back(&own).await;
        limits.give_back(&own).await;
        assert!(limits.take_all(&own).await.is_ok() && limits.take_all(&own).await.is_err(), "once");
    }

    #[test]
    fn a_share_is_the_limit_by_the_number_of_publishers_and_a_large_request_passes_when_it_is_full() {
        let now = Instant::now();
        let at = |ms: u64| now + Duration::from_millis(ms);
        let mut used = Used { asking: 4, ..Used::new(100, now) };
        assert!(used.take_share(100, 25, at(0)).wait.is_zero());
        let refused = used.take_share(100, 5, at(0));
        assert_eq!((refused.events, refused.wait), (0, Duration::from_millis(200)));
        assert!(used.take_share(100, 5, at(200)).wait.is_zero());
        assert!(!used.take_share(100, 500, at(300)).wait.is_zero());
        assert!(
            used.take_share(100, 500, at(1_200)).wait.is_zero(),
            "more than a second's worth, when it is full"
        );
        assert!(!used.take_share(100, 1, at(1_200)).wait.is_zero());
    }
}
