//! Where are the other nodes?
//!
//! Each tells the others its address in Redis. What they told is kept when Redis is away or has lost it, for a while: later another pod may
//! have the address, and what clients say is no business of its.

use carillon_backplane::bus::Fleet;
use carillon_platform::forward::Url;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long an address is kept that the others do not name any more: after Redis was restarted each node tells its own anew.
const KEPT: Duration = Duration::from_secs(30);
/// How long it is kept while Redis is away.
const KEPT_AWAY: Duration = Duration::from_mins(10);

/// Where the nodes are, as they were last seen.
#[derive(Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<Vec<Address>>>);

/// Where one is.
#[derive(Clone)]
pub(super) struct Address {
    /// Which run of a node.
    pub(super) run: u64,
    pub(super) url: Url,
    standing: Standing,
}

#[derive(Clone, Copy)]
enum Standing {
    /// It is named.
    Named,
    /// Redis names nobody since then.
    Away(Instant),
    /// The others are named since then, and it is not.
    Missing(Instant),
}

impl Addresses {
    /// Follows what the nodes tell, as long as they do.
    pub(super) async fn follow(self, mut fleet: watch::Receiver<Option<Fleet>>) {
        loop {
            self.told(fleet.borrow_and_update().as_ref(), Instant::now());
            if fleet.changed().await.is_err() {
                return;
            }
        }
    }

    /// The first that fits, of those that are known now.
    pub(super) fn find(&self, fits: impl FnMut(&&Address) -> bool) -> Option<Address> {
        let mut known = self.lock();
        forget(&mut known, Instant::now());
        known.iter().find(fits).cloned()
    }

    fn told(&self, fleet: Option<&Fleet>, now: Instant) {
        let mut known = self.lock();
        for address in &mut *known {
            address.standing = match (address.standing, fleet) {
                (Standing::Named, None) => Standing::Away(now),
                (Standing::Named | Standing::Away(_), Some(_)) => Standing::Missing(now),
                (before, _) => before,
            };
        }
        for card in fleet.into_iter().flat_map(|fleet| &fleet.nodes) {
            let run = card.incarnation;
            let Some(url) = card.address.as_deref().and_then(|url| url.parse::<Url>().ok()) else { continue };
            let address = Address { run, url, standing: Standing::Named };
            match known.iter_mut().find(|known| known.run == run) {
                Some(known) => *known = address,
                None => known.push(address),
            }
        }
        forget(&mut known, now);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Address>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what was kept long enough.
fn forget(known: &mut Vec<Address>, now: Instant) {
    known.retain(|address| match address.standing {
        Standing::Named => true,
        Standing::Away(since) => now.saturating_duration_since(since) <= KEPT_AWAY,
        Standing::Missing(since) => now.saturating_duration_since(since) <= KEPT,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::bus::{NodeCard, NodeState};

    fn fleet(nodes: &[(u64, &str)]) -> Option<Fleet> {
        let card = |(run, address): &(u64, &str)| NodeCard {
            node: format!("gateway-{run}"),
            database: None,
            version: "1".to_owned(),
            state: NodeState::Serving,
            connections: 0,
            tenants: 0,
            events_per_second: 0.0,
            deliveries_per_second: 0.0,
            started_ms: 0,
            incarnation: *run,
            minute: None,
            address: Some((*address).to_owned()),
            beat: 1,
        };
        Some(Fleet { nodes: nodes.iter().map(card).collect(), settled_since: Instant::now() })
    }

    #[test]
    fn where_a_node_is_is_known_for_a_while_when_redis_is_away_or_has_forgotten_it() {
        let addresses = Addresses::default();
        let now = Instant::now();
        let known = |after: Duration| {
            let mut known = addresses.lock();
            forget(&mut known, now + after);
            known.iter().map(|known| known.run).collect::<Vec<_>>()
        };
        let one = fleet(&[(1, "http://10.0.0.1:80/")]);
        let both = fleet(&[(1, "http://10.0.0.1:80/"), (2, "http://10.0.0.2:80/"), (3, "nonsense")]);
        addresses.told(None, now);
        addresses.told(both.as_ref(), now);
        assert_eq!(known(KEPT_AWAY * 9), [1, 2], "they are named");
        let away = KEPT_AWAY * 9;
        addresses.told(None, now + away);
        assert_eq!(known(away + KEPT_AWAY), [1, 2], "Redis is away");
        let back = away + KEPT_AWAY;
        addresses.told(one.as_ref(), now + back);
        assert_eq!(known(back + KEPT), [1, 2], "Redis has begun anew");
        addresses.told(one.as_ref(), now + back + KEPT);
        assert_eq!(known(back + KEPT * 2), [1], "the other one does not come back");
        addresses.told(None, now + back + KEPT * 2);
        assert!(known(back + KEPT * 3 + KEPT_AWAY).is_empty(), "an address may be another's by then");
    }

    /// Nobody has asked for an address before Redis went away.
    #[tokio::test]
    async fn i9_what_was_told_is_known_also_when_nobody_has_asked_before_redis_was_away() {
        let addresses = Addresses::default();
        let (told, of_redis) = watch::channel(None);
        let following = tokio::spawn(addresses.clone().follow(of_redis));
        tokio::task::yield_now().await;
        told.send_replace(fleet(&[(1, "http://10.0.0.1:80/")]));
        let is_known = async {
            while addresses.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), is_known).await.unwrap();
        told.send_replace(None);
        drop(told);
        following.await.unwrap();
        assert!(addresses.find(|address| address.run == 1).is_some());
    }
}
