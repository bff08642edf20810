//! How much may a person publish into a channel, a second?
//!
//! A channel's rule says so, for a channel; and [`CHANNELS`] times as much for all of the rule's channels, so that channels which
//! somebody makes up are no way around it. Counted is what this publisher takes: an installation with several may take as many times as much
//! in all. As many events as a second has may come at once; then one comes in for each that the time gives back. Nothing is kept
//! of whoever has used nothing for a second.

use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Entries from which on those that say nothing any more are looked for.
const SWEPT_FROM: usize = 1_024;
const SECOND: Duration = Duration::from_secs(1);

/// Into all channels of a rule together so many times as much as into one.
pub const CHANNELS: u32 = 8;

/// Who publishes where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// In which tenant.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Into what.
    pub into: Where,
}

/// Into what a rate is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Where {
    /// One channel.
    Channel(Channel),
    /// The channels of the rule with this pattern, together.
    Rule(Box<str>),
}

/// What a request takes of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Events a second, at least one.
    pub rate: u32,
    /// Events of the request, no more than `rate`.
    pub events: u32,
}

/// What everybody has used.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    /// When all that was used is given back.
    full_at: HashMap<Lane, Instant>,
    /// Entries that were left when they were last looked through.
    kept: usize,
}

impl Rates {
    /// Takes what a request uses: all of it, or nothing and how long it has to wait.
    pub fn take(&self, uses: &HashMap<Lane, Use>) -> Result<(), Duration> {
        // Not when the request began: its body may have taken longer than what others have used since is remembered.
        self.take_at(Instant::now(), uses)
    }

    fn take_at(&self, now: Instant, uses: &HashMap<Lane, Use>) -> Result<(), Duration> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = |lane: &Lane, taken: &Use| {
            let from = used.full_at.get(lane).map_or(now, |full| now.max(*full));
            from + SECOND * taken.events / taken.rate.max(1)
        };
        let all: Vec<_> = uses.iter().map(|(lane, taken)| (lane.clone(), after(lane, taken))).collect();
        let latest = all.iter().map(|(_, full)| *full).max().unwrap_or(now);
        if let Some(wait) = latest.duration_since(now).checked_sub(SECOND).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        used.full_at.extend(all);
        if used.full_at.len() >= SWEPT_FROM.max(2 * used.kept) {
            used.full_at.retain(|_, full| *full > now);
            used.kept = used.full_at.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(user: &str, channel: &str) -> Lane {
        let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new(user).unwrap());
        Lane { tenant, user, into: Where::Channel(Channel::new(channel).unwrap()) }
    }

    fn one(user: &str, channel: &str, rate: u32, events: u32) -> HashMap<Lane, Use> {
        HashMap::from([(lane(user, channel), Use { rate, events })])
    }

    #[test]
    fn a_second_s_worth_comes_at_once_and_the_rest_as_time_gives_it_back() {
        let (rates, start) = (Rates::default(), Instant::now());
        let take = |ms: u64, events| {
            rates.take_at(start + Duration::from_millis(ms), &one("mila", "order:1", 4, events))
        };
        assert_eq!((take(0, 3), take(0, 1)), (Ok(()), Ok(())));
        assert_eq!(take(0, 1), Err(Duration::from_millis(250)));
        assert_eq!(take(200, 1), Err(Duration::from_millis(50)), "a refusal uses nothing");
        assert_eq!((take(250, 1), take(250, 1)), (Ok(()), Err(Duration::from_millis(250))));
        assert_eq!(
            (take(9_000, 4), take(9_000, 1).is_err()),
            (Ok(()), true),
            "no more than a second is saved up"
        );
        let taken = (0..10_000u64).step_by(10).filter(|ms| take(20_000 + ms, 1).is_ok()).count();
        assert!((40..=44).contains(&taken), "{taken} in ten seconds");
    }

    #[test]
    fn each_person_and_channel_has_its_own_and_a_request_takes_all_or_nothing() {
        let (rates, now) = (Rates::default(), Instant::now());
        assert_eq!(rates.take_at(now, &one("mila", "order:1", 1, 1)), Ok(()));
        assert!(rates.take_at(now, &one("mila", "order:1", 1, 1)).is_err());
        assert_eq!(rates.take_at(now, &one("jan", "order:1", 1, 1)), Ok(()));
        let both: HashMap<Lane, Use> =
            one("mila", "order:1", 1, 1).into_iter().chain(one("mila", "order:2", 1, 1)).collect();
        assert!(rates.take_at(now, &both).is_err());
        assert_eq!(rates.take_at(now, &one("mila", "order:2", 1, 1)), Ok(()), "nothing of it was taken");
        assert_eq!(rates.take_at(now, &HashMap::new()), Ok(()));
    }

    #[test]
    fn i10_whoever_is_quiet_for_a_second_is_forgotten() {
        let (rates, start) = (Rates::default(), Instant::now());
        for n in 0..20_000u32 {
            let now = start + Duration::from_millis(u64::from(n));
            rates.take_at(now, &one(&format!("u{n}"), "order:1", 10, 1)).unwrap();
            assert!(rates.0.lock().unwrap().full_at.len() <= SWEPT_FROM);
        }
    }
}
