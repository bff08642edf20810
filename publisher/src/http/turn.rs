//! What stands on a page of `GET /v1/events`, and where do the pages beside it begin?
//!
//! A question that few events of a long log match is answered in pieces: a page ends when it is full, when the log ends,
//! or when it has been looked for long enough. Then its cursor says where the next page goes on.

use carillon_backplane::log::{EventFilter, Log, LogError, LoggedEvent, Order, Search};
use carillon_protocol::{Seq, TenantId};
use std::time::{Duration, Instant};

/// How long a request looks for events before it answers with those it has. The statement under way is awaited.
const LOOKS_FOR: Duration = Duration::from_millis(800);

/// A page, newest first, and where the pages beside it begin.
pub(super) struct Turn {
    pub(super) events: Vec<LoggedEvent>,
    pub(super) next: Option<Seq>,
    pub(super) previous: Option<Seq>,
}

/// Finds at most `limit` events before `older_than` or after `newer_than`, in a log that ends at `head`.
pub(super) async fn find(
    log: &Log,
    tenant: &TenantId,
    filter: EventFilter,
    (older_than, newer_than): (Option<Seq>, Option<Seq>),
    head: Seq,
    limit: usize,
) -> Result<Turn, LogError> {
    let order = if newer_than.is_some() { Order::Ascending } else { Order::Descending };
    let upto = older_than.map_or(head, Seq::previous).min(head);
    let mut search = log.search(tenant, filter, (newer_than.unwrap_or(Seq::ZERO), upto), order).await?;
    let (began, mut found) = (Instant::now(), Vec::new());
    // One event more than asked for tells whether there is another page.
    while found.len() <= limit && !search.is_done() && began.elapsed() < LOOKS_FOR {
        found.extend(log.search_on(&mut search, limit + 1 - found.len(), usize::MAX).await?);
    }
    let unfinished = (!search.is_done()).then(|| place(&search, order));
    Ok(Turn::of(older_than, newer_than, limit, found, unfinished))
}

/// Where a search that was stopped goes on: the last event that was looked at, as a cursor says it.
fn place(search: &Search, order: Order) -> Seq {
    let (after, upto) = search.left();
    if order == Order::Ascending { after } else { upto.next() }
}

impl Turn {
    /// `found` is in the order of the search, with one event more than `limit` when there are more in its direction.
    /// `unfinished` is where it was stopped.
    fn of(
        older_than: Option<Seq>,
        newer_than: Option<Seq>,
        limit: usize,
        mut found: Vec<LoggedEvent>,
        unfinished: Option<Seq>,
    ) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|event| event.seq);
        let onward = if more { last } else { unfinished };
        let first = found.first().map(|event| event.seq);
        if let Some(from) = newer_than {
            found.reverse();
            // There is a way back even from an empty page.
            return Self { next: Some(first.unwrap_or(from.next())), previous: onward, events: found };
        }
        let previous = older_than.map(|from| first.unwrap_or(from.previous()));
        Self { next: onward, previous, events: found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Shown = (Vec<u64>, Option<u64>, Option<u64>);

    fn turn(older: Option<u64>, newer: Option<u64>, found: &[u64], unfinished: Option<u64>) -> Shown {
        let event = |seq: &u64| LoggedEvent { seq: Seq(*seq), channels: Vec::new(), body: "{}".into() };
        let found = found.iter().map(event).collect();
        let turn = Turn::of(older.map(Seq), newer.map(Seq), 2, found, unfinished.map(Seq));
        let seqs = turn.events.iter().map(|event| event.seq.0).collect();
        (seqs, turn.next.map(|seq| seq.0), turn.previous.map(|seq| seq.0))
    }

    #[test]
    fn pages_lead_to_their_neighbours() {
        assert_eq!(turn(None, None, &[9, 8, 7], Some(7)), (vec![9, 8], Some(8), None));
        assert_eq!(turn(None, None, &[9, 8], None), (vec![9, 8], None, None));
        assert_eq!(turn(Some(8), None, &[7, 6, 5], None), (vec![7, 6], Some(6), Some(7)));
        assert_eq!(turn(Some(2), None, &[1], None), (vec![1], None, Some(1)));
        assert_eq!(turn(Some(2), None, &[], None), (vec![], None, Some(1)));
        assert_eq!(turn(None, Some(4), &[5, 6, 7], Some(7)), (vec![6, 5], Some(5), Some(6)));
        assert_eq!(turn(None, Some(7), &[8, 9], None), (vec![9, 8], Some(8), None));
        assert_eq!(turn(None, Some(9), &[], None), (vec![], Some(10), None));
    }

    #[test]
    fn a_page_that_ended_early_says_where_to_go_on() {
        assert_eq!(turn(None, None, &[9], Some(4)), (vec![9], Some(4), None));
        assert_eq!(turn(None, None, &[], Some(4)), (vec![], Some(4), None));
        assert_eq!(turn(None, Some(4), &[5], Some(30)), (vec![5], Some(5), Some(30)));
        assert_eq!(turn(None, Some(4), &[], Some(30)), (vec![], Some(5), Some(30)));
    }
}
