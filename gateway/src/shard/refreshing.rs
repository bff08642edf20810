//! What does a new token change?
//!
//! It is for all tenants that the connection is in: those that it still names stay, with the roles there; the others are left, and the
//! client is told so. One that names none of them changes nothing.

use super::alike::in_tenant;
use super::attaching::expel;
use super::connection::{Connection, TokenEnd};
use super::context::Context;
use super::joining::raw;
use super::messages::Request;
use super::revoked::keeps_out;
use super::rules::{Stay, ask_soon, end_forbidden_history, end_history, end_past, may_read_past, may_stay};
use super::session::At;
use super::tables::Tables;
use super::watching::see_anew;
use super::world::World;
use crate::authorize::{Bearer, Refusal};
use crate::metrics::metrics;
use carillon_platform::auth::{AuthError, Identity};
use carillon_protocol::Channel;
use carillon_protocol::client::FrameId;
use carillon_protocol::server::{DetachReason, ServerFrame};
use std::sync::Arc;

/// Longest time before expiry that a client is told; half the token's time if that is less.
const EXPIRING_MS: u64 = 30_000;

/// An `auth` came.
pub(super) fn refresh<W: World>(
    key: u32,
    frame: Option<FrameId>,
    token: Box<str>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get_mut(key) else { return };
    let (id, from) = (connection.id, connection.permit.address());
    if connection.is_refreshing {
        metrics().frame_refused("too_many_tokens");
        let message = "a token is being checked; wait for its answer";
        return connection.say(&ServerFrame::Error {
            id: raw(&frame),
            code: "too_many_requests",
            message,
            channels: None,
        });
    }
    connection.is_refreshing = true;
    context.world.request(Request::Refresh { connection: id, from, frame, token });
}

/// The token of a refresh was checked.
pub(super) fn refreshed<W: World>(
    key: u32,
    frame: Option<FrameId>,
    result: Result<Box<Bearer>, Refusal>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get_mut(key) else { return };
    connection.is_refreshing = false;
    let bearer = match result {
        Ok(bearer) => bearer,
        Err(refusal) => {
            return tables.refuse_frame(key, frame.as_deref(), refusal.code, &refusal.message);
        }
    };
    let sessions = tables.get(key).map(Connection::sessions).unwrap_or_default();
    let device = tables.asked.device(key);
    let all: Vec<Result<Identity, AuthError>> = sessions
        .iter()
        .map(|session| {
            let identity = bearer.enter(Some(session.tenant()))?;
            // The room may know of a revocation that has come since the token was looked at.
            let kept_out = keeps_out(&identity, device, tables.rooms.get(session.room), context);
            kept_out.map_or(Ok(identity), |_| Err(AuthError::Revoked))
        })
        .collect();
    let is_somebody_else = all.iter().zip(sessions).any(|(identity, session)| {
        identity.as_ref().is_ok_and(|identity| !is_same(identity, &session.identity()))
    });
    if is_somebody_else {
        let message = "the token is another person's";
        return tables.refuse_frame(key, frame.as_deref(), "token_mismatch", message);
    }
    let Some(expires_at) = all.iter().flatten().map(|identity| identity.expires_at).next() else {
        if let Some(Err(error)) = all.into_iter().next() {
            let refusal = Refusal::from(error);
            tables.refuse_frame(key, frame.as_deref(), refusal.code, &refusal.message);
        }
        return;
    };
    // From the last to the first: those before one that is left keep their numbers.
    for (index, identity) in all.into_iter().enumerate().rev() {
        let at = At { key, session: index };
        match identity {
            Ok(identity) => renew(at, identity, tables, context),
            Err(_) => expel(at, DetachReason::Token, tables, context),
        }
    }
    let token = token_end(expires_at, context);
    if let Some(connection) = tables.get_mut(key) {
        connection.token = token;
    }
    let bearer = bearer.is_for_several().then(|| Arc::from(bearer));
    tables.elsewhere.set_bearer(key, bearer);
    let expires_in = Some(expires_at.saturating_sub(context.world.unix_us() / 1_000_000));
    let (channels, seq, epoch, presence) = (None, None, None, None);
    tables.say(key, &ServerFrame::Ok { id: raw(&frame), channels, seq, epoch, expires_in, presence });
}

/// A session goes on with what a new token says of it.
fn renew<W: World>(at: At, identity: Identity, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(room) = tables.session(at).map(|session| session.room) else { return };
    let in_tenant = in_tenant(&identity, room, tables);
    let Some(session) = tables.session_mut(at) else { return };
    // Channels joined under the old token stay only if the new one allows them.
    let before = session.renew(&identity, in_tenant);
    leave_forbidden(at, &before, tables, context);
}

fn is_same(one: &Identity, other: &Identity) -> bool {
    one.user == other.user && one.service == other.service
}

/// Takes a session out of what its new token does not allow, nor a rule, and into what is its own by that.
fn leave_forbidden<W: World>(
    at: At,
    before: &Identity,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let At { key, session: index } = at;
    let Some(session) = tables.session(at) else { return };
    let own = session.member(key);
    let Some(room) = tables.rooms.get(session.room) else { return };
    let names = session.channels.channels().into_iter().filter_map(|channel| room.name_of(channel));
    let (lost, kept): (Vec<Channel>, Vec<Channel>) =
        names.cloned().partition(|channel| may_stay(&room.rules, session, channel) == Stay::No);
    let rules = room.rules.clone();
    // Whoever has other roles is somebody else to the application.
    let now = session.identity();
    let is_new = before.roles != now.roles;
    let (left_to_it, settled): (Vec<Channel>, Vec<Channel>) =
        kept.iter().cloned().partition(|channel| may_stay(&rules, session, channel) == Stay::Ask);
    let reads = |identity: &Identity, channel: &Channel| may_read_past(&room.rules, identity, channel);
    let past: Vec<Channel> =
        kept.into_iter().filter(|channel| reads(before, channel) && !reads(&now, channel)).collect();
    let (had, has) = (before.channels(), now.channels());
    let gained: Vec<Channel> = has.into_iter().filter(|channel| !had.contains(channel)).collect();
    tables.holding.forget_kept(own);
    settled.iter().for_each(|channel| tables.asked.forget(own, channel));
    for channel in left_to_it {
        if is_new || tables.asked.held(own, &channel).is_none() {
            ask_soon(own, &channel, &rules, tables, context);
        }
    }
    tables.leave(key, index, &lost);
    let types = tables.chosen(own);
    // What it has joined by itself it has with the types that it chose there.
    let is_in = |channel: &Channel| tables.is_in(key, index, channel);
    let gained: Vec<Channel> = gained.into_iter().filter(|channel| !is_in(channel)).collect();
    tables.join(key, index, &gained, types.as_ref());
    see_anew(key, index, is_new, tables, context);
    end_history(key, index, &lost, tables, context);
    end_past(key, index, &past, tables, context);
    // Also of channels that it has left since it asked.
    end_forbidden_history(key, index, tables, context);
}

/// When a token that is valid until `expires_at` (seconds since 1970) ends in the shard's time, and when its
/// bearer is told so. Both count from now, however long the connection has been open with earlier tokens.
pub(super) fn token_end<W: World>(expires_at: u64, context: &Context<W>) -> TokenEnd {
    let left_ms = expires_at.saturating_mul(1_000).saturating_sub(context.world.unix_us() / 1_000);
    let expires_ms = context.now_ms.saturating_add(left_ms);
    TokenEnd { expires_ms, expiring_ms: expires_ms - EXPIRING_MS.min(left_ms / 2) }
}
