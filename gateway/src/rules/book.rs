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
        // They were read when they changed, or later: a version is a time in microseconds.
        let from = |rules: &RuleSet| {
            let version = rules.version().tenant;
            Revoked::read_from(version, version / 1_000_000, now)
        };
        let read_from = |known: &Option<Arc<RuleSet>>| known.as_deref().map_or(0, from);
        let asked: Vec<(TenantId, u64)> =
            tenants.iter().map(|(tenant, known)| (tenant.clone(), read_from(known))).collect();
        let (defaults, found) = self.log.settings(&asked).await?;
        metrics().rules_read.increment(found.len() as u64);
        let version = defaults.version;
        let defaults = self.defaults(&defaults);
        let rules = found.into_iter().map(|(tenant, settings)| {
            let version = SettingsVersion { tenant: settings.version, defaults: version };
            let known =
                tenants.iter().find(|(name, _)| *name == tenant).and_then(|(_, known)| known.as_ref());
            let own = followed(known, compiled(tenant.as_str(), &settings));
            let asked = settings.application.as_ref().and_then(|stored| endpoint(&tenant, stored));
            let from = known.map_or(0, |rules| from(rules));
            let read = settings.revoked.iter().filter_map(revocation);
            let revoked = Revoked::followed(known.map(|rules| rules.revoked()), from, read, now);
            let rules = RuleSet::new(version, own, defaults.clone()).asking(asked).revoking(revoked);
            let rules = rules.limited(TenantLimits::stored(settings.limits.as_deref()));
            let rules = rules.suspended(settings.suspended);
            (tenant, Arc::new(rules))
        });
        Ok(rules.collect())
    }

    fn defaults(&self, read: &Settings) -> Arc<Compiled> {
        let mut known = self.defaults.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != read.version {
            *known = (read.version, Arc::new(compiled("*", read)));
        }
        known.1.clone()
    }
}

/// The rules as they are now: the same object where they are as before, so that this is seen at once.
fn followed(known: Option<&Arc<RuleSet>>, own: Compiled) -> Arc<Compiled> {
    match known.map(|rules| rules.own()) {
        Some(before) if **before == own => before.clone(),
        _ => Arc::new(own),
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

fn compiled(owner: &str, settings: &Settings) -> Compiled {
    let stored = settings.rules.iter().map(|stored| (stored.pattern.as_str(), stored.rule.as_str()));
    let (compiled, unreadable) = Compiled::of(stored);
    if unreadable > 0 {
        tracing::error!(tenant = owner, unreadable, "channel rules that cannot be read give nobody anything");
    }
    compiled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_as_before_are_the_same_object() {
        let of = |rule: &str| Compiled::of([("order:{order}", rule), ("chat:*", "{}")]).0;
        let before = Arc::new(of(r#"{"subscribe":["anyone"]}"#));
        let defaults = Arc::<Compiled>::default();
        let known = RuleSet::new(SettingsVersion::default(), before.clone(), defaults.clone());
        let known = Arc::new(known);
        let same = followed(Some(&known), of(r#"{"subscribe":["anyone"]}"#));
        assert!(Arc::ptr_eq(&same, &before));
        let other = followed(Some(&known), of(r#"{"subscribe":["self"]}"#));
        assert!(!Arc::ptr_eq(&other, &before));
        let later = RuleSet::new(SettingsVersion { tenant: 7, defaults: 0 }, same, defaults.clone());
        assert!(later.rules_as(&known));
        let changed = RuleSet::new(SettingsVersion { tenant: 8, defaults: 0 }, other, defaults);
        assert!(!changed.rules_as(&known));
    }
}
