//! What happens when a tenant's rules change?
//!
//! Its room follows them: of the channels whose rule is another, members who may not subscribe any more are taken out and told
//! so. Nothing else of their connections changes.

use super::connection::{Connection, Standing};
use super::context::Context;
use super::generation::reset;
use super::room::RoomKey;
use super::session::{Reading, Session};
use super::tables::Tables;
use super::world::{Socket, World};
use crate::authorize::some;
use crate::metrics::metrics;
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, Found, RuleSet};
use carillon_protocol::Channel;
use carillon_protocol::server::{ResetReason, ServerFrame};
use std::collections::BTreeMap;

/// Channels that one frame names at most: their names fit into the largest frame, whatever they are.
const NAMED: usize = 256;

/// Takes a room to the present rules of its tenant. Those who lose a channel are left touched.
pub(super) fn follow_rules<W: World>(key: RoomKey, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(room) = tables.rooms.get_mut(key) else { return };
    let rules = room.stream.rules();
    if rules.version() == room.rules.version() {
        return;
    }
    let before = std::mem::replace(&mut room.rules, rules.clone());
    let mut lost: BTreeMap<u32, Vec<Channel>> = BTreeMap::new();
    let mut past: BTreeMap<u32, Vec<Channel>> = BTreeMap::new();
    for (channel, members) in room.channels() {
        if says_the_same(before.find(channel), rules.find(channel)) {
            continue;
        }
        for member in members {
            let connection = tables.connections.get(*member as usize);
            let session = connection.and_then(|connection| session_in(connection, key));
            let Some((_, session)) = session else { continue };
            if !may_stay(&rules, session, channel) {
                lost.entry(*member).or_default().push(channel.clone());
            } else if may_read_past(&before, &session.identity, channel)
                && !may_read_past(&rules, &session.identity, channel)
            {
                past.entry(*member).or_default().push(channel.clone());
            }
        }
    }
    for (member, channels) in lost {
        expel(member, key, channels, tables, context);
    }
    for (member, channels) in past {
        let index =
            tables.get(member).and_then(|connection| session_in(connection, key)).map(|(index, _)| index);
        if let Some(index) = index {
            end_past(member, index, &channels, tables, context);
        }
    }
    end_forbidden_histories(key, tables, context);
}

/// Ends the pieces of history that members of a room may not read any more: also of channels that they have left since they asked.
fn end_forbidden_histories<W: World>(key: RoomKey, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(room) = tables.rooms.get(key) else { return };
    let reads = |member: &u32| {
        let session = tables.get(*member).and_then(|connection| session_in(connection, key));
        session.is_some_and(|(_, session)| !session.history.is_empty())
    };
    for member in room.members().iter().copied().filter(reads).collect::<Vec<u32>>() {
        let index = tables.get(member).and_then(|connection| session_in(connection, key)).map(|it| it.0);
        if let Some(index) = index {
            end_forbidden_history(member, index, tables, context);
            tables.touched.push(member);
        }
    }
}

/// The same for one session.
pub(super) fn end_forbidden_history<W: World>(
    member: u32,
    index: usize,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(session) = tables.get(member).and_then(|connection| connection.sessions().get(index)) else {
        return;
    };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let asked = session.history.iter().flat_map(|job| job.channels());
    let lost: Vec<Channel> =
        asked.filter(|channel| !may_read_past(&room.rules, &session.identity, channel)).cloned().collect();
    end_history(member, index, &lost, tables, context);
}

/// Takes a newcomer out of channels that were allowed by other rules than its room's.
pub(super) fn recheck<W: World>(
    member: u32,
    key: RoomKey,
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(rules) = tables.rooms.get(key).map(|room| room.rules.clone()) else { return };
    let Some((index, session)) = tables.get(member).and_then(|connection| session_in(connection, key)) else {
        return;
    };
    let (kept, lost): (Vec<Channel>, Vec<Channel>) =
        channels.iter().cloned().partition(|channel| may_stay(&rules, session, channel));
    let past: Vec<Channel> =
        kept.into_iter().filter(|channel| !may_read_past(&rules, &session.identity, channel)).collect();
    expel(member, key, lost, tables, context);
    end_past(member, index, &past, tables, context);
}

/// Whether a session may be in a channel.
pub(super) fn may_stay(rules: &RuleSet, session: &Session, channel: &Channel) -> bool {
    matches!(rules.decide(Action::Subscribe, &session.identity, channel), Decision::Allowed(_))
}

/// Whether somebody may read what was published to a channel before they came.
pub(super) fn may_read_past(rules: &RuleSet, identity: &Identity, channel: &Channel) -> bool {
    matches!(rules.decide(Action::History, identity, channel), Decision::Allowed(_))
}

/// Whether two rules for a channel let the same people subscribe to it and read its past.
fn says_the_same(before: Option<Found<'_>>, now: Option<Found<'_>>) -> bool {
    match (before, now) {
        (None, None) => true,
        (Some(before), Some(now)) => {
            let same = |action| before.rule.grant(action) == now.rule.grant(action);
            same(Action::Subscribe) && same(Action::History) && before.rule.pattern == now.rule.pattern
        }
        _ => false,
    }
}

/// Takes a member of a room out of channels and tells it which.
fn expel<W: World>(
    member: u32,
    key: RoomKey,
    mut channels: Vec<Channel>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let index = tables.get(member).and_then(|connection| session_in(connection, key)).map(|(index, _)| index);
    let Some(index) = index.filter(|_| !channels.is_empty()) else { return };
    channels.sort_unstable();
    metrics().rules_removed.increment(channels.len() as u64);
    tables.leave(member, index, &channels);
    for part in channels.chunks(NAMED) {
        let message = format!("the rules do not allow {} any more", some(part));
        let frame =
            ServerFrame::Error { id: None, code: "forbidden", message: &message, channels: Some(part) };
        tables.say(member, &frame, context.now_ms);
    }
    end_history(member, index, &channels, tables, context);
    tables.touched.push(member);
}

/// Ends the reading of channels' past by somebody who is in them and may not read it any more: pieces of history, and what a session
/// that is behind has still to read.
pub(super) fn end_past<W: World>(
    member: u32,
    index: usize,
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if channels.is_empty() {
        return;
    }
    end_history(member, index, channels, tables, context);
    let session = tables.get(member).and_then(|connection| connection.sessions().get(index));
    if session.is_some_and(|session| !session.is_live()) {
        forget_past(member, index, tables, context);
    }
    tables.touched.push(member);
}

/// Has a session that is behind go on from where its room stands.
pub(super) fn forget_past<W: World>(
    member: u32,
    index: usize,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(session) = tables.get(member).and_then(|connection| connection.sessions().get(index)) else {
        return;
    };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let standing = Standing { cursor: room.cursor, epoch: room.life.epoch.clone() };
    if let Some(connection) = tables.get_mut(member) {
        reset(connection, index, ResetReason::HistoryForbidden, &standing, context);
    }
}

/// Ends the pieces of history that are of channels which somebody may not be in, or not read, any more, and says that they are not
/// whole.
pub(super) fn end_history<W: World>(
    member: u32,
    index: usize,
    lost: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let epoch = tables.standing(member).map(|standing| standing.epoch);
    let Some(connection) = tables.get_mut(member) else { return };
    let Some(session) = connection.sessions_mut().get_mut(index) else { return };
    if session.history.is_empty() || lost.is_empty() {
        return;
    }
    let is_lost = |channels: &[Channel]| channels.iter().any(|channel| lost.contains(channel));
    if session.history.front().is_some_and(|job| is_lost(job.channels())) {
        // What is being read may be of this piece, also when the session fell behind since: it is not the next piece's. If it is what a
        // session that is behind waits for, it is asked for again.
        session.reading = Reading::Nothing;
    }
    let (ended, kept) =
        std::mem::take(&mut session.history).into_iter().partition(|job| is_lost(job.channels()));
    session.history = kept;
    let ended: std::collections::VecDeque<_> = ended;
    for job in &ended {
        connection.say(&job.cut_short(), epoch.as_ref(), context.now_ms);
    }
}

/// A connection's session in a room, and its number.
fn session_in<S: Socket>(connection: &Connection<S>, key: RoomKey) -> Option<(usize, &Session)> {
    connection.sessions().iter().enumerate().find(|(_, session)| session.room == key)
}
