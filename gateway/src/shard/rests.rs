//! How long does a shard rest before it looks at its sockets again?
//!
//! Nobody waits for what an acknowledgement does, and of thousands of devices some come at any moment: woken for each, a shard spends more on
//! waking up than on what it is told. When a turn has heard nothing else, and the one before was such a turn a moment ago, the shard
//! does not look at its sockets for two milliseconds, and the next turn has what came meanwhile. A message to the shard (news of a tenant, an
//! answer, a newcomer) ends that at once. Whatever else clients say then waits so long, and ends this.

use super::counts::Counts;

/// How long it rests, in microseconds.
const REST_US: u64 = 2_000;
/// How soon after another one a turn with nothing but acknowledgements must end.
const SOON_US: u64 = 2 * REST_US;

/// What the last turns were about.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// When the last turn ended, if it had nothing but acknowledgements.
    quiet_us: Option<u64>,
    is_due: bool,
}

impl Rests {
    /// A turn ends.
    pub(super) fn after(&mut self, counts: &Counts, now_us: u64) {
        let is_quiet = counts.acks > 0 && counts.acks == counts.received && counts.told == 0;
        let before = std::mem::replace(&mut self.quiet_us, is_quiet.then_some(now_us));
        self.is_due = is_quiet && before.is_some_and(|before_us| now_us <= before_us + SOON_US);
    }

    /// How long to rest now, in microseconds.
    pub(super) fn rest_us(&self) -> Option<u64> {
        self.is_due.then_some(REST_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_rests_only_between_turns_in_which_nobody_waits_for_anything() {
        let counts = |received, acks, told| Counts { received, acks, told, ..Counts::default() };
        let mut rests = Rests::default();
        let mut rests_after = |counts: Counts, now_us| {
            rests.after(&counts, now_us);
            rests.rest_us().is_some()
        };
        assert!(!rests_after(counts(1, 1, 0), 0), "a single one");
        assert!(rests_after(counts(3, 3, 0), 1_500) && rests_after(counts(1, 1, 0), 4_000));
        assert!(!rests_after(counts(1, 1, 0), 9_000), "seldom ones");
        assert!(rests_after(counts(1, 1, 0), 10_000));
        assert!(!rests_after(counts(2, 1, 0), 10_500), "somebody else said something else");
        assert!(!rests_after(counts(1, 1, 0), 11_000) && rests_after(counts(1, 1, 0), 11_500));
        assert!(!rests_after(counts(1, 1, 1), 12_000), "there is news");
        assert!(!rests_after(counts(0, 0, 0), 12_500) && !rests_after(counts(1, 1, 0), 13_000));
    }
}
