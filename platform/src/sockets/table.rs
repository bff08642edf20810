//! Who comes in, and who goes for it? (pure)
//!
//! The address with the most sockets gives one up, so addresses come to equal shares whoever was first (max-min fairness).
//! A socket that merely had no time to speak is not given up: only those of an address with more than its share go at once.

use super::SocketLimits;
use super::slot::{Slot, Standing};
use crate::share::AddressGroup;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How long nothing must have happened on a socket before it goes for another address's newcomer.
pub(super) const PATIENCE_MS: u64 = 1_000;
/// The same, for a newcomer of an address that has more than its share: a burst of its own may not cut each other off.
pub(super) const OWN_PATIENCE_MS: u64 = 100;
/// Newcomers come in one after the other, so where each waits few come in. What they waited shortens both patiences for those
/// behind them, and is forgotten so many times as slowly: so a flood of one address keeps the others waiting for an eighth of the
/// time at most, and then its own sockets go, which have the most places, as fast as it opens new ones.
const FORGOTTEN: u64 = 8;
/// Which part of the unproven sockets is one address's share.
const SHARES: usize = 4;
/// Sockets of an address that are compared, so that a look costs little however many there are.
const COMPARED: usize = 64;

/// All sockets of a listener.
#[derive(Debug)]
pub(super) struct Table {
    limits: SocketLimits,
    groups: HashMap<AddressGroup, Group>,
    unproven: usize,
    proven: usize,
    /// What newcomers had to wait lately, all together, as of a time.
    pressed: (u64, u64),
}

/// The sockets of one address. The queues are in the order of coming and may hold sockets that have left them.
#[derive(Debug, Default)]
struct Group {
    unproven: Queue,
    proven: Queue,
}

#[derive(Debug, Default)]
struct Queue {
    live: usize,
    slots: VecDeque<Arc<Slot>>,
}

/// What becomes of a newcomer.
#[derive(Debug)]
pub(super) enum Entry {
    /// It is counted.
    In,
    /// It is counted, and this one must go for it.
    Instead(Arc<Slot>),
    /// It must wait: nobody can go before this time, at the earliest.
    Wait { until_ms: u64 },
}

impl Table {
    pub(super) fn new(limits: SocketLimits) -> Self {
        Self { limits, groups: HashMap::new(), unproven: 0, proven: 0, pressed: (0, 0) }
    }

    pub(super) fn unproven(&self) -> usize {
        self.unproven
    }

    /// Counts a newcomer, if need be for another. What it has waited already counts as patience, and what those before it
    /// waited, who come in one after the other: nobody keeps the others out by being busy, from however many addresses.
    pub(super) fn enter(&mut self, newcomer: &Arc<Slot>, now_ms: u64, waited_ms: u64) -> Entry {
        let crowded = self.unproven >= self.limits.unproven;
        let full = self.unproven + self.proven >= self.limits.total;
        if !crowded && !full {
            self.insert(newcomer);
            return Entry::In;
        }
        let (as_if_ms, pressed_ms) = (now_ms + waited_ms, self.pressed_ms(now_ms));
        let mut found = self.greediest(Standing::Unproven, newcomer.group, as_if_ms, pressed_ms);
        if found.is_err() && !crowded {
            found = self.greediest(Standing::Proven, newcomer.group, as_if_ms, pressed_ms);
        }
        match found {
            Ok(victim) => {
                self.pressed = ((pressed_ms + waited_ms).min(PATIENCE_MS), now_ms);
                self.leave(&victim);
                self.insert(newcomer);
                Entry::Instead(victim)
            }
            Err(until_ms) => Entry::Wait { until_ms: until_ms - waited_ms },
        }
    }

    /// Something was authenticated on a socket.
    pub(super) fn prove(&mut self, slot: &Arc<Slot>) {
        if slot.standing() != Standing::Unproven {
            return;
        }
        self.leave(slot);
        slot.set_standing(Standing::Proven);
        self.proven += 1;
        self.groups.entry(slot.group).or_default().proven.push(slot);
    }

    /// A socket's address is another than it seemed: a balancer said whose it is.
    pub(super) fn replace(&mut self, old: &Arc<Slot>, new: &Arc<Slot>) {
        if old.standing() == Standing::Unproven {
            self.leave(old);
            self.insert(new);
        } else {
            new.set_standing(Standing::Gone);
        }
    }

    /// A socket is not counted any more. Twice is once.
    pub(super) fn leave(&mut self, slot: &Arc<Slot>) {
        let Some(group) = self.groups.get_mut(&slot.group) else { return };
        let standing = slot.standing();
        slot.set_standing(Standing::Gone);
        match standing {
            Standing::Unproven => {
                self.unproven -= 1;
                group.unproven.left(Standing::Unproven);
            }
            Standing::Proven => {
                self.proven -= 1;
                group.proven.left(Standing::Proven);
            }
            Standing::Gone => return,
        }
        if group.unproven.live + group.proven.live == 0 {
            self.groups.remove(&slot.group);
        }
    }

    /// What newcomers had to wait lately; it is forgotten in [`FORGOTTEN`] times the time that they waited.
    fn pressed_ms(&self, now_ms: u64) -> u64 {
        let (waited_ms, at_ms) = self.pressed;
        waited_ms.saturating_sub(now_ms.saturating_sub(at_ms) / FORGOTTEN)
    }

    fn insert(&mut self, slot: &Arc<Slot>) {
        self.unproven += 1;
        self.groups.entry(slot.group).or_default().unproven.push(slot);
    }

    /// The socket to give up: of the address that has the most of this standing among those with one that can go. Else
    /// when one can.
    fn greediest(
        &self,
        standing: Standing,
        own: AddressGroup,
        now_ms: u64,
        pressed_ms: u64,
    ) -> Result<Arc<Slot>, u64> {
        let share = self.limits.unproven.div_ceil(SHARES);
        let mut best: Option<(usize, &Arc<Slot>)> = None;
        let mut until_ms = now_ms + PATIENCE_MS;
        for (address, group) in &self.groups {
            let queue = if standing == Standing::Proven { &group.proven } else { &group.unproven };
            if best.is_some_and(|(most, _)| queue.live <= most) {
                continue;
            }
            let Some(slot) = queue.oldest(standing) else { continue };
            let greedy = standing == Standing::Unproven && queue.live > share;
            let patience_ms = match greedy {
                true if *address == own => OWN_PATIENCE_MS.saturating_sub(pressed_ms),
                true if !slot.trusted && slot.waiting().is_some() => 0,
                _ if *address == own => PATIENCE_MS,
                _ => PATIENCE_MS.saturating_sub(pressed_ms),
            };
            let at_ms = slot.since_ms() + patience_ms;
            if at_ms <= now_ms {
                best = Some((queue.live, slot));
            } else {
                until_ms = until_ms.min(at_ms);
            }
        }
        best.map(|(_, slot)| slot.clone()).ok_or(until_ms)
    }
}

impl Queue {
    fn push(&mut self, slot: &Arc<Slot>) {
        self.live += 1;
        self.slots.push_back(slot.clone());
    }

    /// One of the queue's sockets has left it; now and then those are swept out.
    fn left(&mut self, standing: Standing) {
        self.live -= 1;
        if self.slots.len() > 2 * self.live + 32 {
            self.slots.retain(|slot| slot.standing() == standing);
        }
    }

    /// The socket that can be given up first: what waits for its client goes before what does something. A proven one never
    /// goes while something is done for it; an unproven one may: what it does not read is its own loss.
    fn oldest(&self, standing: Standing) -> Option<&Arc<Slot>> {
        let mut own = self.slots.iter().filter(|slot| slot.standing() == standing);
        let waiting = own.clone().filter(|slot| slot.waiting().is_some()).take(COMPARED);
        let longest = waiting.min_by_key(|slot| slot.since_ms());
        longest.or_else(|| own.next().filter(|_| standing == Standing::Unproven))
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
