//! What happens to a frame that a rule leaves to the tenant's application?
//!
//! It waits for the verdict, and nothing else of the connection does; a yes is kept for as long as it says, so that the next frame
//! goes on at once. Without a verdict what it wants is `unavailable`.

use super::context::Context;
use super::holding::{BYTES, FRAMES, Held, Wants};
use super::joining::raw;
use super::messages::Request;
use super::session::At;
use super::tables::Tables;
use super::world::{Socket, World};
use crate::authorize::some;
use crate::metrics::metrics;
use crate::verdicts::May;
use carillon_platform::ask::Question;
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::Channel;
use carillon_protocol::client::{ClientFrame, FrameId};
use carillon_protocol::server::ServerFrame;

/// The frame, if it may be carried out now; else it waits or was refused.
pub(super) fn hold_back<W: World>(
    at: At,
    frame: ClientFrame,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Option<ClientFrame> {
    let Some(wants) = Wants::of(&frame.request) else { return Some(frame) };
    let member = tables.session(at)?.member(at.key);
    if !tables.holding.is_behind_another(member, &wants) && open(at, &wants, tables, context).is_empty() {
        return Some(frame);
    }
    wait(at, Held::new(frame, wants), None, tables, context);
    None
}

/// What a frame that waited comes to when all was said: the frame, if it may be carried out.
pub(super) fn next<W: World>(
    at: At,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> Option<ClientFrame> {
    loop {
        let member = tables.session(at)?.member(at.key);
        let (place, held) = tables.holding.next_ready(member)?;
        let session = tables.session(at)?;
        let room = tables.rooms.get(session.room)?;
        let verdicts = held.verdicts.as_ref()?;
        let (mut refused, mut silent, mut granted) = (Vec::new(), Vec::new(), Vec::new());
        for channel in &held.wants.channels {
            match verdicts.may(&room.rules, held.wants.action, &session.identity(), channel) {
                // What no rule allows the frame itself is refused for.
                May::Yes => {}
                May::ByVerdict(yes) => granted.push((channel.clone(), yes)),
                May::No if is_left_to_it(at, held.wants.action, channel, tables) => {
                    refused.push(channel.clone())
                }
                May::No => {}
                May::Unavailable => silent.push(channel.clone()),
                May::Ask => {}
            }
        }
        let generation = verdicts.generation();
        for (channel, yes) in granted {
            tables.holding.keep(member, held.wants.action, &channel, yes, generation, context.now_ms);
        }
        if !refused.is_empty() {
            let message = format!(
                "the application does not let you {} in {}",
                held.wants.action.name(),
                some(&refused)
            );
            refuse(at, &held.frame.id, ("forbidden", &message), Some(&refused), tables, context);
        } else if !silent.is_empty() {
            let message = format!(
                "whether you may {} is said by the application, and it gave no verdict on {}; nothing was done, try again",
                held.wants.action.name(),
                some(&silent)
            );
            refuse(at, &held.frame.id, ("unavailable", &message), Some(&silent), tables, context);
        } else if open(at, &held.wants, tables, context).is_empty() {
            return Some(held.frame);
        } else if held.was_asked_enough() {
            let message = "what the application has to be asked about changed again and again; try again";
            refuse(at, &held.frame.id, ("unavailable", message), None, tables, context);
        } else {
            wait(at, held, Some(place), tables, context);
        }
    }
}

/// Has a frame wait for what the application says of it.
fn wait<W: World>(
    at: At,
    held: Held,
    place: Option<usize>,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let (id, wants) = (held.frame.id.clone(), held.wants.clone());
    let Some(connection) = tables.get(at.key) else { return };
    let Some(session) = tables.session(at) else { return };
    let (member, tenant) = (session.member(at.key), session.tenant().clone());
    let Some(endpoint) = tables.rooms.get(session.room).and_then(|room| room.rules.endpoint().cloned())
    else {
        let message = "the application is not asked any more; nothing was done, try again";
        return refuse(at, &id, ("unavailable", message), None, tables, context);
    };
    let (connection, device) = (connection.id, tables.asked.device(at.key));
    // Also what is kept: it is about to end, or a frame before this one waits for it.
    let questions: Vec<_> = wants
        .channels
        .iter()
        .filter(|channel| is_left_to_it(at, wants.action, channel, tables))
        .map(|channel| (Question::new(&session.identity(), channel, wants.action, device), 0))
        .collect();
    let Some(ticket) = tables.holding.wait(member, held, place) else {
        let message = format!(
            "{FRAMES} frames or {} KiB of them wait for the application's verdict; wait for an answer",
            BYTES / 1024
        );
        return refuse(at, &id, ("too_many_requests", &message), None, tables, context);
    };
    let ticket = Some(ticket);
    context.world.request(Request::Ask { connection, tenant, ticket, endpoint, questions });
}

/// The channels of which the application has still to say something.
fn open<W: World>(at: At, wants: &Wants, tables: &Tables<W::Socket>, context: &Context<W>) -> Vec<Channel> {
    let is_open = |channel: &&Channel| {
        is_left_to_it(at, wants.action, channel, tables)
            && !tables.is_kept(at.key, at.session, wants.action, channel, context.now_ms)
    };
    wants.channels.iter().filter(is_open).cloned().collect()
}

/// Whether a rule leaves it to the application.
fn is_left_to_it<S: Socket>(at: At, action: Action, channel: &Channel, tables: &Tables<S>) -> bool {
    let Some(session) = tables.session(at) else { return false };
    let Some(room) = tables.rooms.get(session.room) else { return false };
    // Most frames are about channels whose rule names nobody's application.
    room.rules.endpoint().is_some()
        && room.rules.decide(action, &session.identity(), channel) == Decision::Ask
}

fn refuse<W: World>(
    at: At,
    id: &Option<FrameId>,
    (code, message): (&'static str, &str),
    channels: Option<&[Channel]>,
    tables: &mut Tables<W::Socket>,
    context: &Context<W>,
) {
    metrics().frame_refused(code);
    tables.say_of(at, &ServerFrame::Error { id: raw(id), code, message, channels }, context.now_ms);
    tables.touched.push(at.key);
}
