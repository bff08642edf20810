//! Which signals wait in a room, and which are let go when there are too many?
//!
//! A room is handed at most so many, so that whoever says much into one of a tenant's channels takes neither the shard's time nor
//! the memory of all signals of the node.

use crate::live::Passing;
use carillon_protocol::Typing;
use std::collections::VecDeque;
use std::sync::Arc;

/// Signals that may wait in a room.
pub(super) const WAITING: usize = 256;
/// Bytes of them.
pub(super) const WAITING_BYTES: usize = 256 * 1024;

/// Signals that wait for the next fan-outs of their room.
#[derive(Default)]
pub(super) struct Waiting {
    signals: VecDeque<Arc<Passing>>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    /// Adds one; the oldest go as long as there are too many. Answers how many went. That somebody types no more is kept before all
    /// else: without it others see them type for some seconds.
    pub(super) fn push(&mut self, passing: Arc<Passing>) -> u64 {
        self.bytes += passing.frame().len();
        self.signals.push_back(passing);
        let mut dropped = 0;
        while self.signals.len() > WAITING || self.bytes > WAITING_BYTES {
            let may_go = |signal: &Arc<Passing>| signal.typing != Some(Typing::Stop);
            let oldest = self.signals.iter().position(may_go).unwrap_or_default();
            let Some(gone) = self.signals.remove(oldest) else { break };
            self.bytes -= gone.frame().len();
            dropped += 1;
        }
        dropped
    }

    /// Moves the first of them, at most so many.
    pub(super) fn take(&mut self, most: usize, taken: &mut Vec<Arc<Passing>>) {
        let before = taken.len();
        taken.extend(self.signals.drain(..most.min(self.signals.len())));
        let bytes = taken.iter().skip(before).map(|signal| signal.frame().len()).sum::<usize>();
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use carillon_protocol::{Channel, Signal, UserId};

    fn signal(budget: &Arc<Budget>, n: usize, bytes: usize, typing: Option<Typing>) -> Arc<Passing> {
        let frame = format!("{n:0bytes$}").into();
        let (channel, user) = (Channel::new("page:1").unwrap(), UserId::new("mila").unwrap());
        Passing::new(7, Signal { shard: 1, channel, user, typing, frame }, None, budget).unwrap()
    }

    fn numbers(waiting: &mut Waiting) -> Vec<usize> {
        let mut taken = Vec::new();
        waiting.take(usize::MAX, &mut taken);
        taken.iter().map(|signal| std::str::from_utf8(signal.json()).unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn i10_the_oldest_go_when_too_many_wait_but_not_that_somebody_types_no_more() {
        let budget = Budget::new(usize::MAX);
        let mut waiting = Waiting::default();
        let mut dropped = 0;
        for n in 0..WAITING + 10 {
            let typing = (n % 4 == 0).then_some(Typing::Stop);
            dropped += waiting.push(signal(&budget, n, 20, typing));
        }
        let kept = numbers(&mut waiting);
        assert_eq!((kept.len(), dropped), (WAITING, 10));
        assert_eq!(kept[..8], [0, 4, 8, 12, 14, 15, 16, 17], "in their order");
        assert!(waiting.is_empty() && waiting.bytes == 0 && budget.used() == 0);
        // Nothing else is left to go.
        let stops = WAITING * 2;
        for n in 0..stops {
            let dropped = waiting.push(signal(&budget, n, 20, Some(Typing::Stop)));
            assert_eq!(dropped, u64::from(n >= WAITING));
        }
        assert_eq!(numbers(&mut waiting), Vec::from_iter(WAITING..stops));
    }

    #[test]
    fn i10_the_oldest_go_when_they_have_too_many_bytes() {
        let budget = Budget::new(usize::MAX);
        let mut waiting = Waiting::default();
        let dropped: u64 = (0..100).map(|n| waiting.push(signal(&budget, n, 16 * 1024, None))).sum();
        assert!(budget.used() < WAITING_BYTES + 32 * 1024, "{}", budget.used());
        let mut taken = Vec::new();
        waiting.take(5, &mut taken);
        assert_eq!((taken.len(), waiting.bytes), (5, waiting.signals.iter().map(|s| s.frame().len()).sum()));
        assert_eq!(numbers(&mut waiting), Vec::from_iter(dropped as usize + 5..100));
    }
}
