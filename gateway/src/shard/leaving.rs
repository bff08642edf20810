//! How is a connection sent away so that it comes back elsewhere without a loss?
//!
//! **Invariant I8.** It is brought to the head first, so that it takes its newest cursor along; then it is told `goaway`
//! with a delay of its own; if it stays it is closed with a code that says resume.

use super::connection::Departure;
use super::context::Context;
use super::messages::Cause;
use super::tables::Tables;
use super::wire::Wire;
use super::world::{Socket, World};
use crate::metrics::metrics;
use carillon_protocol::CloseCode;
use carillon_protocol::server::ServerFrame;

/// How long a client that was told to go may still finish.
const LEAVING_MS: u64 = 2_000;
/// How long one that is behind may take to reach the head before it is told anyway. It resumes where it is.
const CATCHING_UP_MS: u64 = 5_000;

/// Sends connections away, round after round.
#[derive(Default)]
pub(super) struct Departures {
    /// Where the next one to be sent away is looked for.
    next: usize,
}

impl Departures {
    /// Sends `count` connections away that were not sent away before, from wherever the last round ended. They are left
    /// touched.
    pub(super) fn send_away<W: World>(
        &mut self,
        cause: Cause,
        count: usize,
        tables: &mut Tables<W::Socket>,
        context: &mut Context<W>,
    ) {
        let places = tables.connections.capacity();
        let (mut looked, mut told) = (0, 0);
        while told < count && looked < places {
            looked += 1;
            let key = self.next % places;
            self.next = key + 1;
            let stays = tables
                .connections
                .get(key)
                .is_some_and(|connection| connection.departure == Departure::Stays && connection.is_open());
            if stays {
                told += 1;
                begin_departure(key as u32, tables, context);
                tables.touched.push(key as u32);
            }
        }
        metrics().told_to_leave(cause, told as u64);
    }
}

fn begin_departure<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(connection) = tables.get_mut(key) else { return };
    if connection.sessions().iter().all(|session| session.is_live()) {
        tell_to_leave(key, tables, context);
    } else {
        connection.departure = Departure::AtHead { until_ms: context.now_ms + CATCHING_UP_MS };
    }
}

/// Tells a connection to go and when to come back.
pub(super) fn tell_to_leave<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(connection) = tables.get_mut(key) else { return };
    // A poll comes back by itself. What a client of Socket.IO does by itself, it does when its connection ends.
    if let Wire::Poll { .. } | Wire::SocketIo(_) = connection.wire {
        return tables.close(key, CloseCode::Restart, "the node is going away", context);
    }
    if connection.wire == Wire::Command {
        // Its answer is on its way.
        return;
    }
    connection.departure = Departure::ToldUntil(context.now_ms + LEAVING_MS);
    // Departures are spread already; the delay keeps those of one tick apart.
    let reconnect_ms = 100 + connection.id.number * 7_919 % 900;
    tables.say(key, &ServerFrame::Goaway { reconnect_ms });
}

/// Whether a connection that reached the head waited for that to leave.
pub(super) fn leaves_at_head<S: Socket>(key: u32, tables: &Tables<S>) -> bool {
    tables.get(key).is_some_and(|connection| matches!(connection.departure, Departure::AtHead { .. }))
}

/// Does what is due of a departure.
pub(super) fn depart<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    match tables.get(key).map(|connection| connection.departure) {
        Some(Departure::AtHead { until_ms }) if context.now_ms >= until_ms => {
            tell_to_leave(key, tables, context);
        }
        Some(Departure::ToldUntil(until_ms)) if context.now_ms >= until_ms => {
            tables.close(key, CloseCode::Restart, "the node is going away", context);
        }
        _ => {}
    }
}
