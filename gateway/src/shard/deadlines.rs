//! When is which connection due, and for what?
//!
//! Heartbeats, pings, silence, stalls, expiring tokens, late greetings and farewells, and departures: one
//! look at a connection does what is due and tells when to look again.

use super::connection::{Departure, Member, Position, Reading, Stage};
use super::wire::Wire;
use super::worker::Worker;
use crate::ws::encode::push_ping;
use carillon_protocol::CloseCode;
use carillon_protocol::server::ServerFrame;
use std::num::NonZeroU64;

/// How long a connection without a token may wait with its first frame.
const GREETING_MS: u64 = 5_000;
/// How long a token may be checked and a stream opened.
const ENTERING_MS: u64 = 10_000;
/// Longest time before expiry that a client is told; half the token's time if that is less.
const EXPIRING_MS: u64 = 30_000;

impl Worker {
    /// Does everything that is due.
    pub(super) fn on_time(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.now_ms, &mut due);
        for (key, place) in due.drain(..) {
            // It may have gone, or stand elsewhere in the wheel by now.
            if self.connections.get(key as usize).is_some_and(|connection| connection.place == place) {
                self.look_after(key);
                self.reschedule_always(key);
            }
        }
        self.due = due;
    }

    /// Puts a connection into the wheel again if it is due earlier than it stands there.
    pub(super) fn reschedule(&mut self, key: u32) {
        let Some(due_ms) = self.due_ms(key) else { return };
        let connection = &mut self.connections[key as usize];
        if due_ms.div_ceil(super::wheel::SLOT_MS) < connection.place {
            connection.place = self.wheel.insert(key, due_ms);
        }
    }

    fn reschedule_always(&mut self, key: u32) {
        let Some(due_ms) = self.due_ms(key) else { return };
        self.connections[key as usize].place = self.wheel.insert(key, due_ms);
    }

    /// When a connection must be looked at next.
    fn due_ms(&self, key: u32) -> Option<u64> {
        let connection = self.connections.get(key as usize)?;
        let heartbeat = self.config.heartbeat_ms;
        Some(match &connection.stage {
            Stage::Greeting(_) => connection.opened_ms + GREETING_MS,
            Stage::Entering(_) => connection.opened_ms + ENTERING_MS,
            Stage::Closing { until_ms } => *until_ms,
            Stage::Gone => return None,
            Stage::Member(member) => {
                let alive = match connection.blocked_ms {
                    Some(since) => since + self.config.stall_ms,
                    None => match connection.wire {
                        Wire::WebSocket(_) => {
                            let silence =
                                if connection.pinged_ms.is_some() { self.silence_ms() } else { heartbeat };
                            (connection.sent_ms + heartbeat).min(connection.heard_ms + silence)
                        }
                        Wire::EventStream => connection.sent_ms + heartbeat,
                        Wire::Poll { wait_ms, .. } => connection.opened_ms + poll_ms(wait_ms, member),
                    },
                };
                let token = member.expiring_ms.min(member.expires_ms);
                let again = match member.reading {
                    Reading::Later(at_ms) => at_ms,
                    _ => u64::MAX,
                };
                let leave = match connection.departure {
                    Departure::Stays => u64::MAX,
                    Departure::AtHead { until_ms: at_ms } | Departure::ToldUntil(at_ms) => at_ms,
                };
                alive.min(token).min(again).min(leave)
            }
        })
    }

    /// Does what is due for a connection.
    pub(super) fn look_after(&mut self, key: u32) {
        let now = self.now_ms;
        let connection = &mut self.connections[key as usize];
        match &connection.stage {
            Stage::Greeting(_) if now >= connection.opened_ms + GREETING_MS => {
                self.close(key, CloseCode::Unauthenticated, "no token within 5 s");
            }
            Stage::Entering(_) if now >= connection.opened_ms + ENTERING_MS => {
                self.close(key, CloseCode::OverCapacity, "the tenant's log cannot be reached now");
            }
            Stage::Closing { until_ms } if now >= *until_ms => self.remove(key, None),
            Stage::Member(_) => self.look_after_member(key, now),
            _ => {}
        }
    }

    fn look_after_member(&mut self, key: u32, now: u64) {
        let (heartbeat, silence) = (self.config.heartbeat_ms, self.silence_ms());
        let connection = &mut self.connections[key as usize];
        let Stage::Member(member) = &mut connection.stage else { return };
        if now >= member.expires_ms {
            return self.close(key, CloseCode::Unauthenticated, "the token has expired");
        }
        if matches!(member.reading, Reading::Later(at_ms) if now >= at_ms) {
            member.reading = Reading::Nothing;
            self.ready.push(key);
        }
        if self.depart(key) {
            return;
        }
        let Some(member) = self.member_mut(key) else { return };
        if now >= member.expiring_ms {
            member.expiring_ms = u64::MAX;
            let in_ms = member.expires_ms - now;
            self.answer(key, &ServerFrame::Expiring { in_ms });
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if let Some(since) = connection.blocked_ms {
            if now >= since + self.config.stall_ms {
                self.close(key, CloseCode::Stalled, "nothing was read for too long");
            }
            return;
        }
        match connection.wire {
            Wire::WebSocket(_) => {}
            Wire::EventStream => return self.heartbeat(key),
            Wire::Poll { wait_ms, .. } => {
                let Stage::Member(member) = &connection.stage else { return };
                if now >= connection.opened_ms + poll_ms(wait_ms, member) {
                    self.answer_poll(key, std::iter::empty(), self.cursor(key), None);
                }
                return;
            }
        }
        if now >= connection.heard_ms + silence {
            return self.close(key, CloseCode::Silent, "nothing was heard for too long");
        }
        if connection.pinged_ms.is_none() && now >= connection.heard_ms + heartbeat {
            // Any pong counts as a sign of life; clients that never speak answer pings by themselves.
            connection.pinged_ms = NonZeroU64::new(now.max(1));
            push_ping(connection.outbox.control(), b"");
            self.flush(key);
        }
        self.heartbeat(key);
    }

    /// Says something when nothing was said for long.
    fn heartbeat(&mut self, key: u32) {
        let Some(connection) = self.connections.get(key as usize) else { return };
        if self.now_ms >= connection.sent_ms + self.config.heartbeat_ms {
            let seq = self.cursor(key);
            self.answer(key, &ServerFrame::Heartbeat { seq, epoch: None });
        }
    }

    /// How long a client hears nothing from us at most, plus a ping's time to come back.
    fn silence_ms(&self) -> u64 {
        self.config.heartbeat_ms * 5 / 2
    }

    /// When a token that is valid until `expires_at` (seconds since 1970) ends in the shard's time, and when its
    /// bearer is told so. Both count from now, however long the connection has been open with earlier tokens.
    pub(super) fn token_deadlines(&self, expires_at: u64) -> (u64, u64) {
        let left_ms = (expires_at * 1_000).saturating_sub(self.unix_micros() / 1_000);
        let expires_ms = self.now_ms + left_ms;
        (expires_ms, expires_ms - EXPIRING_MS.min(left_ms / 2))
    }
}

/// How long a poll stays open. One that is behind is about to be answered with what it missed.
fn poll_ms(wait_ms: u32, member: &Member) -> u64 {
    match member.position {
        Position::Live => wait_ms.into(),
        Position::Behind(_) => ENTERING_MS.max(wait_ms.into()),
    }
}
