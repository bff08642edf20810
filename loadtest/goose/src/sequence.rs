//! Has a reader of a tenant seen every number once and in order?

/// What one reader has seen. Readers get every event of their tenant, so a number that is missing is a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// The last number.
    pub(crate) cursor: u64,
    /// Events that came.
    pub(crate) events: u64,
    /// Numbers that were jumped over.
    pub(crate) gaps: u64,
    /// Events whose number was not above the one before: twice, or out of order.
    pub(crate) repeats: u64,
}

impl Sequence {
    /// Begins after `cursor`.
    pub(crate) fn after(cursor: u64) -> Self {
        Self { cursor, events: 0, gaps: 0, repeats: 0 }
    }

    /// An event came.
    pub(crate) fn take(&mut self, seq: u64) {
        self.events += 1;
        if seq <= self.cursor {
            self.repeats += 1;
        } else {
            self.gaps += seq - self.cursor - 1;
            self.cursor = seq;
        }
    }

    /// The server says that everything up to `seq` was sent.
    pub(crate) fn told(&mut self, seq: u64) {
        if seq > self.cursor {
            self.gaps += seq - self.cursor;
            self.cursor = seq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cursor: u64, seqs: &[u64]) -> Sequence {
        let mut sequence = Sequence::after(cursor);
        seqs.iter().for_each(|seq| sequence.take(*seq));
        sequence
    }

    #[test]
    fn numbers_that_ascend_one_by_one_are_right() {
        assert_eq!(read(41, &[42, 43]), Sequence { cursor: 43, events: 2, gaps: 0, repeats: 0 });
    }

    #[test]
    fn a_jump_counts_every_number_that_is_missing() {
        assert_eq!(read(0, &[1, 4]), Sequence { cursor: 4, events: 2, gaps: 2, repeats: 0 });
        assert_eq!(read(10, &[12]), Sequence { cursor: 12, events: 1, gaps: 1, repeats: 0 });
    }

    #[test]
    fn a_number_again_or_an_older_one_is_a_repeat_and_moves_nothing() {
        assert_eq!(read(0, &[1, 1]), Sequence { cursor: 1, events: 2, gaps: 0, repeats: 1 });
        assert_eq!(read(0, &[1, 3, 2]), Sequence { cursor: 3, events: 3, gaps: 1, repeats: 1 });
    }

    #[test]
    fn a_cursor_the_server_tells_beyond_ours_is_a_gap_once() {
        let mut sequence = Sequence::after(5);
        [5, 7, 7].into_iter().for_each(|seq| sequence.told(seq));
        assert_eq!(sequence, Sequence { cursor: 7, events: 0, gaps: 2, repeats: 0 });
    }
}
