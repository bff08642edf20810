//! What is read of the log for a session, and what will be?
//!
//! Most sessions are live and have asked for no history: they have nothing here, and pay for a pointer.

use super::history::HistoryJob;
use super::messages::Ticket;
use std::collections::VecDeque;

/// Whether a page of the log is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// None.
    #[default]
    Nothing,
    /// One; an answer with another ticket is to a question nobody has any more.
    Asked(Ticket),
    /// The log did not answer; it is asked again then.
    Later(u64),
}

/// What is read, and the pieces of history that were asked for, the first one first.
#[derive(Default)]
pub(super) struct Past(Option<Box<Known>>);

#[derive(Default)]
struct Known {
    reading: Reading,
    jobs: VecDeque<HistoryJob>,
}

impl Past {
    pub(super) fn reading(&self) -> Reading {
        self.0.as_ref().map_or(Reading::Nothing, |known| known.reading)
    }

    pub(super) fn set_reading(&mut self, reading: Reading) {
        if reading != Reading::Nothing {
            self.0.get_or_insert_default().reading = reading;
        } else if let Some(known) = &mut self.0 {
            known.reading = reading;
            self.settle();
        }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &HistoryJob> {
        self.0.iter().flat_map(|known| &known.jobs)
    }

    /// How many pieces of history are to be read.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |known| known.jobs.len())
    }

    pub(super) fn front(&self) -> Option<&HistoryJob> {
        self.0.as_ref()?.jobs.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut HistoryJob> {
        self.0.as_mut()?.jobs.front_mut()
    }

    pub(super) fn push(&mut self, job: HistoryJob) {
        self.0.get_or_insert_default().jobs.push_back(job);
    }

    pub(super) fn pop(&mut self) -> Option<HistoryJob> {
        let job = self.0.as_mut()?.jobs.pop_front();
        self.settle();
        job
    }

    /// Takes the pieces that are so, in their order.
    pub(super) fn take(&mut self, is: impl Fn(&HistoryJob) -> bool) -> Vec<HistoryJob> {
        let Some(known) = &mut self.0 else { return Vec::new() };
        let (taken, kept): (VecDeque<HistoryJob>, _) =
            std::mem::take(&mut known.jobs).into_iter().partition(|job| is(job));
        known.jobs = kept;
        self.settle();
        taken.into()
    }

    /// Gives back what nothing stands in any more.
    fn settle(&mut self) {
        self.0.take_if(|known| known.reading == Reading::Nothing && known.jobs.is_empty());
    }
}
