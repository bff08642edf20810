//! Who is due now?
//!
//! One timing wheel for a shard. A connection is in it once: when it is due earlier than it stands, it is put in
//! again and the older place is recognised as stale by its time.

/// Milliseconds between two slots: how late a deadline may be noticed.
pub(super) const SLOT_MS: u64 = 25;
const SLOTS: usize = 2_048;

/// Keys by the time they are due, in milliseconds since the shard began.
pub(super) struct Wheel {
    slots: Box<[Vec<u32>]>,
    /// The slot number (not index) that is to be looked at next.
    next: u64,
    occupied: usize,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: vec![Vec::new(); SLOTS].into(), next: 0, occupied: 0 }
    }

    /// Puts `key` in for `due_ms` and answers its place: the number to compare when it comes up. What lies beyond the
    /// wheel comes up at its end, to be put in again.
    pub(super) fn insert(&mut self, key: u32, due_ms: u64) -> u64 {
        let slot = due_ms.div_ceil(SLOT_MS).clamp(self.next, self.next + SLOTS as u64 - 1);
        if let Some(keys) = self.slots.get_mut(slot as usize % SLOTS) {
            keys.push(key);
            self.occupied += 1;
        }
        slot
    }

    /// Moves the keys of every slot up to now into `out`, with their places.
    pub(super) fn advance(&mut self, now_ms: u64, out: &mut Vec<(u32, u64)>) {
        let now = now_ms / SLOT_MS;
        // A gap longer than the wheel (a frozen process) passes every slot once.
        if now >= self.next + SLOTS as u64 {
            for slot in self.next..self.next + SLOTS as u64 {
                self.take(slot, out);
            }
            self.next = now + 1;
        }
        while self.next <= now {
            self.take(self.next, out);
            self.next += 1;
        }
    }

    fn take(&mut self, slot: u64, out: &mut Vec<(u32, u64)>) {
        let Some(keys) = self.slots.get_mut(slot as usize % SLOTS) else { return };
        self.occupied -= keys.len();
        out.extend(keys.drain(..).map(|key| (key, slot)));
    }

    /// When the next key comes up, if there is one.
    pub(super) fn next_ms(&self) -> Option<u64> {
        if self.occupied == 0 {
            return None;
        }
        (self.next..self.next + SLOTS as u64)
            .find(|slot| self.slots.get(*slot as usize % SLOTS).is_some_and(|keys| !keys.is_empty()))
            .map(|slot| slot * SLOT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_wheel_has_nothing_due() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next_ms(), None);
        wheel.advance(10_000_000, &mut Vec::new());
        wheel.insert(1, 0);
        assert!(wheel.next_ms().unwrap() >= 10_000_000, "what is overdue comes up next");
    }

    proptest! {
        #[test]
        fn every_key_comes_up_once_never_early_and_at_most_a_slot_late(
            keys in prop::collection::vec((0..200_000u64, 0..200_000u64), 0..60), step in 1..60_000u64,
        ) {
            let mut wheel = Wheel::new();
            let mut waiting: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            let mut keys = keys.into_iter().map(|(at, wait)| (at, at + wait)).collect::<Vec<_>>();
            keys.sort_unstable();
            let mut done = vec![false; keys.len()];
            while now < 500_000 {
                for (key, &(at, due)) in keys.iter().enumerate() {
                    if at <= now && at + step > now {
                        let place = wheel.insert(key as u32, due);
                        waiting.push((key as u64, place));
                    }
                }
                now += step;
                let mut out = Vec::new();
                wheel.advance(now, &mut out);
                for (key, place) in out {
                    prop_assert!(waiting.contains(&(u64::from(key), place)));
                    let due = keys[key as usize].1;
                    if now < due {
                        let place = wheel.insert(key, due);
                        waiting.push((u64::from(key), place));
                    } else {
                        prop_assert!(!std::mem::replace(&mut done[key as usize], true));
                    }
                }
                if let Some(next) = wheel.next_ms() {
                    prop_assert!(next + SLOT_MS > now);
                }
            }
            let begun = keys.iter().filter(|(at, _)| *at < now).count();
            prop_assert!(done.iter().filter(|done| **done).count() <= begun);
        }
    }
}
