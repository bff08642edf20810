//! Who reads rules from the database and makes them ready to be asked?
//!
//! The feed, when it opens a tenant and when the head watch finds another version. The installation's defaults are compiled
//! once for all tenants.

use crate::metrics::metrics;
use carillon_backplane::log::{Log, LogError, Settings, StoredApplication, StoredRevocation};
use carillon_platform::ask::Endpoint;
use carillon_platform::auth::{Revocation, Revoked};
use carillon_platform::rules::{Compiled, RuleSet, TenantLimits};
use carillon_protocol::{SettingsVersion, TenantId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A tenant, and the rules that are known of it.
pub(crate) type Known = (TenantId, Option<Arc<RuleSet>>);

/// Reads rules. Clones share the installation's defaults.
#[derive(Clone)]
pub(crate) struct RuleBook {
    log: Log,
    /// The defaults read last, and of which version they are.
    defaults: Arc<Mutex<(u64, Arc<Compiled>)>>,
}

impl RuleBook {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, defaults: Arc::default() }
    }

    /// The rules of tenants as they are now, in one query. A tenant that is not there is left out.
    pub(crate) async fn read(&self, tenants: &[Known]) -> Result<Vec<(TenantId, Arc<RuleSet>)>, LogError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let read_from = |known: &Option<Arc<RuleSet>>| {
            known.as_ref().map_or(0, |rules| Revoked::read_from(rules.version().tenant, now))
        };
        let asked: Vec<(TenantId, u64)> =
            tenants.iter().map(|(tenant, known)| (tenant.clone(), read_from(known))).collect();
        let (defaults, found) = self.log.settings(&asked).await?;
        metrics().rules_read.increment(found.len() as u64);
        let version = defaults.version;
        let defaults = self.defaults(&defaults);
        let rules = found.into_iter().map(|(tenant, settings)| {
            let version = SettingsVersion { tenant: settings.version, defaults: version };
            let own = compiled(tenant.as_str(), &settings);
            let asked = settings.application.as_ref().and_then(|stored| endpoint(&tenant, stored));
            let known =
                tenants.iter().find(|(name, _)| *name == tenant).and_then(|(_, known)| known.as_ref());
            let from = known.map_or(0, |rules| Revoked::read_from(rules.version().tenant, now));
            let read = settings.revoked.iter().filter_map(revocation);
            let revoked = Revoked::followed(known.map(|rules| rules.revoked()), from, read, now);
            let rules = RuleSet::new(version, own, defaults.clone()).asking(asked).revoking(revoked);
            let rules = rules.limited(TenantLimits::stored(settings.limits.as_deref()));
            (tenant, Arc::new(rules))
        });
        Ok(rules.collect())
    }

    fn defaults(&self, read: &Settings) -> Arc<Compiled> {
        let mut known = self.defaults.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != read.version {
            *known = (read.version, compiled("*", read));
        }
        known.1.clone()
    }
}

fn revocation(stored: &StoredRevocation) -> Option<Revocation> {
    let StoredRevocation { user, device, connection, at_us, until } = stored;
    Revocation::stored(user, device, connection, *at_us, *until)
}

fn endpoint(tenant: &TenantId, stored: &StoredApplication) -> Option<Endpoint> {
    let StoredApplication { url, secret, before, generation } = stored;
    let before = before.as_ref().map(|(secret, until)| (secret.as_str(), *until));
    let endpoint = Endpoint::stored(url, secret, before, *generation);
    if endpoint.is_none() {
        tracing::error!(%tenant, "the secret to ask the tenant's application with cannot be read: nobody is asked");
    }
    endpoint
}

fn compiled(owner: &str, settings: &Settings) -> Arc<Compiled> {
    let stored = settings.rules.iter().map(|stored| (stored.pattern.as_str(), stored.rule.as_str()));
    let (compiled, unreadable) = Compiled::of(stored);
    if unreadable > 0 {
        tracing::error!(tenant = owner, unreadable, "channel rules that cannot be read give nobody anything");
    }
    Arc::new(compiled)
}
