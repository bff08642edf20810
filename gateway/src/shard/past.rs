//! Where does a session stand in its tenant's log, and what is read of it for the session?
//!
//! Most sessions are live and have asked for no history: they have nothing here, and pay for a pointer.

use super::history::HistoryJob;
use super::messages::Ticket;
use carillon_protocol::Seq;
use std::collections::VecDeque;

/// Where a session stands in its tenant's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Position {
    /// At the room's cursor; new events are written as they come.
    #[default]
    Live,
    /// It has got everything up to here and reads on at its own pace.
    Behind(Seq),
}

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

/// Where a session stands, what is read, and the pieces of history that were asked for, the first one first.
#[derive(Default)]
pub(super) struct Past(Option<Box<Known>>);

#[derive(Default)]
struct Known {
    position: Position,
    reading: Reading,
    jobs: VecDeque<HistoryJob>,
}

impl Past {
    pub(super) fn position(&self) -> Position {
        self.0.as_ref().map_or(Position::Live, |known| known.position)
    }

    pub(super) fn set_position(&mut self, position: Position) {
        if position != Position::Live {
            self.0.get_or_insert_default().position = position;
        } else if let Some(known) = &mut self.0 {
            known.position = position;
            self.settle();
        }
    }

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
        let is_at_rest = |known: &Known| {
            known.position == Position::Live && known.reading == Reading::Nothing && known.jobs.is_empty()
        };
        self.0.take_if(|known| is_at_rest(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_live_and_reads_nothing_pays_for_a_pointer_again() {
        assert_eq!(size_of::<Past>(), 8);
        let mut past = Past::default();
        assert_eq!(past.position(), Position::Live);
        past.set_position(Position::Live);
        assert!(past.0.is_none());
        past.set_position(Position::Behind(Seq(7)));
        past.set_reading(Reading::Asked(1));
        assert_eq!(past.position(), Position::Behind(Seq(7)));
        past.set_position(Position::Live);
        assert_eq!((past.position(), past.reading()), (Position::Live, Reading::Asked(1)));
        past.set_reading(Reading::Nothing);
        assert!(past.0.is_none());
        past.set_reading(Reading::Later(5));
        past.set_position(Position::Behind(Seq(8)));
        past.set_reading(Reading::Nothing);
        assert_eq!(past.position(), Position::Behind(Seq(8)), "it goes on being behind when a page has come");
        past.set_position(Position::Live);
        assert!(past.0.is_none());
    }
}
