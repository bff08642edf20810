//! How is a client told who is in a channel?
//!
//! Who is seen and who watches stands in the rooms' tables ([`super::present`]); what becomes of it elsewhere the node's presence
//! knows. It is told at the end of a turn, all at once, and sends frames, encoded once for all who watch. A connection that cannot
//! take one gets all that is known when it is live again: one mark, no queue.

use super::answers::NOT_ATTACHED;
use super::context::Context;
use super::membership::ChannelKey;
use super::messages::{Asker, ConnectionId, Joined, Wants};
use super::outbox::{Wrote, write};
use super::present::{CHANNELS, Watch};
use super::room::RoomKey;
use super::seen::{hide, show, show_now};
use super::session::At;
use super::tables::Tables;
use super::world::{Socket, World};
use crate::authorize::some;
use crate::metrics::metrics;
use crate::presence::{Event, PresenceFrame, Told, presence_json, rest_frames, sync_frames};
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::client::FrameId;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, TenantId};

/// Channels that one frame names at most.
const NAMED: usize = 256;

/// Whether a session may see who is in a channel, and be seen.
fn may<S: Socket>(key: u32, index: usize, channel: &Channel, tables: &Tables<S>, now_ms: u64) -> bool {
    let session = tables.get(key).and_then(|connection| connection.sessions().get(index));
    let Some(session) = session else { return false };
    let Some(room) = tables.rooms.get(session.room) else { return false };
    match room.rules.decide(Action::Presence, &session.identity(), channel) {
        Decision::Allowed(_) => true,
        Decision::Ask => tables.is_kept(key, index, Action::Presence, channel, now_ms),
        Decision::Forbidden => false,
    }
}

/// Those of some channels that a session may not see who is in.
pub(super) fn unseen<S: Socket>(
    key: u32,
    index: usize,
    channels: &[Channel],
    tables: &Tables<S>,
    now_ms: u64,
) -> Vec<Channel> {
    channels.iter().filter(|channel| !may(key, index, channel, tables, now_ms)).cloned().collect()
}

/// Whether a session may watch these channels beside those it does.
pub(super) fn has_room_to_watch<S: Socket>(
    key: u32,
    index: usize,
    channels: &[Channel],
    tables: &Tables<S>,
) -> bool {
    let session = tables.get(key).and_then(|connection| connection.sessions().get(index));
    let Some(room) = session.and_then(|session| tables.rooms.get(session.room)) else { return true };
    let Some(present) = &room.present else { return channels.len() <= CHANNELS };
    let is_new =
        |channel: &&Channel| !present.is_seen(channel, key) && present.watches(channel, key) == Watch::No;
    present.count(key) + channels.iter().filter(is_new).count() <= CHANNELS
}

/// Why these are not shown.
pub(super) fn why_unseen(unseen: &[Channel]) -> String {
    format!("no rule shows who is in {}", some(unseen))
}

/// Asks for all that is known of channels that a session is in now, and has it told what changes from there on.
pub(super) fn watch<S: Socket>(key: u32, index: usize, joined: Joined, tables: &mut Tables<S>) {
    let Some(connection) = tables.get(key) else { return };
    let (id, channels) = (connection.id, joined.asked.channels.clone());
    tables.watch_presence(key, index, &channels);
    ask(id, index, channels, Wants::Joined(Box::new(joined)), tables);
}

/// Has a session that has just come told all that is known of these channels, and what changes from there on.
pub(super) fn watch_all<S: Socket>(
    key: u32,
    index: usize,
    mut channels: Vec<Channel>,
    tables: &mut Tables<S>,
    now_ms: u64,
) {
    // The rules may have changed since it was let in.
    let hidden = unseen(key, index, &channels, tables, now_ms);
    channels.retain(|channel| !hidden.contains(channel));
    let Some(connection) = tables.get(key) else { return };
    let id = connection.id;
    tables.watch_presence(key, index, &channels);
    ask(id, index, channels, Wants::Sync, tables);
}

/// Asks once who is in a channel.
pub(super) fn look<S: Socket>(
    key: u32,
    index: usize,
    frame: Option<FrameId>,
    channel: Channel,
    tables: &mut Tables<S>,
) {
    let Some(connection) = tables.get(key) else { return };
    ask(connection.id, index, vec![channel], Wants::Once(frame), tables);
}

fn ask<S: Socket>(
    connection: ConnectionId,
    index: usize,
    channels: Vec<Channel>,
    wants: Wants,
    tables: &mut Tables<S>,
) {
    let session = tables.get(connection.key).and_then(|connection| connection.sessions().get(index));
    let Some(tenant) = session.map(|session| session.tenant().clone()) else { return };
    tables.presence.push((tenant, Event::Ask { who: Asker { connection, wants }, channels }));
}

/// Has a connection that is live again told all that is known of a channel of which it missed something.
pub(super) fn catch_up<S: Socket>(key: u32, tables: &mut Tables<S>) {
    if !tables.missed.remove(&key) {
        return;
    }
    let Some(connection) = tables.get(key) else { return };
    let id = connection.id;
    let sessions = connection.sessions().iter().map(|session| (session.room, session.channels.channels()));
    for (index, (room, own)) in sessions.enumerate().collect::<Vec<_>>() {
        let Some(room) = tables.rooms.get_mut(room) else { continue };
        let Some(present) = &room.present else { continue };
        let mut own = own.into_iter();
        let is_missed = |own: &ChannelKey| {
            room.name_of(*own).is_some_and(|name| present.watches(name, key) == Watch::Missed)
        };
        let Some(own) = own.find(is_missed) else { continue };
        let Some(name) = room.name_of(own).cloned() else { continue };
        if let Some(present) = &mut room.present {
            present.set(&name, key, Watch::Asked);
        }
        ask(id, index, vec![name], Wants::Sync, tables);
    }
}

/// A session's token or its tenant's rules are others: it is seen where they say so now, and told where it does not see any more. The
/// application, which `is_new` says knows them with other roles, is asked where this setting of it has not said it.
pub(super) fn see_anew<W: World>(
    key: u32,
    index: usize,
    is_new: bool,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let spread = tables.get(key).map_or(0, |connection| connection.id.number.wrapping_mul(7_919));
    let Tables { connections, rooms, presence, meta, shown, unasked, .. } = tables;
    let session = connections.get(key as usize).and_then(|connection| connection.sessions().get(index));
    let Some(session) = session else { return };
    let Some(room) = rooms.get_mut(session.room) else { return };
    if room.present.is_none() && !room.rules.is_granted(Action::Presence) {
        return;
    }
    let mut lost = Vec::new();
    for own in session.channels.channels() {
        let Some(channel) = room.name_of(own).cloned() else { continue };
        match room.rules.decide(Action::Presence, &session.identity(), &channel) {
            Decision::Allowed(_) => {
                shown.forget(session.member(key), &channel);
                show(key, session, room, &channel, meta.get(&session.member(key)), presence, unasked);
                continue;
            }
            Decision::Ask if session.service().is_none() => {
                let generation = room.rules.endpoint().map_or(0, |endpoint| endpoint.generation());
                let member = session.member(key);
                let held = shown.held(member, &channel).filter(|held| held.generation == generation);
                if is_new || held.is_none() {
                    shown.ask_soon(member, &channel, generation, context.now_ms, spread);
                }
                continue;
            }
            Decision::Ask | Decision::Forbidden => shown.forget(session.member(key), &channel),
        }
        let watches =
            room.present.as_ref().is_some_and(|present| present.watches(&channel, key) != Watch::No);
        hide(key, session, room, &channel, true, presence);
        if watches {
            lost.push(channel);
        }
    }
    tell_lost(key, index, &lost, tables, context);
}

/// A session is seen in a channel, because the application says so.
pub(super) fn seen_by_verdict<S: Socket>(key: u32, index: usize, channel: &Channel, tables: &mut Tables<S>) {
    let Tables { connections, rooms, presence, meta, .. } = tables;
    let session = connections.get(key as usize).and_then(|connection| connection.sessions().get(index));
    let Some(session) = session else { return };
    let Some(room) = rooms.get_mut(session.room) else { return };
    if room.own_key(&session.channels, channel).is_some() {
        show_now(key, session, room, channel, meta.get(&session.member(key)), presence);
    }
}

/// A session is not seen in channels any more, because the application says so or has said nothing for too long; it is told where it
/// watched.
pub(super) fn unseen_by_verdict<W: World>(
    key: u32,
    index: usize,
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Tables { connections, rooms, presence, shown, .. } = tables;
    let session = connections.get(key as usize).and_then(|connection| connection.sessions().get(index));
    let Some(session) = session else { return };
    let Some(room) = rooms.get_mut(session.room) else { return };
    let mut lost = Vec::new();
    for channel in channels {
        shown.forget(session.member(key), channel);
        let watches = room.present.as_ref().is_some_and(|present| present.watches(channel, key) != Watch::No);
        hide(key, session, room, channel, true, presence);
        if watches {
            lost.push(channel.clone());
        }
    }
    tell_lost(key, index, &lost, tables, context);
}

/// Tells a connection where it does not see any more who is there.
fn tell_lost<W: World>(
    key: u32,
    index: usize,
    lost: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    for part in lost.chunks(NAMED) {
        let (code, message) =
            ("presence_forbidden", format!("it is not shown any more who is in {}", some(part)));
        metrics().frame_refused(code);
        let frame = ServerFrame::Error { id: None, code, message: &message, channels: Some(part) };
        tables.say_of(At { key, session: index }, &frame, context.now_ms);
        tables.touched.push(key);
    }
}

/// What was asked for is known.
pub(super) fn answered<W: World>(
    asker: Asker,
    tenant: &TenantId,
    told: &[(Channel, Told)],
    stale: bool,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Option<Joined> {
    let key = asker.connection.key;
    let Some(at) = tables.find(key, Some(tenant)) else {
        refuse_detached(key, tenant, asker.wants, tables);
        return None;
    };
    let room = tables.session(at)?.room;
    match asker.wants {
        Wants::Once(id) => {
            let (json, _) = presence_json(told, stale);
            let presence = serde_json::from_str(&json).ok();
            let ok = ServerFrame::Ok {
                id: id.as_deref().and_then(|id| serde_json::from_str(id).ok()),
                channels: None,
                seq: None,
                epoch: None,
                expires_in: None,
                presence,
            };
            tables.say_of(at, &ok, context.now_ms);
            say_rest(key, room, told, tables, context);
            None
        }
        Wants::Joined(joined) => {
            begin(key, room, told, tables);
            let (json, _) = presence_json(told, stale);
            let ok = ServerFrame::Ok {
                id: joined.asked.id.as_deref().and_then(|id| serde_json::from_str(id).ok()),
                channels: Some(&joined.asked.channels),
                seq: Some(joined.seq),
                epoch: Some(&joined.epoch),
                expires_in: None,
                presence: serde_json::from_str(&json).ok(),
            };
            tables.say_of(at, &ok, context.now_ms);
            say_rest(key, room, told, tables, context);
            Some(*joined)
        }
        Wants::Sync => {
            if is_behind(key, room, tables) {
                for (channel, _) in told {
                    mark_missed(key, room, channel, tables);
                }
                return None;
            }
            begin(key, room, told, tables);
            for (channel, told) in told {
                for frame in sync_frames(channel, told) {
                    say_raw(key, room, &frame, tables, context);
                }
            }
            // There may be more that it missed.
            tables.missed.insert(key);
            None
        }
    }
}

/// What somebody asked for in a tenant that they have left meanwhile is answered, too.
fn refuse_detached<S: Socket>(key: u32, tenant: &TenantId, wants: Wants, tables: &mut Tables<S>) {
    let id = match wants {
        Wants::Once(id) => id,
        Wants::Joined(joined) => joined.asked.id,
        Wants::Sync => return,
    };
    tables.refuse_about(
        key,
        tenant,
        id.as_deref(),
        NOT_ATTACHED,
        "the tenant was left before there was an answer",
    );
}

/// From here on a connection is told what changes.
fn begin<S: Socket>(key: u32, room: RoomKey, told: &[(Channel, Told)], tables: &mut Tables<S>) {
    let Some(room) = tables.rooms.get_mut(room) else { return };
    for (channel, _) in told {
        if let Some(present) = &mut room.present {
            present.set(channel, key, Watch::Told);
        }
    }
}

/// What does not fit into an answer follows it.
fn say_rest<W: World>(
    key: u32,
    room: RoomKey,
    told: &[(Channel, Told)],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let (_, rest) = presence_json(told, false);
    for (channel, told, from) in rest {
        for frame in rest_frames(channel, told, from) {
            say_raw(key, room, &frame, tables, context);
        }
    }
}

fn say_raw<W: World>(
    key: u32,
    room: RoomKey,
    frame: &PresenceFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Tables { connections, rooms, .. } = tables;
    let Some(connection) = connections.get_mut(key as usize).filter(|connection| connection.is_open()) else {
        return;
    };
    let tenant = rooms.get(room).and_then(|room| connection.naming(&room.stream.tenant));
    if let Some(bytes) = frame.form(connection.wire, tenant) {
        connection.outbox.control().extend_from_slice(bytes);
        context.counts.presence += 1;
    }
}

fn is_behind<S: Socket>(key: u32, room: RoomKey, tables: &Tables<S>) -> bool {
    let Some(connection) = tables.get(key) else { return true };
    let session = connection.sessions().iter().find(|session| session.room == room);
    connection.blocked_ms.is_some() || !session.is_some_and(|session| session.is_live())
}

fn mark_missed<S: Socket>(key: u32, room: RoomKey, channel: &Channel, tables: &mut Tables<S>) {
    let Some(room) = tables.rooms.get_mut(room) else { return };
    if let Some(present) = &mut room.present {
        present.set(channel, key, Watch::Missed);
        tables.missed.insert(key);
    }
}

/// Writes a frame to all who watch a channel. Whoever did not just take it is left touched.
pub(super) fn tell<W: World>(
    tenant: &TenantId,
    channel: &Channel,
    frame: &PresenceFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(room_key) = tables.rooms.of_tenant(tenant) else { return };
    let Some(room) = tables.rooms.get(room_key) else { return };
    let Some(present) = &room.present else { return };
    let mut watchers = std::mem::take(&mut tables.watchers);
    watchers.extend(present.watchers(channel));
    for (key, watch) in watchers.drain(..) {
        if watch == Watch::Missed || !write_to(key, room_key, frame, tables, context) {
            mark_missed(key, room_key, channel, tables);
        }
    }
    tables.watchers = watchers;
}

/// Whether a connection has taken a frame, or all but what waits of it.
fn write_to<W: World>(
    key: u32,
    room: RoomKey,
    frame: &PresenceFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> bool {
    if is_behind(key, room, tables) {
        return false;
    }
    let Some(connection) = tables.connections.get_mut(key as usize) else { return false };
    let tenant = tables.rooms.get(room).and_then(|room| connection.naming(&room.stream.tenant));
    let Some(bytes) = frame.form(connection.wire, tenant) else { return true };
    if !connection.outbox.is_empty() {
        if connection.outbox.is_full() {
            return false;
        }
        // Answers of this turn go first.
        connection.outbox.control().extend_from_slice(bytes);
        context.counts.presence += 1;
        tables.touched.push(key);
        return true;
    }
    match write(&mut connection.socket, bytes) {
        Wrote::All => {
            connection.wrote(bytes.len() as u64, context);
            context.counts.presence += 1;
            return true;
        }
        Wrote::Blocked(taken) => {
            if taken > 0 {
                connection.outbox.begun(bytes.slice(taken..));
                context.counts.presence += 1;
            }
            connection.blocked(taken, context);
            tables.touched.push(key);
            return taken > 0;
        }
        Wrote::Broken => connection.lose(),
    }
    tables.touched.push(key);
    false
}
