//! Which channel rules has a tenant, and how do gateways hear of other ones?
//!
//! Rules are changed in the database, where their version moves with them; what is sent through Redis is only a word that makes
//! gateways look now. Whoever reads the log with a user token is measured by rules that are a second old at most.

use crate::health::Health;
use carillon_backplane::log::{
    Log, LogError, Owner, Revoke, RevokeOutcome, RuleChange, Settings, StoredApplication, StoredRevocation,
};
use carillon_platform::ask::Endpoint;
use carillon_platform::auth::{Claims, Revocation, Revoked};
use carillon_platform::rules::{Compiled, RuleSet, TenantLimits};
use carillon_protocol::{SettingsVersion, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long rules are believed that somebody reads by.
const KEPT: Duration = Duration::from_secs(1);
/// Most tenants whose rules are kept.
const TENANTS: usize = 1_000;
/// How often a change is tried whose settings others change at the same time.
const ATTEMPTS: usize = 5;

/// Tells the gateways that serve a tenant that its settings have changed.
pub type Tell = Arc<dyn Fn(&TenantId) + Send + Sync>;

/// Reads and changes channel rules.
pub struct Rules {
    log: Log,
    health: Health,
    tell: Tell,
    known: Mutex<HashMap<TenantId, (Instant, Arc<RuleSet>)>>,
}

/// What became of a change that was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It holds.
    Yes,
    /// There is no such tenant.
    NoOwner,
}

/// What is to become of settings.
enum Change<'c> {
    Rule(&'c str, RuleChange<'c>),
    Application(&'c TenantId, Option<StoredApplication>),
}

impl Rules {
    /// `tell` may take no time and may fail silently.
    pub fn new(log: Log, health: Health, tell: Tell) -> Self {
        Self { log, health, tell, known: Mutex::default() }
    }

    /// The same, if they were read a moment ago.
    pub fn known_of(&self, tenant: &TenantId) -> Option<Arc<RuleSet>> {
        let known = self.known();
        let fresh = known.get(tenant).filter(|(read, _)| read.elapsed() < KEPT);
        fresh.map(|(_, rules)| rules.clone())
    }

    /// The rules that somebody in this tenant reads the log by.
    pub async fn of(&self, tenant: &TenantId) -> Result<Arc<RuleSet>, LogError> {
        let mut found = self.of_all(std::slice::from_ref(tenant)).await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// The rules of these tenants, in their order: what is not known is read in one query.
    async fn of_all(&self, tenants: &[TenantId]) -> Result<Vec<Arc<RuleSet>>, LogError> {
        let (now, now_s) = (Instant::now(), seconds_now());
        let mut found: HashMap<&TenantId, Arc<RuleSet>> = HashMap::with_capacity(tenants.len());
        let mut asked: Vec<(TenantId, u64)> = Vec::new();
        let mut before: HashMap<&TenantId, Arc<RuleSet>> = HashMap::new();
        {
            let known = self.known();
            for tenant in tenants {
                match known.get(tenant) {
                    Some((read, rules)) if now.duration_since(*read) < KEPT => {
                        found.insert(tenant, rules.clone());
                    }
                    Some((read, rules)) => {
                        let read_at = now_s.saturating_sub(now.duration_since(*read).as_secs());
                        let from = Revoked::read_from(rules.version().tenant, read_at, now_s);
                        asked.push((tenant.clone(), from));
                        before.insert(tenant, rules.clone());
                    }
                    None => asked.push((tenant.clone(), 0)),
                }
            }
        }
        if !asked.is_empty() {
            let (defaults, own) = self.health.ask(self.log.settings(&asked)).await?;
            let mut own: HashMap<TenantId, Settings> = own.into_iter().collect();
            let compiled_defaults = compiled(&defaults);
            let mut read_now: Vec<(TenantId, Arc<RuleSet>)> = Vec::with_capacity(asked.len());
            for (name, read_from) in &asked {
                let own = own.remove(name).unwrap_or_default();
                let version = SettingsVersion { tenant: own.version, defaults: defaults.version };
                let earlier = before.get(name).map(|rules| rules.revoked());
                let read = own.revoked.iter().filter_map(revocation);
                let revoked = Revoked::followed(earlier, *read_from, read, now_s);
                let rules = RuleSet::new(version, compiled(&own), compiled_defaults.clone());
                let application = own.application.as_ref().and_then(endpoint);
                let rules = rules.asking(application).revoking(revoked);
                let rules = rules.limited(TenantLimits::stored(own.limits.as_deref()));
                let rules = Arc::new(rules.suspended(own.suspended));
                read_now.push((name.clone(), rules.clone()));
                if let Some(tenant) = tenants.iter().find(|tenant| *tenant == name) {
                    found.insert(tenant, rules);
                }
            }
            let mut known = self.known();
            for (name, rules) in read_now {
                if known.len() >= TENANTS {
                    known.retain(|_, (read, _)| now.duration_since(*read) < KEPT);
                }
                if known.len() < TENANTS {
                    known.insert(name, (now, rules));
                }
            }
        }
        Ok(tenants.iter().map(|tenant| found.get(tenant).cloned().unwrap_or_default()).collect())
    }

    /// Notes in which of its tenants a token is refused, because its bearer was disconnected after it was issued.
    pub async fn measure(&self, claims: &mut Claims) -> Result<(), LogError> {
        let tenants: Vec<TenantId> = claims.tenants().collect();
        let (found, now) = (self.of_all(&tenants).await?, seconds_now());
        for (tenant, rules) in tenants.into_iter().zip(found) {
            let refused =
                claims.enter(Some(&tenant)).is_ok_and(|who| rules.revoked().refuses(&who, None, now));
            if refused {
                claims.revoke_in(tenant);
            }
        }
        Ok(())
    }

    /// Sets a tenant's limits. `by`: who asks for that, here as in what follows.
    pub async fn set_limits(
        &self,
        by: &str,
        tenant: &TenantId,
        limits: TenantLimits,
    ) -> Result<Changed, LogError> {
        self.health.check_writing()?;
        let json = serde_json::to_string(&limits).unwrap_or_default();
        let json = (!limits.is_empty()).then_some(json);
        if !self.health.ask(self.log.acting(by).set_limits(tenant, json.as_deref())).await? {
            return Ok(Changed::NoOwner);
        }
        self.changed(&Owner::Tenant(tenant.clone()));
        Ok(Changed::Yes)
    }

    /// Suspends a tenant, or lifts that.
    pub async fn set_suspended(
        &self,
        by: &str,
        tenant: &TenantId,
        suspended: bool,
    ) -> Result<Changed, LogError> {
        self.health.check_writing()?;
        if !self.health.ask(self.log.acting(by).set_suspended(tenant, suspended)).await? {
            return Ok(Changed::NoOwner);
        }
        self.changed(&Owner::Tenant(tenant.clone()));
        Ok(Changed::Yes)
    }

    /// Disconnects whoever this is.
    pub async fn revoke(
        &self,
        by: &str,
        tenant: &TenantId,
        whom: Revoke<'_>,
        lasts: Duration,
        most: u32,
    ) -> Result<RevokeOutcome, LogError> {
        self.health.check_writing()?;
        let outcome = self.health.ask(self.log.acting(by).revoke(tenant, whom, lasts, most)).await?;
        if let RevokeOutcome::Revoked { .. } = outcome {
            self.changed(&Owner::Tenant(tenant.clone()));
        }
        Ok(outcome)
    }

    /// Ends a revocation with these names, of which some may be empty. False if none holds.
    pub async fn lift(&self, by: &str, tenant: &TenantId, names: [&str; 3]) -> Result<bool, LogError> {
        self.health.check_writing()?;
        let was_held = self.health.ask(self.log.acting(by).lift_revocation(tenant, names)).await?;
        if was_held {
            self.changed(&Owner::Tenant(tenant.clone()));
        }
        Ok(was_held)
    }

    /// What is set for an owner; none if there is no such tenant.
    pub async fn settings(&self, owner: &Owner) -> Result<Option<Settings>, LogError> {
        self.health.ask(self.log.settings_of(owner)).await
    }

    /// Changes one rule if `allowed` finds nothing wrong with it beside those that there are. It may be asked again, when
    /// others were quicker.
    pub async fn change<E: From<LogError>>(
        &self,
        by: &str,
        owner: &Owner,
        pattern: &str,
        change: RuleChange<'_>,
        allowed: impl Fn(&Settings) -> Result<(), E>,
    ) -> Result<Changed, E> {
        let next = |settings: &Settings| allowed(settings).map(|()| Change::Rule(pattern, change.clone()));
        self.follow(by, owner, next).await
    }

    /// Sets the application that is asked to what `applied` makes of the one before. It may be asked again, when others were
    /// quicker.
    pub async fn set_application<E: From<LogError>>(
        &self,
        by: &str,
        tenant: &TenantId,
        mut applied: impl FnMut(Option<&StoredApplication>) -> Result<Option<StoredApplication>, E>,
    ) -> Result<Changed, E> {
        let next = |settings: &Settings| {
            applied(settings.application.as_ref()).map(|now| Change::Application(tenant, now))
        };
        self.follow(by, &Owner::Tenant(tenant.clone()), next).await
    }

    /// Makes the change that `next` wants of an owner's settings as they are. It is asked again when others were quicker.
    async fn follow<'c, E: From<LogError>>(
        &self,
        by: &str,
        owner: &Owner,
        mut next: impl FnMut(&Settings) -> Result<Change<'c>, E>,
    ) -> Result<Changed, E> {
        self.health.check_writing()?;
        let log = self.log.acting(by);
        for _ in 0..ATTEMPTS {
            let Some(settings) = self.settings(owner).await? else { return Ok(Changed::NoOwner) };
            let is_made = match next(&settings)? {
                Change::Rule(pattern, change) => {
                    let changing = log.change_rule(owner, settings.version, pattern, change);
                    self.health.ask(changing).await?
                }
                Change::Application(tenant, now) => {
                    let setting = log.set_application(tenant, settings.version, now.as_ref());
                    self.health.ask(setting).await?
                }
            };
            if is_made {
                self.changed(owner);
                return Ok(Changed::Yes);
            }
        }
        Err(LogError::Busy("others change these settings at the same time".into()).into())
    }

    fn changed(&self, owner: &Owner) {
        match owner {
            Owner::Tenant(tenant) => {
                self.known().remove(tenant);
                (self.tell)(tenant);
            }
            // Gateways find it with their next look at the heads.
            Owner::Installation => self.known().clear(),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, (Instant, Arc<RuleSet>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn revocation(stored: &StoredRevocation) -> Option<Revocation> {
    let StoredRevocation { user, device, connection, at_us, until } = stored;
    Revocation::stored(user, device, connection, *at_us, *until)
}

fn endpoint(stored: &StoredApplication) -> Option<Endpoint> {
    let StoredApplication { url, secret, before, generation } = stored;
    let before = before.as_ref().map(|(secret, until)| (secret.as_str(), *until));
    Endpoint::stored(url, secret, before, *generation)
}

fn compiled(settings: &Settings) -> Arc<Compiled> {
    let stored = settings.rules.iter().map(|stored| (stored.pattern.as_str(), stored.rule.as_str()));
    Arc::new(Compiled::of(stored).0)
}
