//! What happens when a tenant's rules change?
//!
//! Its room follows them: of the channels whose rule is another, members who may not subscribe any more are taken out and told
//! so. Nothing else of their connections changes.

use super::connection::{Connection, Standing};
use super::context::Context;
use super::generation::reset;
use super::past::Reading;
use super::revoked::{end_revoked, end_suspended};
use super::room::{Member, RoomKey};
use super::session::{At, Session};
use super::tables::Tables;
use super::watching::see_anew;
use super::world::{Socket, World};
use crate::authorize::some;
use crate::metrics::metrics;
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, Found, RuleSet};
use carillon_protocol::Channel;
use carillon_protocol::server::{ResetReason, ServerFrame};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    if !Arc::ptr_eq(before.revoked(), rules.revoked()) {
        end_revoked(key, tables, context);
    }
    if rules.is_suspended() && !before.is_suspended() {
        return end_suspended(key, tables, context);
    }
    // Somebody was disconnected, or a limit is another: that is nothing to all others.
    if rules.rules_as(&before) {
        return;
    }
    let Some(room) = tables.rooms.get_mut(key) else { return };
    let mut lost: BTreeMap<u32, Vec<Channel>> = BTreeMap::new();
    let mut past: BTreeMap<u32, Vec<Channel>> = BTreeMap::new();
    let mut left_to_it: Vec<(Member, Channel)> = Vec::new();
    let generation = |rules: &RuleSet| rules.endpoint().map(|endpoint| endpoint.generation());
    let same_application = generation(&before) == generation(&rules);
    for (channel, members) in room.channels() {
        let now = rules.find(channel);
        if says_the_same(before.find(channel), now) && (same_application || !now.is_some_and(asks)) {
            continue;
        }
        for member in members {
            let connection = tables.connections.get(*member as usize);
            let session = connection.and_then(|connection| session_in(connection, key));
            let Some((_, session)) = session else { continue };
            match may_stay(&rules, session, channel) {
                Stay::Yes => tables.asked.forget(session.member(*member), channel),
                Stay::Ask => left_to_it.push((session.member(*member), channel.clone())),
                Stay::No => {
                    lost.entry(*member).or_default().push(channel.clone());
                    continue;
                }
            }
            if may_read_past(&before, &session.identity(), channel)
                && !may_read_past(&rules, &session.identity(), channel)
            {
                past.entry(*member).or_default().push(channel.clone());
            }
        }
    }
    let changed = before.is_granted(Action::Presence) || rules.is_granted(Action::Presence);
    let members: Vec<u32> = if changed { room.members().to_vec() } else { Vec::new() };
    for (member, channel) in left_to_it {
        ask_soon(member, &channel, &rules, tables, context);
    }
    for (member, channels) in lost {
        expel(member, key, channels, Expelled::Forbidden, tables, context);
    }
    for (member, channels) in past {
        let index =
            tables.get(member).and_then(|connection| session_in(connection, key)).map(|(index, _)| index);
        if let Some(index) = index {
            end_past(member, index, &channels, tables, context);
        }
    }
    for member in members {
        let index =
            tables.get(member).and_then(|connection| session_in(connection, key)).map(|(index, _)| index);
        if let Some(index) = index {
            see_anew(member, index, false, tables, context);
        }
    }
    end_forbidden_histories(key, tables, context);
}

/// Ends the pieces of history that members of a room may not read any more: also of channels that they have left since they asked.
fn end_forbidden_histories<W: World>(key: RoomKey, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(room) = tables.rooms.get(key) else { return };
    let reads = |member: &u32| {
        let session = tables.get(*member).and_then(|connection| session_in(connection, key));
        session.is_some_and(|(_, session)| session.past.len() > 0)
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
    let asked = session.past.jobs().flat_map(|job| job.channels());
    let lost: Vec<Channel> =
        asked.filter(|channel| !may_read_past(&room.rules, &session.identity(), channel)).cloned().collect();
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
    let (lost, kept): (Vec<Channel>, Vec<Channel>) =
        channels.iter().cloned().partition(|channel| may_stay(&rules, session, channel) == Stay::No);
    let left_to_it: Vec<Channel> =
        kept.iter().filter(|channel| may_stay(&rules, session, channel) == Stay::Ask).cloned().collect();
    let past: Vec<Channel> =
        kept.into_iter().filter(|channel| !may_read_past(&rules, &session.identity(), channel)).collect();
    let own = session.member(member);
    for channel in left_to_it {
        let generation = rules.endpoint().map(|endpoint| endpoint.generation());
        if tables.asked.held(own, &channel).map(|held| held.generation) != generation {
            ask_soon(own, &channel, &rules, tables, context);
        }
    }
    expel(member, key, lost, Expelled::Forbidden, tables, context);
    end_past(member, index, &past, tables, context);
}

/// Whether a session may be in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    Yes,
    /// The tenant's application says so: it is asked, and until it has answered they stay.
    Ask,
    No,
}

pub(super) fn may_stay(rules: &RuleSet, session: &Session, channel: &Channel) -> Stay {
    match rules.decide(Action::Subscribe, &session.identity(), channel) {
        Decision::Allowed(_) => Stay::Yes,
        Decision::Ask => Stay::Ask,
        Decision::Forbidden => Stay::No,
    }
}

/// Has the application asked soon about a member of a channel.
pub(super) fn ask_soon<W: World>(
    member: Member,
    channel: &Channel,
    rules: &RuleSet,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(endpoint) = rules.endpoint() else { return };
    let spread = tables.get(member.key).map_or(0, |connection| connection.id.number.wrapping_mul(7_919));
    tables.asked.ask_soon(member, channel, endpoint.generation(), context.now_ms, spread);
}

/// Why members are taken out of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expelled {
    /// A rule says so, or the application.
    Forbidden,
    /// The application has not said for too long that they may stay.
    Unavailable,
}

/// Whether a rule leaves anything about reading to the application.
fn asks(found: Found<'_>) -> bool {
    [Action::Subscribe, Action::History].iter().any(|action| found.rule.grant(*action).ask)
}

/// Whether somebody may read what was published to a channel before they came. Where the application says so it is asked when the
/// past is asked for; nobody goes on reading by what it has not said.
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
pub(super) fn expel<W: World>(
    member: u32,
    key: RoomKey,
    mut channels: Vec<Channel>,
    why: Expelled,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let index = tables.get(member).and_then(|connection| session_in(connection, key)).map(|(index, _)| index);
    let Some(index) = index.filter(|_| !channels.is_empty()) else { return };
    channels.sort_unstable();
    metrics().rules_removed.increment(channels.len() as u64);
    tables.leave(member, index, &channels);
    for part in channels.chunks(NAMED) {
        let (code, message) = match why {
            Expelled::Forbidden => {
                ("forbidden", format!("the rules or the application do not allow {} any more", some(part)))
            }
            Expelled::Unavailable => {
                ("unavailable", format!("the application gave no verdict on {} for too long", some(part)))
            }
        };
        let frame = ServerFrame::Error { id: None, code, message: &message, channels: Some(part) };
        tables.say_of(At { key: member, session: index }, &frame, context.now_ms);
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
    let epoch = tables.standing(At { key: member, session: index }).map(|standing| standing.epoch);
    let Some(connection) = tables.get_mut(member) else { return };
    let Some(session) = connection.sessions_mut().get_mut(index) else { return };
    if session.past.len() == 0 || lost.is_empty() {
        return;
    }
    let is_lost = |channels: &[Channel]| channels.iter().any(|channel| lost.contains(channel));
    if session.past.front().is_some_and(|job| is_lost(job.channels())) {
        // What is being read may be of this piece, also when the session fell behind since: it is not the next piece's. If it is what a
        // session that is behind waits for, it is asked for again.
        session.past.set_reading(Reading::Nothing);
    }
    for job in &session.past.take(|job| is_lost(job.channels())) {
        connection.say_of(index, &job.cut_short(), epoch.as_ref(), context.now_ms);
    }
}

/// A connection's session in a room, and its number.
fn session_in<S: Socket>(connection: &Connection<S>, key: RoomKey) -> Option<(usize, &Session)> {
    connection.sessions().iter().enumerate().find(|(_, session)| session.room == key)
}
