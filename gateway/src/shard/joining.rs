//! How does a session get into the channels that its client asks for?
//!
//! All or none: by the token, by a rule, or by what the tenant's application says where a rule leaves it to that.

use super::asked::{WAITING, Waiting};
use super::connection::Connection;
use super::context::Context;
use super::history::{HistoryJob, JOBS};
use super::membership::{ChannelKey, Memberships};
use super::messages::{Joined, Joining, Request};
use super::past::Position;
use super::past::Reading;
use super::present::CHANNELS as PRESENCE_CHANNELS;
use super::room::Room;
use super::rules::forget_past;
use super::session::At;
use super::tables::Tables;
use super::watching::{has_room_to_watch, unseen, watch, why_unseen};
use super::world::{Socket, World};
use crate::authorize::some;
use crate::metrics::metrics;
use crate::stream::backlog::Selection;
use crate::verdicts::May;
use carillon_platform::ask::{Endpoint, Question};
use carillon_platform::rules::Action;
use carillon_protocol::client::FrameId;
use carillon_protocol::limits::{CHANNELS_PER_CONNECTION, TYPE_FILTERS_PER_CONNECTION};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, TypeFilter};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::Arc;

/// A `subscribe` came.
pub(super) fn subscribe<W: World>(
    at: At,
    asked: Joining,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if pays_for(at, asked.id.as_deref(), asked.channels.len(), tables, context) {
        join(at, Waiting::new(asked), tables, context);
    }
}

/// Joins channels, with what the tenant's application has said of them so far; what it has still to say it is asked.
pub(super) fn join<W: World>(
    at: At,
    waiting: Waiting,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let At { key, session: index } = at;
    let Some(session) = tables.session(at) else { return };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let (asked, verdicts) = (&waiting.joining, &waiting.verdicts);
    let reads_back = asked.history.is_some() || !session.is_live();
    // Those that may not be joined, and whether some of the others may be heard and not read back.
    let (mut forbidden, mut no_past) = (Vec::new(), false);
    let (mut unavailable, mut open, mut by_verdict) = (Vec::new(), Vec::new(), Vec::new());
    for channel in &asked.channels {
        // One by one for those that the token does not open; most are.
        if session.identity().may_read(channel) {
            continue;
        }
        let may = |action: Action| verdicts.may(&room.rules, action, &session.identity(), channel);
        let (live, past) = (may(Action::Subscribe), if reads_back { may(Action::History) } else { May::Yes });
        if live == May::No || (asked.history.is_some() && past == May::No) {
            forbidden.push(channel.clone());
        }
        if live == May::Unavailable || past == May::Unavailable {
            unavailable.push(channel.clone());
        }
        for (action, may) in [(Action::Subscribe, live), (Action::History, past)] {
            if may == May::Ask {
                let device = tables.asked.device(key);
                open.push((Question::new(&session.identity(), channel, action, device), 0));
            }
        }
        if let May::ByVerdict(granted) = live {
            by_verdict.push((channel.clone(), granted));
        }
        no_past |= past == May::No;
    }
    if !forbidden.is_empty() {
        let message =
            format!("neither the token nor a rule allows {}; nothing was subscribed", some(&forbidden));
        return refuse(at, &asked.id, ("forbidden", &message), &forbidden, tables, context);
    }
    if !unavailable.is_empty() {
        let message = format!(
            "whether you may is said by the application, and it gave no verdict on {}; nothing was subscribed",
            some(&unavailable)
        );
        return refuse(at, &asked.id, ("unavailable", &message), &unavailable, tables, context);
    }
    if let (false, Some(endpoint)) = (open.is_empty(), room.rules.endpoint().cloned()) {
        if !waiting.was_asked_enough() {
            return ask_first(at, waiting, endpoint, open, tables, context);
        }
        let mut channels: Vec<Channel> = open.into_iter().map(|(question, _)| question.channel).collect();
        channels.dedup();
        let message = format!(
            "what the application has to be asked about {} changed again and again; nothing was subscribed, try again",
            some(&channels)
        );
        return refuse(at, &asked.id, ("unavailable", &message), &channels, tables, context);
    }
    let is_new = |channel: &&Channel| room.own_key(&session.channels, channel).is_none();
    let sessions = tables.get(key).map(Connection::sessions).unwrap_or_default();
    let in_all: usize = sessions.iter().map(|session| session.channels.len()).sum();
    if in_all + asked.channels.iter().filter(is_new).count() > CHANNELS_PER_CONNECTION {
        let message = format!("a connection may be in {CHANNELS_PER_CONNECTION} channels");
        return tables.refuse(at, asked.id.as_deref(), "too_many_channels", &message, context.now_ms);
    }
    if asked.presence {
        let unseen = unseen(key, index, &asked.channels, tables, context.now_ms);
        if !unseen.is_empty() {
            let message = format!("{}; nothing was subscribed", why_unseen(&unseen));
            return refuse(at, &asked.id, ("forbidden", &message), &unseen, tables, context);
        }
        if !has_room_to_watch(key, index, &asked.channels, tables) {
            let message = format!("a connection sees who is in {PRESENCE_CHANNELS} channels");
            return tables.refuse(at, asked.id.as_deref(), "too_many_channels", &message, context.now_ms);
        }
    }
    let Some(types) = own_types(room, &session.channels, asked, tables.chosen(session.member(key))) else {
        let message = format!(
            "a connection may choose {TYPE_FILTERS_PER_CONNECTION} different types; nothing was subscribed"
        );
        return tables.refuse(at, asked.id.as_deref(), "too_many_types", &message, context.now_ms);
    };
    if asked.history.is_some() && session.past.len() >= JOBS {
        let message = format!("{JOBS} pieces of history are being sent; wait for one to be replayed");
        let codes = ("too_many_requests", "too_many_histories");
        return tables.refuse_as(at, asked.id.as_deref(), codes, &message, context.now_ms);
    }
    let own = session.member(key);
    if no_past && let Position::Behind(_) = session.past.position() {
        // It would be read forward through what is past: continuity ends here, and the client is told.
        forget_past(key, index, tables, context);
    }
    let (generation, spread) = (verdicts.generation(), spread(key, tables));
    for channel in &asked.channels {
        tables.asked.forget(own, channel);
    }
    tables.asked.wanted(own, &waiting, &waiting.joining.channels);
    let Waiting { joining, left, .. } = waiting;
    enter(at, Joining { types, ..joining }, tables, context);
    for (channel, granted) in by_verdict {
        tables.asked.hold(own, &channel, granted, generation, context.now_ms, spread);
    }
    if !left.is_empty() {
        tables.leave(key, index, &left);
    }
}

/// The types that a `subscribe` chooses: those that the connection has already where they are the same, so that they are kept once.
/// None when it would have too many different ones.
fn own_types(
    room: &Room,
    own: &Memberships,
    asked: &Joining,
    chosen: Option<Arc<TypeFilter>>,
) -> Option<Option<Arc<TypeFilter>>> {
    let Some(types) = &asked.types else { return Some(None) };
    // What it has of these channels it has no more.
    let replaced: HashSet<ChannelKey> =
        asked.channels.iter().filter_map(|channel| room.own_key(own, channel)).collect();
    let mut different: Vec<&Arc<TypeFilter>> = Vec::new();
    let of_channels = own.channels();
    let kept = of_channels.iter().filter(|key| !replaced.contains(key)).filter_map(|key| room.types_of(*key));
    for kept in chosen.iter().chain(kept) {
        if kept == types {
            return Some(Some(kept.clone()));
        }
        if !different.contains(&kept) {
            different.push(kept);
        }
    }
    (different.len() < TYPE_FILTERS_PER_CONNECTION).then(|| Some(types.clone()))
}

/// Has the application say what it leaves open; the `subscribe` waits for that, and nothing else does.
fn ask_first<W: World>(
    at: At,
    waiting: Waiting,
    endpoint: Arc<Endpoint>,
    questions: Vec<(Question, u64)>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get(at.key).map(|connection| connection.id) else { return };
    let Some(session) = tables.session(at) else { return };
    let (member, tenant) = (session.member(at.key), session.tenant().clone());
    let id = waiting.joining.id.clone();
    let Some(ticket) = tables.asked.wait(member, waiting) else {
        let message = format!("{WAITING} subscribes wait for the application's verdict; wait for an answer");
        return tables.refuse(at, id.as_deref(), "too_many_requests", &message, context.now_ms);
    };
    let ticket = Some(ticket);
    context.world.request(Request::Ask { connection, tenant, ticket, endpoint, questions });
}

/// Tells connections apart that came together.
pub(super) fn spread<S: Socket>(key: u32, tables: &Tables<S>) -> u64 {
    tables.get(key).map_or(0, |connection| connection.id.number.wrapping_mul(7_919))
}

/// Joins the channels, answers, and notes which past of them is wanted.
fn enter<W: World>(at: At, asked: Joining, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let At { key, session: index } = at;
    let Some(session) = tables.session(at) else { return };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let (epoch, epochs, oldest) = (room.life.epoch.clone(), room.life.epochs.clone(), room.life.oldest);
    let seq = session.cursor(room.cursor);
    tables.join(key, index, &asked.channels, asked.types.as_ref());
    if asked.presence {
        // Answered when it is known who is there.
        return watch(key, index, Joined { asked, seq, epoch }, tables);
    }
    let Joining { id, channels, history, types, .. } = asked;
    let ok = ServerFrame::Ok {
        id: raw(&id),
        channels: Some(&channels),
        seq: Some(seq),
        epoch: Some(&epoch),
        expires_in: None,
        presence: None,
    };
    tables.say_of(at, &ok, context.now_ms);
    if let (Some(history), Some(session)) = (history, tables.session_mut(at)) {
        let selection = Selection { channels: channels.into(), types };
        let job = HistoryJob::new(id, selection, history, seq, &epochs, oldest);
        if job.is_latest() {
            if !session.is_live() && !session.is_held() {
                // What is being read is what it missed, which comes after.
                session.past.set_reading(Reading::Nothing);
            }
            session.past.set_position(Position::Behind(seq));
        }
        session.past.push(job);
    }
}

/// Who is there has been told to whoever subscribed: now the past that was asked for comes.
pub(super) fn joined<S: Socket>(at: At, joined: Joined, tables: &mut Tables<S>) {
    let Joined { asked: Joining { id, channels, history: Some(history), types, .. }, seq, epoch } = joined
    else {
        return;
    };
    let Tables { connections, rooms, .. } = tables;
    let session = connections.get_mut(at.key as usize).and_then(|it| it.sessions_mut().get_mut(at.session));
    let Some(session) = session else { return };
    let Some(room) = rooms.get(session.room) else { return };
    let upto = if room.life.epoch == epoch { seq } else { session.cursor(room.cursor) };
    let selection = Selection { channels: channels.into(), types };
    session.past.push(HistoryJob::new(id, selection, history, upto, &room.life.epochs, room.life.oldest));
}

fn refuse<W: World>(
    at: At,
    id: &Option<FrameId>,
    (code, message): (&'static str, &str),
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    metrics().frame_refused(code);
    let frame = ServerFrame::Error { id: raw(id), code, message, channels: Some(channels) };
    tables.say_of(at, &frame, context.now_ms);
}

/// Whether a client may ask for so many channels now; if not it is told so.
pub(super) fn pays_for<W: World>(
    at: At,
    id: Option<&str>,
    channels: usize,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> bool {
    let Some(connection) = tables.get_mut(at.key) else { return false };
    let pays = connection.allowance.take_channels(context.config.frame_rate, context.now_ms, channels);
    if !pays {
        let message =
            "too many channels were joined and left in a short time; nothing was changed, try again later";
        let codes = ("too_many_requests", "too_many_channel_changes");
        tables.refuse_as(at, id, codes, message, context.now_ms);
    }
    pays
}

/// A frame's id as it goes into the answer.
pub(super) fn raw(json: &Option<Box<str>>) -> Option<&RawValue> {
    json.as_deref().and_then(|json| serde_json::from_str(json).ok())
}
