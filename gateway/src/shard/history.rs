//! How does a `subscribe` get the past it asked for?
//!
//! A piece of history is a cursor, too: over the events of some channels, up to where the subscription became live.
//! It is read in pages, one at a time, and a page the socket cannot take is let go and read again later, so that a
//! slow reader's history costs no more than its live events do.

use super::catchup::ASK_AGAIN_MS;
use super::connection::{Reading, Stage, Ticket};
use super::mailbox::{Errand, HistoryFrom};
use super::outbox::{Wrote, write};
use super::worker::Worker;
use crate::stream::backlog::Held;
use crate::ws;
use carillon_backplane::log::{LogError, LoggedEvent};
use carillon_protocol::client::{FrameId, History};
use carillon_protocol::event::event_frame;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, Epochs, Seq, limits};
use std::sync::Arc;

/// Pieces of history a connection may wait for at a time.
pub(super) const JOBS: usize = 32;

/// Reads of one page that may fail before its history is refused.
const ATTEMPTS: u32 = 5;

/// A page of history.
pub(crate) struct HistoryPage {
    pub(crate) events: Vec<LoggedEvent>,
    /// Whether nothing is left up to where history ends.
    pub(crate) complete: bool,
    /// Whether older events were left out (known when its first event is).
    pub(crate) more: bool,
    /// Where the page begins.
    pub(crate) from: HistoryFrom,
    /// Where history goes on after it. A page without events may still have come further.
    pub(crate) next: HistoryFrom,
    /// What its events hold of the replay budget, until they are written or forgotten.
    pub(crate) _held: Option<Held>,
}

/// History that a `subscribe` asked for and that is not complete yet.
pub(super) struct HistoryJob {
    id: Option<FrameId>,
    channels: Arc<[Channel]>,
    from: HistoryFrom,
    /// Live from here on; history goes up to here.
    upto: Seq,
    count: u64,
    more: bool,
    /// Reads that failed since the last one that did not.
    failures: u32,
}

impl HistoryJob {
    /// History of `channels` up to `upto`. A cursor that the log's epochs do not honour means nothing: everything is news.
    pub(super) fn new(
        id: Option<FrameId>,
        channels: &[Channel],
        asked: History,
        upto: Seq,
        epochs: &Epochs,
        oldest: Seq,
    ) -> Self {
        let (count, after) = match asked {
            History::Last(count) => (count, Seq::ZERO),
            History::Since { seq, epoch: seen }
                if seen.as_ref().is_none_or(|seen| epochs.honours(seen, seq)) =>
            {
                (limits::HISTORY_EVENTS, seq)
            }
            History::Since { .. } => (limits::HISTORY_EVENTS, Seq::ZERO),
        };
        // What came after the cursor but was dropped by retention was left out.
        let more = after > Seq::ZERO && after.next() < oldest;
        Self {
            id,
            channels: channels.into(),
            from: HistoryFrom::Newest { count, after, below: upto, start: upto },
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
}

impl Worker {
    /// Asks for the next page of the first job, unless something else is being read or waits to be written.
    pub(super) fn next_history(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let Stage::Member(member) = &mut connection.stage else { return };
        if member.reading != Reading::Nothing || !connection.outbox.is_empty() {
            return;
        }
        let Some(job) = member.history.front() else { return };
        let (channels, from, upto) = (job.channels.clone(), job.from, job.upto);
        let reader = member.reader();
        let (connection, ticket) = (connection.id, member.ask());
        self.run(Errand::History { connection, ticket, reader, channels, from, upto });
    }

    /// A page of history has come.
    pub(super) fn take_history(&mut self, key: u32, ticket: Ticket, page: Result<HistoryPage, LogError>) {
        let now_ms = self.now_ms;
        let Some(member) = self.member_mut(key) else { return };
        if !member.answered(ticket) {
            return;
        }
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%error, "a page of history could not be read");
                return self.history_failed(key);
            }
        };
        if !self.flush(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let Stage::Member(member) = &mut connection.stage else { return };
        let Some(job) = member.history.front_mut() else { return };
        job.failures = 0;
        job.more |= page.more;
        job.from = page.from;
        for event in page.events {
            let json = event_frame(
                event.seq,
                &event.channels,
                event.body.as_bytes(),
                Some(job.id.as_deref().unwrap_or("null")),
            );
            let frame = ws::encode::text_frame(&[&json]);
            let wrote = write(&mut connection.socket, &frame);
            if wrote == Wrote::Broken {
                return self.broken(key);
            }
            if wrote != Wrote::Blocked(0) {
                job.from = HistoryFrom::After(event.seq);
                job.count += 1;
                connection.sent_ms = now_ms;
                connection.blocked_ms = None;
            }
            if let Wrote::Blocked(taken) = wrote {
                if taken > 0 {
                    connection.outbox.begun(frame.slice(taken..));
                }
                return self.blocked(key, taken);
            }
        }
        job.from = page.next;
        if page.complete {
            let Some(job) = member.history.pop_front() else { return };
            self.answer(key, &ServerFrame::Replayed { id: job.raw_id(), count: job.count, more: job.more });
        }
        self.catch_up(key);
    }

    /// A read of history failed: it is tried again a few times, then refused, so that it does not wait for a log that is
    /// away for as long as the connection lives.
    fn history_failed(&mut self, key: u32) {
        let now_ms = self.now_ms;
        let Some(member) = self.member_mut(key) else { return };
        let Some(job) = member.history.front_mut() else { return };
        job.failures += 1;
        if job.failures < ATTEMPTS {
            member.reading = Reading::Later(now_ms + ASK_AGAIN_MS);
            return self.reschedule(key);
        }
        let Some(job) = member.history.pop_front() else { return };
        let message = "the history cannot be read now; the subscription is live";
        self.refuse(key, job.id.as_deref(), "history_unavailable", message);
        self.catch_up(key);
    }
}
