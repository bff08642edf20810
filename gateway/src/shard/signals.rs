//! How is what clients say to each other carried out?
//!
//! A `publish` that does not go into the log: to the live connections in the channel, here and everywhere, and to nobody else.

use super::context::Context;
use super::durable::publish_into_log;
use super::joining::{SESSION, raw};
use super::live::hand_in;
use super::publishing::{Refused, Way, may_publish, refuse, take_rate};
use super::tables::Tables;
use super::world::World;
use crate::metrics::metrics;
use carillon_protocol::Signal;
use carillon_protocol::client::{FrameId, Publish};
use carillon_protocol::limits::SIGNAL_BYTES;
use carillon_protocol::server::ServerFrame;

/// A `publish` came.
pub(super) fn publish<W: World>(
    key: u32,
    id: Option<FrameId>,
    publish: &Publish,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(session) = tables.get(key).and_then(|connection| connection.sessions().get(SESSION)) else {
        return;
    };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let passed_on = match may_publish(&room.rules, &session.identity, publish) {
        Ok((Way::Log, _)) => return publish_into_log(key, id, publish, tables, context),
        Ok((Way::Live, rule)) => {
            signal_of(publish, &session.identity.user, context.shard).and_then(|signal| {
                take_rate(rule, &session.identity, &publish.channel, context).map(|()| signal)
            })
        }
        Err(refused) => Err(refused),
    };
    match passed_on.and_then(|signal| pass_on(key, signal, publish.echo, tables, context)) {
        Ok(reached) => {
            metrics().signals_sent[0].increment(1);
            answer(key, &id, reached, tables, context);
        }
        Err(refused) => refuse(key, &id, &publish.channel, refused, tables, context),
    }
}

/// What others get.
fn signal_of(publish: &Publish, user: &carillon_protocol::UserId, shard: u16) -> Result<Signal, Refused> {
    let event = publish.event.to_json();
    if event.len() > SIGNAL_BYTES {
        let message = format!("event must be at most {SIGNAL_BYTES} bytes of JSON, and has {}", event.len());
        return Err(Refused::new("too_large", message));
    }
    let invalid = |_| Refused::new("invalid_frame", "event is not JSON");
    let event = serde_json::value::RawValue::from_string(event).map_err(invalid)?;
    let frame = ServerFrame::Signal { channel: &publish.channel, from: user, event: &event }.to_json();
    Ok(Signal {
        shard,
        channel: publish.channel.clone(),
        user: user.clone(),
        typing: None,
        frame: frame.into(),
    })
}

/// Has a signal of a connection's go to those who are in its channel. Answers whether it reaches other nodes.
fn pass_on<W: World>(
    key: u32,
    signal: Signal,
    echo: bool,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Result<bool, Refused> {
    let gone = || Refused::new("unavailable", "the connection has ended");
    let connection = tables.get(key).ok_or_else(gone)?;
    let room_key = connection.sessions().get(SESSION).ok_or_else(gone)?.room;
    let stream = tables.rooms.get(room_key).ok_or_else(gone)?.stream.clone();
    let except = (!echo).then_some(connection.id);
    let Some(passing) = context.world.passing(signal, except) else {
        metrics().signals_dropped("busy", 1);
        return Err(Refused::new("unavailable", "this node has too many signals on their way; try again"));
    };
    let reached = context.world.pass_on(&stream, &passing);
    hand_in(room_key, passing, tables);
    Ok(reached)
}

/// Answers a frame that asked to be.
fn answer<W: World>(
    key: u32,
    id: &Option<FrameId>,
    reached: bool,
    tables: &mut Tables<W::Socket>,
    context: &Context<W>,
) {
    if id.is_some() {
        let frame = ServerFrame::Passed { id: raw(id), degraded: !reached };
        tables.say(key, &frame, context.now_ms);
    }
}
