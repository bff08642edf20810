//! What happens when a tenant's application has said something, or is to say it again?
//!
//! A `subscribe` that waited goes on or is refused. A member whose verdict gets old is asked about again: a no takes it out, and
//! so does silence that lasts ([`asked`](super::asked)).

use super::asked::{Asked, Due};
use super::context::Context;
use super::joining::{join, spread};
use super::messages::{AskTicket, ConnectionId, Request};
use super::room::Member;
use super::rules::{Expelled, expel};
use super::session::At;
use super::tables::Tables;
use super::watching::{seen_by_verdict, unseen_by_verdict};
use super::world::{Socket, World};
use crate::verdicts::Verdicts;
use carillon_platform::ask::{Question, Verdict};
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::{Channel, TenantId};
use std::collections::BTreeMap;

/// Verdicts have come for a `subscribe`, or about memberships that hold by verdicts. The connection is left to be settled.
pub(super) fn asked<W: World>(
    id: ConnectionId,
    tenant: &TenantId,
    ticket: Option<AskTicket>,
    verdicts: Verdicts,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(at) = tables.find(id.key, Some(tenant)) else { return };
    let Some(member) = tables.session(at).map(|session| session.member(at.key)) else { return };
    match ticket {
        Some(ticket) => {
            let Some(verdicts) = tables.holding.hear(member, ticket, verdicts) else { return };
            let Some(mut waiting) = tables.asked.answered(member, ticket) else { return };
            waiting.hear(verdicts, context.now_ms);
            join(at, waiting, tables, context);
        }
        None => renewed(at, &verdicts, tables, context),
    }
}

fn renewed<W: World>(at: At, verdicts: &Verdicts, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(session) = tables.session(at) else { return };
    let (key, member) = (at.key, session.member(at.key));
    // They are about somebody who had other roles: since those changed the application is being asked again.
    if !verdicts.are_about(session.roles()) {
        return;
    }
    let (now_ms, spread) = (context.now_ms, spread(key, tables));
    let mut lost = Vec::new();
    for (channel, verdict) in verdicts.on(Action::Subscribe) {
        // It was left since, or another setting of the application is to be asked.
        if tables.asked.held(member, channel).is_none_or(|held| held.generation != verdicts.generation()) {
            continue;
        }
        match verdict {
            Verdict::Allowed(granted) => {
                tables.asked.hold(member, channel, granted, verdicts.generation(), now_ms, spread);
            }
            Verdict::Refused => lost.push(channel.clone()),
            Verdict::Unavailable => tables.asked.ask_again(member, channel, now_ms, spread),
            Verdict::Busy => tables.asked.ask_later(member, channel, now_ms, spread),
        }
    }
    expel(key, member.room, lost, Expelled::Forbidden, tables, context);
    shown_by(at, verdicts, tables, context);
}

/// The application has said who is seen.
fn shown_by<W: World>(at: At, verdicts: &Verdicts, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let At { key, session: index } = at;
    let Some(member) = tables.session(at).map(|session| session.member(key)) else { return };
    let (now_ms, spread) = (context.now_ms, spread(key, tables));
    let mut hidden = Vec::new();
    for (channel, verdict) in verdicts.on(Action::Presence) {
        if tables.shown.held(member, channel).is_none_or(|held| held.generation != verdicts.generation()) {
            continue;
        }
        match verdict {
            Verdict::Allowed(granted) => {
                tables.shown.hold(member, channel, granted, verdicts.generation(), now_ms, spread);
                seen_by_verdict(key, index, channel, tables);
            }
            Verdict::Refused => hidden.push(channel.clone()),
            Verdict::Unavailable => tables.shown.ask_again(member, channel, now_ms, spread),
            Verdict::Busy => tables.shown.ask_later(member, channel, now_ms, spread),
        }
    }
    if !hidden.is_empty() {
        unseen_by_verdict(key, index, &hidden, tables, context);
    }
}

/// Looks after the memberships that are due, and after who is seen. Those that end are left touched.
pub(super) fn renew_due<W: World>(tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    for (member, channel) in std::mem::take(&mut tables.unasked) {
        let room = tables.rooms.get(member.room);
        let is_there = tables.at(member.key, member.room).is_some();
        if let Some(endpoint) = room.filter(|_| is_there).and_then(|room| room.rules.endpoint()) {
            tables.shown.ask_soon(member, &channel, endpoint.generation(), context.now_ms, 0);
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
    let mut ask: BTreeMap<Member, Vec<(Channel, u64)>> = BTreeMap::new();
    let mut over: BTreeMap<Member, Vec<Channel>> = BTreeMap::new();
    for (member, channel, due) in of(action, tables).take_due(context.now_ms) {
        match due {
            Due::Ask(number) => ask.entry(member).or_default().push((channel, number)),
            Due::Over => over.entry(member).or_default().push(channel),
        }
    }
    for (member, channels) in ask {
        ask_about(member, action, channels, tables, context);
    }
    for (Member { key, room }, channels) in over {
        match tables.at(key, room) {
            Some(at) if action == Action::Presence => {
                unseen_by_verdict(at.key, at.session, &channels, tables, context);
            }
            _ => expel(key, room, channels, Expelled::Unavailable, tables, context),
        }
    }
}

fn ask_about<W: World>(
    member: Member,
    action: Action,
    channels: Vec<(Channel, u64)>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get(member.key) else { return };
    let at = tables.at(member.key, member.room);
    let Some(session) = at.and_then(|at| tables.session(at)) else { return };
    let Some(rules) = tables.rooms.get(session.room).map(|room| room.rules.clone()) else { return };
    let Some(endpoint) = rules.endpoint() else { return };
    // What holds by itself by now is no question any more; what is forbidden was followed when the rules changed.
    let is_left_to_it =
        |channel: &Channel| rules.decide(action, &session.identity(), channel) == Decision::Ask;
    let (questions, settled): (Vec<_>, Vec<_>) =
        channels.into_iter().partition(|(channel, _)| is_left_to_it(channel));
    let device = tables.asked.device(member.key);
    let questions: Vec<(Question, u64)> = questions
        .into_iter()
        .map(|(channel, number)| (Question::new(&session.identity(), &channel, action, device), number))
        .collect();
    // Each by itself: that there is no verdict on one says nothing of the others, and none of them waits for it.
    for question in questions {
        let (connection, endpoint, questions) = (connection.id, endpoint.clone(), vec![question]);
        let tenant = session.tenant().clone();
        context.world.request(Request::Ask { connection, tenant, ticket: None, endpoint, questions });
    }
    settled.iter().for_each(|(channel, _)| of(action, tables).forget(member, channel));
}
