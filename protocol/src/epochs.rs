//! Is a cursor of an older epoch still good?
//!
//! A log gets a new epoch when it may have lost its end. Up to where that epoch began the log is the one the older
//! cursors were given in, so only who saw further has seen events that are gone (Kafka's leader epochs, KIP-101).

use crate::ident::{Epoch, Seq};
use std::sync::Arc;

/// An epoch and where it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    /// Its name.
    pub epoch: Epoch,
    /// Up to here the log is that of the epoch before.
    pub after: Seq,
}

/// The epochs of one log, the current one first; never empty. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs(Arc<[Began]>);

impl Epochs {
    /// The history of a log whose epoch is `current`, from what is known of it, newest first. An epoch that nobody knows
    /// the beginning of shares nothing with those before.
    pub fn new(current: &Epoch, newest_first: Vec<Began>) -> Self {
        let known = newest_first.first().is_some_and(|newest| newest.epoch == *current);
        let unknown = (!known).then(|| Began { epoch: current.clone(), after: Seq::ZERO });
        Self(unknown.into_iter().chain(newest_first).collect())
    }

    /// The one the log is in.
    pub fn current(&self) -> &Epoch {
        &self.0[0].epoch
    }

    /// All that are known, the current one first.
    pub fn names(&self) -> impl Iterator<Item = &Epoch> {
        self.0.iter().map(|began| &began.epoch)
    }

    /// Up to which seq a cursor of `epoch` means the same in this log; none for an epoch it never had.
    pub fn good_up_to(&self, epoch: &Epoch) -> Option<Seq> {
        let age = self.0.iter().position(|began| began.epoch == *epoch)?;
        // It ended where the first of the later ones began, counted in seqs and not in time.
        Some(self.0[..age].iter().map(|later| later.after).min().unwrap_or(Seq(u64::MAX)))
    }

    /// Whether who saw everything up to `seq` in `epoch` has seen just that in this log.
    pub fn honours(&self, epoch: &Epoch, seq: Seq) -> bool {
        self.good_up_to(epoch).is_some_and(|upto| seq <= upto)
    }
}

/// A log that has had one epoch only.
impl From<Epoch> for Epochs {
    fn from(only: Epoch) -> Self {
        Self::new(&only, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epoch(number: usize) -> Epoch {
        Epoch::new(format!("e{number}")).unwrap()
    }

    #[test]
    fn an_unknown_epoch_is_never_good_and_an_unknown_beginning_keeps_nothing() {
        let epochs = Epochs::new(&epoch(2), vec![Began { epoch: epoch(1), after: Seq::ZERO }]);
        assert_eq!(epochs.good_up_to(&epoch(3)), None);
        assert_eq!(epochs.good_up_to(&epoch(1)), Some(Seq::ZERO));
        assert!(epochs.honours(&epoch(2), Seq(u64::MAX)) && !epochs.honours(&epoch(1), Seq(1)));
    }

    proptest! {
        /// The oracle keeps whole logs: each new epoch cuts the log somewhere and other events follow. A cursor is good
        /// when everything up to it is the same in the newest log.
        #[test]
        fn i4_an_old_cursor_is_good_as_long_as_the_events_before_it_are_the_same(
            steps in prop::collection::vec((0u64..12, 0u64..12), 1..6), asked in 0u64..30,
        ) {
            let mut log: Vec<(usize, u64)> = Vec::new();
            let (mut logs, mut began) = (Vec::new(), Vec::new());
            for (number, (lost, grown)) in steps.into_iter().enumerate() {
                log.truncate(log.len().saturating_sub(lost as usize));
                began.insert(0, Began { epoch: epoch(number), after: Seq(log.len() as u64) });
                log.extend((0..grown).map(|n| (number, n)));
                logs.push(log.clone());
            }
            let epochs = Epochs::new(&epoch(logs.len() - 1), began);
            for (number, old) in logs.iter().enumerate() {
                let seq = asked.min(old.len() as u64);
                let same = old.get(..seq as usize) == log.get(..seq as usize);
                let honoured = epochs.honours(&epoch(number), Seq(seq)) && seq <= log.len() as u64;
                prop_assert_eq!(honoured, same, "epoch {} up to {}", number, seq);
            }
        }
    }
}
