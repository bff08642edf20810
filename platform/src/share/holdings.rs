//! Who may take so much more? Callers never wait; whoever has its share already is refused.

use super::amounts::{Amounts, HoldingLimits};
use super::{Holder, Refused};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A resource that is held in amounts: sockets, bytes, events.
pub struct Holdings<G = Arc<str>, M = Arc<str>>(Arc<Mutex<Amounts<G, M>>>);

impl<G, M> Clone for Holdings<G, M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<G: Hash + Eq + Clone, M: Hash + Eq + Clone> Holdings<G, M> {
    /// Of which nobody holds anything yet.
    pub fn new(limits: HoldingLimits) -> Self {
        Self(Arc::new(Mutex::new(Amounts::new(limits))))
    }

    /// Takes an amount for a holder. It is given back when the [`Holding`] is dropped.
    pub fn try_take(&self, holder: Holder<G, M>, amount: usize) -> Result<Holding<G, M>, Refused> {
        self.lock().take(&holder, amount)?;
        Ok(Holding { holdings: self.clone(), holder, amount })
    }

    /// Whether [`try_take`](Self::try_take) would succeed now. For callers that want to know before work they may spare.
    pub fn check(&self, holder: &Holder<G, M>, amount: usize) -> Result<(), Refused> {
        self.lock().check(holder, amount)
    }

    /// What all holders have together.
    pub fn used(&self) -> usize {
        self.lock().used()
    }

    /// What one group has.
    pub fn used_by(&self, group: &G) -> usize {
        self.lock().used_by_group(group)
    }

    fn lock(&self) -> MutexGuard<'_, Amounts<G, M>> {
        // Every change is one step: a panic elsewhere leaves the sums right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a holder has; given back when dropped.
pub struct Holding<G: Hash + Eq + Clone = Arc<str>, M: Hash + Eq + Clone = Arc<str>> {
    holdings: Holdings<G, M>,
    holder: Holder<G, M>,
    amount: usize,
}

impl<G: Hash + Eq + Clone, M: Hash + Eq + Clone> Holding<G, M> {
    /// How much it is.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Whose it is.
    pub fn holder(&self) -> &Holder<G, M> {
        &self.holder
    }

    /// Takes so much more; on a refusal it stays as it was.
    pub fn grow(&mut self, amount: usize) -> Result<(), Refused> {
        self.holdings.lock().take(&self.holder, amount)?;
        self.amount += amount;
        Ok(())
    }

    /// Gives a part back; at most all of it.
    pub fn shrink(&mut self, amount: usize) {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        self.holdings.lock().give_back(&self.holder, amount);
    }
}

impl<G: Hash + Eq + Clone, M: Hash + Eq + Clone> Drop for Holding<G, M> {
    fn drop(&mut self) {
        self.holdings.lock().give_back(&self.holder, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let holdings = Holdings::new(HoldingLimits { total: 10, per_group: 5, per_member: 5 });
        let holder = Holder::new("studio-nova", "anna");
        let mut held = holdings.try_take(holder.clone(), 2).unwrap();
        assert_eq!(holdings.check(&holder, 4), Err(Refused::Group));
        assert_eq!(held.grow(4), Err(Refused::Group));
        assert_eq!((holdings.check(&holder, 3), holdings.used()), (Ok(()), 2), "it only asks");
        held.grow(3).unwrap();
        assert_eq!((held.amount(), holdings.used(), holdings.used_by(&holder.group)), (5, 5, 5));
        assert_eq!(holdings.try_take(holder.clone(), 1).err(), Some(Refused::Group));
        held.shrink(4);
        assert_eq!(holdings.used(), 1);
        drop(held);
        assert_eq!((holdings.used(), holdings.used_by(&holder.group)), (0, 0));
    }
}
