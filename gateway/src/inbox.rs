//! How much of somebody's inbox is unread, for their welcome?
//!
//! One count with a bound for each connection that asks, and none for any other. Counts have turns, which go round among tenants, then
//! among a tenant's users: a tenant whose people all come back at once takes nobody else's. Whoever cannot be told now is welcomed
//! without it, and asks a publisher.

use crate::metrics::metrics;
use carillon_backplane::log::{Counts, Log, MOST_COUNTED, Sight};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_platform::share::{FairPermit, FairPermits, Holder, PermitLimits};
use carillon_platform::telemetry::Seldom;
use carillon_protocol::{Channel, TenantId, UserId};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;

/// How often it is counted again because the person did something meanwhile.
const TRIES: usize = 3;

/// Counts at a time; one is always another tenant's. While very many of a tenant come back at once most are welcomed without: more than
/// wait here would not have their turn in time.
const AT_A_TIME: PermitLimits = PermitLimits {
    total: 3,
    per_group: 2,
    per_member: 1,
    waiting: 4_096,
    waiting_per_group: 512,
    waiting_per_member: 16,
};
/// How long a connection waits for its turn.
const TURN: Duration = Duration::from_millis(500);

/// Reads inboxes.
#[derive(Clone)]
pub(crate) struct Inboxes {
    log: Log,
    turns: FairPermits<TenantId, UserId>,
}

/// What a welcome says of an inbox.
#[derive(Serialize)]
struct Summary {
    version: u64,
    unread: u64,
    unseen: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Inboxes {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, turns: FairPermits::new(AT_A_TIME) }
    }

    /// What the welcome says; nothing of a service, which has no inbox, and nothing without a turn in time or when the log does not answer.
    pub(crate) async fn summary(&self, identity: &Identity, rules: &RuleSet) -> Option<Box<RawValue>> {
        static NOT_TOLD: Seldom<()> = Seldom::new();
        if identity.service.is_some() {
            return None;
        }
        let (tenant, user) = (&identity.tenant, &identity.user);
        let _turn = turn(&self.turns, Holder { group: tenant.clone(), member: user.clone() }).await?;
        for _ in 0..TRIES {
            let counted = async {
                let Some(inbox) = self.log.inbox(tenant, user).await? else { return Ok(None) };
                let may_follow = |channel: &Channel| {
                    rules.decide(Action::History, identity, channel) != Decision::Forbidden
                };
                let sight = Sight::of(user, &identity.channels(), &inbox, may_follow);
                let counts = self.log.inbox_counts((tenant, user), &inbox, &sight, MOST_COUNTED).await?;
                Ok::<_, carillon_backplane::log::LogError>(counts.map(|(counts, _)| (inbox.version, counts)))
            };
            match counted.await {
                Ok(Some((version, Counts { unread, unseen, more }))) => {
                    return to_raw_value(&Summary { version, unread, unseen, more }).ok();
                }
                Ok(None) => {}
                Err(error) => {
                    if let Some(times) = NOT_TOLD.due(()) {
                        tracing::warn!(%error, times, "a welcome goes without the inbox");
                    }
                    return None;
                }
            }
        }
        None
    }
}

/// The right to count once. None: there was no turn in time, and the bound that stood in the way is counted.
async fn turn(
    turns: &FairPermits<TenantId, UserId>,
    holder: Holder<TenantId, UserId>,
) -> Option<FairPermit<TenantId, UserId>> {
    let waited = tokio::time::timeout(TURN, turns.acquire(holder.clone())).await;
    // Which bound it is now; nobody waits who could have a turn, so this takes none of others.
    let turn = waited.unwrap_or_else(|_| turns.try_acquire(holder));
    turn.inspect_err(|bound| metrics().inbox_left_out(*bound)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use std::task::Poll;
    use tokio::time::Instant;

    fn holder(tenant: &str, user: usize) -> Holder<TenantId, UserId> {
        let user = UserId::new(format!("user-{user}")).unwrap();
        Holder { group: TenantId::new(tenant).unwrap(), member: user }
    }

    /// Counts that take so long that none of the tenant's other people has a turn in time.
    #[tokio::test(start_paused = true)]
    async fn a_tenant_whose_people_all_come_back_leaves_the_others_their_turn() {
        let turns = FairPermits::new(AT_A_TIME);
        let (mut held, mut waiting) = (Vec::new(), Vec::new());
        for user in 0..1_000 {
            let mut asked = Box::pin(turn(&turns, holder("hostile", user)));
            match poll!(&mut asked) {
                Poll::Ready(turn) => held.extend(turn),
                Poll::Pending => waiting.push(asked),
            }
        }
        assert_eq!((held.len(), waiting.len()), (2, 512), "the others are welcomed without at once");
        let began = Instant::now();
        for user in 0..10 {
            assert!(turn(&turns, holder("innocent", user)).await.is_some());
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody of another tenant waits");
        for asked in waiting {
            assert!(asked.await.is_none());
        }
        assert_eq!(began.elapsed(), TURN);
    }

    #[tokio::test(start_paused = true)]
    async fn one_person_with_many_connections_leaves_a_turn_to_others_of_the_tenant() {
        let turns = FairPermits::new(AT_A_TIME);
        let held = turn(&turns, holder("acme", 1)).await;
        assert!(held.is_some() && turn(&turns, holder("acme", 1)).await.is_none());
        assert!(turn(&turns, holder("acme", 2)).await.is_some());
    }
}
