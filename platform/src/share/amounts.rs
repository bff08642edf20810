//! How much may one holder have? (pure)
//!
//! Beside the fixed limits one rule moves: a group may never have more than is free. One greedy group therefore stops
//! at half of the total, two at a third each, `n` at 1/(n+1) each: whoever comes with little always finds room (dynamic
//! thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998, with alpha 1).

use super::{Holder, Refused};
use std::collections::HashMap;
use std::hash::Hash;

/// Bounds of a resource, in its own unit.
#[derive(Debug, Clone, Copy)]
pub struct HoldingLimits {
    /// All holders together.
    pub total: usize,
    /// One group. At most half of the total is ever reached while nobody else holds any.
    pub per_group: usize,
    /// One member of a group.
    pub per_member: usize,
}

/// Who has how much.
#[derive(Debug)]
pub(super) struct Amounts<G, M> {
    limits: HoldingLimits,
    used: usize,
    groups: HashMap<G, Group<M>>,
}

#[derive(Debug)]
struct Group<M> {
    used: usize,
    members: HashMap<M, usize>,
}

impl<G: Hash + Eq + Clone, M: Hash + Eq + Clone> Amounts<G, M> {
    pub(super) fn new(limits: HoldingLimits) -> Self {
        Self { limits, used: 0, groups: HashMap::new() }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn used_by_group(&self, group: &G) -> usize {
        self.groups.get(group).map_or(0, |group| group.used)
    }

    /// Which bound, if any, forbids that a holder has so much more.
    pub(super) fn check(&self, holder: &Holder<G, M>, amount: usize) -> Result<(), Refused> {
        let HoldingLimits { total, per_group, per_member } = self.limits;
        let free = total - self.used;
        if amount > free {
            return Err(Refused::Total);
        }
        let group = self.groups.get(&holder.group);
        if group.map_or(0, |group| group.used).saturating_add(amount) > per_group.min(free) {
            return Err(Refused::Group);
        }
        let own = group.and_then(|group| group.members.get(&holder.member)).copied().unwrap_or(0);
        if own.saturating_add(amount) > per_member {
            return Err(Refused::Member);
        }
        Ok(())
    }

    /// Gives a holder so much more, or tells which bound forbids it.
    pub(super) fn take(&mut self, holder: &Holder<G, M>, amount: usize) -> Result<(), Refused> {
        self.check(holder, amount)?;
        let group = self
            .groups
            .entry(holder.group.clone())
            .or_insert_with(|| Group { used: 0, members: HashMap::new() });
        group.used += amount;
        *group.members.entry(holder.member.clone()).or_insert(0) += amount;
        self.used += amount;
        Ok(())
    }

    /// Takes back what a holder had.
    pub(super) fn give_back(&mut self, holder: &Holder<G, M>, amount: usize) {
        let Some(group) = self.groups.get_mut(&holder.group) else { return };
        let Some(own) = group.members.get_mut(&holder.member) else { return };
        debug_assert!(*own >= amount, "nobody gives back more than they have");
        let amount = amount.min(*own);
        *own -= amount;
        if *own == 0 {
            group.members.remove(&holder.member);
        }
        group.used -= amount;
        self.used -= amount;
        if group.members.is_empty() {
            self.groups.remove(&holder.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holder(group: u8, member: u8) -> Holder<u8, u8> {
        Holder { group, member }
    }

    #[test]
    fn one_greedy_group_leaves_half_and_two_leave_a_third() {
        let limits = HoldingLimits { total: 900, per_group: 900, per_member: 900 };
        let mut amounts = Amounts::new(limits);
        while amounts.take(&holder(1, 1), 1).is_ok() {}
        assert_eq!(amounts.used(), 450);
        let mut amounts = Amounts::new(limits);
        while amounts.take(&holder(1, 1), 1).is_ok() | amounts.take(&holder(2, 1), 1).is_ok() {}
        assert_eq!((amounts.used_by_group(&1), amounts.used_by_group(&2)), (300, 300));
        assert_eq!(amounts.take(&holder(3, 1), 1), Ok(()), "a newcomer finds room");
    }

    #[test]
    fn each_bound_has_its_name() {
        let mut amounts = Amounts::new(HoldingLimits { total: 100, per_group: 40, per_member: 30 });
        assert_eq!(amounts.take(&holder(1, 1), 101), Err(Refused::Total));
        assert_eq!(amounts.take(&holder(1, 1), 41), Err(Refused::Group));
        assert_eq!(amounts.take(&holder(1, 1), 31), Err(Refused::Member));
        assert_eq!(amounts.take(&holder(1, 1), 30), Ok(()));
        assert_eq!(amounts.take(&holder(1, 2), 11), Err(Refused::Group));
        assert_eq!(amounts.take(&holder(1, 2), 10), Ok(()));
    }

    proptest! {
        /// The sums agree with what was taken and given back, no bound is ever passed, and what is forgotten is forgotten.
        #[test]
        fn sums_agree_and_bounds_hold(
            steps in prop::collection::vec((any::<bool>(), 0u8..4, 0u8..3, 0usize..40), 1..200),
        ) {
            let limits = HoldingLimits { total: 200, per_group: 90, per_member: 60 };
            let mut amounts = Amounts::new(limits);
            let mut held: Vec<(Holder<u8, u8>, usize)> = Vec::new();
            for (take, group, member, amount) in steps {
                if take {
                    if amounts.take(&holder(group, member), amount).is_ok() {
                        held.push((holder(group, member), amount));
                    }
                } else if !held.is_empty() {
                    let (holder, amount) = held.swap_remove(amount % held.len());
                    amounts.give_back(&holder, amount);
                }
                let sum = |of: &dyn Fn(&Holder<u8, u8>) -> bool| -> usize {
                    held.iter().filter(|(holder, _)| of(holder)).map(|(_, amount)| amount).sum()
                };
                prop_assert_eq!(amounts.used(), sum(&|_| true));
                prop_assert!(amounts.used() <= limits.total);
                for group in 0..4 {
                    prop_assert_eq!(amounts.used_by_group(&group), sum(&|holder| holder.group == group));
                    prop_assert!(amounts.used_by_group(&group) <= limits.per_group);
                    for member in 0..3 {
                        prop_assert!(sum(&|h| *h == holder(group, member)) <= limits.per_member);
                    }
                }
            }
            for (holder, amount) in held {
                amounts.give_back(&holder, amount);
            }
            prop_assert!(amounts.groups.values().all(|group| group.used == 0));
        }
    }
}
