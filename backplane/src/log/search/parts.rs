//! In which days does the next part of a search lie?
//!
//! A window that is walked is cut where a stretch of days ends. Of the index, rows are of the time of their newest event,
//! which is less than a batch after any event they name: so a part of the log has its rows between the stretch of its first
//! event and that of the event a batch after its last one, and these are looked at one after the other.

use super::Search;
use super::route::{Leg, Order};
use crate::log::days::Days;
use crate::log::error::LogError;
use crate::log::places::Finder;
use crate::log::pool::Log;
use crate::log::projector::BATCH;
use crate::log::work::Work;
use carillon_protocol::Seq;

/// Stretches that are looked at one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretches {
    pub(super) next: usize,
    last: usize,
}

impl Stretches {
    pub(super) fn is_last(self) -> bool {
        self.next == self.last
    }

    /// Those after the next one; the last stays.
    pub(super) fn after(self) -> Self {
        let next =
            if self.next < self.last { self.next + 1 } else { self.next.saturating_sub(1).max(self.last) };
        Self { next, ..self }
    }
}

impl Log {
    /// What of a window lies in one stretch, and which; none when nothing of it is there.
    pub(super) async fn part(&self, search: &Search, leg: Leg) -> Result<Option<(Leg, Days)>, LogError> {
        let (Leg::Index { after, upto } | Leg::Walk { after, upto }) = leg;
        if search.calendar.is_whole() {
            return Ok(Some((leg, Days::ALL)));
        }
        let finder = self.finder(search);
        let place = match search.route.order() {
            Order::Ascending => finder.at_or_after(after.next()).await?,
            Order::Descending => finder.at_or_before(upto).await?,
        };
        let Some(place) = place.filter(|place| place.span.first <= upto) else { return Ok(None) };
        let (first, last) = (place.span.first.previous(), place.span.last);
        let leg = match search.route.order() {
            Order::Ascending => Leg::Walk { after, upto: upto.min(last) },
            Order::Descending => Leg::Walk { after: after.max(first), upto },
        };
        Ok(Some((leg, search.calendar.days(place.stretch))))
    }

    /// Where the index has its rows about a part of the log.
    pub(super) async fn index_stretches(
        &self,
        search: &Search,
        after: Seq,
        upto: Seq,
    ) -> Result<Stretches, LogError> {
        if search.calendar.is_whole() {
            return Ok(Stretches { next: 0, last: 0 });
        }
        let finder = self.finder(search);
        let newest = finder.at_or_before(Seq(upto.0.saturating_add(BATCH as u64))).await?;
        let newest = newest.map_or(0, |place| place.stretch);
        let oldest =
            finder.at_or_after(after.next()).await?.map_or(newest, |place| place.stretch).max(newest);
        Ok(match search.route.order() {
            Order::Ascending => Stretches { next: oldest, last: newest },
            Order::Descending => Stretches { next: newest, last: oldest },
        })
    }

    fn finder<'a>(&'a self, search: &'a Search) -> Finder<'a> {
        Finder { log: self, work: Work::Search, tenant: &search.tenant, calendar: &search.calendar }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_taken_in_either_direction_and_end() {
        let taken = |mut stretches: Stretches| {
            let mut taken = vec![stretches.next];
            while !stretches.is_last() {
                stretches = stretches.after();
                taken.push(stretches.next);
            }
            (taken, stretches.after() == stretches)
        };
        assert_eq!(taken(Stretches { next: 1, last: 3 }), (vec![1, 2, 3], true));
        assert_eq!(taken(Stretches { next: 3, last: 1 }), (vec![3, 2, 1], true));
        assert_eq!(taken(Stretches { next: 0, last: 0 }), (vec![0], true));
    }
}
