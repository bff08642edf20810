//! How far may the cursor move while events of a batch are under way? (pure)

use carillon_protocol::Seq;

/// The events of a batch that are sent, in their order, and those that are settled.
#[derive(Debug, Clone)]
pub(super) struct Track {
    events: Vec<(Seq, bool)>,
    /// The first that is not settled.
    first: usize,
    /// Where the batch ends: what is not sent is passed.
    end: Seq,
}

impl Track {
    /// A batch up to `end` of which these are sent.
    pub(super) fn new(events: impl IntoIterator<Item = Seq>, end: Seq) -> Self {
        Self { events: events.into_iter().map(|seq| (seq, false)).collect(), first: 0, end }
    }

    /// An event was delivered, or stands in a row.
    pub(super) fn settle(&mut self, seq: Seq) {
        if let Ok(at) = self.events.binary_search_by_key(&seq, |(seq, _)| *seq) {
            self.events[at].1 = true;
        }
        while self.events.get(self.first).is_some_and(|(_, is_settled)| *is_settled) {
            self.first += 1;
        }
    }

    /// Everything up to here is settled or not wanted.
    pub(super) fn cursor(&self) -> Seq {
        self.events.get(self.first).map_or(self.end, |(seq, _)| seq.previous())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_wanted_is_passed() {
        let mut track = Track::new([Seq(3), Seq(7)], Seq(9));
        assert_eq!(track.cursor(), Seq(2));
        track.settle(Seq(3));
        assert_eq!(track.cursor(), Seq(6));
        track.settle(Seq(7));
        assert_eq!(track.cursor(), Seq(9));
        assert_eq!(Track::new([], Seq(9)).cursor(), Seq(9));
    }

    proptest! {
        #[test]
        fn the_cursor_never_passes_an_event_that_is_not_settled(
            seqs in proptest::collection::btree_set(1u64..200, 1..30), order in any::<u64>()
        ) {
            let all: Vec<Seq> = seqs.into_iter().map(Seq).collect();
            let mut track = Track::new(all.clone(), Seq(200));
            let mut open = all.clone();
            let mut random = order;
            while !open.is_empty() {
                let least = *open.iter().min().unwrap();
                prop_assert_eq!(track.cursor(), least.previous());
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let seq = open.swap_remove((random >> 33) as usize % open.len());
                track.settle(seq);
            }
            prop_assert_eq!(track.cursor(), Seq(200));
        }
    }
}
