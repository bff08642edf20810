//! Which pages of the log are there already, for whoever asks the same?

use super::shares::Room;
use crate::budget::Charge;
use crate::stream::entry::Entry;
use carillon_backplane::log::LoggedEvent;
use carillon_protocol::event::event_frame;
use carillon_protocol::{Seq, TenantId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(5);
/// Most pages kept.
const PAGES: usize = 128;

/// Events of the log after a cursor, ready to be written, as one connection gets them.
pub(crate) struct BacklogPage {
    events: Arc<Events>,
    /// The reader's place among replays, until its connection has taken the page. Whoever shares a page needs none.
    _room: Option<Room>,
}

impl BacklogPage {
    /// A page of these events.
    #[cfg(test)]
    pub(crate) fn of(entries: Vec<Arc<Entry>>, upto: Seq) -> Self {
        let weight = entries.iter().map(|entry| entry.weight()).sum();
        Self { events: Arc::new(Events { entries, weight, upto }), _room: None }
    }

    pub(super) fn new(events: Arc<Events>, room: Option<Room>) -> Self {
        Self { events, _room: room }
    }

    /// The events after `cursor`; none when the log no longer has the next one.
    pub(crate) fn after(&self, cursor: Seq) -> &[Arc<Entry>] {
        let entries = &self.events.entries;
        let from = entries.partition_point(|entry| entry.seq <= cursor);
        match entries.get(from) {
            Some(entry) if entry.seq == cursor.next() => &entries[from..],
            _ => &[],
        }
    }
}

/// What was read once for all who need it.
#[derive(Debug)]
pub(super) struct Events {
    /// Consecutive; empty when the log no longer has the first one.
    entries: Vec<Arc<Entry>>,
    /// What they weigh.
    weight: usize,
    /// The end of the range that was asked for.
    pub(super) upto: Seq,
}

impl Events {
    /// The events that continue `after` without a hole, encoded for sockets.
    pub(super) fn new(after: Seq, upto: Seq, events: Vec<LoggedEvent>, reserved: &Charge) -> Self {
        let consecutive =
            events.into_iter().zip(after.0 + 1..).take_while(|(event, seq)| event.seq.0 == *seq);
        let encoded = consecutive.map(|(event, _)| {
            let json = event_frame(event.seq, &event.channels, event.body.as_bytes(), None);
            Arc::new(Entry::new(event.seq, event.channels.into(), &json, 0, |bytes| reserved.split(bytes)))
        });
        let entries: Vec<_> = encoded.collect();
        let weight = entries.iter().map(|entry| entry.weight()).sum();
        Self { entries, weight, upto }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// A question: the tenant, the life of its stream among all of this process, and the cursor.
pub(super) type Key = (TenantId, u64, Seq);
/// Its answer, for all who ask it meanwhile.
pub(super) type Answer = Arc<OnceCell<Arc<Events>>>;
/// Questions under way and answers that are kept, each with the time it was asked.
pub(super) type Pages = HashMap<Key, (Instant, Answer)>;

/// Lets old pages go every time, and the oldest of the others while there are too many. A question under way that goes
/// is answered all the same, only not shared any further.
pub(super) fn make_room(pages: &mut Pages, most: usize, now: Instant) {
    pages.retain(|_, (asked, _)| now.duration_since(*asked) < KEPT);
    let weight = |answer: &Answer| answer.get().map_or(0, |page| page.weight);
    let mut kept: usize = pages.values().map(|(_, answer)| weight(answer)).sum();
    while pages.len() >= PAGES || kept > most {
        let oldest = pages.iter().min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| key.clone());
        let Some((_, answer)) = oldest.and_then(|key| pages.remove(&key)) else { return };
        kept -= weight(&answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1_000;

    fn kept(pages: &mut Pages, seq: u64, weight: usize, asked: Instant) {
        let page = Events { entries: Vec::new(), weight, upto: Seq(seq) };
        let answer = Arc::new(OnceCell::new_with(Some(Arc::new(page))));
        pages.insert((TenantId::new("acme").unwrap(), 1, Seq(seq)), (asked, answer));
    }

    fn left(pages: &Pages) -> Vec<u64> {
        let mut left: Vec<u64> = pages.keys().map(|(_, _, after)| after.0).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn i10_pages_are_kept_within_time_number_and_bytes() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut pages = Pages::new();
        (0..4).for_each(|seq| kept(&mut pages, seq, MOST / 3, at(seq)));
        make_room(&mut pages, MOST, at(4));
        assert_eq!(left(&pages), [1, 2, 3], "the oldest goes");
        make_room(&mut pages, MOST, at(2) + KEPT);
        assert_eq!(left(&pages), [3], "nothing is kept for ever");
        (0..PAGES as u64 * 2).for_each(|seq| kept(&mut pages, seq, 1, at(10 + seq)));
        make_room(&mut pages, MOST, at(500));
        assert_eq!((pages.len(), left(&pages)[0]), (PAGES - 1, PAGES as u64 + 1), "room for one more");
        pages.insert((TenantId::new("acme").unwrap(), 1, Seq(0)), (at(0), Answer::default()));
        make_room(&mut pages, MOST, at(500));
        assert_eq!(pages.len(), PAGES - 1, "a question under way can go, too");
    }
}
