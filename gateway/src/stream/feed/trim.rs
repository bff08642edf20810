//! Which rings give way when all of them together are too large?
//!
//! The largest: they are cut to one level, the highest at which enough is freed. A ring below it stays whole, so a tenant
//! with much traffic never costs the others their recent events.

use crate::stream::Stream;
use std::sync::Arc;

/// Lets the oldest events of the largest rings go until `excess` bytes are freed. Answers how many events went.
pub(super) fn trim(streams: &[Arc<Stream>], excess: usize) -> usize {
    let mut weights: Vec<usize> = streams.iter().map(|stream| stream.weight()).collect();
    let level = level(&mut weights, excess);
    streams.iter().map(|stream| stream.trim(level)).sum()
}

/// The highest level to which all larger weights can be cut so that at least `excess` is freed; zero if all of them
/// together are not enough.
fn level(weights: &mut [usize], excess: usize) -> usize {
    weights.sort_unstable_by(|one, other| other.cmp(one));
    let mut sum = 0;
    for (index, weight) in weights.iter().enumerate() {
        sum += weight;
        let (count, next) = (index + 1, weights.get(index + 1).copied().unwrap_or(0));
        if sum - count * next >= excess {
            return (sum - excess) / count;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::stream::entry::Entry;
    use crate::stream::ring::RingLimits;
    use carillon_protocol::{Epoch, Seq, TenantId};
    use proptest::prelude::*;

    #[test]
    fn i10_the_largest_ring_gives_way_and_small_ones_stay_whole() {
        let budget = Budget::new(usize::MAX);
        let streams: Vec<Arc<Stream>> = (0..10)
            .map(|n| {
                let tenant = TenantId::new(format!("tenant-{n}")).unwrap();
                let limits = RingLimits { events: 10_000, bytes: usize::MAX };
                let stream = Stream::new(tenant, Epoch::new("e1").unwrap(), Seq(0), Seq(1), limits);
                let events = if n == 0 { 1_000 } else { 20 };
                stream.push((1..=events).map(|seq| {
                    Arc::new(Entry::new(Seq(seq), Box::new([]), &[b'x'; 100], 0, |bytes| {
                        budget.charge(bytes)
                    }))
                }));
                Arc::new(stream)
            })
            .collect();
        let (before, excess) = (budget.used(), budget.used() / 4);
        let gone = trim(&streams, excess);
        assert!(
            budget.used() <= before - excess && budget.used() > before - excess - 1_000,
            "no more than asked"
        );
        let whole = |stream: &Arc<Stream>| {
            let mut events = Vec::new();
            let _ = stream.after(1, Seq(0), 10_000, &mut events);
            events.len()
        };
        assert!(
            streams[1..].iter().all(|stream| whole(stream) == 20),
            "nine small tenants keep their events"
        );
        assert!(gone > 200 && whole(&streams[0]) == 0, "the first event of the large one has left");
        trim(&streams, usize::MAX);
        assert_eq!(budget.used(), 0);
    }

    proptest! {
        #[test]
        fn the_level_frees_enough_and_is_the_highest_that_does(
            weights in proptest::collection::vec(0_usize..1_000, 0..50),
            excess in 1_usize..30_000,
        ) {
            let freed = |level: usize| weights.iter().map(|weight| weight.saturating_sub(level)).sum::<usize>();
            let level = level(&mut weights.clone(), excess);
            if freed(0) >= excess {
                prop_assert!(freed(level) >= excess, "enough");
                prop_assert!(freed(level + 1) < excess, "and no more");
            } else {
                prop_assert_eq!(level, 0);
            }
        }
    }
}
