//! How does a session get into the channels that its client asks for?
//!
//! All or none: by the token, by a rule, or because the application says so. Whoever has to be asked about is asked beside the
//! shard; that `subscribe` waits, and nothing else of the connection does.

use super::context::Context;
use super::history::{HistoryJob, JOBS};
use super::messages::{Answered, Joining, Question, Request, Said};
use super::rules::forget_past;
use super::session::Position;
use super::tables::Tables;
use super::world::World;
use crate::entrance::some;
use crate::metrics::metrics;
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::Channel;
use carillon_protocol::client::FrameId;
use carillon_protocol::limits::CHANNELS_PER_CONNECTION;
use carillon_protocol::server::ServerFrame;
use serde_json::value::RawValue;

/// The session that frames are for.
pub(super) const SESSION: usize = 0;

/// A `subscribe` came.
pub(super) fn subscribe<W: World>(
    key: u32,
    asked: Joining,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if pays_for(key, asked.id.as_deref(), asked.channels.len(), tables, context) {
        join(key, asked, None, tables, context);
    }
}

/// The application was asked about a `subscribe`.
pub(super) fn answered<W: World>(
    key: u32,
    asked: Joining,
    answers: Vec<Answered>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    join(key, asked, Some(answers), tables, context);
}

/// What stands against a `subscribe`.
#[derive(Default)]
struct Objections {
    forbidden: Vec<Channel>,
    unknown: Vec<Channel>,
    /// Whether some of its channels may be heard and not read back.
    no_past: bool,
    questions: Vec<Question>,
}

impl Objections {
    fn note(&mut self, said: Said, channel: &Channel) {
        match said {
            Said::Yes => {}
            // Hearing it and reading its past are asked one after the other; it is named once.
            Said::No if self.forbidden.last() == Some(channel) => {}
            Said::No => self.forbidden.push(channel.clone()),
            Said::Nothing => self.unknown.push(channel.clone()),
        }
    }
}

fn join<W: World>(
    key: u32,
    asked: Joining,
    answers: Option<Vec<Answered>>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Some(connection) = tables.get(key) else { return };
    let connection_id = connection.id;
    let Some(session) = connection.sessions().get(SESSION) else { return };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let mut found = Objections::default();
    for channel in &asked.channels {
        // One by one for those that the token does not open; most are.
        let mut needs = |action: Action| {
            let said = match room.rules.decide(action, &session.identity, channel) {
                Decision::Allowed(_) => Said::Yes,
                Decision::Forbidden => Said::No,
                Decision::Ask => match &answers {
                    Some(answers) => Answered::of(answers, action, channel),
                    None => {
                        found.questions.push(Question { action, channel: channel.clone() });
                        Said::Yes
                    }
                },
            };
            match action {
                Action::History if asked.history.is_none() => found.no_past |= said != Said::Yes,
                _ => found.note(said, channel),
            }
        };
        if session.identity.may_read(channel) {
            continue;
        }
        needs(Action::Subscribe);
        if asked.history.is_some() || !session.is_live() {
            needs(Action::History);
        }
    }
    let Objections { forbidden, unknown, no_past, questions } = found;
    if !forbidden.is_empty() {
        let message =
            format!("neither the token nor a rule allows {}; nothing was subscribed", some(&forbidden));
        return refuse(key, &asked.id, ("forbidden", &message), &forbidden, tables, context);
    }
    if !unknown.is_empty() {
        let message =
            format!("the application could not be asked about {}; nothing was subscribed", some(&unknown));
        return refuse(key, &asked.id, ("unavailable", &message), &unknown, tables, context);
    }
    if !questions.is_empty() {
        let identity = Box::new(session.identity.clone());
        return context.world.request(Request::Authorize {
            connection: connection_id,
            identity,
            questions,
            asked: Box::new(asked),
        });
    }
    let is_new =
        |channel: &&Channel| !room.key_of(channel).is_some_and(|channel| session.channels.contains(channel));
    if session.channels.len() + asked.channels.iter().filter(is_new).count() > CHANNELS_PER_CONNECTION {
        let message = format!("a connection may be in {CHANNELS_PER_CONNECTION} channels");
        return tables.refuse(key, asked.id.as_deref(), "too_many_channels", &message, context.now_ms);
    }
    if asked.history.is_some() && session.history.len() >= JOBS {
        let message = format!("{JOBS} pieces of history are being sent; wait for one to be replayed");
        return tables.refuse(key, asked.id.as_deref(), "too_many_requests", &message, context.now_ms);
    }
    if no_past && let Position::Behind(_) = session.position {
        // It would be read forward through what is past: continuity ends here, and the client is told.
        forget_past(key, SESSION, tables, context);
    }
    enter(key, asked, tables, context);
}

/// Joins the channels, answers, and notes which past of them is wanted.
fn enter<W: World>(key: u32, asked: Joining, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(session) = tables.get(key).and_then(|connection| connection.sessions().get(SESSION)) else {
        return;
    };
    let Some(room) = tables.rooms.get(session.room) else { return };
    let (epoch, epochs, oldest) = (room.life.epoch.clone(), room.life.epochs.clone(), room.life.oldest);
    let seq = session.cursor(room.cursor);
    let Joining { id, channels, history } = asked;
    tables.join(key, SESSION, &channels);
    let ok = ServerFrame::Ok {
        id: raw(&id),
        channels: Some(&channels),
        seq: Some(seq),
        epoch: Some(&epoch),
        expires_in: None,
    };
    tables.say(key, &ok, context.now_ms);
    let session = tables.get_mut(key).and_then(|connection| connection.sessions_mut().get_mut(SESSION));
    if let (Some(history), Some(session)) = (history, session) {
        session.history.push_back(HistoryJob::new(id, &channels, history, seq, &epochs, oldest));
    }
}

fn refuse<W: World>(
    key: u32,
    id: &Option<FrameId>,
    (code, message): (&'static str, &str),
    channels: &[Channel],
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    metrics().frame_refused(code);
    let frame = ServerFrame::Error { id: raw(id), code, message, channels: Some(channels) };
    tables.say(key, &frame, context.now_ms);
}

/// Whether a client may ask for so many channels now; if not it is told so.
pub(super) fn pays_for<W: World>(
    key: u32,
    id: Option<&str>,
    channels: usize,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> bool {
    let Some(connection) = tables.get_mut(key) else { return false };
    let pays = connection.allowance.take_channels(context.config.frame_rate, context.now_ms, channels);
    if !pays {
        let message =
            "too many channels were joined and left in a short time; nothing was changed, try again later";
        tables.refuse(key, id, "too_many_requests", message, context.now_ms);
    }
    pays
}

/// A frame's id as it goes into the answer.
pub(super) fn raw(json: &Option<Box<str>>) -> Option<&RawValue> {
    json.as_deref().and_then(|json| serde_json::from_str(json).ok())
}
