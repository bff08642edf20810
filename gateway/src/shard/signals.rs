//! How is what clients say to each other carried out?
//!
//! A `publish` that does not go into the log, and that somebody types: to the live connections in the channel, here and
//! everywhere, and to nobody else.

use super::connection::Connection;
use super::context::Context;
use super::durable::publish_into_log;
use super::joining::raw;
use super::live::hand_in;
use super::messages::ConnectionId;
use super::publishing::{Refused, TYPING, Way, may_publish, may_type, refuse, take_of_tenant, take_rate};
use super::session::At;
use super::tables::Tables;
use super::typists::Place;
use super::wire::Wire;
use super::world::{Socket, World};
use crate::live::Passing;
use crate::metrics::metrics;
use crate::stream::Stream;
use carillon_protocol::Signal;
use carillon_protocol::client::{FrameId, Publish};
use carillon_protocol::limits::SIGNAL_BYTES;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, Typing, UserId};
use serde_json::value::RawValue;
use std::sync::Arc;

/// A `publish` came.
pub(super) fn publish<W: World>(
    at: At,
    id: Option<FrameId>,
    publish: &Publish,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(session) = tables.session(at) else { return };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let passed_on = match may_publish(&room.rules, &session.identity(), publish) {
        Ok((Way::Log, _)) => return publish_into_log(at, id, publish, tables, context),
        Ok((Way::Live, rule)) => signal_of(publish, session.user(), context.shard).and_then(|signal| {
            let (limits, identity) = (room.rules.limits(), &session.identity());
            take_rate(rule, identity, &publish.channel, context)?;
            take_of_tenant(limits, &identity.tenant, context)?;
            Ok(signal)
        }),
        Err(refused) => Err(refused),
    };
    match passed_on.and_then(|signal| pass_on(at, signal, publish.echo.unwrap_or(false), tables, context)) {
        Ok(reached) => {
            metrics().signals_sent[0].increment(1);
            answer(at, &id, reached, tables, context);
        }
        Err(refused) => refuse(at, &id, &publish.channel, refused, tables, context),
    }
}

/// What others get.
fn signal_of(publish: &Publish, user: &UserId, shard: u16) -> Result<Signal, Refused> {
    let event = publish.event.to_json();
    if event.len() > SIGNAL_BYTES {
        let message = format!("event must be at most {SIGNAL_BYTES} bytes of JSON, and has {}", event.len());
        return Err(Refused::new("too_large", message));
    }
    let invalid = |_| Refused::new("invalid_frame", "event is not JSON");
    let event = RawValue::from_string(event).map_err(invalid)?;
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
    at: At,
    signal: Signal,
    echo: bool,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Result<bool, Refused> {
    let gone = || Refused::new("unavailable", "the connection has ended");
    let connection = tables.get(at.key).ok_or_else(gone)?;
    let room_key = tables.session(at).ok_or_else(gone)?.room;
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

/// A `typing` came.
pub(super) fn typing<W: World>(
    at: At,
    id: Option<FrameId>,
    channel: &Channel,
    state: Typing,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get(at.key) else { return };
    let Some(session) = tables.session(at) else { return };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let (own, channels) = (&session.channels, std::slice::from_ref(channel));
    // A command came in only if it may be there.
    let is_in = connection.wire == Wire::Command
        || room.own_key(own, channel).is_some()
        || room
            .watchers(channels)
            .chain(room.wanting_type(channels, Some(TYPING)))
            .any(|(key, _)| own.contains(key));
    let may = may_type(&room.rules, &session.identity(), channel).and_then(|()| {
        let outside = || Refused::new("not_subscribed", format!("who types is in the channel: {channel}"));
        if is_in { Ok(()) } else { Err(outside()) }
    });
    let (place, stream, connection) =
        (Place::of(&session.identity(), channel), room.stream.clone(), typist(connection));
    // One that is passed on is a signal of the tenant's.
    let may = match state {
        Typing::Start if tables.typists.counts(&place) => {
            may.and_then(|()| take_of_tenant(room.rules.limits(), &place.tenant, context))
        }
        Typing::Start | Typing::Stop => may,
    };
    match (may, state) {
        (Ok(()), Typing::Start) => tables.typists.start(&stream, place, connection),
        // Whoever typed may always stop.
        (may, Typing::Stop) if tables.typists.stop(&place, connection) || may.is_ok() => {}
        (Err(refused), _) => return refuse(at, &id, channel, refused, tables, context),
        (Ok(()), Typing::Stop) => {}
    }
    say_words(tables, context);
    let reached = context.world.reaches_others();
    answer(at, &id, reached, tables, context);
}

/// Whose typing it is. That of commands goes on when they have been answered: to all of a person's there is one.
fn typist<S: Socket>(connection: &Connection<S>) -> ConnectionId {
    match connection.wire {
        Wire::Command => ConnectionId { shard: connection.id.shard, key: u32::MAX, number: 0 },
        _ => connection.id,
    }
}

/// Does what is due of typing. A `start` that is still owed is passed on only if whoever types still may: the rules or the token may be
/// others since. Else they have stopped.
pub(super) fn look_after_typing<S: Socket>(tables: &mut Tables<S>) {
    for (connection, place) in tables.typists.owing() {
        if !still_types(connection, &place, tables) {
            tables.typists.stop(&place, connection);
        }
    }
    tables.typists.look_after();
}

/// Whether a connection may still type somewhere. Of commands, which are over, it is known whether anybody's typing is passed on there.
fn still_types<S: Socket>(connection: ConnectionId, place: &Place, tables: &Tables<S>) -> bool {
    let Some(room) = tables.rooms.of_tenant(&place.tenant).and_then(|key| tables.rooms.get(key)) else {
        return true;
    };
    if connection.number == 0 {
        return room.rules.find(&place.channel).is_some_and(|found| found.rule.typing);
    }
    let of = tables.find(connection.key, Some(&place.tenant)).and_then(|at| tables.session(at));
    of.is_some_and(|session| may_type(&room.rules, &session.identity(), &place.channel).is_ok())
}

/// Says what is to be said of who types.
pub(super) fn say_words<W: World>(tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    for word in std::mem::take(&mut tables.typists.words) {
        let Place { channel, user, .. } = word.place;
        let Some(frame) = typing_frame(&channel, &user, word.state) else { continue };
        let signal =
            Signal { shard: context.shard, channel, user, typing: Some(word.state), frame: frame.into() };
        let Some(passing) = context.world.passing(signal, word.except) else {
            metrics().signals_dropped("busy", 1);
            continue;
        };
        if word.to_others {
            metrics().signals_sent[1].increment(1);
            context.world.pass_on(&word.stream, &passing);
        }
        if let Some(room) = tables.rooms.of(&word.stream).filter(|_| word.here) {
            hand_in(room, passing, tables);
        }
    }
}

fn typing_frame(channel: &Channel, from: &UserId, state: Typing) -> Option<Vec<u8>> {
    let event = format!(r#"{{"type":"{TYPING}","data":{{"state":"{}"}}}}"#, state.as_str());
    let event = RawValue::from_string(event).ok()?;
    Some(ServerFrame::Signal { channel, from, event: &event }.to_json())
}

/// A signal of another shard or node came.
pub(super) fn arrive<S: Socket>(stream: &Arc<Stream>, passing: Arc<Passing>, tables: &mut Tables<S>) {
    let Some(key) = tables.rooms.of(stream) else { return };
    let is_told = match passing.typing {
        None => true,
        Some(state) => {
            let (tenant, channel, user) =
                (stream.tenant.clone(), passing.channel.clone(), passing.user.clone());
            let has_members = tables.rooms.get(key).is_some_and(|room| room.has_members(&channel));
            let place = Place { tenant, channel, user };
            match state {
                Typing::Start => has_members && tables.typists.others_start(stream, place, passing.source),
                Typing::Stop => tables.typists.others_stop(&place, passing.source),
            }
        }
    };
    if is_told {
        hand_in(key, passing, tables);
    }
}

/// Answers a frame that asked to be.
fn answer<W: World>(
    at: At,
    id: &Option<FrameId>,
    reached: bool,
    tables: &mut Tables<W::Socket>,
    context: &Context<W>,
) {
    if id.is_some() {
        let frame = ServerFrame::Passed { id: raw(id), degraded: !reached };
        tables.say_of(at, &frame, context.now_ms);
    }
}
