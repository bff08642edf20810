//! Who is seen in a channel, and who is not any more?
//!
//! Whoever is in a channel whose rule, or the application it leaves that to, gives them `presence`; back ends see and are not seen. What happens is noted, and told to the
//! node's presence at the end of the turn.

use super::messages::PresenceNews;
use super::room::{Member, Room};
use super::session::Session;
use crate::presence::Event;
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::Channel;
use std::sync::Arc;

/// A connection's session has joined a channel: it is seen there, if a rule says so; or the application is to be asked.
pub(super) fn show(
    key: u32,
    session: &Session,
    room: &mut Room,
    channel: &Channel,
    meta: Option<&Arc<str>>,
    news: &mut Vec<PresenceNews>,
    unasked: &mut Vec<(Member, Channel)>,
) {
    let identity = &session.identity();
    let Some(found) = room.rules.find(channel).filter(|_| identity.service.is_none()) else { return };
    match found.decide(Action::Presence, identity, channel) {
        Decision::Allowed(_) => show_now(key, session, room, channel, meta, news),
        Decision::Ask => unasked.push((session.member(key), channel.clone())),
        Decision::Forbidden => {}
    }
}

/// The same when it is known that it may be seen.
pub(super) fn show_now(
    key: u32,
    session: &Session,
    room: &mut Room,
    channel: &Channel,
    meta: Option<&Arc<str>>,
    news: &mut Vec<PresenceNews>,
) {
    let identity = &session.identity();
    let Some(found) = room.rules.find(channel).filter(|_| identity.service.is_none()) else { return };
    let grace_ms = found.rule.presence_grace_ms;
    let present = room.present.get_or_insert_default();
    if present.is_seen(channel, key) || !present.has_room(key) || !present.enter(channel, key) {
        return;
    }
    let (channel, user, meta) = (channel.clone(), identity.user.clone(), meta.cloned());
    news.push((identity.tenant.clone(), Event::Enter { channel, user, meta, grace_ms }));
}

/// A session is not seen in a channel any more, and watches it no longer.
pub(super) fn hide(
    key: u32,
    session: &Session,
    room: &mut Room,
    channel: &Channel,
    goodbye: bool,
    news: &mut Vec<PresenceNews>,
) {
    let Some(present) = &mut room.present else { return };
    let Some(ended) = present.leave(channel, key) else { return };
    if present.is_empty() {
        room.present = None;
    }
    let tenant = session.tenant();
    if ended.was_seen {
        let (channel, user) = (channel.clone(), session.user().clone());
        news.push((tenant.clone(), Event::Leave { channel, user, goodbye }));
    }
    if ended.was_last_watcher {
        news.push((tenant.clone(), Event::Unwatch { channel: channel.clone() }));
    }
}

/// A session is seen nowhere any more.
pub(super) fn hide_all(
    key: u32,
    session: &Session,
    room: &mut Room,
    goodbye: bool,
    news: &mut Vec<PresenceNews>,
) {
    if !room.present.as_ref().is_some_and(|present| present.knows(key)) {
        return;
    }
    for own in session.channels.channels() {
        let Some(channel) = room.name_of(own).cloned() else { continue };
        hide(key, session, room, &channel, goodbye, news);
    }
}
