//! When is which connection due, and for what?
//!
//! Heartbeats, pings, silence, stalls, expiring tokens, late greetings and farewells, and departures: one
//! look at a connection does what is due and tells when to look again.

use super::acks::ping;
use super::connection::{Connection, Departure, Stage};
use super::context::{Context, ShardConfig};
use super::leaving::depart;
use super::past::Reading;
use super::session::{At, Session};
use super::stuck::PASSED_MS;
use super::tables::Tables;
use super::wire::Wire;
use super::world::{Socket, World};
use carillon_protocol::CloseCode;
use carillon_protocol::server::ServerFrame;

/// How long a connection without a token may wait with its first frame.
const GREETING_MS: u64 = 5_000;
/// How long a token may be checked and a stream opened.
const ENTERING_MS: u64 = 10_000;
/// How long the answer to a command may take: longer than anything that it waits for.
const COMMAND_MS: u64 = 10_000;

/// When a connection must be looked at next; never once it is gone.
pub(super) fn due_ms<S: Socket>(connection: &Connection<S>, config: &ShardConfig) -> Option<u64> {
    match &connection.stage {
        Stage::Greeting(_) => Some(connection.opened_ms + GREETING_MS),
        Stage::Entering(_) => Some(connection.opened_ms + ENTERING_MS),
        Stage::Closing { until_ms, .. } => Some(*until_ms),
        Stage::Gone(_) => None,
        Stage::Open(sessions) => {
            let alive = match (connection.blocked_ms, connection.wire) {
                // Who catches up is blocked at every look, and gives us up without a ping.
                (Some(since), Wire::SocketIo(_)) => {
                    (since + config.stall_ms).min(connection.told_ms + config.heartbeat_ms)
                }
                (Some(since), _) => since + config.stall_ms,
                (None, Wire::WebSocket(_) | Wire::SocketIo(_)) => {
                    let life = match connection.pinged_ms {
                        Some(pinged_ms) => silent_at_ms(connection.heard_ms, pinged_ms.get(), config),
                        None => connection.heard_ms + config.heartbeat_ms,
                    };
                    life.min(connection.told_ms + config.heartbeat_ms)
                }
                (None, Wire::EventStream { .. }) => connection.told_ms + config.heartbeat_ms,
                (None, Wire::Poll { wait_ms, .. }) => connection.opened_ms + poll_ms(wait_ms, sessions),
                (None, Wire::Command) => connection.opened_ms + COMMAND_MS,
            };
            let leave = match connection.departure {
                Departure::Stays => u64::MAX,
                Departure::AtHead { until_ms } | Departure::ToldUntil(until_ms) => until_ms,
            };
            let token = connection.token.expiring_ms.min(connection.token.expires_ms);
            sessions.iter().filter_map(asked_again_ms).chain([alive, leave, token]).min()
        }
    }
}

/// When a session asks the log again that did not answer.
fn asked_again_ms(session: &Session) -> Option<u64> {
    match session.past.reading() {
        Reading::Later(at_ms) => Some(at_ms),
        Reading::Nothing | Reading::Asked(_) => None,
    }
}

/// Does what is due for a connection.
pub(super) fn look_after<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let now_ms = context.now_ms;
    let Some(connection) = tables.get_mut(key) else { return };
    match &connection.stage {
        Stage::Greeting(_) if now_ms >= connection.opened_ms + GREETING_MS => {
            tables.turn_away(
                key,
                "token_missing",
                CloseCode::Unauthenticated,
                "no token within 5 s",
                context,
            );
        }
        Stage::Entering(_) if now_ms >= connection.opened_ms + ENTERING_MS => {
            let reason = "the tenant's log cannot be reached now";
            tables.turn_away(key, "unavailable", CloseCode::OverCapacity, reason, context);
        }
        Stage::Closing { until_ms, .. } if now_ms >= *until_ms => connection.lose(),
        Stage::Open(_) => {
            look_after_sessions(key, tables, context);
            depart(key, tables, context);
            look_after_client(key, tables, context);
            if let Some(connection) = tables.get_mut(key)
                && now_ms >= connection.opened_ms + PASSED_MS
            {
                connection.watched = None;
            }
        }
        _ => {}
    }
}

/// Tokens that expire, and questions to the log that are asked again.
fn look_after_sessions<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let now_ms = context.now_ms;
    let Some(connection) = tables.get_mut(key) else { return };
    if now_ms >= connection.token.expires_ms {
        return tables.close(key, CloseCode::Unauthenticated, "the token has expired", context);
    }
    for session in connection.sessions_mut() {
        if asked_again_ms(session).is_some_and(|at_ms| now_ms >= at_ms) {
            session.past.set_reading(Reading::Nothing);
        }
    }
    if now_ms >= connection.token.expiring_ms {
        // All sessions are of one token, and it is told once.
        connection.token.expiring_ms = u64::MAX;
        let in_ms = connection.token.expires_ms - now_ms;
        tables.say(key, &ServerFrame::Expiring { in_ms });
    }
}

/// A client that does not read, does not speak, or has heard nothing for long.
fn look_after_client<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let now_ms = context.now_ms;
    let Some(connection) = tables.get_mut(key).filter(|connection| connection.is_open()) else { return };
    if let Some(since_ms) = connection.blocked_ms {
        if now_ms >= since_ms + context.config.stall_ms {
            return tables.close(key, CloseCode::Stalled, "nothing was read for too long", context);
        }
        if let (Wire::SocketIo(_), true) =
            (connection.wire, now_ms >= connection.told_ms + context.config.heartbeat_ms)
        {
            connection.wire.push_heartbeat(connection.outbox.control());
            connection.told_ms = now_ms;
        }
        return;
    }
    let config = &context.config;
    if let Wire::Poll { wait_ms, .. } = connection.wire {
        if now_ms >= connection.opened_ms + poll_ms(wait_ms, connection.sessions()) {
            tables.close(key, CloseCode::Bye, "", context);
        }
        return;
    }
    if connection.wire == Wire::Command {
        if now_ms >= connection.opened_ms + COMMAND_MS {
            let at = At { key, session: 0 };
            tables.refuse(at, None, "unavailable", "there was no answer in time", now_ms);
        }
        return;
    }
    let (told_ms, heard_ms, pinged_ms) = (connection.told_ms, connection.heard_ms, connection.pinged_ms);
    let is_websocket = connection.wire.is_websocket();
    if pinged_ms.is_some_and(|pinged_ms| now_ms >= silent_at_ms(heard_ms, pinged_ms.get(), config)) {
        return tables.close(key, CloseCode::Silent, "nothing was heard for too long", context);
    }
    let is_heartbeat_due = now_ms >= told_ms + config.heartbeat_ms;
    // A ping goes along with a heartbeat, in one write, where it would be due before the next one.
    let unheard_ms = if is_heartbeat_due { config.heartbeat_ms / 2 } else { config.heartbeat_ms };
    let is_unheard = now_ms >= heard_ms + unheard_ms;
    let is_ping_due =
        is_websocket && pinged_ms.is_none() && (is_unheard || is_asked_again(key, tables, context));
    if is_heartbeat_due {
        if let Some(connection) = tables.get_mut(key) {
            connection.wire.push_heartbeat(connection.outbox.control());
        }
        tables.recovery.look_after(key, now_ms);
        tell_cursors(key, tables, now_ms);
    }
    if is_ping_due {
        ping(key, tables, context);
    }
}

/// Whether a device is to be asked, also when it says something all the time, what has reached it.
fn is_asked_again<W: World>(key: u32, tables: &Tables<W::Socket>, context: &Context<W>) -> bool {
    if tables.devices.is_empty() {
        return false;
    }
    let before_us = context.world.now_us().saturating_sub(context.config.heartbeat_ms * 1_000);
    let sessions = tables.get(key).map(Connection::sessions).unwrap_or_default();
    sessions.iter().any(|session| tables.devices.was_pinged_before(key, session.room, before_us))
}

/// Tells a client its cursor in each of its tenants.
fn tell_cursors<S: Socket>(key: u32, tables: &mut Tables<S>, now_ms: u64) {
    let sessions = tables.get(key).map_or(0, |connection| connection.sessions().len());
    for at in (0..sessions).map(|session| At { key, session }) {
        let Some(standing) = tables.standing(at) else { continue };
        tables.say_of(at, &ServerFrame::Heartbeat { seq: standing.cursor, epoch: None }, now_ms);
    }
    if let Some(connection) = tables.get_mut(key) {
        connection.told_ms = now_ms;
    }
}

/// When a client that has not answered a ping is given up: 2.5 heartbeats after it was heard, and 1.5 after it was asked.
/// What it was not asked it cannot have failed to answer, however long it was not heard (a slow reader, a frozen process).
fn silent_at_ms(heard_ms: u64, pinged_ms: u64, config: &ShardConfig) -> u64 {
    (heard_ms + config.heartbeat_ms * 5 / 2).max(pinged_ms + config.heartbeat_ms * 3 / 2)
}

/// How long a poll stays open. One that is behind is about to be answered with what it missed.
fn poll_ms(wait_ms: u32, sessions: &[Session]) -> u64 {
    let is_live = sessions.iter().all(Session::is_live);
    if is_live { wait_ms.into() } else { ENTERING_MS.max(wait_ms.into()) }
}
