//! How much of somebody's inbox is unread, for their welcome?
//!
//! One count with a bound for each connection that asks, and none for any other. Whoever cannot be told now is welcomed without it, and
//! asks a publisher.

use carillon_backplane::log::{Counts, Log, MOST_COUNTED, Sight};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_platform::telemetry::Seldom;
use carillon_protocol::Channel;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How often it is counted again because the person did something meanwhile.
const TRIES: usize = 3;

/// Counts at a time, and how long a connection waits for one: while very many come back at once most are welcomed without.
const AT_A_TIME: usize = 3;
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads inboxes.
#[derive(Clone)]
pub(crate) struct Inboxes {
    log: Log,
    places: Arc<Semaphore>,
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
        Self { log, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// What the welcome says; nothing of a service, which has no inbox, and nothing when the log does not answer.
    pub(crate) async fn summary(&self, identity: &Identity, rules: &RuleSet) -> Option<Box<RawValue>> {
        static NOT_TOLD: Seldom<()> = Seldom::new();
        if identity.service.is_some() {
            return None;
        }
        let _place = tokio::time::timeout(PATIENCE, self.places.acquire()).await.ok()?;
        let (tenant, user) = (&identity.tenant, &identity.user);
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
