//! How is what somebody says that they did taken in?
//!
//! Nobody is told of it: it is stored with the node's other records, a second later. Whoever says too much, or finds no room, hears so if
//! the frame has an `id`.

use super::context::Context;
use super::joining::raw;
use super::publishing::{Refused, refuse};
use super::session::At;
use super::tables::Tables;
use super::world::World;
use crate::metrics::metrics;
use crate::records::ActivityRecord;
use carillon_protocol::client::{Activity, FrameId};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, UserId};

/// What one connection may say a second, and at once.
const RATE: u32 = 10;

/// An `activity` came.
pub(super) fn activity<W: World>(
    at: At,
    id: Option<FrameId>,
    what: Activity,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    match taken(at, what, tables, context) {
        Ok(()) if id.is_some() => {
            let ok = ServerFrame::Passed { id: raw(&id), degraded: false };
            tables.say_of(at, &ok, context.now_ms);
        }
        Err(refused) if id.is_some() => {
            refuse(at, &id, &Channel::tenant(), refused, tables, context);
        }
        Err(refused) => metrics().frame_refused(refused.code),
        Ok(()) => {}
    }
}

fn taken<W: World>(
    at: At,
    what: Activity,
    tables: &Tables<W::Socket>,
    context: &Context<W>,
) -> Result<(), Refused> {
    let gone = || Refused::new("unavailable", "the connection has ended");
    let connection = tables.get(at.key).ok_or_else(gone)?;
    let session = connection.sessions().get(at.session).ok_or_else(gone)?;
    let (tenant, user) = (session.tenant().clone(), session.user().clone());
    let name = connection.id.name(&context.config.run);
    let now_ms = context.world.unix_us() / 1_000;
    // Each connection by itself: under its name, which is nobody's.
    let of = UserId::new(name.as_str()).unwrap_or_else(|_| user.clone());
    let rate = context.config.rates.take(&tenant, &of, &Channel::tenant(), RATE, now_ms);
    rate.map_err(|retry_ms| Refused {
        code: "rate_limited",
        message: format!("at most {RATE} activities a second of one connection"),
        retry_ms: Some(retry_ms),
    })?;
    let device = tables.devices.name(at.key, session.room).cloned();
    let record = ActivityRecord::new(now_ms, (tenant, user), (device, name.as_str()), what);
    if context.config.records.activity.waiting().put(record) {
        return Ok(());
    }
    Err(Refused::new("unavailable", "too much waits to be stored; try again"))
}
