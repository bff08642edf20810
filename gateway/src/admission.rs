//! Is there room for one more connection?
//!
//! **Invariant I10** for connections: a node, an address and a person have limits. A place is held by a [`Permit`]
//! and given back when it is dropped, however the connection ends. Of the places one in twenty at the most is held by
//! connections that have not said yet who they are, and of these one address holds at most as many as are free.

use crate::edge::{Reply, WindowShare};
use carillon_platform::share::{AddressGroup, Holder, Holding, HoldingLimits, Holdings, Refused};
use carillon_protocol::{TenantId, UserId};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections there may be; zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    pub(crate) node: usize,
    /// New connections a second; twice as many in a burst.
    pub(crate) per_second: u32,
    pub(crate) per_address: usize,
    pub(crate) per_user: usize,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Node,
    /// More come in a second than the node lets in.
    Rate,
    Address,
    User,
    /// Too many have not said who they are: of this address, or all together.
    Unauthenticated(Refused),
}

/// How many seconds' worth of new connections may come at once.
const BURST: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// One in so many places may be held without authentication.
const UNAUTHENTICATED: usize = 20;

/// Counts who is here.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    limits: ConnectionLimits,
    pace: Option<DefaultDirectRateLimiter>,
    counts: Mutex<Counts>,
    /// What people are counted under is their keyed hash, so a connection keeps a number and no names. Two people who share one
    /// share a limit: of some forty million nodes with a million people each, one has such a pair.
    hashed: RandomState,
    unauthenticated: Holdings<AddressGroup, ()>,
}

#[derive(Default)]
struct Counts {
    node: usize,
    by_address: HashMap<AddressGroup, u32>,
    by_user: People,
}

/// How many connections people have. Most have one, and are in the set alone.
#[derive(Default)]
struct People {
    here: HashSet<NonZeroU64>,
    /// How many there are beside the first; never none.
    more: HashMap<NonZeroU64, u32>,
}

impl People {
    /// One connection more, if that is not more than so many.
    fn add(&mut self, person: NonZeroU64, limit: usize) -> Option<()> {
        if limit > 0 && self.here.insert(person) {
            return Some(());
        }
        // Looked up first: at the limit nothing is added.
        let more = self.more.get(&person).copied().unwrap_or_default();
        if more as usize + 1 >= limit {
            return None;
        }
        self.more.insert(person, more + 1);
        Some(())
    }

    /// One connection less.
    fn subtract(&mut self, person: NonZeroU64) {
        match self.more.get_mut(&person) {
            Some(1) => drop(self.more.remove(&person)),
            Some(more) => *more -= 1,
            None => drop(self.here.remove(&person)),
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.more.is_empty()
    }
}

/// One connection's place.
pub(crate) struct Permit {
    admission: Arc<Inner>,
    address: AddressGroup,
    user: Option<NonZeroU64>,
    /// There until it is known who it is.
    unauthenticated: Option<Box<Holding<AddressGroup, ()>>>,
    /// What it holds beside its place; most hold nothing.
    kept: Option<Box<Held>>,
}

#[derive(Default)]
struct Held {
    share: Option<Kept>,
    /// Under what it is counted in tenants that it came into later.
    elsewhere: Vec<NonZeroU64>,
}

/// A share that a connection holds until its end.
pub(crate) enum Kept {
    /// Of a poll's large answer.
    Reply(#[expect(dead_code, reason = "held, not read")] Reply),
    /// Of the windows of clients that compress what they send.
    Window(#[expect(dead_code, reason = "held, not read")] WindowShare),
}

impl Admission {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        let pace = NonZeroU32::new(limits.per_second).map(|per_second| {
            RateLimiter::direct(Quota::per_second(per_second).allow_burst(per_second.saturating_mul(BURST)))
        });
        let places = if limits.node > 0 { limits.node } else { usize::MAX };
        let total = (places / UNAUTHENTICATED).max(1);
        let unauthenticated = Holdings::new(HoldingLimits { total, per_group: total, per_member: total });
        let hashed = RandomState::new();
        Self(Arc::new(Inner { limits, pace, counts: Mutex::default(), hashed, unauthenticated }))
    }

    /// A place for a connection from `address` that will say later who it is.
    pub(crate) fn enter_unauthenticated(&self, address: IpAddr) -> Result<Permit, Full> {
        let holder = Holder::group(AddressGroup::from(address));
        let holding = self.0.unauthenticated.try_take(holder, 1).map_err(Full::Unauthenticated)?;
        let mut permit = self.enter(address)?;
        permit.unauthenticated = Some(Box::new(holding));
        Ok(permit)
    }

    /// A place on the node for a connection from `address`.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Permit, Full> {
        let limits = self.0.limits;
        if self.0.pace.as_ref().is_some_and(|pace| pace.check().is_err()) {
            return Err(Full::Rate);
        }
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.node > 0 && counts.node >= limits.node {
            return Err(Full::Node);
        }
        let address = AddressGroup::from(address);
        if limits.per_address > 0 {
            add(&mut counts.by_address, address, limits.per_address).ok_or(Full::Address)?;
        }
        counts.node += 1;
        Ok(Permit { admission: self.0.clone(), address, user: None, unauthenticated: None, kept: None })
    }
}

#[cfg(test)]
impl Admission {
    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        let counts = self.0.counts.lock().unwrap();
        counts.node == 0 && counts.by_address.is_empty() && counts.by_user.is_empty()
    }
}

impl Inner {
    /// What a person is counted under.
    fn number_of(&self, tenant: &TenantId, user: &UserId) -> NonZeroU64 {
        NonZeroU64::new(self.hashed.hash_one((tenant, user))).unwrap_or(NonZeroU64::MIN)
    }
}

impl Permit {
    /// Where the connection comes from.
    pub(crate) fn address(&self) -> AddressGroup {
        self.address
    }

    /// A place among the connections of one person, once it is known who it is.
    pub(crate) fn identify(&mut self, tenant: &TenantId, user: &UserId) -> Result<(), Full> {
        self.unauthenticated = None;
        let limit = self.admission.limits.per_user;
        if limit > 0 && self.user.is_none() {
            let key = self.admission.number_of(tenant, user);
            let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.by_user.add(key, limit).ok_or(Full::User)?;
            drop(counts);
            self.user = Some(key);
        }
        Ok(())
    }

    /// A place among the connections of one person in one more tenant, if it has none there and there is a limit.
    pub(crate) fn attach(&mut self, tenant: &TenantId, user: &UserId) -> Result<(), Full> {
        let limit = self.admission.limits.per_user;
        let of = self.admission.number_of(tenant, user);
        let is_held = self.kept.as_ref().is_some_and(|kept| kept.elsewhere.contains(&of));
        if limit == 0 || self.user == Some(of) || is_held {
            return Ok(());
        }
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.by_user.add(of, limit).ok_or(Full::User)?;
        drop(counts);
        let elsewhere = &mut self.kept.get_or_insert_default().elsewhere;
        elsewhere.reserve_exact(1);
        elsewhere.push(of);
        Ok(())
    }

    /// Gives the place in a tenant back.
    pub(crate) fn leave(&mut self, tenant: &TenantId, user: &UserId) {
        let of = self.admission.number_of(tenant, user);
        let first = self.user.take_if(|own| *own == of);
        let later = || {
            let elsewhere = &mut self.kept.as_mut()?.elsewhere;
            let at = elsewhere.iter().position(|own| *own == of)?;
            Some(elsewhere.swap_remove(at))
        };
        if let Some(own) = first.or_else(later) {
            let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.by_user.subtract(own);
        }
    }

    /// Holds a share until the connection has ended. A poll has no window, and a WebSocket no answer.
    pub(crate) fn keep(&mut self, share: Kept) {
        self.kept.get_or_insert_default().share = Some(share);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.node -= 1;
        if self.admission.limits.per_address > 0 {
            subtract(&mut counts.by_address, &self.address);
        }
        let elsewhere = self.kept.iter().flat_map(|kept| &kept.elsewhere);
        for user in self.user.iter().chain(elsewhere) {
            counts.by_user.subtract(*user);
        }
    }
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K, limit: usize) -> Option<()> {
    let count = counts.entry(key).or_insert(0);
    ((*count as usize) < limit).then(|| *count += 1)
}

fn subtract<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn i10_new_connections_have_a_rate_and_a_burst() {
        let limits = ConnectionLimits { node: 0, per_second: 1, per_address: 0, per_user: 0 };
        let admission = Admission::new(limits);
        let here = IpAddr::from([10, 0, 0, 1]);
        assert!(admission.enter(here).is_ok() && admission.enter(here).is_ok());
        assert_eq!(admission.enter(here).err(), Some(Full::Rate));
    }

    proptest! {
        #[test]
        fn people_are_counted_up_to_the_limit(steps in prop::collection::vec((any::<bool>(), 1..6u64), 0..100), limit in 1..4usize) {
            let (mut people, mut model) = (People::default(), HashMap::<u64, usize>::new());
            for (comes, person) in steps {
                let (key, count) = (NonZeroU64::new(person).unwrap(), model.entry(person).or_default());
                if comes {
                    prop_assert_eq!(people.add(key, limit).is_some(), *count < limit);
                    *count = (*count + 1).min(limit);
                } else if *count > 0 {
                    people.subtract(key);
                    *count -= 1;
                }
                prop_assert_eq!(people.here.len(), model.values().filter(|count| **count > 0).count());
                prop_assert_eq!(people.more.len(), model.values().filter(|count| **count > 1).count());
            }
            prop_assert_eq!(people.is_empty(), model.values().all(|count| *count == 0));
        }
    }

    #[test]
    fn i10_places_are_limited_and_given_back() {
        let admission =
            Admission::new(ConnectionLimits { node: 3, per_second: 0, per_address: 2, per_user: 1 });
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("mila").unwrap());
        let mut first = admission.enter(here).unwrap();
        let mut second = admission.enter(here).unwrap();
        assert_eq!(admission.enter(here).err(), Some(Full::Address));
        let _third = admission.enter(there).unwrap();
        assert_eq!(admission.enter(there).err(), Some(Full::Node));
        first.identify(&tenant, &user).unwrap();
        first.identify(&tenant, &user).unwrap();
        assert_eq!(second.identify(&tenant, &user), Err(Full::User));
        drop(first);
        second.identify(&tenant, &user).unwrap();
        let again = admission.enter(here).unwrap();
        drop((second, again, _third));
        let counts = admission.0.counts.lock().unwrap();
        assert!(counts.node == 0 && counts.by_address.is_empty() && counts.by_user.is_empty());
    }

    #[test]
    fn whoever_has_not_said_who_they_are_holds_one_place_in_twenty_and_an_address_half_of_those() {
        let limits = ConnectionLimits { node: 200, per_second: 0, per_address: 0, per_user: 0 };
        let admission = Admission::new(limits);
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut held = Vec::new();
        while let Ok(permit) = admission.enter_unauthenticated(of("2001:db8::1")) {
            held.push(permit);
        }
        assert_eq!(held.len(), 5);
        let again = |address| admission.enter_unauthenticated(of(address)).err();
        assert_eq!(again("2001:db8::2"), Some(Full::Unauthenticated(Refused::Group)), "the same /64");
        assert_eq!(again("2001:db8:0:1::1"), None, "somebody else");
        assert!(admission.enter(of("2001:db8::1")).is_ok(), "with a token there is room");
        let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("mila").unwrap());
        held[0].identify(&tenant, &user).unwrap();
        assert_eq!(again("2001:db8::2"), None, "one has said who it is");
    }

    #[test]
    fn addresses_of_one_64_share_the_limit_of_an_address() {
        let limits = ConnectionLimits { node: 10, per_second: 0, per_address: 1, per_user: 0 };
        let admission = Admission::new(limits);
        let enter = |text: &str| admission.enter(text.parse().unwrap());
        let _one = enter("2001:db8::1").unwrap();
        assert_eq!(enter("2001:db8::ffff").err(), Some(Full::Address));
        assert!(enter("2001:db8:0:1::1").is_ok());
    }
}
