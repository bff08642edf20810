//! How do listener and connections share the table of sockets?

use super::slot::{Slot, Standing};
use super::table::{Entry, Table};
use super::{CLOSED, SocketLimits, UNPROVEN, describe_metrics};
use crate::share::AddressGroup;
use metrics::{Counter, Gauge, counter, gauge};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How soon a listener looks again whether a socket can be given up, when nothing else happens.
const AGAIN: Duration = Duration::from_millis(50);

/// The sockets of one or more listeners. Clones share them.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    began: Instant,
    table: Mutex<Table>,
    left: Notify,
    unproven: Gauge,
    evicted: Counter,
    head: Counter,
    idle: Counter,
    stalled: Counter,
}

/// A socket's place; given back when dropped.
pub struct Place {
    peer: Peer,
}

/// Whose connection a request came on. Every request carries it as an extension.
#[derive(Clone)]
pub struct Peer {
    address: SocketAddr,
    places: Places,
    pub(super) slot: Arc<Slot>,
}

impl Places {
    /// No sockets yet. `port` is what metrics call it.
    pub fn new(port: &'static str, limits: SocketLimits) -> Self {
        describe_metrics();
        let closed = |reason: &'static str| {
            let counter = counter!(CLOSED.name, "port" => port, "reason" => reason);
            counter.increment(0);
            counter
        };
        Self(Arc::new(Inner {
            began: Instant::now(),
            table: Mutex::new(Table::new(limits)),
            left: Notify::new(),
            unproven: gauge!(UNPROVEN.name, "port" => port),
            evicted: closed("evicted"),
            head: closed("head"),
            idle: closed("idle"),
            stalled: closed("stalled"),
        }))
    }

    /// A place for a socket that was just accepted; waits when none can be given up for it. `trusted`: it comes from a
    /// balancer whose word about addresses is believed, so its address says nothing about a client.
    pub async fn enter(&self, address: SocketAddr, trusted: bool) -> Place {
        let came_ms = self.now_ms();
        let slot = Arc::new(Slot::new(address.ip().into(), trusted, came_ms));
        loop {
            let now_ms = self.now_ms();
            let entry = self.change(|table| table.enter(&slot, now_ms, now_ms - came_ms));
            match entry {
                Entry::In => break,
                Entry::Instead(victim) => {
                    self.0.evicted.increment(1);
                    victim.evict();
                    break;
                }
                Entry::Wait { until_ms } => {
                    let pause = Duration::from_millis(until_ms.saturating_sub(now_ms)).min(AGAIN);
                    // Whichever comes first: somebody leaves, or has been silent for long enough.
                    let _ = tokio::time::timeout(pause, self.0.left.notified()).await;
                }
            }
        }
        Place { peer: Peer { address, places: self.clone(), slot } }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.began.elapsed().as_millis() as u64
    }

    pub(super) fn count_head(&self) {
        self.0.head.increment(1);
    }

    pub(super) fn count_idle(&self) {
        self.0.idle.increment(1);
    }

    pub(super) fn count_stalled(&self) {
        self.0.stalled.increment(1);
    }

    fn change<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        let mut table: MutexGuard<'_, Table> = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut table);
        self.0.unproven.set(table.unproven() as f64);
        done
    }
}

impl Place {
    /// Whose it is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The same place for another address: a balancer said whose connection it passes on.
    #[must_use]
    pub fn passed_on_for(self, client: SocketAddr) -> Self {
        let Peer { places, slot, .. } = &self.peer;
        let other = Arc::new(Slot::new(AddressGroup::from(client.ip()), false, places.now_ms()));
        places.change(|table| table.replace(slot, &other));
        Self { peer: Peer { address: client, places: places.clone(), slot: other } }
    }

    /// Ends when the socket was given up for another.
    pub async fn evicted(&self) {
        self.peer.slot.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Peer { places, slot, .. } = &self.peer;
        places.change(|table| table.leave(slot));
        places.0.left.notify_one();
    }
}

impl Peer {
    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address without the port.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// A request on this connection was authenticated: it does not count among the unproven any more.
    pub fn authenticated(&self) {
        if self.slot.standing() == Standing::Unproven {
            self.places.change(|table| table.prove(&self.slot));
            self.places.0.left.notify_one();
        }
    }

    /// Whether a request on it was authenticated, and it is still counted.
    pub fn is_authenticated(&self) -> bool {
        self.slot.standing() == Standing::Proven
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_gone_is_not_believed() {
        let places = Places::new("public", SocketLimits { total: 2, unproven: 2 });
        let place = places.enter(([127, 0, 0, 1], 1).into(), false).await;
        let peer = place.peer().clone();
        assert!(!peer.is_authenticated());
        peer.authenticated();
        assert!(peer.is_authenticated());
        drop(place);
        assert!(!peer.is_authenticated());
    }
}
