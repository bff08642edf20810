//! How many notices may a tenant still send today?
//!
//! A day is one of UTC, by the database's clock. Counted are the notices that are stored, whoever stored them: each look reads only
//! those that came after the one before it, so it costs little, needs no Redis, and a publisher that has just started knows as much as
//! the others. What was taken and is not stored yet is counted here, for this publisher; so several publishers together may let through
//! what each of them has under way beyond the limit, and never more. A repeat of what is stored is not stored again, so it needs none.

use super::lock;
use crate::health::Health;
use carillon_backplane::log::{Append, Log, LogError, NoticesStored};
use carillon_protocol::{Epoch, Seq, TenantId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How soon it is worth trying again when only what is under way is in the way.
const SOON: Duration = Duration::from_secs(1);

/// What a tenant may still send today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayLeft {
    /// Notices a day, its limit.
    pub limit: u32,
    /// Notices that it may send.
    pub notices: u64,
    /// How long it takes until there are more.
    pub wait: Duration,
}

/// Why no notices were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoNotices {
    /// A tenant has so many left, and more were wanted.
    Limit(DayLeft),
    /// It is not known how many there are.
    Log(LogError),
}

/// Notices that are about to be stored. They count as sent until this is dropped, which is to be after their commit.
#[derive(Default)]
pub struct NoticesTaken {
    under_way: Vec<UnderWay>,
    left: Option<DayLeft>,
}

impl NoticesTaken {
    pub(super) fn add(&mut self, (under_way, left): (UnderWay, DayLeft)) {
        self.under_way.push(under_way);
        self.left = Some(self.left.filter(|known| known.notices <= left.notices).unwrap_or(left));
    }

    /// What is left of the tightest limit, if any of the tenants has one.
    pub fn left(&self) -> Option<&DayLeft> {
        self.left.as_ref()
    }
}

/// How many of these notices would be stored for each tenant: those at the `known` places are repeats. A tenant of repeats alone is named,
/// too, with none, for the answer says what is left of its limit.
pub(super) fn wanted(notices: &[&Append], known: &HashSet<usize>) -> BTreeMap<TenantId, u32> {
    let mut wanted: BTreeMap<TenantId, u32> = BTreeMap::new();
    for (place, append) in notices.iter().enumerate() {
        *wanted.entry(append.tenant.clone()).or_default() += u32::from(!known.contains(&place));
    }
    wanted
}

/// So many of a tenant's.
pub(super) struct UnderWay {
    tenant: Arc<OfTenant>,
    notices: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.tenant.under_way.fetch_sub(self.notices, Ordering::SeqCst);
    }
}

/// The notices of today of all tenants that have a limit and have sent some.
#[derive(Default)]
pub(super) struct Days(Mutex<HashMap<TenantId, Arc<OfTenant>>>);

#[derive(Default)]
struct OfTenant {
    /// Held by who looks.
    counted: tokio::sync::Mutex<Counted>,
    under_way: AtomicU64,
}

impl Days {
    /// The tenant has no such limit any more.
    pub(super) fn forget(&self, tenant: &TenantId) {
        lock(&self.0).remove(tenant);
    }

    /// How many notices of today a tenant has stored; of more than its limit not all are counted.
    pub(super) async fn today(
        &self,
        log: (&Log, &Health),
        tenant: &TenantId,
        limit: u32,
    ) -> Result<u64, LogError> {
        Ok(self.of(tenant).look(log, tenant, limit).await?.0.today)
    }

    fn of(&self, tenant: &TenantId) -> Arc<OfTenant> {
        lock(&self.0).entry(tenant.clone()).or_default().clone()
    }

    /// Takes so many of a tenant's notices of today: all or none.
    pub(super) async fn take(
        &self,
        (log, health): (&Log, &Health),
        tenant: &TenantId,
        limit: u32,
        wanted: u32,
    ) -> Result<(UnderWay, DayLeft), NoNotices> {
        let of_tenant = self.of(tenant);
        let (counted, under_way) =
            of_tenant.look((log, health), tenant, limit).await.map_err(NoNotices::Log)?;
        let left = counted.take(limit, under_way, wanted).map_err(NoNotices::Limit)?;
        of_tenant.under_way.fetch_add(wanted.into(), Ordering::SeqCst);
        drop(counted);
        Ok((UnderWay { tenant: of_tenant, notices: wanted.into() }, left))
    }
}

impl OfTenant {
    /// Counts what is stored, and says how many were under way before it looked: one that is stored while it looks is in either number or
    /// in both, and never in none. Nobody takes any while this is held.
    async fn look(
        &self,
        (log, health): (&Log, &Health),
        tenant: &TenantId,
        limit: u32,
    ) -> Result<(tokio::sync::MutexGuard<'_, Counted>, u64), LogError> {
        let mut counted = self.counted.lock().await;
        let under_way = self.under_way.load(Ordering::SeqCst);
        counted.under(limit);
        loop {
            let stored = health.ask(log.notices_since(tenant, counted.up_to, limit)).await?;
            // A tenant that was removed a moment ago has none; its events are refused by name.
            if stored.is_none_or(|stored| counted.follow(stored)) {
                return Ok((counted, under_way));
            }
        }
    }
}

/// What is counted of a tenant's notices.
#[derive(Debug, Default)]
struct Counted {
    /// Under this limit: no more than so many were looked at at a time.
    limit: u32,
    epoch: Option<Epoch>,
    day: i64,
    rest: Duration,
    today: u64,
    /// All up to here are counted.
    up_to: Seq,
}

impl Counted {
    /// Counts anew when the limit is another one.
    fn under(&mut self, limit: u32) {
        if self.limit != limit {
            *self = Self { limit, ..Self::default() };
        }
    }

    /// Adds what came since. False: the log has another epoch than before, so its numbers are others; look again from the beginning.
    fn follow(&mut self, stored: NoticesStored) -> bool {
        let NoticesStored { epoch, day, rest, today, newest } = stored;
        if self.epoch.as_ref().is_some_and(|known| *known != epoch) {
            *self = Self { limit: self.limit, ..Self::default() };
            return false;
        }
        self.epoch = Some(epoch);
        if self.day != day {
            (self.day, self.today) = (day, 0);
        }
        self.rest = Duration::from_secs(rest);
        self.today += today;
        self.up_to = newest.unwrap_or(self.up_to);
        true
    }

    /// Whether so many more fit in, and what is left then; else what is left now.
    fn take(&self, limit: u32, under_way: u64, wanted: u32) -> Result<DayLeft, DayLeft> {
        let (most, wanted) = (u64::from(limit), u64::from(wanted));
        let notices = most.saturating_sub(self.today + under_way);
        match notices.checked_sub(wanted) {
            Some(notices) => Ok(DayLeft { limit, notices, wait: self.rest }),
            None => {
                let wait = if self.today + wanted <= most { SOON } else { self.rest };
                Err(DayLeft { limit, notices, wait })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(day: i64, today: u64, newest: Option<u64>) -> NoticesStored {
        NoticesStored { epoch: Epoch::new("a").unwrap(), day, rest: 60, today, newest: newest.map(Seq) }
    }

    #[test]
    fn what_came_since_the_last_look_is_added_and_a_new_day_begins_at_nothing() {
        let mut counted = Counted::default();
        counted.under(10);
        assert!(counted.follow(stored(1, 4, Some(40))));
        assert!(counted.follow(stored(1, 0, None)));
        assert!(counted.follow(stored(1, 3, Some(50))));
        assert_eq!((counted.today, counted.up_to), (7, Seq(50)));
        assert!(counted.follow(stored(2, 2, Some(60))));
        assert_eq!((counted.today, counted.up_to), (2, Seq(60)));
        counted.under(10);
        assert_eq!(counted.today, 2, "the same limit");
        counted.under(11);
        assert_eq!(
            (counted.today, counted.up_to),
            (0, Seq(0)),
            "another one: not all may have been looked at"
        );
    }

    #[test]
    fn in_another_epoch_they_are_counted_from_the_beginning() {
        let mut counted = Counted::default();
        counted.under(10);
        assert!(counted.follow(stored(1, 4, Some(40))));
        let other = || NoticesStored { epoch: Epoch::new("b").unwrap(), ..stored(1, 1, Some(7)) };
        assert!(!counted.follow(other()));
        assert_eq!(counted.up_to, Seq(0));
        assert!(counted.follow(other()));
        assert_eq!((counted.today, counted.up_to), (1, Seq(7)));
    }

    #[test]
    fn all_or_none_fit_in_and_what_is_only_under_way_makes_nobody_wait_for_midnight() {
        let mut counted = Counted::default();
        counted.under(10);
        assert!(counted.follow(stored(1, 7, Some(40))));
        let (rest, limit) = (Duration::from_secs(60), 10);
        assert_eq!(counted.take(limit, 1, 2), Ok(DayLeft { limit, notices: 0, wait: rest }));
        assert_eq!(counted.take(limit, 1, 3), Err(DayLeft { limit, notices: 2, wait: SOON }));
        assert_eq!(counted.take(limit, 1, 4), Err(DayLeft { limit, notices: 2, wait: rest }));
        assert!(counted.follow(stored(1, 9, Some(50))), "more than the limit: it was lowered");
        assert_eq!(counted.take(limit, 0, 1), Err(DayLeft { limit, notices: 0, wait: rest }));
        assert_eq!(counted.take(limit, 3, 0), Ok(DayLeft { limit, notices: 0, wait: rest }), "repeats alone");
    }

    #[test]
    fn what_is_dropped_is_not_under_way_any_more() {
        let tenant = Arc::new(OfTenant::default());
        tenant.under_way.fetch_add(5, Ordering::SeqCst);
        let mut taken = NoticesTaken::default();
        let left = |notices| DayLeft { limit: 10, notices, wait: SOON };
        taken.add((UnderWay { tenant: tenant.clone(), notices: 3 }, left(4)));
        taken.add((UnderWay { tenant: tenant.clone(), notices: 2 }, left(6)));
        assert_eq!(taken.left(), Some(&left(4)), "the tightest");
        drop(taken);
        assert_eq!(tenant.under_way.load(Ordering::SeqCst), 0);
    }
}
