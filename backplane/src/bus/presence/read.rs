//! Who is in a channel, and where is somebody, as Redis has it?
//!
//! For whoever is no gateway: each question reads the hashes of all gateways that say something of the tenant, in pages. A gateway
//! that is gone has no hash any more when its lease is over, and so nobody in it counts. What was answered last is kept for the time
//! that Redis is away, within bounds ([`super::known`]), and is told as what it is: old.

use super::known::{KEPT, Known, Seen, Subject};
use super::{FIELDS, NUMBER, PresenceStore, StoreFault, Written, read_written};
use crate::bus::{BusConfig, BusError, LimitStore};
use carillon_protocol::presence::{Entry, Origin};
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After Redis was away: until then gateways may not have written anew what it has lost.
const SETTLED: Duration = Duration::from_secs(10);
/// How often a hash is looked at that a gateway is just writing anew.
const LOOKS: usize = 5;
/// Time between two such looks.
const BETWEEN: Duration = Duration::from_millis(100);

/// Somebody who is in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Somebody {
    /// Who.
    pub user: UserId,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What they say about themselves: JSON.
    pub meta: Option<Arc<str>>,
}

/// A channel that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Which.
    pub channel: Channel,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What they say about themselves there: JSON.
    pub meta: Option<Arc<str>>,
}

/// Some of the people in a channel, in the order of their coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many are in the channel.
    pub count: usize,
    /// Those after the place that was asked for.
    pub members: Vec<Somebody>,
    /// Whether there are more after these.
    pub more: bool,
    /// Whether it may be out of date: Redis is away, or was just now.
    pub stale: bool,
}

/// Reads who is where.
#[derive(Clone)]
pub struct PresenceReader {
    store: PresenceStore,
    known: Arc<Mutex<Known>>,
}

impl PresenceReader {
    /// Starts a thread that keeps a connection. Returns at once, whether Redis is there or not.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without a thread.
    pub fn connect(config: &BusConfig) -> Result<Self, BusError> {
        Ok(Self { store: PresenceStore::connect(config)?, known: Arc::default() })
    }

    /// Limits of tenants, on the same connection.
    pub fn limits(&self) -> LimitStore {
        self.store.limits()
    }

    /// Up to `limit` people of a channel after the one who came at that time and has that name.
    ///
    /// # Errors
    /// When Redis does not answer and nothing is known of the channel.
    pub async fn channel(
        &self,
        tenant: &TenantId,
        channel: &Channel,
        after: Option<&(u64, UserId)>,
        limit: usize,
    ) -> Result<Page, StoreFault> {
        let subject = Subject::Channel(channel.clone());
        let read = self.people(tenant, channel).await;
        let (count, people, stale) = match (read, self.last(tenant, &subject)) {
            // Redis has been there all along.
            (Ok((people, true)), _) => (people.len(), people, false),
            (_, Some(Seen::People(count, people))) => (count, people.to_vec(), true),
            (Ok((people, false)), _) => (people.len(), people, true),
            (Err(away), _) => return Err(away),
        };
        if !stale {
            let first = people.get(..KEPT).unwrap_or(&people);
            self.keep(tenant, subject, Seen::People(count, first.into()));
        }
        let is_before = |one: &Somebody| {
            after.is_some_and(|(since_ms, name)| (one.since_ms, &one.user) <= (*since_ms, name))
        };
        let begin = people.partition_point(is_before);
        let kept = people.len();
        let members: Vec<Somebody> = people.into_iter().skip(begin).take(limit).collect();
        let more = begin + members.len() < count;
        if stale && members.is_empty() && more && kept < count {
            return Err(StoreFault("only the first people of the channel are known".into()));
        }
        Ok(Page { count, members, more, stale })
    }

    /// The channels that somebody is in, by name, and whether that may be out of date.
    ///
    /// # Errors
    /// When Redis does not answer and nothing is known of them.
    pub async fn user(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(Vec<Whereabouts>, bool), StoreFault> {
        let subject = Subject::User(user.clone());
        match (self.channels(tenant, user).await, self.last(tenant, &subject)) {
            (Ok((channels, true)), _) => {
                self.keep(tenant, subject, Seen::Channels(channels.as_slice().into()));
                Ok((channels, false))
            }
            (_, Some(Seen::Channels(channels))) => Ok((channels.to_vec(), true)),
            (Ok((channels, false)), _) => Ok((channels, true)),
            (Err(away), _) => Err(away),
        }
    }

    fn last(&self, tenant: &TenantId, subject: &Subject) -> Option<Seen> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant, subject, Instant::now())
    }

    fn keep(&self, tenant: &TenantId, subject: Subject, seen: Seen) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.keep(tenant, subject, seen, Instant::now());
    }

    /// Everybody in a channel, in the order of their coming, and whether that is all there is.
    async fn people(
        &self,
        tenant: &TenantId,
        channel: &Channel,
    ) -> Result<(Vec<Somebody>, bool), StoreFault> {
        let pattern = format!("{}\n*", escaped(channel.as_str()));
        let mut people: HashMap<UserId, Entry> = HashMap::new();
        let is_whole = self
            .each(tenant, &pattern, |(_, user, _, entry)| match people.get_mut(&user) {
                Some(known) => *known = merged(known, &entry),
                None => drop(people.insert(user, entry)),
            })
            .await?;
        let somebody =
            |(user, entry): (UserId, Entry)| Somebody { user, since_ms: entry.since_ms, meta: entry.meta };
        let mut people: Vec<Somebody> = people.into_iter().map(somebody).collect();
        people.sort_unstable_by(|one, other| (one.since_ms, &one.user).cmp(&(other.since_ms, &other.user)));
        Ok((people, is_whole))
    }

    async fn channels(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(Vec<Whereabouts>, bool), StoreFault> {
        let pattern = format!("*\n{}", escaped(user.as_str()));
        let mut channels: HashMap<Channel, Entry> = HashMap::new();
        let is_whole = self
            .each(tenant, &pattern, |(channel, _, _, entry)| match channels.get_mut(&channel) {
                Some(known) => *known = merged(known, &entry),
                None => drop(channels.insert(channel, entry)),
            })
            .await?;
        let place = |(channel, entry): (Channel, Entry)| Whereabouts {
            channel,
            since_ms: entry.since_ms,
            meta: entry.meta,
        };
        let mut all: Vec<Whereabouts> = channels.into_iter().map(place).collect();
        all.sort_unstable_by(|one, other| one.channel.cmp(&other.channel));
        Ok((all, is_whole))
    }

    /// Everybody whose field matches, of all gateways; whether all of them could be read as a whole, from a Redis that was there
    /// long enough.
    async fn each(
        &self,
        tenant: &TenantId,
        pattern: &str,
        mut found: impl FnMut(Written),
    ) -> Result<bool, StoreFault> {
        let again = self.store.connected_again();
        let mut is_whole = again.is_none_or(|since| since.elapsed() >= SETTLED);
        for (origin, _) in self.store.heads(tenant, None).await? {
            is_whole &= self.of_one(tenant, &origin, pattern, &mut found).await?;
        }
        Ok(is_whole)
    }

    /// The same of one gateway. One that is just being written anew is waited for.
    async fn of_one(
        &self,
        tenant: &TenantId,
        origin: &Origin,
        pattern: &str,
        found: &mut impl FnMut(Written),
    ) -> Result<bool, StoreFault> {
        let (key, link) = (self.store.names.presence(tenant, origin), self.store.link()?);
        let mut looks = 0;
        while link.field(&key, NUMBER).await?.is_none() {
            let (next, fields) = link.page(&key, "0", 1, None).await?;
            if fields.is_empty() && next == "0" {
                // Its lease is over, or it has nobody.
                return Ok(true);
            }
            looks += 1;
            if looks == LOOKS {
                return Ok(false);
            }
            tokio::time::sleep(BETWEEN).await;
        }
        let mut cursor = "0".to_owned();
        loop {
            let (next, fields) = link.page(&key, &cursor, FIELDS * 4, Some(pattern)).await?;
            fields.iter().filter_map(|(field, json)| read_written(field, json)).for_each(&mut *found);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        // Without it what was read is from while it was written anew, or its lease has just ended.
        Ok(link.field(&key, NUMBER).await?.is_some())
    }
}

/// What two gateways say of somebody, as one: here since the earlier, with what they said last.
fn merged(one: &Entry, other: &Entry) -> Entry {
    let newest = if (other.set_ms, &other.meta) > (one.set_ms, &one.meta) { other } else { one };
    Entry { since_ms: one.since_ms.min(other.since_ms), ..newest.clone() }
}

/// A text that a pattern of Redis matches as it stands.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_matches_another() {
        assert_eq!(escaped("role:[a-z]*?\\"), "role:\\[a-z\\]\\*\\?\\\\");
        assert_eq!(escaped("branch:1"), "branch:1");
    }

    #[test]
    fn two_gateways_agree_on_a_person() {
        let entry =
            |since_ms, set_ms, meta: &str| Entry { since_ms, set_ms, grace_ms: 0, meta: Some(meta.into()) };
        let (one, other) = (entry(5, 9, "1"), entry(3, 8, "2"));
        let both = merged(&one, &other);
        assert_eq!((both.since_ms, both.meta.as_deref()), (3, Some("1")));
        assert_eq!(merged(&other, &one), both);
    }
}
