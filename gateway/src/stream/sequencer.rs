//! In which order does a tenant's log pass through this gateway?
//!
//! **Invariants I2, I3, I4.** Batches come from Redis in any order, twice, or not at all. Out of here go events with
//! `seq` = head + 1, head + 2, …, each once; what is missing is asked for as a range to read from the log. Pure: time
//! is passed in, reading is somebody else's job.

use bytes::Bytes;
use carillon_protocol::envelope::{Batch, EnvelopeEvent};
use carillon_protocol::{Channel, Epoch, Except, Seq, Tag, limits};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long an early batch waits for the one before it: publishers may overtake each other between COMMIT and
/// PUBLISH. Longer only delays the repair of a real loss.
pub(crate) const PATIENCE: Duration = Duration::from_millis(60);
/// How long after a failed read the range is asked for again.
pub(crate) const RETRY: Duration = Duration::from_millis(300);
/// Most events held out of order. What does not fit is read from the log instead.
const HELD_EVENTS: usize = 4_096;
/// Most bytes held out of order.
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// An event whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequenced {
    pub(crate) seq: Seq,
    pub(crate) event: EnvelopeEvent,
    /// Commit time, microseconds since 1970; zero when it was read from the log.
    pub(crate) at_micros: u64,
}

/// What a batch turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Everything in it was new.
    New,
    /// It began with events that had passed already; these, to be compared with what passed.
    Repeated(Vec<(Seq, Bytes)>),
    /// It belongs to another epoch of the log.
    OtherEpoch,
    /// It follows another event than the one that passed here: the log lost its end and has grown again.
    Contradicts,
}

/// What a head read from the database says about this stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadVerdict {
    /// Nothing is missing.
    Level,
    /// Events up to there are in the log but have not passed; they will be asked for unless they arrive in time.
    Behind,
    /// The log ends before what has passed here: its end was lost.
    Regressed,
    /// The log has another epoch.
    OtherEpoch,
    /// The log ends with another event under the same number.
    Contradicts,
}

/// What became of a range read from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repaired {
    /// It continued the stream.
    Continued,
    /// The log no longer has what is missing.
    Gone,
    /// Before what is missing the log has another event than the one that passed here.
    Contradicts,
}

/// The range `after < seq <= upto` is to be read from the log, and the event at `after` with it, to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) after: Seq,
    pub(crate) upto: Seq,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Every known event has passed.
    Live,
    /// Something is missing but may still arrive by itself.
    Holding { until: Instant },
    /// The range after `after` is being read.
    Repairing { after: Seq },
}

#[derive(Debug)]
struct Held {
    event: EnvelopeEvent,
    /// The tag of the event before it, where that is known.
    before: Option<Tag>,
    at_micros: u64,
}

/// One tenant's stream: the epoch, the head, and what came too early.
#[derive(Debug)]
pub(crate) struct Sequencer {
    epoch: Epoch,
    head: Seq,
    /// The tag of the event at the head, if it is known.
    tag: Option<Tag>,
    /// The farthest seq known to be committed; at least `head`.
    known: Seq,
    held: BTreeMap<Seq, Held>,
    held_bytes: usize,
    /// Events that came too early and were not held, or not any more, since this was last asked.
    let_go: usize,
    state: State,
}

impl Sequencer {
    /// A stream that continues after `head`.
    pub(crate) fn new(epoch: Epoch, head: Seq, tag: Option<Tag>) -> Self {
        let held = BTreeMap::new();
        Self { epoch, head, tag, known: head, held, held_bytes: 0, let_go: 0, state: State::Live }
    }

    pub(crate) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The last event that passed.
    pub(crate) fn head(&self) -> Seq {
        self.head
    }

    /// The tag of the last event that passed, if it is known.
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// Whether events are known to be missing.
    pub(crate) fn is_behind(&self) -> bool {
        self.known > self.head
    }

    /// Takes a batch from the fast path; events whose turn has come are appended to `out`.
    pub(crate) fn offer(&mut self, batch: Batch, now: Instant, out: &mut Vec<Sequenced>) -> Offered {
        if batch.epoch != self.epoch {
            return Offered::OtherEpoch;
        }
        self.known = self.known.max(batch.last());
        let mut repeated = Vec::new();
        let (mut before, at_micros) = (batch.before, batch.at_micros);
        let mut follows = true;
        for (seq, event) in (batch.first.0..).map(Seq).zip(batch.events) {
            let held = Held { event, before: before.take(), at_micros };
            if seq == self.head && Tag::differ(Tag::of(&held.event.body), self.newest(out)) {
                // Whoever appended it had another event behind which it stands than the one that passed here.
                follows = false;
                break;
            } else if seq <= self.head {
                repeated.push((seq, held.event.body));
            } else if seq > self.head.next() {
                self.hold(seq, held);
            } else if self.follows(&held, out) {
                self.pass(seq, held, out);
            } else {
                follows = false;
                break;
            }
        }
        follows = follows && self.pass_held(out);
        self.tag = self.newest(out);
        self.settle(now + PATIENCE);
        if !follows {
            return Offered::Contradicts;
        }
        if repeated.is_empty() { Offered::New } else { Offered::Repeated(repeated) }
    }

    /// Takes a head read from the database. `asked` is where this stream was when the question was sent: an answer
    /// older than what passed meanwhile proves nothing. Missing events may still come by themselves until `until`.
    pub(crate) fn observe(
        &mut self,
        epoch: &Epoch,
        head: Seq,
        tag: Option<Tag>,
        asked: &(Epoch, Seq),
        until: Instant,
    ) -> HeadVerdict {
        if asked.0 != self.epoch {
            return HeadVerdict::Level;
        }
        if *epoch != self.epoch {
            return HeadVerdict::OtherEpoch;
        }
        if head < asked.1 {
            return HeadVerdict::Regressed;
        }
        if head == self.head && Tag::differ(tag, self.tag) {
            return HeadVerdict::Contradicts;
        }
        self.known = self.known.max(head);
        self.settle(until);
        if self.is_behind() { HeadVerdict::Behind } else { HeadVerdict::Level }
    }

    /// The range to read now, if patience has run out. The caller answers with [`repaired`](Self::repaired) or
    /// [`repair_failed`](Self::repair_failed).
    pub(crate) fn due(&mut self, now: Instant) -> Option<Missing> {
        let State::Holding { until } = self.state else { return None };
        if now < until {
            return None;
        }
        self.state = State::Repairing { after: self.head };
        let upto = self.held.first_key_value().map_or(self.known, |(first, _)| first.previous());
        debug_assert!(upto > self.head, "I4: a repair asks for what is missing");
        Some(Missing { after: self.head, upto })
    }

    /// When [`due`](Self::due) should be asked next.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        match self.state {
            State::Holding { until } => Some(until),
            State::Live | State::Repairing { .. } => None,
        }
    }

    /// Takes what was read, in ascending order. `now` is when the rest, if any, is asked for.
    pub(crate) fn repaired(
        &mut self,
        events: impl IntoIterator<Item = (Seq, EnvelopeEvent)>,
        now: Instant,
        out: &mut Vec<Sequenced>,
    ) -> Repaired {
        // What came by itself meanwhile continued the stream too: an answer that is overtaken proves nothing.
        let before = match self.state {
            State::Repairing { after } => after,
            State::Live | State::Holding { .. } => self.head,
        };
        let mut follows = true;
        for (seq, event) in events {
            if seq == self.head.next() {
                self.pass(seq, Held { event, before: None, at_micros: 0 }, out);
            } else if seq > self.head {
                break;
            } else if seq == self.head && Tag::differ(Tag::of(&event.body), self.newest(out)) {
                follows = false;
                break;
            }
        }
        follows = follows && self.pass_held(out);
        self.tag = self.newest(out);
        self.state = State::Live;
        if !follows {
            self.settle(now + RETRY);
            return Repaired::Contradicts;
        }
        self.settle(now);
        if self.head == before && self.is_behind() { Repaired::Gone } else { Repaired::Continued }
    }

    /// The read failed; it is tried again after [`RETRY`].
    pub(crate) fn repair_failed(&mut self, now: Instant) {
        self.state = State::Live;
        self.settle(now + RETRY);
    }

    /// Memory of what came too early.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Lets go of what came too early: the log has it, and it is asked for like everything else that is missing.
    pub(crate) fn let_go_of_held(&mut self) {
        self.let_go += self.held.len();
        (self.held, self.held_bytes) = (BTreeMap::new(), 0);
    }

    /// How many events were let go since this was last asked.
    pub(crate) fn take_let_go(&mut self) -> usize {
        std::mem::take(&mut self.let_go)
    }

    /// Begins again in another epoch, or after a loss that the log cannot fill.
    pub(crate) fn restart(&mut self, epoch: Epoch, head: Seq, tag: Option<Tag>) {
        *self = Self::new(epoch, head, tag);
    }

    /// Goes on in another epoch that has everything that has passed. What was held may not be in it.
    pub(crate) fn renew(&mut self, epoch: Epoch) {
        *self = Self::new(epoch, self.head, self.tag);
    }

    /// The tag of the event at the head, which may be the last that passed into `out`.
    fn newest(&self, out: &[Sequenced]) -> Option<Tag> {
        match out.last() {
            Some(last) if last.seq == self.head => Tag::of(&last.event.body),
            _ => self.tag,
        }
    }

    /// Whether the next event was appended behind the one that passed last.
    fn follows(&self, next: &Held, out: &[Sequenced]) -> bool {
        next.before.is_none() || !Tag::differ(next.before, self.newest(out))
    }

    fn pass(&mut self, seq: Seq, next: Held, out: &mut Vec<Sequenced>) {
        let Held { event, at_micros, .. } = next;
        debug_assert_eq!(seq, self.head.next(), "I2: events pass in order, without gaps, once");
        self.head = seq;
        self.known = self.known.max(seq);
        out.push(Sequenced { seq, event, at_micros });
    }

    fn hold(&mut self, seq: Seq, held: Held) {
        let size = weight(&held.event);
        if self.held.len() < HELD_EVENTS && self.held_bytes + size <= HELD_BYTES {
            // As it came it shares its memory with its neighbours on the wire.
            let body = Bytes::copy_from_slice(&held.event.body);
            let event = EnvelopeEvent { body, ..held.event };
            let replaced = self.held.insert(seq, Held { event, ..held });
            self.held_bytes += size;
            self.held_bytes -= replaced.map_or(0, |held| weight(&held.event));
        } else {
            self.let_go += 1;
        }
    }

    /// False when what is next follows another event than the one that passed last.
    fn pass_held(&mut self, out: &mut Vec<Sequenced>) -> bool {
        while let Some(entry) = self.held.first_entry() {
            let seq = *entry.key();
            if seq > self.head.next() {
                break;
            }
            let held = entry.remove();
            self.held_bytes -= weight(&held.event);
            if seq == self.head.next() {
                if !self.follows(&held, out) {
                    return false;
                }
                self.pass(seq, held, out);
            }
        }
        true
    }

    /// Waits for what is missing until `until`, or is content. A wait that runs already is not prolonged.
    fn settle(&mut self, until: Instant) {
        self.state = match self.state {
            repairing @ State::Repairing { .. } => repairing,
            _ if !self.is_behind() => State::Live,
            State::Holding { until: earlier } => State::Holding { until: earlier.min(until) },
            State::Live => State::Holding { until },
        };
    }
}

/// Memory of an event that is held: its bytes, its channels' names, its place, and the heads of its allocations.
fn weight(event: &EnvelopeEvent) -> usize {
    let names: usize =
        event.channels.iter().map(|name| size_of::<Channel>() + 16 + name.as_str().len()).sum();
    let except = event.except.as_deref().map_or(0, |_| size_of::<Except>() + 2 * limits::USER_BYTES);
    size_of::<(Seq, Held)>() + 3 * 16 + names + event.body.len() + except
}

#[cfg(test)]
#[path = "sequencer_tests.rs"]
mod tests;
