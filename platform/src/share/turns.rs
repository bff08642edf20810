//! In which order do waiting callers get permits? (pure)
//!
//! Groups take turns, and within a group its members; a member's callers are served in the order they came. A group or
//! member at its limit is passed over, and does not lose its turn. **Kept after every step**: nobody waits who could
//! have a permit. So a caller who may have one gets it at once, without looking at the queue.

use super::{Holder, Refused};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Bounds of a set of permits.
#[derive(Debug, Clone, Copy)]
pub struct PermitLimits {
    /// Permits out at a time.
    pub total: usize,
    /// Of these, one group's. Below the total, so that one group alone never holds them all.
    pub per_group: usize,
    /// Of these, one member's.
    pub per_member: usize,
    /// Callers waiting at a time.
    pub waiting: usize,
    /// Of these, one group's.
    pub waiting_per_group: usize,
    /// Of these, one member's.
    pub waiting_per_member: usize,
}

/// Names a waiting caller.
pub(super) type Number = u64;

/// Who has permits, and who waits for one. `W` is what a waiting caller leaves behind, to be told by.
pub(super) struct Turns<G, M, W> {
    limits: PermitLimits,
    held: usize,
    waiting: usize,
    next_number: Number,
    groups: HashMap<G, Group<M, W>>,
    /// Groups with waiting callers, whose turn it is first.
    order: VecDeque<G>,
}

struct Group<M, W> {
    /// Permits out, and those from which it rests.
    held: usize,
    waiting: usize,
    members: HashMap<M, Member<W>>,
    /// Members with waiting callers, whose turn it is first.
    order: VecDeque<M>,
}

struct Member<W> {
    held: usize,
    queue: VecDeque<(Number, W)>,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It has a permit.
    Granted,
    /// It waits under this number.
    Waits(Number),
}

impl<G: Hash + Eq + Clone, M: Hash + Eq + Clone, W> Turns<G, M, W> {
    pub(super) fn new(limits: PermitLimits) -> Self {
        Self { limits, held: 0, waiting: 0, next_number: 0, groups: HashMap::new(), order: VecDeque::new() }
    }

    /// Permits out, and callers waiting.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.held, self.waiting)
    }

    /// Gives a permit, without waiting.
    pub(super) fn take(&mut self, holder: &Holder<G, M>) -> Result<(), Refused> {
        if self.held >= self.limits.total {
            return Err(Refused::Total);
        }
        if let Some(group) = self.groups.get(&holder.group) {
            if group.held >= self.limits.per_group {
                return Err(Refused::Group);
            }
            if group.members.get(&holder.member).is_some_and(|member| member.held >= self.limits.per_member) {
                return Err(Refused::Member);
            }
        }
        let (group, member) = Self::entry(&mut self.groups, holder);
        member.held += 1;
        *group += 1;
        self.held += 1;
        Ok(())
    }

    /// Gives a permit, or lets the caller wait for one.
    pub(super) fn ask(&mut self, holder: &Holder<G, M>, waiter: W) -> Result<Asked, Refused> {
        if self.take(holder).is_ok() {
            return Ok(Asked::Granted);
        }
        if self.waiting >= self.limits.waiting {
            return Err(Refused::Total);
        }
        if let Some(group) = self.groups.get(&holder.group) {
            if group.waiting >= self.limits.waiting_per_group {
                return Err(Refused::Group);
            }
            let queued = group.members.get(&holder.member).map_or(0, |member| member.queue.len());
            if queued >= self.limits.waiting_per_member {
                return Err(Refused::Member);
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        self.waiting += 1;
        let _ = Self::entry(&mut self.groups, holder);
        let Some(group) = self.groups.get_mut(&holder.group) else { return Err(Refused::Total) };
        if group.waiting == 0 {
            self.order.push_back(holder.group.clone());
        }
        group.waiting += 1;
        let Some(member) = group.members.get_mut(&holder.member) else { return Err(Refused::Total) };
        if member.queue.is_empty() {
            group.order.push_back(holder.member.clone());
        }
        member.queue.push_back((number, waiter));
        Ok(Asked::Waits(number))
    }

    /// Takes a permit back. Afterwards [`Turns::next`] is asked until it has nobody.
    pub(super) fn give_back(&mut self, holder: &Holder<G, M>) {
        self.begin_rest(holder);
        self.end_rest(&holder.group);
    }

    /// Takes a permit back that still counts as its group's until the group has rested. Afterwards as above.
    pub(super) fn begin_rest(&mut self, holder: &Holder<G, M>) {
        let Some(group) = self.groups.get_mut(&holder.group) else { return };
        let Some(member) = group.members.get_mut(&holder.member) else { return };
        debug_assert!(member.held > 0, "only what is held is given back");
        member.held -= 1;
        self.held -= 1;
        self.forget(holder);
    }

    /// A group has rested from one permit. Afterwards as above.
    pub(super) fn end_rest(&mut self, name: &G) {
        let Some(group) = self.groups.get_mut(name) else { return };
        debug_assert!(group.held > 0, "only who has worked rests");
        group.held -= 1;
        self.forget_group(name);
    }

    /// The next caller who may have a permit; it has one from now on.
    pub(super) fn next(&mut self) -> Option<(Holder<G, M>, W)> {
        if self.held >= self.limits.total {
            return None;
        }
        for at in 0..self.order.len() {
            let group_name = self.order.get(at)?.clone();
            let Some(group) = self.groups.get_mut(&group_name) else { continue };
            if group.held >= self.limits.per_group {
                continue;
            }
            let per_member = self.limits.per_member;
            let able = |name: &M| group.members.get(name).is_some_and(|member| member.held < per_member);
            let Some(place) = group.order.iter().position(able) else { continue };
            let Some(name) = group.order.remove(place) else { continue };
            let Some(member) = group.members.get_mut(&name) else { continue };
            let Some((_, waiter)) = member.queue.pop_front() else { continue };
            member.held += 1;
            group.held += 1;
            group.waiting -= 1;
            if !member.queue.is_empty() {
                group.order.push_back(name.clone());
            }
            self.held += 1;
            self.waiting -= 1;
            self.order.remove(at);
            if group.waiting > 0 {
                self.order.push_back(group_name.clone());
            }
            return Some((Holder { group: group_name, member: name }, waiter));
        }
        None
    }

    /// Takes a caller out of the queue, if it still waits.
    pub(super) fn cancel(&mut self, holder: &Holder<G, M>, number: Number) {
        let Some(group) = self.groups.get_mut(&holder.group) else { return };
        let Some(member) = group.members.get_mut(&holder.member) else { return };
        let Some(at) = member.queue.iter().position(|(own, _)| *own == number) else { return };
        member.queue.remove(at);
        self.waiting -= 1;
        group.waiting -= 1;
        if member.queue.is_empty() {
            group.order.retain(|name| *name != holder.member);
        }
        if group.waiting == 0 {
            self.order.retain(|name| *name != holder.group);
        }
        self.forget(holder);
    }

    /// The counts of a holder's group and of the holder.
    fn entry<'a>(
        groups: &'a mut HashMap<G, Group<M, W>>,
        holder: &Holder<G, M>,
    ) -> (&'a mut usize, &'a mut Member<W>) {
        let group = groups.entry(holder.group.clone()).or_insert_with(|| Group {
            held: 0,
            waiting: 0,
            members: HashMap::new(),
            order: VecDeque::new(),
        });
        let member = group
            .members
            .entry(holder.member.clone())
            .or_insert_with(|| Member { held: 0, queue: VecDeque::new() });
        (&mut group.held, member)
    }

    /// Whoever holds nothing and waits for nothing leaves no trace.
    fn forget(&mut self, holder: &Holder<G, M>) {
        let Some(group) = self.groups.get_mut(&holder.group) else { return };
        if group.members.get(&holder.member).is_some_and(|member| member.held == 0 && member.queue.is_empty())
        {
            group.members.remove(&holder.member);
        }
        self.forget_group(&holder.group);
    }

    fn forget_group(&mut self, name: &G) {
        if self.groups.get(name).is_some_and(|group| group.held == 0 && group.members.is_empty()) {
            self.groups.remove(name);
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
