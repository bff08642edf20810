//! How much memory may one kind of thing take in the whole process?
//!
//! **Invariant I10.** Limits of single tenants do not bound a node with many tenants. A [`Budget`] counts what is alive,
//! byte by byte: whatever holds a [`Charge`] gives it back by being dropped, so no path can forget it.
//!
//! There are three: what rings keep (at the budget the largest rings let their oldest events go; readers get those from the
//! log), what replays hold between the log and the sockets (at the budget further reads wait for earlier ones), and what is
//! on its way of signals (at the budget a signal is let go).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Bytes that may be alive at a time, and those that are.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), freed: Notify::new() })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts bytes that are there already, whether they fit or not.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Charge { budget: self.clone(), bytes: AtomicUsize::new(bytes) }
    }

    /// Counts bytes that are about to be there; none when they do not fit.
    pub(crate) fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).ok()?;
        Some(Charge { budget: self.clone(), bytes: AtomicUsize::new(bytes) })
    }

    /// Waits until so many bytes fit, and counts them. Never more than the limit, or nobody could ever come through.
    pub(crate) async fn reserve(self: &Arc<Self>, bytes: usize) -> Charge {
        let bytes = bytes.min(self.limit);
        let charge = loop {
            // Listens before it looks: what is freed in between is heard.
            let freed = self.freed.notified();
            if let Some(charge) = self.try_reserve(bytes) {
                break charge;
            }
            freed.await;
        };
        // One drop may have freed enough for several.
        self.freed.notify_one();
        charge
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        self.freed.notify_one();
    }
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Charge {
    /// What it charges became larger.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Part of it as a charge of its own; what it does not have is added.
    pub(crate) fn split(&self, bytes: usize) -> Charge {
        let part = |had: usize| Some(had.saturating_sub(bytes));
        let had = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, part).unwrap_or_default();
        self.budget.used.fetch_add(bytes.saturating_sub(had), Ordering::Relaxed);
        Charge { budget: self.budget.clone(), bytes: AtomicUsize::new(bytes) }
    }

    /// Bytes charged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What it charges weighs so much now.
    pub(crate) fn set(&self, bytes: usize) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        match before.checked_sub(bytes) {
            Some(freed) => self.budget.give_back(freed),
            None => drop(self.budget.used.fetch_add(bytes - before, Ordering::Relaxed)),
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i10_what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let one = budget.charge(60);
        one.add(20);
        assert_eq!((budget.used(), one.bytes()), (80, 80));
        assert!(budget.try_reserve(21).is_none());
        let two = budget.try_reserve(20).unwrap();
        let part = two.split(8);
        assert_eq!((budget.used(), two.bytes(), part.bytes()), (100, 12, 8));
        let more = two.split(15);
        assert_eq!((budget.used(), two.bytes(), more.bytes()), (103, 0, 15));
        drop((part, more, two));
        let two = budget.try_reserve(20).unwrap();
        two.set(5);
        assert_eq!(budget.used(), 85);
        two.set(15);
        assert_eq!((budget.used(), two.bytes()), (95, 15));
        let over = budget.charge(1_000);
        assert_eq!(budget.used(), 1_095, "what is there counts, whether it fits or not");
        drop((one, two, over));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn i10_who_finds_no_room_waits_for_it() {
        let budget = Budget::new(100);
        let held: Vec<Charge> = (0..4).map(|_| budget.try_reserve(25).unwrap()).collect();
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move { budget.reserve(25).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|task| !task.is_finished()) && budget.used() == 100);
        drop(held);
        for task in waiting {
            drop(task.await.unwrap());
        }
        assert_eq!(budget.used(), 0);
        let whole = budget.reserve(1_000_000).await;
        assert_eq!(whole.bytes(), 100, "a wish above the limit is the limit");
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_does_not_swallow_the_others_turn() {
        let budget = Budget::new(10);
        let held = budget.try_reserve(10).unwrap();
        let first = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(10).await }
        });
        let second = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(10).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        first.abort();
        let came_through = tokio::time::timeout(std::time::Duration::from_secs(5), second).await;
        assert_eq!(came_through.unwrap().unwrap().bytes(), 10);
    }
}
