//! Does this tenant exist, or may it begin now?

use crate::health::Health;
use carillon_backplane::log::{Log, LogError};
use carillon_platform::config::Tenants as Policy;
use carillon_protocol::TenantId;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Most tenants remembered as existing.
const REMEMBERED: usize = 10_000;

/// The tenants known to exist, and what happens to others.
pub struct Tenants {
    log: Log,
    health: Health,
    policy: Policy,
    known: Mutex<HashSet<TenantId>>,
}

impl Tenants {
    /// Under `auto` a tenant begins with its first event; under `registered` it must be there.
    pub fn new(log: Log, health: Health, policy: Policy) -> Self {
        Self { log, health, policy, known: Mutex::default() }
    }

    /// Makes sure that a tenant exists. False: it does not, and may not begin.
    pub async fn ensure(&self, tenant: &TenantId) -> Result<bool, LogError> {
        if self.known().contains(tenant) {
            return Ok(true);
        }
        let opening = self.log.open_tenant(tenant, self.policy == Policy::Auto);
        let exists = self.health.ask(opening).await?.is_some();
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
