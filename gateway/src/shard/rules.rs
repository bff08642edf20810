//! What happens when a tenant's rules change?
//!
//! Its room follows them: of the channels whose rule is another, members who may not subscribe any more are taken out and told
//! so. Nothing else of their connections changes.

use super::connection::Connection;
use super::context::Context;
use super::room::RoomKey;
use super::session::{Reading, Session};
use super::tables::Tables;
use super::world::{Socket, World};
use crate::entrance::some;
use crate::metrics::metrics;
use carillon_platform::rules::{Action, Decision, Found, RuleSet};
use carillon_protocol::Channel;
use carillon_protocol::server::ServerFrame;
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
    for (channel, members) in room.channels() {
        if says_the_same(before.find(channel), rules.find(channel)) {
            continue;
        }
        for member in members {
            let connection = tables.connections.get(*member as usize);
            let session = connection.and_then(|connection| session_in(connection, key));
            if session.is_some_and(|(_, session)| !may_stay(&rules, session, channel)) {
                lost.entry(*member).or_default().push(channel.clone());
            }
        }
    }
    for (member, channels) in lost {
        expel(member, key, channels, tables, context);
    }
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
    let Some((_, session)) = tables.get(member).and_then(|connection| session_in(connection, key)) else {
        return;
    };
    let lost = channels.iter().filter(|channel| !may_stay(&rules, session, channel)).cloned().collect();
    expel(member, key, lost, tables, context);
}

/// Whether a session may be in a channel.
pub(super) fn may_stay(rules: &RuleSet, session: &Session, channel: &Channel) -> bool {
    matches!(rules.decide(Action::Subscribe, &session.identity, channel), Decision::Allowed(_))
}

/// Whether two rules for a channel let the same people subscribe to it.
fn says_the_same(before: Option<Found<'_>>, now: Option<Found<'_>>) -> bool {
    match (before, now) {
        (None, None) => true,
        (Some(before), Some(now)) => {
            before.rule.grant(Action::Subscribe) == now.rule.grant(Action::Subscribe)
                && before.rule.pattern == now.rule.pattern
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

/// Ends the pieces of history that are of channels which somebody may not be in any more, and says that they are not whole.
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
    let is_lost = |channels: &[Channel]| channels.iter().any(|channel| lost.contains(channel));
    if session.is_live() && session.history.front().is_some_and(|job| is_lost(job.channels())) {
        // What is being read is of this piece.
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
