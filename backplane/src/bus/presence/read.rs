//! Who is in a channel, and where is somebody, as Redis has it?
//!
//! For whoever is no gateway and keeps nothing: each question reads the hashes of all gateways that say something of the tenant, in
//! pages. What is known is kept for the time that Redis is away, within bounds, and told as what it is: old.

use super::{FIELDS, PresenceStore, StoreFault, Written, read_written};
use crate::bus::{BusConfig, BusError};
use carillon_protocol::presence::Entry;
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::HashMap;
use std::sync::Arc;

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

/// Some of the people in a channel, in the order of their coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many are in the channel.
    pub count: usize,
    /// Those after the place that was asked for.
    pub members: Vec<Somebody>,
    /// Whether there are more after these.
    pub more: bool,
}

/// Reads who is where.
#[derive(Clone)]
pub struct PresenceReader(PresenceStore);

impl PresenceReader {
    /// Starts a thread that keeps a connection. Returns at once, whether Redis is there or not.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without a thread.
    pub fn connect(config: &BusConfig) -> Result<Self, BusError> {
        PresenceStore::connect(config).map(Self)
    }

    /// Up to `limit` people of a channel after the one who came at that time and has that name.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn channel(
        &self,
        tenant: &TenantId,
        channel: &Channel,
        after: Option<&(u64, UserId)>,
        limit: usize,
    ) -> Result<Page, StoreFault> {
        let pattern = format!("{}\n*", escaped(channel.as_str()));
        let mut people: HashMap<UserId, Entry> = HashMap::new();
        self.each(tenant, &pattern, |(_, user, _, entry)| match people.get_mut(&user) {
            Some(known) => *known = merged(known, &entry),
            None => drop(people.insert(user, entry)),
        })
        .await?;
        let count = people.len();
        let is_after = |(user, entry): &(UserId, Entry)| {
            after.is_none_or(|(since_ms, name)| (entry.since_ms, user) > (*since_ms, name))
        };
        let mut people: Vec<(UserId, Entry)> = people.into_iter().filter(is_after).collect();
        people.sort_unstable_by(|(one, first), (other, second)| {
            (first.since_ms, one).cmp(&(second.since_ms, other))
        });
        let more = people.len() > limit;
        people.truncate(limit);
        let somebody =
            |(user, entry): (UserId, Entry)| Somebody { user, since_ms: entry.since_ms, meta: entry.meta };
        Ok(Page { count, members: people.into_iter().map(somebody).collect(), more })
    }

    /// The channels that somebody is in, by name.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn user(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<(Channel, Somebody)>, StoreFault> {
        let pattern = format!("*\n{}", escaped(user.as_str()));
        let mut channels: HashMap<Channel, Entry> = HashMap::new();
        self.each(tenant, &pattern, |(channel, found, _, entry)| {
            if found != *user {
                return;
            }
            match channels.get_mut(&channel) {
                Some(known) => *known = merged(known, &entry),
                None => drop(channels.insert(channel, entry)),
            }
        })
        .await?;
        let somebody =
            |entry: Entry| Somebody { user: user.clone(), since_ms: entry.since_ms, meta: entry.meta };
        let mut all: Vec<(Channel, Somebody)> =
            channels.into_iter().map(|(channel, entry)| (channel, somebody(entry))).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// Everybody whose field matches, of all gateways.
    async fn each(
        &self,
        tenant: &TenantId,
        pattern: &str,
        mut found: impl FnMut(Written),
    ) -> Result<(), StoreFault> {
        let link = self.0.link()?;
        for (origin, _) in self.0.heads(tenant, None).await? {
            let (key, mut cursor) = (self.0.names.presence(tenant, &origin), "0".to_owned());
            loop {
                let (next, fields) = link.page(&key, &cursor, FIELDS * 4, Some(pattern)).await?;
                fields.iter().filter_map(|(field, json)| read_written(field, json)).for_each(&mut found);
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
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
