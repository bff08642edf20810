//! How does a connection come into more tenants, and leave them?
//!
//! Whether it may is found out as for one that connects: asked here, answered in `entering`. Until then nothing
//! changes, and a refusal changes nothing.

use super::answers::NOT_ATTACHED;
use super::context::Context;
use super::devices::seen_ms;
use super::messages::{Attaching, Request};
use super::session::At;
use super::tables::Tables;
use super::world::World;
use carillon_protocol::TenantId;
use carillon_protocol::client::{ConnectParameters, FrameId};
use carillon_protocol::limits::TENANTS_PER_CONNECTION;
use carillon_protocol::server::{DetachReason, ServerFrame};

/// An `attach` or a `switch` came.
pub(super) fn attach<W: World>(
    key: u32,
    id: Option<FrameId>,
    wanted: ConnectParameters,
    alone: bool,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(tenant) = wanted.tenant.clone() else { return };
    let attaching = Attaching { frame: id, tenant, wanted, alone };
    match may_ask(key, &attaching, tables, context) {
        Ok(()) => ask(key, attaching, tables, context),
        Err((code, message)) => {
            tables.refuse_about(key, &attaching.tenant, attaching.frame.as_deref(), code, &message);
        }
    }
}

/// Has it found out whether somebody may come into a tenant.
pub(super) fn ask<W: World>(
    key: u32,
    attaching: Attaching,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let bearer = tables.elsewhere.bearer(key).cloned();
    let (Some(connection), Some(bearer)) = (tables.get(key).map(|connection| connection.id), bearer) else {
        return;
    };
    tables.elsewhere.begin(key, attaching.tenant.clone(), attaching.alone);
    context.world.request(Request::Attach { connection, bearer, attaching: Box::new(attaching) });
}

/// Whether there is any use in that; if not, the code and the reason.
fn may_ask<W: World>(
    key: u32,
    attaching: &Attaching,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Result<(), (&'static str, String)> {
    let Attaching { tenant, wanted, alone, .. } = attaching;
    let Some(connection) = tables.get_mut(key) else { return Err(("unavailable", String::new())) };
    if !connection.allowance.take_channels(context.config.frame_rate, context.now_ms, wanted.channels.len()) {
        let message =
            "too many channels were joined and left in a short time; nothing was changed, try again later";
        return Err(("too_many_requests", message.into()));
    }
    let sessions = connection.sessions();
    let is_in = sessions.iter().any(|session| session.tenant() == tenant);
    let (count, coming) = (sessions.len(), tables.elsewhere.coming(key));
    if is_in && (!alone || count == 1) {
        return Err(("already_attached", format!("the connection is in {tenant}")));
    }
    if coming.iter().any(|(other, _)| other == tenant) {
        return Err((
            "already_attached",
            format!("the connection is coming into {tenant}; wait for the answer"),
        ));
    }
    if coming.iter().any(|(_, alone)| *alone) || (*alone && !coming.is_empty()) {
        return Err(("too_many_requests", "a switch goes alone; wait for the answers that are owed".into()));
    }
    if !alone && count + coming.len() >= TENANTS_PER_CONNECTION {
        let message = format!("a connection may be in {TENANTS_PER_CONNECTION} tenants; detach one first");
        return Err(("too_many_tenants", message));
    }
    match tables.elsewhere.bearer(key) {
        Some(_) => Ok(()),
        None => Err(("forbidden", format!("the token does not name {tenant}"))),
    }
}

/// A `detach` came.
pub(super) fn detach<W: World>(
    key: u32,
    id: Option<FrameId>,
    tenant: &TenantId,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(at) = tables.find(key, Some(tenant)) else {
        let message = format!("the connection is not in {tenant}");
        return tables.refuse_about(key, tenant, id.as_deref(), NOT_ATTACHED, &message);
    };
    if tables.get(key).is_some_and(|connection| connection.sessions().len() == 1) {
        let message = "a connection is in one tenant at least: switch to another, or close it";
        return tables.refuse_about(key, tenant, id.as_deref(), "last_tenant", message);
    }
    leave(at, tables, context);
    if let Some(connection) = tables.get_mut(key) {
        let id = id.as_deref().and_then(|id| serde_json::from_str(id).ok());
        let (channels, seq, epoch, expires_in, presence) = (None, None, None, None, None);
        connection.say_about(tenant, &ServerFrame::Ok { id, channels, seq, epoch, expires_in, presence });
    }
}

/// Takes a connection out of a tenant that it may not be in any more, and says so.
pub(super) fn expel<W: World>(
    at: At,
    reason: DetachReason,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(tenant) = tables.session(at).map(|session| session.tenant().clone()) else { return };
    leave(at, tables, context);
    tables.say(at.key, &ServerFrame::Detached { tenant: &tenant, reason });
}

/// Takes a session away from its connection, and gives the place among those of its user back.
pub(super) fn leave<W: World>(at: At, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(session) = tables.session(at) else { return };
    let (tenant, user) = (session.tenant().clone(), session.user().clone());
    leave_for_now(at, tables, context);
    if let Some(connection) = tables.get_mut(at.key) {
        connection.permit.leave(&tenant, &user);
    }
}

/// Takes a session away from its connection, which keeps the place: it comes back at once.
pub(super) fn leave_for_now<W: World>(at: At, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    end_requests(at, tables, context);
    // It has ended as a connection that its client has left.
    let Tables { connections, rooms, sessions, asked, .. } = tables;
    if let Some(connection) = connections.get(at.key as usize)
        && let Some(session) = connection.sessions().get(at.session)
        && let Some(room) = rooms.get(session.room)
    {
        sessions.end(connection, session, room, asked.device(at.key), context);
    }
    let seen_ms = tables.get(at.key).map_or(0, |connection| seen_ms(connection, context));
    let Some(session) = tables.detach(at) else { return };
    let tenant = session.tenant().clone();
    tables.leave_room(at.key, session, seen_ms);
    if let Some(connection) = tables.get_mut(at.key) {
        // It is not in the tenant any more whose cursor may be stuck.
        connection.watched = connection.watched.take().filter(|watched| !watched.is_of(&tenant));
        connection.turns.pass(at.session);
    }
}

/// Answers what was asked for in a session's tenant and is not answered yet: it leaves it.
pub(super) fn end_requests<W: World>(at: At, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(member) = tables.session(at).map(|session| session.member(at.key)) else { return };
    let subscribes = tables.asked.take_waiting(member).into_iter().map(|waiting| waiting.joining.id);
    let frames = tables.holding.take_waiting(member).into_iter().map(|held| held.frame.id);
    for id in subscribes.chain(frames).collect::<Vec<_>>() {
        let message = "the tenant was left before there was a verdict; nothing was done";
        tables.refuse(at, id.as_deref(), NOT_ATTACHED, message, context.now_ms);
    }
    let unfinished = tables.session_mut(at).map(|session| session.past.take(|_| true));
    for job in unfinished.iter().flatten() {
        tables.say_of(at, &job.cut_short(), context.now_ms);
    }
}
