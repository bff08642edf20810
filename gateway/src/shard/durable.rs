//! How does a client publish into the log?
//!
//! Through the async bridge, which asks a publisher. What is under way knows its connection's id, so an answer that comes when
//! the connection is gone is nobody's.

use super::context::Context;
use super::joining::raw;
use super::messages::{Published, Request};
use super::publishing::{Refused, refuse, take_rate};
use super::session::At;
use super::tables::Tables;
use super::world::World;
use crate::relay::{NotPublished, Receipt, Relayed};
use carillon_platform::rules::Rule;
use carillon_platform::share::Refused as Full;
use carillon_protocol::client::{FrameId, Publish};
use carillon_protocol::server::ServerFrame;

/// A `publish` whose channel's rule sends it into the log. That they may, and the type, were looked at; the rate is now.
pub(super) fn publish_into_log<W: World>(
    at: At,
    id: Option<FrameId>,
    publish: &Publish,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    if let Err(refused) = hand_over(at, &id, publish, tables, context) {
        refuse(at, &id, &publish.channel, refused, tables, context);
    }
}

fn hand_over<W: World>(
    at: At,
    id: &Option<FrameId>,
    publish: &Publish,
    tables: &Tables<W::Socket>,
    context: &mut Context<W>,
) -> Result<(), Refused> {
    let gone = || Refused::new("unavailable", "the connection has ended");
    let connection = tables.get(at.key).ok_or_else(gone)?;
    let session = tables.session(at).ok_or_else(gone)?;
    let person = &session.identity();
    if person.service.is_some() {
        let message = "an API key publishes into the log over REST (POST /v1/events), not with a frame";
        return Err(Refused::new("forbidden", message));
    }
    let rules = &tables.rooms.get(session.room).ok_or_else(gone)?.rules;
    let rule: Option<&Rule> = rules.find(&publish.channel).map(|found| found.rule);
    take_rate(rule.ok_or_else(gone)?, person, &publish.channel, context)?;
    let under_way = context.config.relays.begin(&person.tenant, connection.id).map_err(too_many)?;
    // What a page publishes into the log comes back to it like everybody's, unless it says that it needs no echo.
    let name = || connection.id.name(&context.config.run);
    let except = (publish.echo == Some(false)).then(name);
    let relayed = Box::new(Relayed::new(person, publish, except));
    let request = Request::Publish { connection: connection.id, frame: id.clone(), relayed, under_way };
    context.world.request(request);
    Ok(())
}

fn too_many(full: Full) -> Refused {
    let whose = match full {
        Full::Member => "of this connection",
        Full::Group => "of this tenant at this node",
        Full::Total => "at this node",
    };
    let message =
        format!("too many events {whose} are on their way into the log; try again when some are there");
    Refused { retry_ms: Some(1_000), ..Refused::new("too_many_requests", message) }
}

/// The publisher has answered. Its client is told so also when it has left the tenant since.
pub(super) fn published<W: World>(
    key: u32,
    answer: &Published,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Published { tenant, frame, channel, result } = answer;
    let at = tables.find(key, Some(tenant));
    match (result, at) {
        (Ok(Receipt { id: event, seq, epoch }), at) => {
            if frame.is_none() {
                return;
            }
            let ok = ServerFrame::Published { id: raw(frame), event, seq: *seq, epoch };
            match (at, tables.get_mut(key)) {
                (Some(at), _) => tables.say_of(at, &ok, context.now_ms),
                (None, Some(connection)) => connection.say_about(tenant, &ok),
                (None, None) => {}
            }
        }
        (Err(NotPublished { code, message, retry_ms }), Some(at)) => {
            let refused = Refused { code, message: message.clone(), retry_ms: *retry_ms };
            refuse(at, frame, channel, refused, tables, context);
        }
        (Err(NotPublished { code, message, .. }), None) => {
            tables.refuse_about(key, tenant, frame.as_deref(), code, message);
        }
    }
}
