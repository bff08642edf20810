//! How do a tenant's batches get from its log to its stream? Some come late, twice or never, and what is missing is read
//! from the log: with the gateway's own sequencer.

use super::client::Finding;
use crate::stream::sequencer::{HeadVerdict, Missing, Offered, PATIENCE, Repaired, Sequenced, Sequencer};
use carillon_protocol::envelope::{Batch, EnvelopeEvent};
use carillon_protocol::{Epoch, Seq, Tag};
use std::time::Instant;

/// What becomes of a batch on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// It comes once more, later.
    Twice,
    Lost,
}

/// Where a log ends.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) tag: Option<Tag>,
}

/// A tenant's fast path and its repair.
pub(super) struct Feed {
    sequencer: Sequencer,
    under_way: Vec<Batch>,
    /// A head that was read, and where the sequencer was when it was asked for.
    read: Option<(Head, (Epoch, Seq))>,
    /// What is being read from the log.
    missing: Option<Missing>,
}

impl Feed {
    pub(super) fn new(epoch: Epoch) -> Self {
        let sequencer = Sequencer::new(epoch, Seq::ZERO, None);
        Self { sequencer, under_way: Vec::new(), read: None, missing: None }
    }

    /// The last event that the stream has heard of.
    pub(super) fn head(&self) -> u64 {
        self.sequencer.head().0
    }

    /// A batch was committed, and is on its way.
    pub(super) fn announce(&mut self, batch: Batch) {
        self.under_way.push(batch);
    }

    /// One of those on their way arrives, or does not. Answers what has its turn.
    pub(super) fn arrive(
        &mut self,
        which: usize,
        fate: Fate,
        now: Instant,
    ) -> Result<Vec<Sequenced>, String> {
        let count = self.under_way.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let which = which % count;
        let batch = match fate {
            Fate::Twice => self.under_way[which].clone(),
            Fate::Arrives | Fate::Lost => self.under_way.remove(which),
        };
        let mut out = Vec::new();
        if fate != Fate::Lost && self.sequencer.offer(batch, now, &mut out) == Offered::Contradicts {
            return Err("I4: a batch of the log contradicts what passed".into());
        }
        self.look(now);
        Ok(out)
    }

    /// The head is read, and heard of `now` or later.
    pub(super) fn read_head(&mut self, head: Head, now: Instant, later: bool) -> Finding {
        let position = (self.sequencer.epoch().clone(), self.sequencer.head());
        let heard = match later {
            true => self.read.replace((head, position)),
            false => Some(self.read.take().unwrap_or((head, position))),
        };
        if let Some((head, asked)) = heard {
            let verdict = self.sequencer.observe(&head.epoch, head.seq, head.tag, &asked, now + PATIENCE);
            // Generations end here at once, so that a head of another one is overtaken.
            if !matches!(verdict, HeadVerdict::Level | HeadVerdict::Behind) {
                return Err(format!("I4: {head:?}, asked at {asked:?}, is {verdict:?}"));
            }
        }
        self.look(now);
        Ok(())
    }

    /// Asks for what is missing, if it is time.
    pub(super) fn look(&mut self, now: Instant) {
        self.missing = self.missing.or_else(|| self.sequencer.due(now));
    }

    /// What is being read from the log: from which event, which must be the last that passed, up to which.
    pub(super) fn missing(&self) -> Option<Missing> {
        self.missing
    }

    /// The log has answered, or not. Answers what has its turn.
    pub(super) fn repair(
        &mut self,
        events: Option<Vec<(Seq, EnvelopeEvent)>>,
        now: Instant,
    ) -> Result<Vec<Sequenced>, String> {
        let mut out = Vec::new();
        self.missing = None;
        match events {
            None => self.sequencer.repair_failed(now),
            Some(events) => match self.sequencer.repaired(events, now, &mut out) {
                Repaired::Continued => {}
                other => return Err(format!("I4: a repair was {other:?}")),
            },
        }
        self.look(now);
        Ok(out)
    }

    /// The log is another one from `seq` on. What is under way of the former one still arrives.
    pub(super) fn restart(&mut self, head: Head) {
        self.missing = None;
        self.sequencer.restart(head.epoch, head.seq, head.tag);
    }
}
