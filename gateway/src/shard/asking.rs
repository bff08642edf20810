//! What happens when a tenant's application has said something, or is to say it again?
//!
//! A `subscribe` that waited goes on or is refused. A member whose verdict gets old is asked about again: a no takes it out, and
//! so does silence that lasts ([`asked`](super::asked)).

use super::asked::{Asked, Due};
use super::context::Context;
use super::joining::{SESSION, join, spread};
use super::messages::{AskTicket, ConnectionId, Request};
use super::rules::{Expelled, expel};
use super::session::Session;
use super::tables::Tables;
use super::watching::{seen_by_verdict, unseen_by_verdict};
use super::world::{Socket, World};
use crate::verdicts::Verdicts;
use carillon_platform::ask::{Question, Verdict};
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::Channel;
use std::collections::BTreeMap;

/// Verdicts have come for a `subscribe`, or about memberships that hold by verdicts. The connection is left to be settled.
pub(super) fn asked<W: World>(
    id: ConnectionId,
    ticket: Option<AskTicket>,
    verdicts: Verdicts,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let key = id.key;
    match ticket {
        Some(ticket) => {
            let Some(verdicts) = tables.holding.hear(key, ticket, verdicts) else { return };
            let Some(mut waiting) = tables.asked.answered(key, ticket) else { return };
            waiting.hear(verdicts, context.now_ms);
            join(key, waiting, tables, context);
        }
        None => renewed(key, &verdicts, tables, context),
    }
}

fn renewed<W: World>(
    key: u32,
    verdicts: &Verdicts,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(session) = session(key, tables) else { return };
    let room = session.room;
    // They are about somebody who had other roles: since those changed the application is being asked again.
    if !verdicts.are_about(&session.identity.roles) {
        return;
    }
    let (now_ms, spread) = (context.now_ms, spread(key, tables));
    let mut lost = Vec::new();
    for (channel, verdict) in verdicts.on(Action::Subscribe) {
        // It was left since, or another setting of the application is to be asked.
        if tables.asked.held(key, channel).is_none_or(|held| held.generation != verdicts.generation()) {
            continue;
        }
        match verdict {
            Verdict::Allowed(granted) => {
                tables.asked.hold(key, channel, granted, verdicts.generation(), now_ms, spread);
            }
            Verdict::Refused => lost.push(channel.clone()),
            Verdict::Unavailable => tables.asked.ask_again(key, channel, now_ms, spread),
            Verdict::Busy => tables.asked.ask_later(key, channel, now_ms, spread),
        }
    }
    expel(key, room, lost, Expelled::Forbidden, tables, context);
    shown_by(key, verdicts, tables, context);
}

/// The application has said who is seen.
fn shown_by<W: World>(
    key: u32,
    verdicts: &Verdicts,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let (now_ms, spread) = (context.now_ms, spread(key, tables));
    let mut hidden = Vec::new();
    for (channel, verdict) in verdicts.on(Action::Presence) {
        if tables.shown.held(key, channel).is_none_or(|held| held.generation != verdicts.generation()) {
            continue;
        }
        match verdict {
            Verdict::Allowed(granted) => {
                tables.shown.hold(key, channel, granted, verdicts.generation(), now_ms, spread);
                seen_by_verdict(key, SESSION, channel, tables);
            }
            Verdict::Refused => hidden.push(channel.clone()),
            Verdict::Unavailable => tables.shown.ask_again(key, channel, now_ms, spread),
            Verdict::Busy => tables.shown.ask_later(key, channel, now_ms, spread),
        }
    }
    if !hidden.is_empty() {
        unseen_by_verdict(key, SESSION, &hidden, tables, context);
    }
}

/// Looks after the memberships that are due, and after who is seen. Those that end are left touched.
pub(super) fn renew_due<W: World>(tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    for (key, channel) in std::mem::take(&mut tables.unasked) {
        let room = session(key, tables).and_then(|session| tables.rooms.get(session.room));
        if let Some(endpoint) = room.and_then(|room| room.rules.endpoint()) {
            tables.shown.ask_soon(key, &channel, endpoint.generation(), context.now_ms, 0);
        }
    }
    for action in [Action::Subscribe, Action::Presence] {
        renew_due_of(action, tables, context);
    }
}

/// What holds by verdicts on this action.
fn of<S: Socket>(action: Action, tables: &mut Tables<S>) -> &mut Asked {
    if action == Action::Presence { &mut tables.shown } else { &mut tables.asked }
}

fn renew_due_of<W: World>(action: Action, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let mut ask: BTreeMap<u32, Vec<(Channel, u64)>> = BTreeMap::new();
    let mut over: BTreeMap<u32, Vec<Channel>> = BTreeMap::new();
    for (key, channel, due) in of(action, tables).take_due(context.now_ms) {
        match due {
            Due::Ask(number) => ask.entry(key).or_default().push((channel, number)),
            Due::Over => over.entry(key).or_default().push(channel),
        }
    }
    for (key, channels) in ask {
        ask_about(key, action, channels, tables, context);
    }
    for (key, channels) in over {
        if action == Action::Presence {
            unseen_by_verdict(key, SESSION, &channels, tables, context);
        } else if let Some(room) = session(key, tables).map(|session| session.room) {
            expel(key, room, channels, Expelled::Unavailable, tables, context);
        }
    }
}

fn ask_about<W: World>(
    key: u32,
    action: Action,
    channels: Vec<(Channel, u64)>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get(key) else { return };
    let Some(session) = connection.sessions().get(SESSION) else { return };
    let Some(rules) = tables.rooms.get(session.room).map(|room| room.rules.clone()) else { return };
    let Some(endpoint) = rules.endpoint() else { return };
    // What holds by itself by now is no question any more; what is forbidden was followed when the rules changed.
    let is_left_to_it = |channel: &Channel| rules.decide(action, &session.identity, channel) == Decision::Ask;
    let (questions, settled): (Vec<_>, Vec<_>) =
        channels.into_iter().partition(|(channel, _)| is_left_to_it(channel));
    let device = tables.asked.device(key);
    let questions: Vec<(Question, u64)> = questions
        .into_iter()
        .map(|(channel, number)| (Question::new(&session.identity, &channel, action, device), number))
        .collect();
    // Each by itself: that there is no verdict on one says nothing of the others, and none of them waits for it.
    for question in questions {
        let (connection, endpoint, questions) = (connection.id, endpoint.clone(), vec![question]);
        context.world.request(Request::Ask { connection, ticket: None, endpoint, questions });
    }
    settled.iter().for_each(|(channel, _)| of(action, tables).forget(key, channel));
}

fn session<S: Socket>(key: u32, tables: &Tables<S>) -> Option<&Session> {
    tables.get(key)?.sessions().get(SESSION)
}
