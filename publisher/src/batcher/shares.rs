//! How much of the intake may one tenant, key or user have?
//!
//! Counted from arrival until the answer, in cost ([`super::request`]). Nobody may have more than is free beside it
//! ([`Holdings`]): a tenant alone stops at half, two at a third each, and whoever comes with little finds room. A
//! request counts for every tenant it names, and a key or user with several tenants has a share of its own over them.

use super::NotAppended;
use super::request::{EVENT_COST, INTAKE_COST, cost};
use crate::metrics::Metrics;
use carillon_backplane::log::Append;
use carillon_platform::share::{Holder, Holding, HoldingLimits, Holdings, Refused};
use carillon_protocol::TenantId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Most one tenant may have.
const TENANT_COST: usize = INTAKE_COST / 2;
/// Most one key or user may have in a tenant: nine tenths of its share, the rest is for the tenant's others.
const CALLER_COST: usize = TENANT_COST / 10 * 9;

/// Who publishes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publisher {
    /// Of a key or a user; no key has the name of a user.
    pub name: Arc<str>,
    /// Whether they may publish for more than one tenant.
    pub several_tenants: bool,
}

/// What is in the intake, and whose it is.
#[derive(Clone)]
pub(super) struct Shares {
    tenants: Holdings<TenantId, Publisher>,
    /// Keys and users with several tenants, over all of them.
    over_all: Holdings<Publisher, ()>,
    freed: Arc<Notify>,
    metrics: Arc<Metrics>,
}

/// A request's part of the intake; given back when dropped.
pub(super) struct Share {
    events: usize,
    tenants: Vec<Holding<TenantId, Publisher>>,
    over_all: Option<Holding<Publisher, ()>>,
    freed: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl Shares {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let (total, per_group) = (INTAKE_COST, TENANT_COST);
        let tenants = Holdings::new(HoldingLimits { total, per_group, per_member: CALLER_COST });
        let over_all = Holdings::new(HoldingLimits { total, per_group, per_member: TENANT_COST });
        Self { tenants, over_all, freed: Arc::default(), metrics }
    }

    /// Whether so many events would find room, whatever they are: asked before they are read, with the tenant if it is
    /// known by then.
    pub(super) fn check(
        &self,
        events: usize,
        tenant: Option<&TenantId>,
        publisher: &Publisher,
    ) -> Result<(), NotAppended> {
        let cost = events.saturating_mul(EVENT_COST);
        if let Some(tenant) = tenant {
            let holder = Holder { group: tenant.clone(), member: publisher.clone() };
            self.tenants.check(&holder, cost).map_err(refused_in_tenant)?;
        }
        if publisher.several_tenants {
            let held = self.over_all.check(&Holder::group(publisher.clone()), cost);
            held.map_err(|_| NotAppended::CallerShare)?;
        }
        Ok(())
    }

    /// Something of the intake is given back.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Takes what these events cost, for each of their tenants and for whoever publishes them.
    pub(super) fn take(&self, appends: &[Append], publisher: &Publisher) -> Result<Share, NotAppended> {
        let mut tenants = Vec::with_capacity(1);
        let mut take = |tenant: &TenantId, cost| {
            let holder = Holder { group: tenant.clone(), member: publisher.clone() };
            self.tenants.try_take(holder, cost).map(|held| tenants.push(held)).map_err(refused_in_tenant)
        };
        let mut total = 0;
        match appends {
            [first, rest @ ..] if rest.iter().all(|append| append.tenant == first.tenant) => {
                total = appends.iter().map(cost).sum();
                take(&first.tenant, total)?;
            }
            _ => {
                let mut costs: BTreeMap<&TenantId, usize> = BTreeMap::new();
                for append in appends {
                    *costs.entry(&append.tenant).or_default() += cost(append);
                }
                for (tenant, cost) in costs {
                    take(tenant, cost)?;
                    total += cost;
                }
            }
        }
        let over_all = if publisher.several_tenants {
            let held = self.over_all.try_take(Holder::group(publisher.clone()), total);
            Some(held.map_err(|_| NotAppended::CallerShare)?)
        } else {
            None
        };
        self.metrics.intake_grows(appends.len(), total);
        let (freed, metrics) = (self.freed.clone(), self.metrics.clone());
        Ok(Share { events: appends.len(), tenants, over_all, freed, metrics })
    }
}

fn refused_in_tenant(refused: Refused) -> NotAppended {
    match refused {
        Refused::Total => NotAppended::Overloaded,
        Refused::Group => NotAppended::TenantShare,
        Refused::Member => NotAppended::CallerShare,
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.metrics.intake_shrinks(self.events, self.tenants.iter().map(Holding::amount).sum());
        self.tenants.clear();
        self.over_all = None;
        // Only large requests of those who have their share wait for it, one of each.
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::INTAKE_EVENTS;
    use super::super::request::tests::append;
    use super::*;

    fn shares() -> Shares {
        Shares::new(Arc::new(Metrics::new()))
    }

    fn key(id: &str, several_tenants: bool) -> Publisher {
        Publisher { name: format!("key:{id}").into(), several_tenants }
    }

    fn events(of: &str, n: usize) -> Vec<Append> {
        vec![append(of, None, 10); n]
    }

    /// Takes shares of 100 events until one is refused: how many, and why.
    fn fill(shares: &Shares, of: &str, publisher: &Publisher) -> (Vec<Share>, NotAppended) {
        let mut held = Vec::new();
        loop {
            match shares.take(&events(of, 100), publisher) {
                Ok(share) => held.push(share),
                Err(refused) => return (held, refused),
            }
        }
    }

    #[test]
    fn a_full_share_refuses_only_its_holder() {
        let shares = shares();
        let (held, refused) = fill(&shares, "importer", &key("k", false));
        assert_eq!((held.len() * 100, refused), (INTAKE_EVENTS / 20 * 9, NotAppended::CallerShare));
        let importer = TenantId::new("importer").unwrap();
        let check = |id| shares.check(100, Some(&importer), &key(id, false));
        assert_eq!((check("k"), check("k2")), (Err(NotAppended::CallerShare), Ok(())));
        let (more, refused) = fill(&shares, "importer", &key("k2", false));
        assert_eq!(((held.len() + more.len()) * 100, refused), (INTAKE_EVENTS / 2, NotAppended::TenantShare));
        assert!(shares.take(&events("other", 500), &key("k", false)).is_ok());
        drop((held, more));
        assert!(shares.take(&events("importer", 500), &key("k", false)).is_ok());
        assert_eq!((shares.tenants.used(), shares.over_all.used()), (0, 0));
    }

    #[test]
    fn many_importers_leave_room_for_those_who_bring_little() {
        let shares = shares();
        let held: Vec<_> =
            (0..6).map(|n| fill(&shares, &format!("importer-{n}"), &key("k", false)).0).collect();
        assert!(held.iter().all(|held| !held.is_empty()));
        for n in 0..20 {
            assert!(shares.take(&events(&format!("t{n}"), 5), &key("little", false)).is_ok());
        }
    }

    #[test]
    fn a_key_with_several_tenants_has_one_share_over_all_of_them() {
        let shares = shares();
        let held: Vec<_> = (0..4).map(|n| fill(&shares, &format!("t{n}"), &key("k", true)).0).collect();
        let events_held: usize = held.iter().map(|held| held.len() * 100).sum();
        assert_eq!(events_held, INTAKE_EVENTS / 2);
        assert_eq!(shares.take(&events("t9", 100), &key("k", true)).err(), Some(NotAppended::CallerShare));
        assert_eq!(shares.check(100, None, &key("k", true)), Err(NotAppended::CallerShare));
        assert_eq!(shares.check(100, None, &key("other", true)), Ok(()));
        assert!(shares.take(&events("t9", 500), &key("other", true)).is_ok());
    }

    #[test]
    fn a_request_counts_for_each_of_its_tenants_or_for_none() {
        let shares = shares();
        let (_held, _) = fill(&shares, "full", &key("k", false));
        let (_more, _) = fill(&shares, "full", &key("k2", false));
        let before = shares.tenants.used();
        let both = [events("a", 10), events("full", 100)].concat();
        assert_eq!(shares.take(&both, &key("k3", true)).err(), Some(NotAppended::TenantShare));
        assert_eq!(shares.tenants.used(), before, "what was taken is given back");
        let both = [events("a", 10), events("b", 20)].concat();
        let share = shares.take(&both, &key("k3", true)).unwrap();
        assert_eq!(shares.tenants.used_by(&TenantId::new("b").unwrap()), cost(&events("b", 1)[0]) * 20);
        drop(share);
        assert_eq!(shares.tenants.used(), before);
    }
}
