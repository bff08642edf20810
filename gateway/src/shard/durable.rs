//! How does a client publish into the log?

use super::context::Context;
use super::publishing::{Refused, refuse};
use super::tables::Tables;
use super::world::World;
use carillon_protocol::client::{FrameId, Publish};

/// A `publish` whose channel's rule sends it into the log. That they may, and the type, were looked at; the rate was not.
pub(super) fn publish_into_log<W: World>(
    key: u32,
    id: Option<FrameId>,
    publish: &Publish,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let refused = Refused::new("unavailable", "what clients publish cannot go into the log yet");
    refuse(key, &id, &publish.channel, refused, tables, context);
}
