//! How is a connection sent away so that it comes back elsewhere without a loss?
//!
//! **Invariant I8.** It is brought to the head first, so that it takes its newest cursor along; then it is told `goaway`
//! with a delay of its own; if it stays it is closed with a code that says resume.

use super::connection::{Departure, Position, Stage};
use super::wire::Wire;
use super::worker::Worker;
use crate::metrics::metrics;
use carillon_protocol::CloseCode;
use carillon_protocol::server::ServerFrame;

/// How long a client that was told to go may still finish.
const LEAVING_MS: u64 = 2_000;
/// How long one that is behind may take to reach the head before it is told anyway. It resumes where it is.
const CATCHING_UP_MS: u64 = 5_000;

/// Why connections are sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The process is stopping.
    Drain,
    /// The node carries more than its share.
    Rebalance,
    /// An operator has it emptied.
    Evacuate,
}

impl Cause {
    /// As the metrics' label spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Rebalance => "rebalance",
            Self::Evacuate => "evacuate",
        }
    }
}

impl Worker {
    /// Sends `count` connections away that were not sent away before, wherever the last round ended.
    pub(super) fn send_away(&mut self, cause: Cause, count: usize) {
        let places = self.connections.capacity();
        let (mut looked, mut told) = (0, 0);
        while told < count && looked < places {
            looked += 1;
            let key = self.next_to_leave % places;
            self.next_to_leave = key + 1;
            let stays = self.connections.get(key).is_some_and(|connection| {
                connection.departure == Departure::Stays && matches!(connection.stage, Stage::Member(_))
            });
            if stays {
                told += 1;
                self.have_leave(key as u32);
                self.reschedule(key as u32);
            }
        }
        metrics().told_to_leave(cause, told as u64);
    }

    fn have_leave(&mut self, key: u32) {
        let now = self.now_ms;
        match self.member(key).map(|member| member.position) {
            Some(Position::Behind(_)) => {
                self.connections[key as usize].departure =
                    Departure::AtHead { until_ms: now + CATCHING_UP_MS };
            }
            Some(Position::Live) => self.tell_to_leave(key),
            None => {}
        }
    }

    /// Tells a connection to go and when to come back.
    pub(super) fn tell_to_leave(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if let Wire::Poll { .. } = connection.wire {
            return self.close(key, CloseCode::Restart, "the node is going away");
        }
        connection.departure = Departure::ToldUntil(self.now_ms + LEAVING_MS);
        // Departures are spread already; the delay keeps those of one tick apart.
        let reconnect_ms = 100 + connection.id.number * 7_919 % 900;
        self.answer(key, &ServerFrame::Goaway { reconnect_ms });
    }

    /// A connection that was behind is live: if it waited for that to leave, it leaves.
    pub(super) fn leave_at_head(&mut self, key: u32) {
        let waits = self
            .connections
            .get(key as usize)
            .is_some_and(|connection| matches!(connection.departure, Departure::AtHead { .. }));
        if waits {
            self.tell_to_leave(key);
            self.reschedule(key);
        }
    }

    /// What is due of a departure. True when the connection was closed.
    pub(super) fn depart(&mut self, key: u32) -> bool {
        match self.connections[key as usize].departure {
            Departure::AtHead { until_ms } if self.now_ms >= until_ms => {
                self.tell_to_leave(key);
                true
            }
            Departure::ToldUntil(until_ms) if self.now_ms >= until_ms => {
                self.close(key, CloseCode::Restart, "the node is going away");
                true
            }
            _ => false,
        }
    }
}
