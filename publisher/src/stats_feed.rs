//! How do pages that show the installation get its statistics every second?
//!
//! By a signal, which is in no log. Of all publishers the one sends it that takes the second's token out of a bucket in Redis, and only while
//! somebody is connected in the tenant [`TenantId::OPERATOR`]; else the feed costs one question to Redis in five seconds.

use crate::inbox::InboxNews;
use crate::stats::{Stats, StatsReader};
use carillon_backplane::bus::{LimitStore, Take};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, TenantId, UserId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The channel.
const CHANNEL: &str = "carillon:stats";
/// Whose signals these are.
const FROM: &str = "carillon";
const KIND: &str = "carillon.stats";
/// How often the token of a second is asked for: more often than it comes, so that a tick that is early loses no second.
const PACE: Duration = Duration::from_millis(500);
/// Ticks between two looks whether somebody watches.
const LOOK: u32 = 10;
/// Longest wait for Redis.
const ANSWER: Duration = Duration::from_millis(500);

/// What it works with.
pub struct Feed {
    /// The numbers.
    pub stats: StatsReader,
    /// The tokens.
    pub store: LimitStore,
    /// The way to the gateways.
    pub news: InboxNews,
    /// No other process has this name.
    pub me: String,
}

#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    data: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    at: String,
    #[serde(flatten)]
    stats: &'a Stats,
}

impl Feed {
    /// Tells until the process stops.
    pub async fn run(self, leaving: CancellationToken) {
        let (Ok(tenant), Ok(channel), Ok(from)) =
            (TenantId::new(TenantId::OPERATOR), Channel::new(CHANNEL), UserId::new(FROM))
        else {
            return;
        };
        let mut tick = tokio::time::interval(PACE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut is_watched, mut ticks) = (false, 0_u32);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = leaving.cancelled() => return,
            }
            if ticks.is_multiple_of(LOOK) {
                let of_tenant = self.stats.of(&tenant).await;
                is_watched = !of_tenant.stale && of_tenant.connections.is_some_and(|count| count > 0);
            }
            ticks = ticks.wrapping_add(1);
            if is_watched && self.has_turn(&tenant).await {
                self.tell(&tenant, &channel, &from);
            }
        }
    }

    async fn has_turn(&self, tenant: &TenantId) -> bool {
        let take = Take { tenant, kind: "stats", rate: 1, need: 1, more: 0, asker: &self.me };
        let taken = tokio::time::timeout(ANSWER, self.store.take(take)).await;
        matches!(taken, Ok(Ok(taken)) if taken.given > 0)
    }

    fn tell(&self, tenant: &TenantId, channel: &Channel, from: &UserId) {
        let stats = self.stats.of_all();
        let told =
            Event { r#type: KIND, data: Told { at: format!("{:.3}", Timestamp::now()), stats: &stats } };
        let Ok(event) = serde_json::to_string(&told).and_then(RawValue::from_string) else { return };
        let frame = ServerFrame::Signal { channel, from, event: &event };
        self.news.tell(tenant, channel.clone(), from, &frame);
    }
}
