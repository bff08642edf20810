//! Who reads rules from the database and makes them ready to be asked?
//!
//! The feed, when it opens a tenant and when the head watch finds another version. The installation's defaults are compiled
//! once for all tenants.

use crate::metrics::metrics;
use carillon_backplane::log::{Log, LogError, Settings, StoredApplication};
use carillon_platform::ask::Endpoint;
use carillon_platform::rules::{Compiled, RuleSet};
use carillon_protocol::{SettingsVersion, TenantId};
use std::sync::{Arc, Mutex, PoisonError};

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
    pub(crate) async fn read(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Arc<RuleSet>)>, LogError> {
        let (defaults, found) = self.log.settings(tenants).await?;
        metrics().rules_read.increment(found.len() as u64);
        let version = defaults.version;
        let defaults = self.defaults(&defaults);
        let rules = found.into_iter().map(|(tenant, settings)| {
            let version = SettingsVersion { tenant: settings.version, defaults: version };
            let own = compiled(tenant.as_str(), &settings);
            let asked = settings.application.as_ref().and_then(|stored| endpoint(&tenant, stored));
            (tenant, Arc::new(RuleSet::new(version, own, defaults.clone()).asking(asked)))
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
