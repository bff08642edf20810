//! What happens when a stream lost continuity?
//!
//! Its room follows it into its new generation. Who has missed nothing goes on from where it stands, in the new epoch; the
//! others are told `reset`.

use super::connection::{Connection, Standing};
use super::context::Context;
use super::past::Position;
use super::past::Reading;
use super::room::RoomKey;
use super::tables::Tables;
use super::wire::Wire;
use super::world::World;
use carillon_protocol::server::{ResetReason, ServerFrame};

/// Takes a room, and everyone in it, into the present generation of its stream. All are left touched.
pub(super) fn follow_reset<W: World>(key: RoomKey, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(room) = tables.rooms.get_mut(key) else { return };
    let (life, head) = room.stream.position();
    let before = std::mem::replace(&mut room.life, life.clone());
    let live_at = std::mem::replace(&mut room.cursor, head);
    let standing = Standing { cursor: head, epoch: life.epoch.clone() };
    for member in room.members().to_vec() {
        let Some(connection) = tables.connections.get_mut(member as usize) else { continue };
        tables.touched.push(member);
        let index = connection.sessions().iter().position(|session| session.room == key);
        let Some((index, session)) =
            index.and_then(|index| Some((index, connection.sessions_mut().get_mut(index)?)))
        else {
            continue;
        };
        let cursor = session.cursor(live_at);
        if cursor <= head && life.continues(&before, cursor) {
            session.past.set_position(Position::Behind(cursor));
            // What is being read may end with events that are gone.
            session.past.set_reading(Reading::Nothing);
            let epoch = Some(&life.epoch);
            connection.say_of(index, &ServerFrame::Heartbeat { seq: cursor, epoch }, epoch, context.now_ms);
            continue;
        }
        // History of the old generation would carry its numbers: it ends here, and says that it is not whole.
        let unfinished = session.past.take(|_| true);
        reset(connection, index, life.reason, &standing, context);
        for job in &unfinished {
            connection.say_of(index, &job.cut_short(), Some(&standing.epoch), context.now_ms);
        }
    }
}

/// Tells a session of a connection that continuity is lost; it goes on from where its room stands.
pub(super) fn reset<W: World>(
    connection: &mut Connection<W::Socket>,
    index: usize,
    reason: ResetReason,
    standing: &Standing,
    context: &mut Context<W>,
) {
    let Some(session) = connection.sessions_mut().get_mut(index) else { return };
    session.past.set_position(Position::Behind(standing.cursor));
    session.past.set_reading(Reading::Nothing);
    tell_reset(connection, index, reason, standing, context);
}

/// Says that continuity of a session is lost, in the form the client reads: a poll ends with it.
pub(super) fn tell_reset<W: World>(
    connection: &mut Connection<W::Socket>,
    index: usize,
    reason: ResetReason,
    standing: &Standing,
    context: &mut Context<W>,
) {
    let Standing { cursor: seq, epoch } = standing;
    match connection.wire {
        Wire::Poll { .. } => {
            connection.answer_poll_empty(*seq, Some(reason), epoch, context);
        }
        _ => {
            let frame = ServerFrame::Reset { reason, seq: *seq, epoch };
            connection.say_of(index, &frame, Some(epoch), context.now_ms);
        }
    }
}
