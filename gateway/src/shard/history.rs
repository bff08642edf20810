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

/// Reads of one page that may fail before its history is refused.
const ATTEMPTS: u32 = 5;

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

    /// All events of a page were sent.
    pub(super) fn passed(&mut self, page: &HistoryPage) {
        self.from = page.next;
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
