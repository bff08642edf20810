//! What was last known, for the time that Redis is away?
//!
//! Bounded by bytes, of all and of a tenant. Two generations: when the younger one is full the older one is let go; when a tenant's
//! share of it is full, what that tenant has in the older one. (pure)

use super::read::{Somebody, Whereabouts};
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one generation.
const BYTES: usize = 8 * 1024 * 1024;
/// Of these a tenant has at most one in so many.
const SHARE: usize = 4;
/// People of a channel that are kept, the first ones.
pub(super) const KEPT: usize = 1_000;
/// What is older is not told.
const AGE: Duration = Duration::from_secs(3_600);
/// What a person takes beside the names and `meta`.
const OVERHEAD: usize = 96;

/// What somebody asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Channel(Channel),
    User(UserId),
}

/// What the answer was.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// How many there were, and the first [`KEPT`].
    People(usize, Arc<[Somebody]>),
    /// Where somebody was.
    Channels(Arc<[Whereabouts]>),
}

impl Seen {
    fn bytes(&self) -> usize {
        let somebody = |one: &Somebody| {
            OVERHEAD + one.user.as_str().len() + one.meta.as_ref().map_or(0, |meta| meta.len())
        };
        OVERHEAD
            + match self {
                Self::People(_, people) => people.iter().map(somebody).sum::<usize>(),
                Self::Channels(channels) => channels
                    .iter()
                    .map(|one| {
                        OVERHEAD + one.channel.as_str().len() + one.meta.as_ref().map_or(0, |meta| meta.len())
                    })
                    .sum::<usize>(),
            }
    }
}

/// What was answered last about whom.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: Generation,
    old: Generation,
}

type Key = (TenantId, Subject);

#[derive(Debug, Default)]
struct Generation {
    seen: HashMap<Key, (Instant, Seen)>,
    bytes: usize,
    of_tenant: HashMap<TenantId, usize>,
}

/// What a key takes beside its entry: it holds names, too.
fn size(key: &Key, seen: &Seen) -> usize {
    let name = match &key.1 {
        Subject::Channel(channel) => channel.as_str().len(),
        Subject::User(user) => user.as_str().len(),
    };
    OVERHEAD + key.0.as_str().len() + name + seen.bytes()
}

impl Generation {
    fn remove(&mut self, key: &Key) {
        if let Some((_, before)) = self.seen.remove(key) {
            let size = size(key, &before);
            self.bytes -= size;
            if let Some(bytes) = self.of_tenant.get_mut(&key.0) {
                *bytes -= size;
                if *bytes == 0 {
                    self.of_tenant.remove(&key.0);
                }
            }
        }
    }

    fn insert(&mut self, key: Key, entry: (Instant, Seen)) {
        let size = size(&key, &entry.1);
        self.bytes += size;
        *self.of_tenant.entry(key.0.clone()).or_default() += size;
        self.seen.insert(key, entry);
    }

    /// Takes out all that there is of a tenant.
    fn take(&mut self, tenant: &TenantId) -> HashMap<Key, (Instant, Seen)> {
        self.bytes -= self.of_tenant.remove(tenant).unwrap_or_default();
        self.seen.extract_if(|key, _| key.0 == *tenant).collect()
    }
}

impl Known {
    /// Keeps an answer. Where the tenant's share is full, its older answers go.
    pub(super) fn keep(&mut self, tenant: &TenantId, subject: Subject, seen: Seen, now: Instant) {
        let key = (tenant.clone(), subject);
        let size = size(&key, &seen);
        self.young.remove(&key);
        self.old.remove(&key);
        if size > BYTES / SHARE {
            return;
        }
        if self.young.of_tenant.get(tenant).copied().unwrap_or_default() + size > BYTES / SHARE {
            self.old.take(tenant);
            for (key, entry) in self.young.take(tenant) {
                self.old.insert(key, entry);
            }
        }
        if self.young.bytes + size > BYTES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (now, seen));
    }

    /// What was answered last.
    pub(super) fn get(&self, tenant: &TenantId, subject: &Subject, now: Instant) -> Option<Seen> {
        let key = (tenant.clone(), subject.clone());
        let found = self.young.seen.get(&key).or_else(|| self.old.seen.get(&key));
        let fresh = found.filter(|(at, _)| now.duration_since(*at) < AGE);
        fresh.map(|(_, seen)| seen.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn channel(n: usize) -> Subject {
        Subject::Channel(Channel::new(format!("branch:{n}")).unwrap())
    }

    fn people(count: usize) -> Seen {
        let somebody = |n: usize| Somebody {
            user: UserId::new(format!("person-{n}")).unwrap(),
            since_ms: n as u64,
            meta: Some("x".repeat(1_000).into()),
        };
        Seen::People(count, (0..count).map(somebody).collect())
    }

    fn count(seen: Option<Seen>) -> Option<usize> {
        match seen? {
            Seen::People(count, _) => Some(count),
            Seen::Channels(channels) => Some(channels.len()),
        }
    }

    #[test]
    fn the_last_answer_is_kept_for_a_while() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.keep(&tenant("a"), channel(1), people(3), now);
        known.keep(&tenant("a"), channel(1), people(2), now);
        assert_eq!(count(known.get(&tenant("a"), &channel(1), now)), Some(2));
        assert_eq!(count(known.get(&tenant("b"), &channel(1), now)), None, "of its own tenant alone");
        assert_eq!(count(known.get(&tenant("a"), &channel(2), now)), None);
        assert_eq!(count(known.get(&tenant("a"), &channel(1), now + AGE)), None);
    }

    #[test]
    fn a_tenant_has_its_share_and_all_of_them_the_bound() {
        let (mut known, now) = (Known::default(), Instant::now());
        for n in 0..20_000 {
            known.keep(&tenant("greedy"), channel(n), people(10), now);
        }
        assert!(known.young.bytes <= BYTES / SHARE, "{}", known.young.bytes);
        assert_eq!(
            count(known.get(&tenant("greedy"), &channel(19_999), now)),
            Some(10),
            "the last answer is kept"
        );
        assert_eq!(count(known.get(&tenant("greedy"), &channel(0), now)), None, "the first has gone");
        for n in 0..20_000 {
            known.keep(&tenant(&format!("t{}", n % 100)), channel(n), people(10), now);
            assert!(known.young.bytes <= BYTES && known.old.bytes <= BYTES);
        }
        assert_eq!(count(known.get(&tenant("t99"), &channel(19_999), now)), Some(10));
        let all: usize = known.young.of_tenant.values().sum();
        assert_eq!(all, known.young.bytes);
        // Names count: many answers in which nobody is take room, too.
        let mut known = Known::default();
        let user = |n: usize| Subject::User(UserId::new(format!("{n:0>100}")).unwrap());
        for n in 0..30_000 {
            known.keep(&tenant("greedy"), user(n), Seen::Channels([].into()), now);
        }
        assert!(known.young.seen.len() + known.old.seen.len() < 2 * BYTES / SHARE / 200);
    }
}
