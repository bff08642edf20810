//! How does a `subscribe` get the past it asked for?
//!
//! A piece of history is a cursor, too: over the events of some channels, up to where the subscription became live.
//! It is read in pages, one at a time, and a page the socket cannot take is let go and read again later, so that a
//! slow reader's history costs no more than its live events do.
//!
//! The latest events of keys are such a piece, too. While one is under way its session gets nothing else: what comes after
//! it is newer.

use super::messages::{HistoryFrom, HistoryPage};
use crate::stream::backlog::Selection;
use carillon_protocol::client::{FrameId, History};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, Epochs, Seq, limits};

/// Pieces of history a connection may wait for at a time.
pub(super) const JOBS: usize = 32;

/// Reads of one page that may fail before its history is refused. They are half a second apart: a log that is away for two seconds, as in a
/// switchover, or has no turn free, is noticed by nobody, and one that is away for longer is told to the client, whose subscription is live
/// and who can ask again, instead of keeping it waiting.
const ATTEMPTS: u32 = 5;

/// Questions without an event that a piece of history has: some statements each, so about a million events of the channels are
/// looked at. As many again when it was found where it begins.
const FRUITLESS: u32 = 64;

/// What is asked for next.
pub(super) struct Question {
    pub(super) selection: Selection,
    pub(super) from: HistoryFrom,
    pub(super) upto: Seq,
}

/// History that a `subscribe` asked for and that is not complete yet.
pub(super) struct HistoryJob {
    id: Option<FrameId>,
    selection: Selection,
    from: HistoryFrom,
    /// Live from here on; history goes up to here.
    upto: Seq,
    count: u64,
    more: bool,
    /// Reads that failed since the last one that did not.
    failures: u32,
    /// Reads that found no event to send.
    fruitless: u32,
}

impl HistoryJob {
    /// History of a selection up to `upto`. A cursor that the log's epochs do not honour means nothing: everything is news.
    pub(super) fn new(
        id: Option<FrameId>,
        selection: Selection,
        asked: History,
        upto: Seq,
        epochs: &Epochs,
        oldest: Seq,
    ) -> Self {
        let (count, after) = match &asked {
            History::Latest => (0, Seq::ZERO),
            History::Last(count) => (*count, Seq::ZERO),
            History::Since { seq, epoch: seen }
                if seen.as_ref().is_none_or(|seen| epochs.honours(seen, *seq)) =>
            {
                (limits::HISTORY_EVENTS, *seq)
            }
            History::Since { .. } => (limits::HISTORY_EVENTS, Seq::ZERO),
        };
        // What came after the cursor but was dropped by retention was left out.
        let more = after > Seq::ZERO && after.next() < oldest;
        Self {
            id,
            selection,
            from: match asked {
                History::Latest => HistoryFrom::Latest(Seq::ZERO),
                _ => HistoryFrom::Newest { count, after, below: upto, start: upto },
            },
            upto,
            count: 0,
            more,
            failures: 0,
            fruitless: 0,
        }
    }

    /// What is said when the rest of it cannot be sent any more.
    pub(super) fn cut_short(&self) -> ServerFrame<'_> {
        ServerFrame::Replayed { id: self.raw_id(), count: self.count, more: true }
    }

    fn raw_id(&self) -> Option<&serde_json::value::RawValue> {
        self.id.as_deref().and_then(|id| serde_json::from_str(id).ok())
    }

    /// Of which channels it is.
    pub(super) fn channels(&self) -> &[Channel] {
        &self.selection.channels
    }

    /// Whether it is of the latest events of keys.
    pub(super) fn is_latest(&self) -> bool {
        matches!(self.from, HistoryFrom::Latest(_))
    }

    /// The frame's id as the client gave it.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What is to be read next.
    pub(super) fn question(&self) -> Question {
        Question { selection: self.selection.clone(), from: self.from, upto: self.upto }
    }

    /// A page has come.
    pub(super) fn took(&mut self, page: &HistoryPage) {
        self.failures = 0;
        self.more |= page.more;
        self.from = page.from;
    }

    /// An event of it was sent, or has begun to be.
    pub(super) fn sent(&mut self, seq: Seq) {
        self.from = self.from.past(seq);
        self.count += 1;
    }

    /// All events of a page were sent. Answers whether it was the last one.
    ///
    /// Where nothing is found for long, as among events of other types, it ends as if older ones were left out: a question costs the
    /// log more than the client.
    pub(super) fn passed(&mut self, page: &HistoryPage) -> bool {
        self.from = page.next;
        if page.complete || !page.events.is_empty() || self.is_latest() {
            return page.complete;
        }
        self.fruitless += 1;
        if self.fruitless < FRUITLESS {
            return false;
        }
        (self.more, self.fruitless) = (true, 0);
        match self.from {
            // What was found until now is sent.
            HistoryFrom::Newest { start, .. } if start < self.upto => {
                self.from = HistoryFrom::After(start);
                false
            }
            _ => true,
        }
    }

    /// What is said when all of it was sent.
    pub(super) fn complete(&self) -> ServerFrame<'_> {
        ServerFrame::Replayed { id: self.raw_id(), count: self.count, more: self.more }
    }

    /// A read failed. True if it is tried again: a few times, so that it does not wait for a log that is away for as long
    /// as the connection lives.
    pub(super) fn failed(&mut self) -> bool {
        self.failures += 1;
        self.failures < ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::Epoch;

    const UPTO: Seq = Seq(1_000_000);

    fn job(asked: History) -> HistoryJob {
        let channels = [Channel::new("order:7").unwrap()].into();
        let epochs = Epochs::new(&Epoch::new("e1").unwrap(), Vec::new());
        HistoryJob::new(None, Selection { channels, types: None }, asked, UPTO, &epochs, Seq(1))
    }

    /// A read that came so far, and found nothing to send.
    fn nothing(from: HistoryFrom, next: HistoryFrom) -> HistoryPage {
        HistoryPage { events: Vec::new(), complete: false, more: false, from, next, _held: None }
    }

    #[test]
    fn whoever_found_as_many_as_asked_for_still_asks_whether_there_are_older_ones() {
        assert!(job(History::Last(0)).question().from.asks_for_none(UPTO));
        let mut job = job(History::Last(1));
        let from = job.question().from;
        assert!(!from.asks_for_none(UPTO));
        // The newest was found; behind it, nothing was up to here.
        let next = HistoryFrom::Newest { count: 0, after: Seq::ZERO, below: Seq(700), start: Seq(899_999) };
        let page = nothing(from, next);
        job.took(&page);
        assert!(!job.passed(&page) && job.question().from == next && !next.asks_for_none(UPTO));
    }

    #[test]
    fn a_log_that_is_away_for_four_reads_of_a_page_is_not_noticed_and_then_the_history_is_refused() {
        let mut job = job(History::Last(10));
        for _ in 0..2 {
            assert_eq!([(); 4].map(|()| job.failed()), [true; 4]);
            // Of each page so many may fail.
            job.took(&nothing(job.question().from, HistoryFrom::After(Seq(1))));
        }
        assert_eq!([(); 5].map(|()| job.failed()), [true, true, true, true, false]);
    }

    #[test]
    fn i10_what_finds_nothing_ends_and_says_that_older_events_may_be_left_out() {
        let fruitless = |job: &mut HistoryJob, step: &dyn Fn(u64) -> HistoryFrom| {
            let ended = (1..1_000).find(|n| {
                let page = nothing(job.question().from, step(*n));
                job.took(&page);
                job.passed(&page)
                    || matches!((page.next, job.from), (HistoryFrom::Newest { .. }, HistoryFrom::After(_)))
            });
            assert_eq!(ended, Some(u64::from(FRUITLESS)));
        };
        let backwards = |start: Seq| {
            move |n| HistoryFrom::Newest { count: 9, after: Seq::ZERO, below: Seq(UPTO.0 - 2 - n), start }
        };
        let mut none = job(History::Last(10));
        fruitless(&mut none, &backwards(UPTO));
        assert!(none.complete().to_json().ends_with(br#""count":0,"more":true}"#));
        // What was found is sent, and no longer looked for than that.
        let mut one = job(History::Last(10));
        fruitless(&mut one, &backwards(UPTO.previous()));
        assert_eq!(one.question().from, HistoryFrom::After(UPTO.previous()));
        fruitless(&mut one, &|n| HistoryFrom::After(Seq(n)));
        assert!(one.more);
    }
}
