//! Which verdicts are known, and which questions are under way?
//!
//! Bounded by number and by bytes: each tenant has its part, so that one with many people takes nothing of the others. Whose part is full forgets it;
//! what was forgotten is asked again.

use super::question::Question;
use super::verdict::{Granted, Said, Verdict};
use carillon_protocol::TenantId;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::time::Instant;

/// Verdicts of one tenant.
const OF_TENANT: usize = 16_384;
/// Verdicts of all tenants.
const OF_ALL: usize = 65_536;
/// Bytes of one tenant's questions, and of all: a question names a person's roles, which may have 32 KiB.
const BYTES_OF_TENANT: usize = 8 * 1024 * 1024;
const BYTES_OF_ALL: usize = 32 * 1024 * 1024;
/// What an entry takes beside its texts.
const FIXED_BYTES: usize = 256;

/// A question under way, for all who asked it.
pub(super) type Flight = Shared<BoxFuture<'static, Verdict>>;
/// What is asked of which generation of the setting.
pub(super) type Key = (u64, Question);

/// Verdicts, and questions under way.
#[derive(Default)]
pub(super) struct Known {
    tenants: HashMap<TenantId, Part>,
    count: usize,
    bytes: usize,
    number: u64,
}

/// One tenant's.
#[derive(Default)]
struct Part {
    entries: HashMap<Key, Entry>,
    bytes: usize,
}

impl Part {
    /// Forgets all but these.
    fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            let stays = keep(entry);
            *bytes -= if stays { 0 } else { weight(key) };
            stays
        });
    }
}

/// About as many bytes as an entry takes.
fn weight((_, question): &Key) -> usize {
    let Question { tenant, user, roles, channel, device, .. } = question;
    let roles: usize = roles.iter().map(|role| role.len() + size_of::<String>()).sum();
    let device = device.as_ref().map_or(0, |device| device.as_str().len());
    FIXED_BYTES + tenant.as_str().len() + user.as_str().len() + channel.as_str().len() + roles + device
}

struct Entry {
    number: u64,
    state: State,
}

enum State {
    UnderWay(Flight),
    Said { said: Said, until: Instant },
}

/// What is known of a question.
pub(super) enum Look {
    /// The verdict.
    Known(Verdict),
    /// It is being asked.
    UnderWay(Flight),
    /// Nothing.
    Nothing,
}

impl Known {
    /// What is known of a question, that was asked after `newer_than`.
    pub(super) fn look(&self, key: &Key, newer_than: u64, now: Instant) -> Look {
        let entry = self.tenants.get(&key.1.tenant).and_then(|part| part.entries.get(key));
        match entry {
            Some(Entry { state: State::UnderWay(flight), .. }) => Look::UnderWay(flight.clone()),
            Some(Entry { state: State::Said { said, until }, number })
                if *until > now && *number > newer_than =>
            {
                Look::Known(verdict(*said, *number, until.duration_since(now)))
            }
            _ => Look::Nothing,
        }
    }

    /// A number for a question that is asked now.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// This question is under way.
    pub(super) fn begin(&mut self, key: Key, number: u64, flight: Flight, now: Instant) {
        let bytes = weight(&key);
        self.make_room(&key.1.tenant, bytes, now);
        let part = self.tenants.entry(key.1.tenant.clone()).or_default();
        if part.entries.insert(key, Entry { number, state: State::UnderWay(flight) }).is_none() {
            part.bytes += bytes;
            (self.count, self.bytes) = (self.count + 1, self.bytes + bytes);
        }
    }

    /// A question has come back.
    pub(super) fn end(&mut self, key: &Key, number: u64, said: Option<Said>, now: Instant) -> Verdict {
        let Some(part) = self.tenants.get_mut(&key.1.tenant) else { return said_now(said, number) };
        match said {
            // Forgotten meanwhile, or asked again since.
            _ if part.entries.get(key).is_none_or(|entry| entry.number != number) => {}
            Some(said) => {
                let state = State::Said { said, until: now + said.lasts };
                part.entries.insert(key.clone(), Entry { number, state });
            }
            None => {
                let bytes = weight(key);
                part.entries.remove(key);
                part.bytes -= bytes;
                (self.count, self.bytes) = (self.count - 1, self.bytes - bytes);
                if part.entries.is_empty() {
                    self.tenants.remove(&key.1.tenant);
                }
            }
        }
        said_now(said, number)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn make_room(&mut self, tenant: &TenantId, bytes: usize, now: Instant) {
        let is_full = |part: &Part| part.entries.len() >= OF_TENANT || part.bytes + bytes > BYTES_OF_TENANT;
        if self.tenants.get(tenant).is_some_and(is_full) {
            self.shrink(tenant.clone(), now, (OF_TENANT, BYTES_OF_TENANT));
        }
        if self.count >= OF_ALL || self.bytes + bytes > BYTES_OF_ALL {
            self.shrink_all(now);
            let is_still_full = self.count > OF_ALL / 4 * 3 || self.bytes > BYTES_OF_ALL / 4 * 3;
            let largest = self.tenants.iter().max_by_key(|(_, part)| part.bytes);
            if let Some(largest) = largest.filter(|_| is_still_full).map(|(name, _)| name.clone()) {
                self.shrink(largest, now, (0, 0));
            }
        }
    }

    /// Forgets what is past; and all that was said, if more than three quarters of `most` are left.
    fn shrink(&mut self, tenant: TenantId, now: Instant, (most, bytes): (usize, usize)) {
        let Some(part) = self.tenants.get_mut(&tenant) else { return };
        let before = (part.entries.len(), part.bytes);
        part.retain(|entry| is_current(entry, now));
        if part.entries.len() > most / 4 * 3 || part.bytes > bytes / 4 * 3 {
            part.retain(|entry| matches!(entry.state, State::UnderWay(_)));
        }
        self.count -= before.0 - part.entries.len();
        self.bytes -= before.1 - part.bytes;
        if part.entries.is_empty() {
            self.tenants.remove(&tenant);
        }
    }

    fn shrink_all(&mut self, now: Instant) {
        for part in self.tenants.values_mut() {
            part.retain(|entry| is_current(entry, now));
        }
        self.tenants.retain(|_, part| !part.entries.is_empty());
        self.count = self.tenants.values().map(|part| part.entries.len()).sum();
        self.bytes = self.tenants.values().map(|part| part.bytes).sum();
    }
}

fn is_current(entry: &Entry, now: Instant) -> bool {
    match entry.state {
        State::UnderWay(_) => true,
        State::Said { until, .. } => until > now,
    }
}

fn said_now(said: Option<Said>, number: u64) -> Verdict {
    said.map_or(Verdict::Unavailable, |said| verdict(said, number, said.lasts))
}

fn verdict(said: Said, number: u64, left: std::time::Duration) -> Verdict {
    if said.allowed {
        Verdict::Allowed(Granted { number, lasts: said.lasts, left })
    } else {
        Verdict::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Action;
    use carillon_protocol::{Channel, UserId};
    use futures_util::FutureExt;
    use std::time::Duration;

    fn key(tenant: &str, user: usize, generation: u64) -> Key {
        let question = Question {
            tenant: TenantId::new(tenant).unwrap(),
            user: UserId::new(format!("u{user}")).unwrap(),
            roles: std::sync::Arc::default(),
            channel: Channel::new("order:1").unwrap(),
            action: Action::Subscribe,
            device: None,
        };
        (generation, question)
    }

    fn yes(seconds: u64) -> Option<Said> {
        Some(Said { allowed: true, lasts: Duration::from_secs(seconds) })
    }

    fn ask(known: &mut Known, key: &Key, said: Option<Said>, now: Instant) -> Verdict {
        let number = known.next_number();
        known.begin(key.clone(), number, futures_util::future::pending().boxed().shared(), now);
        assert!(matches!(known.look(key, 0, now), Look::UnderWay(_)));
        known.end(key, number, said, now)
    }

    fn left(known: &Known, key: &Key, newer_than: u64, now: Instant) -> Option<u64> {
        match known.look(key, newer_than, now) {
            Look::Known(Verdict::Allowed(granted)) => Some(granted.left.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn a_verdict_is_known_for_as_long_as_it_says_and_for_its_own_question() {
        let (mut known, now) = (Known::default(), Instant::now());
        let mila = key("acme", 1, 1);
        assert!(matches!(ask(&mut known, &mila, yes(60), now), Verdict::Allowed(Granted { number: 1, .. })));
        assert_eq!(left(&known, &mila, 0, now + Duration::from_secs(20)), Some(40));
        assert_eq!(left(&known, &mila, 0, now + Duration::from_secs(60)), None);
        assert_eq!(left(&known, &mila, 1, now), None, "whoever has this one asks for a newer one");
        for other in [key("acme", 2, 1), key("other", 1, 1), key("acme", 1, 2)] {
            assert_eq!(left(&known, &other, 0, now), None);
        }
        assert_eq!(ask(&mut known, &key("acme", 3, 1), None, now), Verdict::Unavailable);
        assert_eq!(known.len(), 1, "nothing is kept of a question without an answer");
    }

    #[test]
    fn each_tenant_has_its_part_and_all_together_are_bounded() {
        let (mut known, now) = (Known::default(), Instant::now());
        ask(&mut known, &key("small", 0, 1), yes(60), now);
        for user in 0..OF_TENANT * 2 {
            ask(&mut known, &key("large", user, 1), yes(3_600), now);
            assert!(known.len() <= OF_TENANT + 1);
        }
        assert_eq!(left(&known, &key("small", 0, 1), 0, now), Some(60), "another's many cost it nothing");
        for tenant in 0..5 {
            for user in 0..OF_TENANT - 1 {
                ask(&mut known, &key(&format!("t{tenant}"), user, 1), yes(3_600), now);
            }
        }
        assert!(known.len() <= OF_ALL, "{}", known.len());
        assert_eq!(left(&known, &key("small", 0, 1), 0, now), Some(60), "the largest part goes first");
        assert_eq!(known.len(), known.tenants.values().map(|part| part.entries.len()).sum::<usize>());
        // What is past goes before what is not.
        let later = now + Duration::from_secs(3_601);
        ask(&mut known, &key("late", 0, 1), yes(60), later);
        known.shrink_all(later);
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn questions_about_people_with_many_roles_are_bounded_by_their_bytes() {
        let (mut known, now) = (Known::default(), Instant::now());
        let roles: std::sync::Arc<[String]> = (0..256).map(|n| format!("{n:0>120}")).collect();
        for user in 0..1_000 {
            let (generation, question) = key("acme", user, 1);
            let key = (generation, Question { roles: roles.clone(), ..question });
            ask(&mut known, &key, yes(600), now);
            assert!(known.bytes <= BYTES_OF_TENANT, "{}", known.bytes);
        }
        assert!(known.len() > 50, "{}", known.len());
        let sum: usize = known.tenants.values().map(|part| part.bytes).sum();
        let weighed: usize = known.tenants.values().flat_map(|part| part.entries.keys()).map(weight).sum();
        assert_eq!((sum, weighed), (known.bytes, known.bytes));
        for tenant in 0..40 {
            for user in 0..200 {
                let (generation, question) = key(&format!("t{tenant}"), user, 1);
                let key = (generation, Question { roles: roles.clone(), ..question });
                ask(&mut known, &key, yes(600), now);
                assert!(known.bytes <= BYTES_OF_ALL, "{}", known.bytes);
            }
        }
    }
}
