//! How is each client frame carried out?
//!
//! A frame is for the connection's session; it has one today. What it asks of the log or of a key set is only noted here.

use super::acks::ack;
use super::activity::activity;
use super::connection::Connection;
use super::context::Context;
use super::holdback::{hold_back, next};
use super::joining::{SESSION, pays_for, raw, subscribe};
use super::messages::{Joining, Request};
use super::revoked::keeps_out;
use super::rules::{Stay, ask_soon, end_forbidden_history, end_history, end_past, may_read_past, may_stay};
use super::session::Session;
use super::signals::{publish, say_words, typing};
use super::tables::Tables;
use super::watching::{look, see_anew, unseen, why_unseen};
use super::world::World;
use crate::authorize::Refusal;
use crate::metrics::metrics;
use carillon_platform::auth::{Identity, ServiceKey};
use carillon_protocol::client::{ClientFrame, FrameId, Meta, Request as Asked};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, CloseCode};
use std::sync::Arc;

/// Longest time before expiry that a client is told; half the token's time if that is less.
const EXPIRING_MS: u64 = 30_000;

/// Does what a frame asks for and answers it, or has it wait for what the tenant's application says.
pub(super) fn carry_out<W: World>(
    key: u32,
    frame: ClientFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if let Some(frame) = hold_back(key, frame, tables, context) {
        carry_out_now(key, frame, tables, context);
    }
}

/// Goes on with the frames of a connection that have waited for what the application says.
pub(super) fn carry_out_held<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    while let Some(frame) = next(key, tables, context) {
        carry_out_now(key, frame, tables, context);
    }
}

fn carry_out_now<W: World>(
    key: u32,
    frame: ClientFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let ClientFrame { id, request } = frame;
    match request {
        Asked::Auth { token } => refresh(key, id, token, tables, context),
        Asked::Subscribe { channels, history, types, presence } => {
            let types = types.map(Arc::new);
            subscribe(key, Joining { id, channels, history, types, presence }, tables, context);
        }
        Asked::Presence { channel, meta } => presence(key, id, channel, meta, tables, context),
        Asked::Unsubscribe { channels } => unsubscribe(key, id, &channels, tables, context),
        Asked::Publish(asked) => publish(key, id, &asked, tables, context),
        Asked::Typing { channel, state } => typing(key, id, &channel, state, tables, context),
        Asked::Ack(said) => ack(key, id, &said, tables, context),
        Asked::Activity(what) => activity(key, id, *what, tables, context),
        Asked::Ping { data } => pong(key, id, data, tables, context),
    }
    // Whoever left a channel does not type there any more, and that comes before what they say next.
    say_words(tables, context);
}

fn refresh<W: World>(
    key: u32,
    frame: Option<FrameId>,
    token: Box<str>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get_mut(key) else { return };
    let (id, from) = (connection.id, connection.permit.address());
    let Some(session) = connection.sessions_mut().get_mut(SESSION) else { return };
    if session.refreshing {
        let message = "a token is being checked; wait for its answer";
        let codes = ("too_many_requests", "too_many_tokens");
        return tables.refuse_as(key, frame.as_deref(), codes, message, context.now_ms);
    }
    session.refreshing = true;
    let tenant = session.identity.tenant.clone();
    context.world.request(Request::Refresh { connection: id, from, frame, token, tenant });
}

/// The token of a refresh was checked.
pub(super) fn refreshed<W: World>(
    key: u32,
    frame: Option<FrameId>,
    result: Result<Identity, Refusal>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let session = tables.get(key).and_then(|connection| connection.sessions().get(SESSION));
    let room = session.and_then(|session| tables.rooms.get(session.room));
    let result = result.and_then(|identity| {
        keeps_out(&identity, tables.asked.device(key), room, context).map_or(Ok(identity), Err)
    });
    let Some(connection) = tables.get_mut(key) else { return };
    let Some(session) = connection.sessions_mut().get_mut(SESSION) else { return };
    session.refreshing = false;
    let identity = match result {
        Ok(identity) if is_same(&identity, &session.identity) => identity,
        Ok(_) => {
            let message = "the token is another person's";
            return tables.refuse(key, frame.as_deref(), "token_mismatch", message, context.now_ms);
        }
        Err(refusal) => {
            return tables.refuse(key, frame.as_deref(), refusal.code, &refusal.message, context.now_ms);
        }
    };
    let expires_in = identity.expires_at.saturating_sub(context.world.unix_us() / 1_000_000);
    (session.expires_ms, session.expiring_ms) = token_deadlines(identity.expires_at, context);
    // Channels joined under the old token stay only if the new one allows them.
    let before = std::mem::replace(&mut session.identity, identity);
    leave_forbidden(key, &before, tables, context);
    let id = raw(&frame);
    let ok = ServerFrame::Ok {
        id,
        channels: None,
        seq: None,
        epoch: None,
        expires_in: Some(expires_in),
        presence: None,
    };
    tables.say(key, &ok, context.now_ms);
}

fn is_same(one: &Identity, other: &Identity) -> bool {
    one.user == other.user && one.service == other.service
}

/// Ends the connections that were opened with an API key. They are left touched.
pub(super) fn end_sessions_of<W: World>(
    key: &ServiceKey,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let is_of = |session: &Session| session.identity.service.as_ref() == Some(key);
    let of_key = |connection: &Connection<W::Socket>| connection.sessions().iter().any(is_of);
    let all: Vec<u32> = tables
        .connections
        .iter()
        .filter(|(_, connection)| of_key(connection))
        .map(|(place, _)| place as u32)
        .collect();
    for place in all {
        tables.close(place, CloseCode::Unauthenticated, "the API key has ended", context);
        tables.touched.push(place);
    }
}

/// Takes a session out of what its new token does not allow, nor a rule, and into what is its own by that.
fn leave_forbidden<W: World>(
    key: u32,
    before: &Identity,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(session) = tables.get(key).and_then(|connection| connection.sessions().get(SESSION)) else {
        return;
    };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let names = session.channels.channels().into_iter().filter_map(|channel| room.name_of(channel));
    let (lost, kept): (Vec<Channel>, Vec<Channel>) =
        names.cloned().partition(|channel| may_stay(&room.rules, session, channel) == Stay::No);
    let rules = room.rules.clone();
    // Whoever has other roles is somebody else to the application.
    let is_new = before.roles != session.identity.roles;
    let (left_to_it, settled): (Vec<Channel>, Vec<Channel>) =
        kept.iter().cloned().partition(|channel| may_stay(&rules, session, channel) == Stay::Ask);
    let reads = |identity: &Identity, channel: &Channel| may_read_past(&room.rules, identity, channel);
    let past: Vec<Channel> = kept
        .into_iter()
        .filter(|channel| reads(before, channel) && !reads(&session.identity, channel))
        .collect();
    let (had, has) = (before.channels(), session.identity.channels());
    let gained: Vec<Channel> = has.into_iter().filter(|channel| !had.contains(channel)).collect();
    tables.holding.forget_kept(key);
    settled.iter().for_each(|channel| tables.asked.forget(key, channel));
    for channel in left_to_it {
        if is_new || tables.asked.held(key, &channel).is_none() {
            ask_soon(key, &channel, &rules, tables, context);
        }
    }
    tables.leave(key, SESSION, &lost);
    let types = tables.chosen(key);
    // What it has joined by itself it has with the types that it chose there.
    let is_in = |channel: &Channel| tables.is_in(key, SESSION, channel);
    let gained: Vec<Channel> = gained.into_iter().filter(|channel| !is_in(channel)).collect();
    tables.join(key, SESSION, &gained, types.as_ref());
    see_anew(key, SESSION, tables, context);
    end_history(key, SESSION, &lost, tables, context);
    end_past(key, SESSION, &past, tables, context);
    // Also of channels that it has left since it asked.
    end_forbidden_history(key, SESSION, tables, context);
}

fn unsubscribe<W: World>(
    key: u32,
    id: Option<FrameId>,
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if pays_for(key, id.as_deref(), channels.len(), tables, context) {
        tables.asked.unwanted(key, channels);
        tables.leave(key, SESSION, channels);
        let (id, channels) = (raw(&id), Some(channels));
        tables.say(
            key,
            &ServerFrame::Ok { id, channels, seq: None, epoch: None, expires_in: None, presence: None },
            context.now_ms,
        );
    }
}

/// Asks who is in a channel, or sets what somebody says about themselves: in a channel, or in all they are seen in.
fn presence<W: World>(
    key: u32,
    id: Option<FrameId>,
    channel: Option<Channel>,
    meta: Option<Meta>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if let Some(channel) = &channel
        && !unseen(key, SESSION, std::slice::from_ref(channel), tables, context.now_ms).is_empty()
    {
        metrics().frame_refused("forbidden");
        let channels = std::slice::from_ref(channel);
        let message = why_unseen(channels);
        let channels = Some(channels);
        let error = ServerFrame::Error { id: raw(&id), code: "forbidden", message: &message, channels };
        return tables.say(key, &error, context.now_ms);
    }
    let meta = match (channel, meta) {
        (Some(channel), None) => return look(key, SESSION, id, channel, tables),
        (Some(channel), Some(meta)) if !tables.set_meta(key, SESSION, Some(&channel), &meta) => {
            let message = format!("this connection is not seen in {channel}: subscribe to it first");
            return tables.refuse(key, id.as_deref(), "not_present", &message, context.now_ms);
        }
        (None, Some(meta)) => Some(meta),
        _ => None,
    };
    if let Some(meta) = meta {
        tables.set_meta(key, SESSION, None, &meta);
    }
    if let Some(id) = raw(&id) {
        let (channels, seq, epoch, expires_in, presence) = (None, None, None, None, None);
        let ok = ServerFrame::Ok { id: Some(id), channels, seq, epoch, expires_in, presence };
        tables.say(key, &ok, context.now_ms);
    }
}

fn pong<W: World>(
    key: u32,
    id: Option<FrameId>,
    data: Option<Box<str>>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(standing) = tables.standing(key) else { return };
    let time = context.world.unix_us() / 1_000;
    let rtt_ms = tables.get(key).and_then(|connection| connection.quality.rtt_ms());
    let pong = ServerFrame::Pong { id: raw(&id), seq: standing.cursor, time, data: raw(&data), rtt_ms };
    tables.say(key, &pong, context.now_ms);
}

/// When a token that is valid until `expires_at` (seconds since 1970) ends in the shard's time, and when its
/// bearer is told so. Both count from now, however long the connection has been open with earlier tokens.
pub(super) fn token_deadlines<W: World>(expires_at: u64, context: &Context<W>) -> (u64, u64) {
    let left_ms = expires_at.saturating_mul(1_000).saturating_sub(context.world.unix_us() / 1_000);
    let expires_ms = context.now_ms.saturating_add(left_ms);
    (expires_ms, expires_ms - EXPIRING_MS.min(left_ms / 2))
}
