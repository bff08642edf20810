//! Who may work next? Callers wait; permits go round among groups, then among a group's members.

use super::rest::LastAsked;
use super::turns::{Asked, Number, PermitLimits, Turns};
use super::{Holder, Refused};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Permits for work, handed out fairly.
pub struct FairPermits<G: Key = Arc<str>, M: Key = Arc<str>>(Arc<Shared<G, M>>);

/// Whose turn it is, and how those who wait are told.
type Waiters<G, M> = Turns<G, M, oneshot::Sender<FairPermit<G, M>>>;

struct Shared<G: Key, M: Key> {
    turns: Mutex<Waiters<G, M>>,
    /// Where groups rest after their work.
    rests: Option<(RandomState, Mutex<LastAsked>)>,
}

/// What names a group or a member.
pub trait Key: Hash + Eq + Clone + Send + 'static {}

impl<T: Hash + Eq + Clone + Send + 'static> Key for T {}

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
        Self(Arc::new(Shared { turns: Mutex::new(Turns::new(limits)), rests: None }))
    }

    /// The same, for work that takes so much of the machine that taking turns is not enough: a group that has given a
    /// permit back has one less for three times as long as it had it, 300 ms at the most, while other groups want permits.
    pub fn with_rests(limits: PermitLimits) -> Self {
        let rests = Some((RandomState::new(), Mutex::new(LastAsked::default())));
        Self(Arc::new(Shared { turns: Mutex::new(Turns::new(limits)), rests }))
    }

    /// Waits for a permit; refused at once when too many wait already. Whoever drops the future leaves the queue.
    /// There is no time limit here: the caller knows its own.
    pub async fn acquire(&self, holder: Holder<G, M>) -> Result<FairPermit<G, M>, Refused> {
        let (tell, told) = oneshot::channel();
        self.0.note(&holder.group);
        let asked = lock(&self.0.turns).ask(&holder, tell)?;
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
        self.0.note(&holder.group);
        lock(&self.0.turns).take(&holder)?;
        Ok(self.permit(holder))
    }

    /// How many are out, and how many callers wait.
    pub fn usage(&self) -> PermitUsage {
        let (held, waiting) = lock(&self.0.turns).usage();
        PermitUsage { held, waiting }
    }

    fn permit(&self, holder: Holder<G, M>) -> FairPermit<G, M> {
        FairPermit::new(self.0.clone(), holder)
    }
}

impl<G: Key, M: Key> Shared<G, M> {
    fn note(&self, group: &G) {
        if let Some((hasher, asked)) = &self.rests {
            lock(asked).note(hasher.hash_one(group), Instant::now());
        }
    }

    /// How long a group rests that has worked since then.
    fn rest(&self, group: &G, since: Instant) -> Duration {
        let Some((hasher, asked)) = &self.rests else { return Duration::ZERO };
        let now = Instant::now();
        lock(asked).rest(hasher.hash_one(group), now.saturating_duration_since(since), now)
    }

    /// Changes what is out, and gives permits to those who can have one now.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Waiters<G, M>)) {
        let mut granted = Vec::new();
        {
            let mut turns = lock(&self.turns);
            change(&mut turns);
            while let Some((holder, tell)) = turns.next() {
                granted.push((tell, FairPermit::new(self.clone(), holder)));
            }
        }
        for (tell, permit) in granted {
            // Whoever stopped waiting in this moment gives it back by dropping it, outside the lock.
            let _ = tell.send(permit);
        }
    }
}

/// The right to work; given back when dropped.
pub struct FairPermit<G: Key = Arc<str>, M: Key = Arc<str>> {
    shared: Arc<Shared<G, M>>,
    holder: Holder<G, M>,
    since: Instant,
    is_light: AtomicBool,
}

impl<G: Key, M: Key> FairPermit<G, M> {
    fn new(shared: Arc<Shared<G, M>>, holder: Holder<G, M>) -> Self {
        Self { shared, holder, since: Instant::now(), is_light: AtomicBool::new(false) }
    }

    /// The work was little: no rest follows it.
    pub fn was_light(&self) {
        self.is_light.store(true, Ordering::Relaxed);
    }
}

impl<G: Key, M: Key> Drop for FairPermit<G, M> {
    fn drop(&mut self) {
        let rest = if *self.is_light.get_mut() {
            Duration::ZERO
        } else {
            self.shared.rest(&self.holder.group, self.since)
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if rest > Duration::ZERO => {
                let (shared, group) = (self.shared.clone(), self.holder.group.clone());
                shared.change(|turns| turns.begin_rest(&self.holder));
                runtime.spawn(async move {
                    tokio::time::sleep(rest).await;
                    shared.change(|turns| turns.end_rest(&group));
                });
            }
            _ => self.shared.change(|turns| turns.give_back(&self.holder)),
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
        lock(&self.shared.turns).cancel(&self.holder, self.number);
    }
}

fn lock<T>(counts: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one step: a panic elsewhere leaves the counts right.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn who_asks_again_at_once_has_a_quarter_of_the_time_while_others_ask() {
        const WORK: Duration = Duration::from_millis(10);
        let worked = async |permits: &FairPermits, others: bool| {
            let (mut turns, until) = (0, Instant::now() + Duration::from_secs(4));
            while Instant::now() < until {
                if others {
                    drop(permits.acquire(Holder::new("b", "1")).await);
                }
                let _permit = permits.acquire(Holder::new("a", "1")).await;
                tokio::time::sleep(WORK).await;
                turns += 1;
            }
            turns
        };
        let resting = FairPermits::with_rests(LIMITS);
        assert_eq!(worked(&resting, false).await, 400, "alone it has all of it");
        let beside = worked(&resting, true).await;
        assert!((95..=105).contains(&beside), "{beside} turns of 10 ms in 4 s");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(resting.usage(), PermitUsage { held: 0, waiting: 0 });
        let light = resting.acquire(Holder::new("a", "1")).await.unwrap();
        assert!(resting.try_acquire(Holder::new("b", "1")).is_err(), "another asks");
        light.was_light();
        drop(light);
        assert!(resting.try_acquire(Holder::new("a", "1")).is_ok(), "no rest after little work");
        let taking_turns = FairPermits::new(LIMITS);
        assert_eq!(worked(&taking_turns, true).await, 400, "turns alone leave it all of the time");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_rests_keeps_nobody_waiting() {
        let permits = FairPermits::with_rests(LIMITS);
        let (a, b) = (Holder::new("a", "1"), Holder::new("b", "1"));
        let held = permits.acquire(a.clone()).await.unwrap();
        let waiting = tokio::spawn({
            let (permits, b) = (permits.clone(), b.clone());
            async move { permits.acquire(b).await.is_ok() }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
        let began = Instant::now();
        assert!(waiting.await.unwrap());
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(permits.try_acquire(a.clone()).is_err(), "it rests");
        assert!(permits.try_acquire(Holder::new("a", "2")).is_err(), "and so does the rest of its group");
        drop(permits.acquire(a).await.unwrap());
        assert_eq!(began.elapsed(), Duration::from_millis(150));
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
