//! Does this tenant exist, or may it begin now?
//!
//! A tenant that is not remembered costs a question to the log, and one that begins a transaction. A key for all tenants
//! can name any number of them, so publishers take turns: one that names many waits behind itself, and one that lets many begin rests in between.

use crate::batcher::Publisher;
use crate::health::Health;
use crate::metrics;
use carillon_backplane::log::{Log, LogError};
use carillon_platform::config::Tenants as Policy;
use carillon_platform::share::{FairPermit, FairPermits, Holder, PermitLimits, Refused};
use carillon_protocol::{Seq, TenantId};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most tenants remembered as existing.
const REMEMBERED: usize = 10_000;
/// Tenants that are asked for at a time: fewer than the log's connections for small questions.
const LIMITS: PermitLimits = PermitLimits {
    total: 4,
    per_group: 3,
    per_member: 3,
    waiting: 4_096,
    waiting_per_group: 2_048,
    waiting_per_member: 2_048,
};
/// Longest wait for a turn.
const TURN: Duration = Duration::from_millis(1_500);

type Turns = FairPermits<Arc<str>, ()>;

/// The tenants known to exist, and what happens to others.
pub struct Tenants {
    log: Log,
    health: Health,
    policy: Policy,
    known: Mutex<HashSet<TenantId>>,
    turns: Turns,
}

impl Tenants {
    /// Under `auto` a tenant begins with its first event; under `registered` it must be there.
    pub fn new(log: Log, health: Health, policy: Policy) -> Self {
        Self { log, health, policy, known: Mutex::default(), turns: Turns::with_rests(LIMITS) }
    }

    /// Makes sure that a tenant exists. False: it does not, and may not begin.
    pub async fn ensure(&self, tenant: &TenantId, publisher: &Publisher) -> Result<bool, LogError> {
        if self.known().contains(tenant) {
            return Ok(true);
        }
        let turn = turn(&self.turns, tenant, publisher).await?;
        let opening = self.log.open_tenant(tenant, self.policy == Policy::Auto);
        let opened = self.health.ask(opening).await?;
        let is_registered = self.policy == Policy::Registered;
        if opened.as_ref().is_some_and(|opened| is_registered || opened.head.seq > Seq::ZERO) {
            // It has been there before: a publisher that has just started asks for many such.
            turn.was_light();
        }
        let exists = opened.is_some();
        if exists {
            let mut known = self.known();
            if known.len() >= REMEMBERED {
                // Each forgotten one costs a query; an order of ages would cost every request.
                known.clear();
            }
            known.insert(tenant.clone());
        }
        Ok(exists)
    }

    /// Forgets a tenant the log turned out not to have.
    pub fn forget(&self, tenant: &TenantId) {
        self.known().remove(tenant);
    }

    /// Whether a tenant that does not exist is a mistake.
    pub fn must_be_registered(&self) -> bool {
        self.policy == Policy::Registered
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<TenantId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a turn of all who publish for this tenant, or of a publisher with several tenants.
async fn turn(
    turns: &Turns,
    tenant: &TenantId,
    publisher: &Publisher,
) -> Result<FairPermit<Arc<str>, ()>, LogError> {
    // The name of a key or user has a colon in it, and no tenant's has.
    let whose = if publisher.several_tenants { publisher.name.clone() } else { tenant.as_str().into() };
    let waited = tokio::time::timeout(TURN, turns.acquire(Holder::group(whose))).await;
    waited.unwrap_or(Err(Refused::Total)).map_err(|refused| {
        metrics::tenant_lookup_refused(refused);
        LogError::Busy(format!("too many tenants wait to be looked up: {refused}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_publisher_that_names_many_tenants_waits_behind_itself() {
        let turns = Turns::new(LIMITS);
        let key = |name: &str| Publisher { name: name.into(), several_tenants: true };
        let tenant = TenantId::new("acme").unwrap();
        let mut held = Vec::new();
        for _ in 0..LIMITS.per_group {
            held.push(turn(&turns, &tenant, &key("many")).await.unwrap());
        }
        let many = key("many");
        let mut waiting: Vec<_> = (0..3_000).map(|_| Box::pin(turn(&turns, &tenant, &many))).collect();
        let mut refused = 0;
        for turn in &mut waiting {
            refused += usize::from(futures_util::poll!(turn.as_mut()).is_ready());
        }
        assert_eq!(refused, 3_000 - LIMITS.waiting_per_group, "and so many at the most");
        assert!(turn(&turns, &tenant, &key("other")).await.is_ok(), "another one has its turn at once");
        drop(waiting);
        assert!(
            matches!(turn(&turns, &tenant, &many).await, Err(LogError::Busy(_))),
            "nobody waits for ever"
        );
    }
}
