//! Where do the pages beside a page of `GET /v1/events` begin? (pure)
//!
//! A question that few events of a long log match is answered in pieces: a page ends when it is full, when the log ends,
//! or when it has been looked for long enough. Then its cursor says where the next page goes on.

use carillon_protocol::Seq;

/// The cursors of a page, which is shown newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Where the next older page begins.
    pub(super) next: Option<Seq>,
    /// Where the next newer page begins.
    pub(super) previous: Option<Seq>,
}

impl Turn {
    /// `found` is in the order of the search: newest first, but oldest first after `newer_than`. It has one event more
    /// than `limit` when there are more in that direction. `unfinished` is where the search was stopped.
    pub(super) fn of(
        older_than: Option<Seq>,
        newer_than: Option<Seq>,
        limit: usize,
        found: &[Seq],
        unfinished: Option<Seq>,
    ) -> Self {
        let more = found.len() > limit;
        let shown = &found[..found.len().min(limit)];
        let (first, last) = (shown.first().copied(), shown.last().copied());
        let onward = if more { last } else { unfinished };
        match newer_than {
            // There is a way back even from an empty page.
            Some(from) => Self { next: Some(first.unwrap_or(from.next())), previous: onward },
            None => {
                let previous = older_than.map(|from| first.unwrap_or(from.previous()));
                Self { next: onward, previous }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(
        older: Option<u64>,
        newer: Option<u64>,
        found: &[u64],
        unfinished: Option<u64>,
    ) -> (Option<u64>, Option<u64>) {
        let found: Vec<Seq> = found.iter().copied().map(Seq).collect();
        let turn = Turn::of(older.map(Seq), newer.map(Seq), 2, &found, unfinished.map(Seq));
        (turn.next.map(|seq| seq.0), turn.previous.map(|seq| seq.0))
    }

    #[test]
    fn pages_lead_to_their_neighbours() {
        assert_eq!(turn(None, None, &[9, 8, 7], Some(7)), (Some(8), None));
        assert_eq!(turn(None, None, &[9, 8], None), (None, None));
        assert_eq!(turn(Some(8), None, &[7, 6, 5], None), (Some(6), Some(7)));
        assert_eq!(turn(Some(2), None, &[1], None), (None, Some(1)));
        assert_eq!(turn(Some(2), None, &[], None), (None, Some(1)));
        assert_eq!(turn(None, Some(4), &[5, 6, 7], Some(7)), (Some(5), Some(6)));
        assert_eq!(turn(None, Some(7), &[8, 9], None), (Some(8), None));
        assert_eq!(turn(None, Some(9), &[], None), (Some(10), None));
    }

    #[test]
    fn a_page_that_ended_early_says_where_to_go_on() {
        assert_eq!(turn(None, None, &[9], Some(4)), (Some(4), None));
        assert_eq!(turn(None, None, &[], Some(4)), (Some(4), None));
        assert_eq!(turn(None, Some(4), &[5], Some(30)), (Some(5), Some(30)));
        assert_eq!(turn(None, Some(4), &[], Some(30)), (Some(5), Some(30)));
    }
}
