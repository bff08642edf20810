//! How does a socket become somebody in a tenant, and where in its log do they begin?

use super::alike::{in_tenant, own_channels};
use super::allowance::Allowance;
use super::attaching::{attach, end_requests, leave, leave_for_now};
use super::connection::{Connection, Departure, Gathered, Stage, Standing, TokenEnd};
use super::context::Context;
use super::devices::Device;
use super::generation::tell_reset;
use super::joining::{raw, spread};
use super::membership::Memberships;
use super::messages::{Attached, Attaching, Coming, ConnectionId, Newcomer};
use super::outbox::Outbox;
use super::past::Position;
use super::quality::Quality;
use super::recovering::entered;
use super::refreshing::token_end;
use super::revoked::keeps_out;
use super::rules::{follow_rules, recheck};
use super::session::{At, Session};
use super::tables::Tables;
use super::turns::Turns;
use super::watching::watch_all;
use super::wire::Wire;
use super::world::{Socket, World};
use crate::authorize::{Authorized, Recovered, Refusal, Resume};
use crate::metrics::metrics;
use crate::records::DeviceKey;
use crate::stream::Life;
use bytes::Bytes;
use carillon_platform::ask::Verdict;
use carillon_platform::rules::Action;
use carillon_protocol::client::FrameId;
use carillon_protocol::limits::CHANNELS_PER_CONNECTION;
use carillon_protocol::server::{Limits, ResetReason, Resumed, ServerFrame};
use carillon_protocol::{Channel, CloseCode, Seq, TenantId};
use std::sync::Arc;

/// A socket that was taken in, with what is to be done for it next.
pub(super) struct Accepted {
    pub(super) key: u32,
    /// What the client sent right behind its request: older than anything its socket has.
    pub(super) early: Bytes,
    pub(super) authorized: Option<Box<Authorized>>,
}

/// Takes a new socket in; none if it cannot be watched.
pub(super) fn accept<W: World>(
    newcomer: Newcomer<W::Socket>,
    number: u64,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Option<Accepted> {
    let Newcomer { mut socket, early, head, wire, format, permit, coming } = newcomer;
    let entry = tables.connections.vacant_entry();
    let key = entry.key() as u32;
    let id = ConnectionId { shard: context.shard, key, number };
    if let Err(error) = context.world.register(&mut socket, key) {
        tracing::error!(%error, "a socket cannot be watched");
        return None;
    }
    let (stage, authorized) = match coming {
        Coming::Admitted(authorized) => (Stage::Entering(Vec::new()), Some(authorized)),
        Coming::Unknown(url) => (Stage::Greeting(url), None),
    };
    let mut outbox = Outbox::starting_with(&head);
    wire.push_opening(outbox.control(), id.name(&context.config.run).as_str(), context.config.heartbeat_ms);
    entry.insert(Connection {
        id,
        socket,
        wire,
        format,
        decoder: wire.decoder(),
        outbox,
        stage,
        allowance: Allowance::full(context.config.frame_rate, context.now_ms),
        opened_ms: context.now_ms,
        heard_ms: context.now_ms,
        told_ms: context.now_ms,
        blocked_ms: None,
        writable: true,
        pinged_ms: None,
        quality: Quality::default(),
        ended: None,
        unread: true,
        has_end: false,
        queued: false,
        token: TokenEnd::UNKNOWN,
        is_refreshing: false,
        turns: Turns::default(),
        place: u64::MAX,
        departure: Departure::Stays,
        gathered: Gathered::NOTHING,
        last_ticket: 0,
        watched: None,
        permit,
    });
    metrics().accepted.increment(1);
    Some(Accepted { key, early, authorized })
}

/// Makes a connection somebody in a tenant and tells it where it stands. Answers what it said while its token was checked.
pub(super) fn welcome<W: World>(
    key: u32,
    mut authorized: Authorized,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Vec<Box<str>> {
    let Some(connection) = tables.get_mut(key) else { return Vec::new() };
    let Stage::Entering(held) = &mut connection.stage else { return Vec::new() };
    let held = std::mem::take(held);
    let (tenant, user) = (&authorized.identity.tenant, &authorized.identity.user);
    if connection.permit.identify(tenant, user).is_err() {
        let reason = "too many connections of this user";
        tables.turn_away(key, "too_many_connections", CloseCode::TooMany, reason, context);
        return Vec::new();
    }
    if let Some(Refusal { code, close, message, .. }) = kept_out(key, &authorized, tables, context) {
        tables.turn_away(key, code, close, &message, context);
        return Vec::new();
    }
    let token = token_end(authorized.identity.expires_at, context);
    let Some(connection) = tables.get_mut(key) else { return Vec::new() };
    connection.token = token;
    let bearer = authorized.bearer.take().filter(|_| connection.wire.is_websocket());
    tables.elsewhere.set_bearer(key, bearer);
    come_in(key, None, authorized, tables, context);
    held
}

/// Whether a connection may come into one more tenant is known. The connection is left to be settled.
pub(super) fn attached<W: World>(
    key: u32,
    attached: Attached,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Attached { attaching, bearer, result } = attached;
    tables.elsewhere.end(key, &attaching.tenant);
    if !tables.get(key).is_some_and(Connection::is_open) {
        return;
    }
    if tables.elsewhere.bearer(key).is_none_or(|now| !Arc::ptr_eq(now, &bearer)) {
        // Another token has come: what counts is what that one says.
        return attach(key, attaching.frame, attaching.wanted, attaching.alone, tables, context);
    }
    let Attaching { frame, tenant, alone, .. } = attaching;
    let result =
        result.and_then(|authorized| kept_out(key, &authorized, tables, context).map_or(Ok(authorized), Err));
    let refused = match result {
        Ok(authorized) => match has_room(key, &authorized, alone, tables) {
            Ok(()) => {
                if alone {
                    leave_all(key, &tenant, tables, context);
                }
                return come_in(key, frame, authorized, tables, context);
            }
            Err(refused) => refused,
        },
        Err(refusal) => refusal,
    };
    let Refusal { code, message, channels, .. } = refused;
    // To a connection a tenant is a thing that it may have or not, as a channel is.
    let code = if code == "tenant_forbidden" { "forbidden" } else { code };
    metrics().frame_refused(code);
    let channels = Some(&*channels).filter(|channels| !channels.is_empty());
    let error = ServerFrame::Error { id: raw(&frame), code, message: &message, channels };
    if let Some(connection) = tables.get_mut(key) {
        connection.say_about(&tenant, &error);
    }
}

/// What keeps somebody out of a tenant whose room knows of a revocation that has come since the token was looked at.
fn kept_out<W: World>(
    key: u32,
    authorized: &Authorized,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Option<Refusal> {
    let room_key = tables.rooms.open(authorized.stream.clone(), context.shard);
    follow_rules(room_key, tables, context);
    let device = authorized.device.as_ref().or(tables.asked.device(key));
    keeps_out(&authorized.identity, device, tables.rooms.get(room_key), context)
}

/// Takes a connection out of all its tenants, which comes into this one.
fn leave_all<W: World>(
    key: u32,
    tenant: &TenantId,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    // While it is in all of them: then each answer names its tenant.
    let sessions = tables.get(key).map_or(0, |connection| connection.sessions().len());
    (0..sessions).for_each(|session| end_requests(At { key, session }, tables, context));
    while let Some(at) = tables.find(key, None) {
        match tables.session(at).is_some_and(|session| session.tenant() == tenant) {
            true => leave_for_now(at, tables, context),
            false => leave(at, tables, context),
        }
    }
}

/// Whether a connection that may come into a tenant has room for it. Then it has its place among those of its user there.
fn has_room<S: Socket>(
    key: u32,
    authorized: &Authorized,
    alone: bool,
    tables: &mut Tables<S>,
) -> Result<(), Refusal> {
    let Authorized { identity, channels, .. } = authorized;
    let Some(connection) = tables.get(key) else { return Ok(()) };
    let own = identity.channels();
    let more = channels.iter().filter(|channel| !own.contains(channel)).count();
    let of_others = |session: &Session| if alone { 0 } else { session.channels.len() };
    let others: usize = connection.sessions().iter().map(of_others).sum();
    if others + own.len() + more > CHANNELS_PER_CONNECTION {
        let message =
            format!("a connection may be in {CHANNELS_PER_CONNECTION} channels, in all its tenants together");
        return Err(Refusal::new("too_many_channels", message, 400, CloseCode::ProtocolError));
    }
    if tables.find(key, Some(&identity.tenant)).is_some() {
        return Ok(());
    }
    let Some(connection) = tables.get_mut(key) else { return Ok(()) };
    connection.permit.attach(&identity.tenant, &identity.user).map_err(|_| {
        let message = format!("too many connections of this user in {}", identity.tenant);
        Refusal::new("too_many_connections", message, 429, CloseCode::TooMany)
    })
}

/// Makes a connection somebody in a tenant, beside those it is in, and tells it where it stands there.
fn come_in<W: World>(
    key: u32,
    frame: Option<FrameId>,
    authorized: Authorized,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Authorized {
        identity,
        stream,
        channels,
        resume,
        rules,
        verdicts,
        device,
        types,
        meta,
        presence,
        inbox,
        command: _,
        bearer: _,
        recovered,
        // Until the end of this function, when it is one of the tenant's connections.
        arriving: _arriving,
    } = authorized;
    // What it calls its device it has said once, for all tenants.
    let device = device.or_else(|| tables.asked.device(key).cloned());
    tables.asked.set_device(key, device.clone());
    let room_key = tables.rooms.open(stream, context.shard);
    follow_rules(room_key, tables, context);
    let Some(room) = tables.rooms.get(room_key) else { return };
    // Whoever comes back with a cursor has got everything up to there.
    let comes_back = matches!(resume, Resume::From { .. });
    let Beginning { position, resumed, reset } = Beginning::of(resume, &room.life, room.cursor);
    let (life, room_cursor) = (room.life.clone(), room.cursor);
    let epoch = life.epoch.clone();
    let expires_in = identity.expires_at.saturating_sub(context.world.unix_us() / 1_000_000);
    let in_tenant = in_tenant(&identity, room_key, tables);
    let own = own_channels(key, &identity, tables);
    let watched_channels = if presence { channels.clone() } else { Vec::new() };
    let more: Vec<Channel> = channels.into_iter().filter(|channel| !own.contains(channel)).collect();
    let is_command = tables.get(key).is_some_and(|connection| connection.wire == Wire::Command);
    // A command is in no channel: it is answered, and that is all.
    let all = if is_command { Vec::new() } else { [own, more].concat() };
    let mut session = Session::new(room_key, &identity, in_tenant);
    session.channels = Memberships::with_capacity(all.len());
    session.past.set_position(position);
    let (seq, member) = (session.cursor(room_cursor), session.member(key));
    tables.enter(key, session);
    if let Some(meta) = meta {
        tables.meta.insert(member, meta);
    }
    let index = tables.get(key).map_or(0, |connection| connection.sessions().len().saturating_sub(1));
    tables.join(key, index, &all, types.as_ref());
    for (channel, verdict) in verdicts.on(Action::Subscribe) {
        if let (Verdict::Allowed(granted), false) = (verdict, is_command) {
            let (now_ms, spread) = (context.now_ms, spread(key, tables));
            tables.asked.hold(member, channel, granted, verdicts.generation(), now_ms, spread);
        }
    }
    if let Some(device) = device.clone() {
        let (tenant, user) = (identity.tenant.clone(), identity.user.clone());
        let (came_ms, has) =
            (context.world.unix_us() / 1_000, (comes_back && reset.is_none()).then_some(seq));
        let key_of = DeviceKey { tenant, user, device };
        let device = Device::new(key_of, came_ms, &life, (has, seq), !is_command);
        tables.devices.enter(key, room_key, device);
    }
    for (channel, verdict) in verdicts.on(Action::Presence) {
        if let Verdict::Allowed(granted) = verdict {
            let (generation, now_ms) = (verdicts.generation(), context.now_ms);
            tables.holding.keep(member, Action::Presence, channel, granted, generation, now_ms);
        }
    }
    if is_command {
        return;
    }
    if identity.service.is_some() {
        tables.watch(key, index, &identity.patterns, types.as_ref());
    }
    if let Some(types) = types {
        tables.choose(member, types);
    }
    metrics().resumed(resumed);
    tables.sessions.note(key, room_key);
    // Where the log is another one since, nobody is where they were.
    let recovered = if reset.is_some() { Recovered::Nothing } else { recovered };
    let recovers_as = entered(key, recovered, tables, context);
    let Some(connection) = tables.get_mut(key) else { return };
    if connection.watched.is_none() {
        let watched = match (connection.wire, position) {
            (Wire::WebSocket(_), Position::Behind(since)) => {
                Some(context.config.stuck.watch(&identity, device.as_ref(), since))
            }
            // Who listens to an event stream never says goodbye, so a page that is loaded again looks the same.
            _ => None,
        };
        connection.watched = watched.map(Box::new);
    }
    let watched = connection.watched.as_deref().filter(|watched| watched.is_of(&identity.tenant));
    let stuck = watched.and_then(|watched| context.config.stuck.known(watched, context.unix_s()));
    let warning = stuck.map(|at| at.to_string());
    let run = &context.config.run;
    let name = connection.id.name(run);
    let welcome = ServerFrame::Welcome {
        id: raw(&frame),
        connection: name.as_str(),
        node: &run.node,
        tenant: &identity.tenant,
        user: &identity.user,
        roles: &identity.roles,
        channels: &all,
        seq,
        epoch: &epoch,
        resumed,
        heartbeat_ms: context.config.heartbeat_ms,
        expires_in,
        limits: Limits::with_frame_rate(context.config.frame_rate.per_second),
        warning: warning.as_deref(),
        inbox: inbox.as_deref(),
    };
    connection.wire.push_connected(connection.outbox.control(), name.as_str(), recovers_as.as_deref());
    connection.say_of(index, &welcome, Some(&epoch), context.now_ms);
    if let Some(reason) = reset {
        tell_reset(connection, index, reason, &Standing { cursor: room_cursor, epoch }, context);
    }
    if rules.is_some_and(|rules| tables.rooms.get(room_key).is_some_and(|room| room.rules.version() != rules))
    {
        recheck(key, room_key, &all, tables, context);
    }
    if !watched_channels.is_empty() {
        watch_all(key, index, watched_channels, tables, context.now_ms);
    }
}

/// Where somebody begins.
struct Beginning {
    position: Position,
    resumed: Resumed,
    reset: Option<ResetReason>,
}

impl Beginning {
    /// In a room that is in this generation and at this cursor.
    fn of(resume: Resume, life: &Life, cursor: Seq) -> Self {
        match resume {
            Resume::Fresh => Self { position: Position::Live, resumed: Resumed::Live, reset: None },
            Resume::Reset(reason) => {
                Self { position: Position::Live, resumed: Resumed::Reset, reset: Some(reason) }
            }
            Resume::From { epoch, seq } if !life.epochs.honours(&epoch, seq) => {
                Self { position: Position::Live, resumed: Resumed::Reset, reset: Some(life.reason) }
            }
            Resume::From { seq, .. } if seq >= cursor => {
                Self { position: Position::Live, resumed: Resumed::Live, reset: None }
            }
            Resume::From { seq, .. } => {
                Self { position: Position::Behind(seq), resumed: Resumed::Replay, reset: None }
            }
        }
    }
}
