//! Who may work next? Callers wait; permits go round among groups, then among a group's members.

use super::turns::{Asked, Number, PermitLimits, Turns};
use super::{Holder, Refused};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Shared<G, M> = Arc<Mutex<Turns<G, M, oneshot::Sender<FairPermit<G, M>>>>>;

/// Permits for work, handed out fairly.
pub struct FairPermits<G: Key = Arc<str>, M: Key = Arc<str>>(Shared<G, M>);

/// What names a group or a member.
pub trait Key: Hash + Eq + Clone {}

impl<T: Hash + Eq + Clone> Key for T {}

/// Permits out, and callers waiting for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermitUsage {
    /// Permits out.
    pub held: usize,
    /// Callers that wait.
    pub waiting: usize,
}

impl<G: Key, M: Key> Clone for FairPermits<G, M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<G: Key, M: Key> FairPermits<G, M> {
    /// Of which none is out yet.
    pub fn new(limits: PermitLimits) -> Self {
        Self(Arc::new(Mutex::new(Turns::new(limits))))
    }

    /// Waits for a permit; refused at once when too many wait already. Whoever drops the future leaves the queue.
    /// There is no time limit here: the caller knows its own.
    pub async fn acquire(&self, holder: Holder<G, M>) -> Result<FairPermit<G, M>, Refused> {
        let (tell, told) = oneshot::channel();
        let asked = lock(&self.0).ask(&holder, tell)?;
        match asked {
            Asked::Granted => Ok(self.permit(holder)),
            Asked::Waits(number) => {
                let _waiting = Waiting { shared: &self.0, holder, number };
                // The queue keeps the other end until it grants a permit.
                told.await.map_err(|_| Refused::Total)
            }
        }
    }

    /// A permit, if one is free for this holder now.
    pub fn try_acquire(&self, holder: Holder<G, M>) -> Result<FairPermit<G, M>, Refused> {
        lock(&self.0).take(&holder)?;
        Ok(self.permit(holder))
    }

    /// How many are out, and how many callers wait.
    pub fn usage(&self) -> PermitUsage {
        let (held, waiting) = lock(&self.0).usage();
        PermitUsage { held, waiting }
    }

    fn permit(&self, holder: Holder<G, M>) -> FairPermit<G, M> {
        FairPermit { shared: self.0.clone(), holder }
    }
}

/// The right to work; given back when dropped.
pub struct FairPermit<G: Key = Arc<str>, M: Key = Arc<str>> {
    shared: Shared<G, M>,
    holder: Holder<G, M>,
}

impl<G: Key, M: Key> Drop for FairPermit<G, M> {
    fn drop(&mut self) {
        let mut granted = Vec::new();
        {
            let mut turns = lock(&self.shared);
            turns.give_back(&self.holder);
            while let Some((holder, tell)) = turns.next() {
                granted.push((tell, FairPermit { shared: self.shared.clone(), holder }));
            }
        }
        for (tell, permit) in granted {
            // Whoever stopped waiting in this moment gives it back by dropping it, outside the lock.
            let _ = tell.send(permit);
        }
    }
}

/// A caller in the queue; leaves it when dropped.
struct Waiting<'a, G: Key, M: Key> {
    shared: &'a Shared<G, M>,
    holder: Holder<G, M>,
    number: Number,
}

impl<G: Key, M: Key> Drop for Waiting<'_, G, M> {
    fn drop(&mut self) {
        lock(self.shared).cancel(&self.holder, self.number);
    }
}

fn lock<G: Key, M: Key, W>(shared: &Mutex<Turns<G, M, W>>) -> MutexGuard<'_, Turns<G, M, W>> {
    // Every change is one step: a panic elsewhere leaves the counts right.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const LIMITS: PermitLimits = PermitLimits {
        total: 1,
        per_group: 1,
        per_member: 1,
        waiting: 10,
        waiting_per_group: 5,
        waiting_per_member: 2,
    };

    #[tokio::test(start_paused = true)]
    async fn permits_come_back_also_from_those_who_stopped_waiting() {
        let permits = FairPermits::new(LIMITS);
        let (a, b) = (Holder::new("a", "1"), Holder::new("b", "1"));
        let held = permits.acquire(a.clone()).await.unwrap();
        assert!(timeout(Duration::from_secs(1), permits.acquire(b.clone())).await.is_err(), "none is free");
        assert_eq!(permits.usage(), PermitUsage { held: 1, waiting: 0 });
        let waiting = tokio::spawn({
            let (permits, b) = (permits.clone(), b.clone());
            async move { permits.acquire(b).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert_eq!(permits.usage(), PermitUsage { held: 1, waiting: 1 });
        drop(held);
        assert!(waiting.await.unwrap());
        assert_eq!(permits.usage(), PermitUsage { held: 0, waiting: 0 });
    }

    #[tokio::test]
    async fn a_permit_granted_to_a_future_that_is_dropped_is_not_lost() {
        let permits = FairPermits::new(LIMITS);
        let held = permits.acquire(Holder::new("a", "1")).await.unwrap();
        let mut waiting = Box::pin(permits.acquire(Holder::new("b", "1")));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        assert_eq!(permits.usage().held, 1, "granted, though nobody looked");
        drop(waiting);
        assert_eq!(permits.usage(), PermitUsage { held: 0, waiting: 0 });
        assert!(permits.try_acquire(Holder::new("c", "1")).is_ok());
    }
}
