//! Is there room for one more connection?
//!
//! **Invariant I10** for connections: a node, an address and a person have limits. A place is held by a [`Permit`]
//! and given back when it is dropped, however the connection ends.

use carillon_protocol::{TenantId, UserId};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
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
}

/// How many seconds' worth of new connections may come at once.
const BURST: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// Counts who is here.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    limits: ConnectionLimits,
    pace: Option<DefaultDirectRateLimiter>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    node: usize,
    by_address: HashMap<IpAddr, usize>,
    by_user: HashMap<(TenantId, UserId), usize>,
}

/// One connection's place.
pub(crate) struct Permit {
    admission: Arc<Inner>,
    address: Option<IpAddr>,
    user: Option<Box<(TenantId, UserId)>>,
}

impl Admission {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        let pace = NonZeroU32::new(limits.per_second).map(|per_second| {
            RateLimiter::direct(Quota::per_second(per_second).allow_burst(per_second.saturating_mul(BURST)))
        });
        Self(Arc::new(Inner { limits, pace, counts: Mutex::default() }))
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
        let address = (limits.per_address > 0).then_some(address);
        if let Some(address) = address {
            add(&mut counts.by_address, address, limits.per_address).ok_or(Full::Address)?;
        }
        counts.node += 1;
        Ok(Permit { admission: self.0.clone(), address, user: None })
    }
}

impl Permit {
    /// A place among the connections of one person, once it is known who it is.
    pub(crate) fn identify(&mut self, tenant: &TenantId, user: &UserId) -> Result<(), Full> {
        let limit = self.admission.limits.per_user;
        if limit > 0 && self.user.is_none() {
            let key = (tenant.clone(), user.clone());
            let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
            add(&mut counts.by_user, key.clone(), limit).ok_or(Full::User)?;
            drop(counts);
            self.user = Some(Box::new(key));
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.node -= 1;
        if let Some(address) = self.address {
            subtract(&mut counts.by_address, &address);
        }
        if let Some(user) = &self.user {
            subtract(&mut counts.by_user, user);
        }
    }
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K, limit: usize) -> Option<()> {
    let count = counts.entry(key).or_insert(0);
    (*count < limit).then(|| *count += 1)
}

fn subtract<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
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

    #[test]
    fn i10_new_connections_have_a_rate_and_a_burst() {
        let limits = ConnectionLimits { node: 0, per_second: 1, per_address: 0, per_user: 0 };
        let admission = Admission::new(limits);
        let here = IpAddr::from([10, 0, 0, 1]);
        assert!(admission.enter(here).is_ok() && admission.enter(here).is_ok());
        assert_eq!(admission.enter(here).err(), Some(Full::Rate));
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
}
