//! Who is seen in which channel, in truth? (the oracle of presence)

use super::client::Finding;
use super::run::Run;
use crate::presence::Event;
use crate::shard::messages::PresenceNews;
use carillon_platform::rules::{Action, Decision};
use carillon_protocol::{Channel, TenantId, UserId};
use std::collections::BTreeMap;

/// How many connections of somebody are seen in a channel.
pub(super) type Seen = BTreeMap<(TenantId, Channel, UserId), i64>;

/// What a shard has told of who comes and goes.
pub(super) fn told(seen: &mut Seen, news: Vec<PresenceNews>) {
    for (tenant, event) in news {
        let (channel, user, more) = match event {
            Event::Enter { channel, user, .. } => (channel, user, 1),
            Event::Leave { channel, user, .. } => (channel, user, -1),
            Event::Meta { .. } | Event::Watch { .. } | Event::Unwatch { .. } | Event::Ask { .. } => continue,
        };
        let place = (tenant, channel, user);
        let count = seen.entry(place.clone()).or_default();
        *count += more;
        if *count == 0 {
            seen.remove(&place);
        }
    }
}

impl Run {
    /// Between two turns those are seen who are in a channel whose rule shows them, as often as they are in it.
    pub(super) fn check_seen(&self) -> Finding {
        let mut expected = Seen::new();
        for (_, connection) in &self.shard.tables.connections {
            for session in connection.sessions() {
                let Some(room) = self.shard.tables.rooms.get(session.room) else { continue };
                let identity = &session.identity();
                for own in session.channels.channels() {
                    let Some(channel) = room.name_of(own).filter(|_| identity.service.is_none()) else {
                        continue;
                    };
                    if matches!(room.rules.decide(Action::Presence, identity, channel), Decision::Allowed(_))
                    {
                        let place = (identity.tenant.clone(), channel.clone(), identity.user.clone());
                        *expected.entry(place).or_default() += 1;
                    }
                }
            }
        }
        let told = self.world.seen.borrow();
        if *told == expected {
            return Ok(());
        }
        let wrong: Vec<_> = told.iter().filter(|(place, count)| expected.get(place) != Some(count)).collect();
        let missing: Vec<_> = expected.keys().filter(|place| !told.contains_key(place)).collect();
        Err(format!("seen, and should be otherwise: {wrong:?}; not seen: {missing:?}"))
    }
}
