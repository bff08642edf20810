//! How does a device say what it has handled, and how is it seen what has reached it?

use super::context::Context;
use super::devices::{AckFault, seen_ms};
use super::joining::raw;
use super::session::{At, Session};
use super::sessions::Sessions;
use super::tables::Tables;
use super::world::World;
use crate::metrics::metrics;
use crate::ws::encode::push_ping;
use carillon_protocol::client::{Ack, FrameId};
use carillon_protocol::server::ServerFrame;
use std::num::NonZeroU64;

/// A pong that is later than this is no measurement.
const LATEST_US: u64 = 600_000_000;

/// An `ack` came. One that is wrong is answered also without an `id`: who sent it would never know.
pub(super) fn ack<W: World>(
    at: At,
    id: Option<FrameId>,
    Ack { seq, epoch }: &Ack,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Tables { connections, rooms, devices, .. } = tables;
    let Some(connection) = connections.get(at.key as usize) else { return };
    let Some(session) = connection.sessions().get(at.session) else { return };
    let Some(room) = rooms.get(session.room) else { return };
    let own = (at.key, session.room);
    let (cursor, seen_ms) = (session.cursor(room.cursor), seen_ms(connection, context));
    let fault = match devices.ack(own, (*seq, epoch.as_ref()), (&room.life, cursor), seen_ms) {
        Ok(()) => {
            context.counts.acks += 1;
            if let Some(id) = raw(&id) {
                let (channels, seq, epoch, expires_in, presence) = (None, None, None, None, None);
                let ok = ServerFrame::Ok { id: Some(id), channels, seq, epoch, expires_in, presence };
                tables.say_of(at, &ok, context.now_ms);
            }
            return;
        }
        Err(fault) => fault,
    };
    let (code, message) = match fault {
        AckFault::NoDevice => ("device_required", "an ack is a device's: connect with device".to_owned()),
        AckFault::Ahead => ("ack_ahead", format!("this connection was sent nothing after {cursor}")),
        AckFault::Behind(acked) => ("ack_behind", format!("this connection has acknowledged {acked}")),
        AckFault::Epoch => {
            ("ack_epoch", format!("in the epoch {} this number is another event's", room.life.epoch.as_str()))
        }
    };
    tables.refuse(at, id.as_deref(), code, &message, context.now_ms);
}

/// Sends a ping, which carries the time, behind everything that was written.
pub(super) fn ping<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let sent_us = context.world.now_us();
    let Tables { connections, rooms, devices, sessions, .. } = tables;
    let Some(connection) = connections.get_mut(key as usize) else { return };
    // Any bytes count as a sign of life; clients that never speak answer pings by themselves.
    connection.pinged_ms = NonZeroU64::new(context.now_ms.max(1));
    if connection.quality.pinged() {
        metrics().pings_lost.increment(1);
        note(key, connection.sessions(), sessions);
    }
    push_ping(connection.outbox.control(), &sent_us.to_be_bytes());
    if devices.is_empty() {
        return;
    }
    let seen_ms = seen_ms(connection, context);
    for session in connection.sessions() {
        if let Some(room) = rooms.get(session.room) {
            let standing = (&room.life, session.cursor(room.cursor));
            devices.pinged((key, session.room), standing, sent_us, seen_ms);
        }
    }
}

/// Something about a connection has changed that is stored of its sessions.
fn note(key: u32, own: &[Session], sessions: &mut Sessions) {
    own.iter().for_each(|session| sessions.note(key, session.room));
}

/// A pong came.
pub(super) fn ponged<W: World>(
    key: u32,
    payload: &[u8],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Ok(payload) = <[u8; 8]>::try_from(payload) else { return };
    let sent_us = u64::from_be_bytes(payload);
    let took_us = context.world.now_us().checked_sub(sent_us).filter(|took_us| *took_us <= LATEST_US);
    let Some(took_us) = took_us else { return };
    let Tables { connections, rooms, devices, sessions, .. } = tables;
    let Some(connection) = connections.get_mut(key as usize) else { return };
    let before = connection.quality.step();
    if !connection.quality.answered(took_us) {
        return;
    }
    // What differs by less is the network's noise, and not written again and again.
    if connection.quality.step() != before {
        note(key, connection.sessions(), sessions);
    }
    metrics().ping_seconds.record(took_us as f64 / 1e6);
    if devices.is_empty() {
        return;
    }
    let seen_ms = seen_ms(connection, context);
    for session in connection.sessions() {
        if let Some(room) = rooms.get(session.room) {
            devices.answered((key, session.room), &room.life, sent_us, seen_ms);
        }
    }
}
