//! Who may ask Redis now who is where, and how long does that take at most?
//!
//! A question reads what all gateways say of the tenant. So questions have turns, which go round among tenants, then among a tenant's
//! users and keys, and an end.

use crate::metrics::Metrics;
use carillon_backplane::bus::{Page, PresenceReader, StoreFault, Whereabouts};
use carillon_platform::share::{FairPermits, Holder, PermitLimits, Refused};
use carillon_protocol::{Channel, TenantId, UserId};
use std::sync::Arc;
use std::time::Duration;

/// Questions that are answered at a time.
const TURNS: PermitLimits = PermitLimits {
    total: 16,
    per_group: 4,
    per_member: 2,
    waiting: 512,
    waiting_per_group: 64,
    waiting_per_member: 16,
};
/// Longest wait for a turn.
const TURN: Duration = Duration::from_secs(5);
/// Longest time of one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Reads who is where, in turns.
pub struct Presence {
    reader: PresenceReader,
    turns: FairPermits,
    metrics: Arc<Metrics>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresenceFault {
    /// Redis is away, and nothing is known from before.
    #[error(transparent)]
    Away(#[from] StoreFault),
    /// It took too long.
    #[error("it took too long")]
    TooSlow,
    /// A share is used up.
    #[error("refused: {0}")]
    Refused(Refused),
}

impl Presence {
    /// Nobody asks yet.
    pub fn new(reader: PresenceReader, metrics: Arc<Metrics>) -> Self {
        Self { reader, turns: FairPermits::new(TURNS), metrics }
    }

    /// Up to `limit` people of a channel after the one who came at that time and has that name; `who` asks.
    pub async fn channel(
        &self,
        who: &str,
        tenant: &TenantId,
        channel: &Channel,
        after: Option<&(u64, UserId)>,
        limit: usize,
    ) -> Result<Page, PresenceFault> {
        let page = self.asked(who, tenant, self.reader.channel(tenant, channel, after, limit)).await?;
        self.metrics.presence_answered(page.stale);
        Ok(page)
    }

    /// The channels that somebody is in, and whether that may be out of date; `who` asks.
    pub async fn user(
        &self,
        who: &str,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(Vec<Whereabouts>, bool), PresenceFault> {
        let (channels, stale) = self.asked(who, tenant, self.reader.user(tenant, user)).await?;
        self.metrics.presence_answered(stale);
        Ok((channels, stale))
    }

    async fn asked<T>(
        &self,
        who: &str,
        tenant: &TenantId,
        answer: impl Future<Output = Result<T, StoreFault>>,
    ) -> Result<T, PresenceFault> {
        let waited = tokio::time::timeout(TURN, self.turns.acquire(Holder::new(tenant.as_str(), who))).await;
        let _turn = waited.unwrap_or(Err(Refused::Total)).map_err(|refused| {
            self.metrics.read_refused("presence", refused);
            PresenceFault::Refused(refused)
        })?;
        let answer = tokio::time::timeout(ANSWER, answer).await.map_err(|_| PresenceFault::TooSlow);
        let answer = answer.and_then(|answer| answer.map_err(PresenceFault::Away));
        if answer.is_err() {
            self.metrics.presence_unanswered();
        }
        answer
    }
}
