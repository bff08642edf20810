//! How much may a person send into a channel?
//!
//! A channel rule says so, a second (`rate`), for a channel; and so many times as much for all of the rule's channels. Each node counts for itself, over all connections of the person to it: a bucket that
//! holds one second's worth. Buckets that are full again are forgotten.

use carillon_platform::rules::Pattern;
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 16;
/// Buckets of a part before full ones are looked for.
const FEW: usize = 256;
/// A clock that goes back by more was set.
const SET_BACK_MS: u64 = 1_000;

/// Counts what people send. Clones are the same count.
#[derive(Clone, Default)]
pub(crate) struct Rates(Arc<Table>);

#[derive(Default)]
struct Table {
    hasher: RandomState,
    parts: [Mutex<Part>; PARTS],
}

#[derive(Default)]
struct Part {
    /// By the hash of tenant, person and channel or rule: two that have the same, one in 2⁶⁴, share a bucket.
    buckets: HashMap<u64, Bucket>,
    /// So many buckets before full ones are looked for again.
    look_at: usize,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// In thousandths of one.
    milli: u64,
    at_ms: u64,
    rate: u32,
}

impl Bucket {
    /// The time it is measured from at this time. It takes a clock that was set back as it is; a little is not that: several
    /// threads take from it.
    fn counts_from_ms(self, now_ms: u64) -> u64 {
        if self.at_ms > now_ms + SET_BACK_MS { now_ms } else { now_ms.max(self.at_ms) }
    }

    /// What is in it at a time.
    fn at(self, now_ms: u64) -> u64 {
        let most = u64::from(self.rate) * 1_000;
        (self.milli + now_ms.saturating_sub(self.at_ms).min(1_000) * u64::from(self.rate)).min(most)
    }
}

impl Rates {
    /// Takes one of `rate` a second; else says in how many milliseconds there is one. `rate` is at least 1.
    pub(crate) fn take(
        &self,
        tenant: &TenantId,
        user: &UserId,
        channel: &Channel,
        rate: u32,
        now_ms: u64,
    ) -> Result<(), u64> {
        self.take_of(self.0.hasher.hash_one((tenant, user, channel)), rate, now_ms)
    }

    /// The same for all channels of a rule together.
    pub(crate) fn take_of_rule(
        &self,
        tenant: &TenantId,
        user: &UserId,
        pattern: &Pattern,
        rate: u32,
        now_ms: u64,
    ) -> Result<(), u64> {
        self.take_of(self.0.hasher.hash_one((tenant, user, "rule", pattern.as_str())), rate, now_ms)
    }

    fn take_of(&self, key: u64, rate: u32, now_ms: u64) -> Result<(), u64> {
        let rate = rate.max(1);
        let part = &self.0.parts[key as usize % PARTS];
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.buckets.len() >= part.look_at.max(FEW) {
            let is_full = |bucket: &Bucket| bucket.at(now_ms) >= u64::from(bucket.rate) * 1_000;
            let is_of_now = |bucket: &Bucket| bucket.at_ms <= now_ms + SET_BACK_MS;
            part.buckets.retain(|_, bucket| is_of_now(bucket) && !is_full(bucket));
            part.look_at = part.buckets.len() * 2;
        }
        let full = Bucket { milli: u64::from(rate) * 1_000, at_ms: now_ms, rate };
        let bucket = part.buckets.entry(key).or_insert(full);
        let has = Bucket { rate, ..*bucket }.at(now_ms);
        let left = has.checked_sub(1_000);
        *bucket = Bucket { milli: left.unwrap_or(has), at_ms: bucket.counts_from_ms(now_ms), rate };
        left.map(|_| ()).ok_or_else(|| (1_000 - has).div_ceil(u64::from(rate)))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.parts.iter().map(|part| part.lock().unwrap().buckets.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(user: &str, channel: &str) -> (TenantId, UserId, Channel) {
        (TenantId::new("acme").unwrap(), UserId::new(user).unwrap(), Channel::new(channel).unwrap())
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_the_rate_holds() {
        let rates = Rates::default();
        let (tenant, user, channel) = names("mila", "page:7");
        let take = |now_ms| rates.take(&tenant, &user, &channel, 10, now_ms);
        assert_eq!((0..30).filter(|_| take(1_000_000).is_ok()).count(), 10);
        assert_eq!(take(1_000_000), Err(100), "the time until the next one");
        assert_eq!(take(1_000_099), Err(1));
        assert_eq!(take(1_000_100), Ok(()));
        assert_eq!((1_000_101..1_010_101).filter(|now_ms| take(*now_ms).is_ok()).count(), 100);
        assert!(take(1_009_900).is_err(), "another thread, a little earlier, gets nothing");
        assert!(take(1_010_150).is_err(), "and has not put the time back");
        assert_eq!(take(900_000), Err(50), "a clock that is set back gives nothing");
        assert_eq!(take(900_050), Ok(()), "and locks nobody out");
        assert_eq!((900_051..901_051).filter(|now_ms| take(*now_ms).is_ok()).count(), 10);
        let (tenant, other, channel) = names("jan", "page:7");
        assert!(rates.take(&tenant, &other, &channel, 1, 0).is_ok(), "each person by itself");
        let (tenant, user, channel) = names("mila", "page:8");
        assert!(rates.take(&tenant, &user, &channel, 1, 0).is_ok(), "each channel by itself");
    }

    #[test]
    fn channels_that_somebody_makes_up_are_no_way_around_a_rate() {
        let rates = Rates::default();
        let pattern = Pattern::new("page:{page}").unwrap();
        let passed = |now_ms: u64| {
            let pass = |n: u64| {
                let (tenant, user, channel) = names("mila", &format!("page:{n}"));
                rates.take(&tenant, &user, &channel, 5, now_ms).is_ok()
                    && rates.take_of_rule(&tenant, &user, &pattern, 40, now_ms).is_ok()
            };
            (0..1_000).filter(|n| pass(*n)).count()
        };
        assert_eq!((passed(5_000), passed(5_500)), (40, 20));
        let (tenant, other, _) = names("jan", "page:1");
        assert!(rates.take_of_rule(&tenant, &other, &pattern, 40, 5_000).is_ok(), "each person by itself");
    }

    #[test]
    fn a_rate_that_changes_holds_at_once() {
        let rates = Rates::default();
        let (tenant, user, channel) = names("mila", "page:7");
        assert!(rates.take(&tenant, &user, &channel, 1_000, 5_000).is_ok());
        let passed = (0..50).filter(|_| rates.take(&tenant, &user, &channel, 2, 5_000).is_ok()).count();
        assert_eq!(passed, 2);
    }

    #[test]
    fn i10_buckets_that_are_full_again_are_forgotten() {
        let rates = Rates::default();
        for n in 0..100_000u64 {
            let (tenant, user, channel) = names("mila", &format!("page:{n}"));
            assert!(rates.take(&tenant, &user, &channel, 10, 1_000 + n).is_ok());
        }
        // Each is full again after 100 ms.
        assert!(rates.len() <= PARTS * FEW * 2, "{}", rates.len());
    }

    #[test]
    fn i10_buckets_of_a_time_before_the_clock_was_set_back_are_forgotten() {
        let rates = Rates::default();
        for n in 0..20_000u64 {
            let (tenant, user, channel) = names("mila", &format!("page:{n}"));
            assert!(rates.take(&tenant, &user, &channel, 10, 10_000_000).is_ok());
        }
        for n in 20_000..60_000u64 {
            let (tenant, user, channel) = names("mila", &format!("page:{n}"));
            assert!(rates.take(&tenant, &user, &channel, 10, n).is_ok());
        }
        assert!(rates.len() <= PARTS * FEW * 2, "{}", rates.len());
    }
}
