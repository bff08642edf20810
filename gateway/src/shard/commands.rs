//! How is each client frame carried out?
//!
//! A frame is for the session in the tenant that it names, or for the connection's first. What it asks of the log or of a key set is only noted here.

use super::acks::ack;
use super::activity::activity;
use super::answers::NOT_ATTACHED;
use super::attaching::{attach, detach};
use super::connection::Connection;
use super::context::Context;
use super::holdback::{hold_back, next};
use super::joining::{pays_for, raw, subscribe};
use super::messages::Joining;
use super::refreshing::refresh;
use super::session::{At, Session};
use super::signals::{publish, say_words, typing};
use super::tables::Tables;
use super::watching::{look, unseen, why_unseen};
use super::world::World;
use crate::metrics::metrics;
use carillon_platform::auth::ServiceKey;
use carillon_protocol::client::{ClientFrame, FrameId, Meta, Request as Asked};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, CloseCode};
use std::sync::Arc;

/// Does what a frame asks for and answers it, or has it wait for what the tenant's application says.
pub(super) fn carry_out<W: World>(
    key: u32,
    frame: ClientFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let ClientFrame { id, tenant, request } = frame;
    match (request, &tenant) {
        (Asked::Auth { token }, _) => refresh(key, id, token, tables, context),
        (Asked::Attach { wanted, alone }, _) => attach(key, id, *wanted, alone, tables, context),
        (Asked::Detach, Some(tenant)) => detach(key, id, tenant, tables, context),
        (request, tenant) => match tables.find(key, tenant.as_ref()) {
            Some(at) => {
                let frame = ClientFrame { id, tenant: None, request };
                if let Some(frame) = hold_back(at, frame, tables, context) {
                    carry_out_in(at, frame, tables, context);
                }
            }
            None => {
                let (id, message) = (id.as_deref(), "the connection is not in this tenant: attach it first");
                match tenant {
                    Some(tenant) => tables.refuse_about(key, tenant, id, NOT_ATTACHED, message),
                    None => tables.refuse_frame(key, id, NOT_ATTACHED, message),
                }
            }
        },
    }
    // Whoever left a channel does not type there any more, and that comes before what they say next.
    say_words(tables, context);
}

/// Goes on with the frames of a connection that have waited for what the application says.
pub(super) fn carry_out_held<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let sessions = tables.get(key).map_or(0, |connection| connection.sessions().len());
    for at in (0..sessions).map(|session| At { key, session }) {
        while let Some(frame) = next(at, tables, context) {
            carry_out_in(at, frame, tables, context);
        }
    }
    say_words(tables, context);
}

/// Does what a frame asks for in one tenant.
fn carry_out_in<W: World>(
    at: At,
    ClientFrame { id, request, .. }: ClientFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    match request {
        Asked::Subscribe { channels, history, types, presence } => {
            let types = types.map(Arc::new);
            subscribe(at, Joining { id, channels, history, types, presence }, tables, context);
        }
        Asked::Presence { channel, meta } => presence(at, id, channel, meta, tables, context),
        Asked::Unsubscribe { channels } => unsubscribe(at, id, &channels, tables, context),
        Asked::Publish(asked) => publish(at, id, &asked, tables, context),
        Asked::Typing { channel, state } => typing(at, id, &channel, state, tables, context),
        Asked::Ack(said) => ack(at, id, &said, tables, context),
        Asked::Activity(what) => activity(at, id, *what, tables, context),
        Asked::Ping { data } => pong(at, id, data, tables, context),
        // These are about the connection.
        Asked::Auth { .. } | Asked::Attach { .. } | Asked::Detach => {}
    }
}

/// Ends the connections that were opened with an API key. They are left touched.
pub(super) fn end_sessions_of<W: World>(
    key: &ServiceKey,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let is_of = |session: &Session| session.service() == Some(key);
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

fn unsubscribe<W: World>(
    at: At,
    id: Option<FrameId>,
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if pays_for(at, id.as_deref(), channels.len(), tables, context) {
        if let Some(member) = tables.session(at).map(|session| session.member(at.key)) {
            tables.asked.unwanted(member, channels);
        }
        tables.leave(at.key, at.session, channels);
        let (id, channels) = (raw(&id), Some(channels));
        let ok = ServerFrame::Ok { id, channels, seq: None, epoch: None, expires_in: None, presence: None };
        tables.say_of(at, &ok, context.now_ms);
    }
}

/// Asks who is in a channel, or sets what somebody says about themselves: in a channel, or in all they are seen in.
fn presence<W: World>(
    at: At,
    id: Option<FrameId>,
    channel: Option<Channel>,
    meta: Option<Meta>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let At { key, session: index } = at;
    if let Some(channel) = &channel
        && !unseen(key, index, std::slice::from_ref(channel), tables, context.now_ms).is_empty()
    {
        metrics().frame_refused("forbidden");
        let channels = std::slice::from_ref(channel);
        let message = why_unseen(channels);
        let channels = Some(channels);
        let error = ServerFrame::Error { id: raw(&id), code: "forbidden", message: &message, channels };
        return tables.say_of(at, &error, context.now_ms);
    }
    let meta = match (channel, meta) {
        (Some(channel), None) => return look(key, index, id, channel, tables),
        (Some(channel), Some(meta)) if !tables.set_meta(key, index, Some(&channel), &meta) => {
            let message = format!("this connection is not seen in {channel}: subscribe to it first");
            return tables.refuse(at, id.as_deref(), "not_present", &message, context.now_ms);
        }
        (None, Some(meta)) => Some(meta),
        _ => None,
    };
    if let Some(meta) = meta {
        tables.set_meta(key, index, None, &meta);
    }
    if let Some(id) = raw(&id) {
        let (channels, seq, epoch, expires_in, presence) = (None, None, None, None, None);
        let ok = ServerFrame::Ok { id: Some(id), channels, seq, epoch, expires_in, presence };
        tables.say_of(at, &ok, context.now_ms);
    }
}

fn pong<W: World>(
    at: At,
    id: Option<FrameId>,
    data: Option<Box<str>>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(standing) = tables.standing(at) else { return };
    let time = context.world.unix_us() / 1_000;
    let rtt_ms = tables.get(at.key).and_then(|connection| connection.quality.rtt_ms());
    let pong = ServerFrame::Pong { id: raw(&id), seq: standing.cursor, time, data: raw(&data), rtt_ms };
    tables.say_of(at, &pong, context.now_ms);
}
