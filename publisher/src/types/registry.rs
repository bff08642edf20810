//! Which types has a tenant, and how do publishers hear of other ones?
//!
//! Publishers ask once a second whose types were changed, so a tenant that never set any costs a look into a table, and types that are
//! held cost no question. Whoever changes types through this publisher finds them changed at once, through another one within a
//! second or two.

use super::set::{OwnTypes, TypeSet};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::rules::Changed;
use carillon_backplane::log::{Log, LogError, Owner, RuleChange, StoredTypes};
use carillon_protocol::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often is asked whose types were changed.
const LOOK: Duration = Duration::from_secs(1);
/// How much earlier than what is known is asked from, in microseconds: a transaction may commit after a later one.
const OVERLAP_US: u64 = 60_000_000;
/// Most types that are held, in bytes as they are stored, of all tenants together.
const HELD_BYTES: usize = 32 * 1024 * 1024;
/// How often a change is tried whose types others change at the same time.
const ATTEMPTS: usize = 5;

/// The types of all tenants.
pub struct Types {
    log: Log,
    health: Health,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Types are read one owner after another: what many wait for is read once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Up to which version is known whose types were changed; none: nobody has asked yet.
    known_to: Option<u64>,
    defaults: Option<Kept>,
    tenants: HashMap<TenantId, Kept>,
    held_bytes: usize,
}

/// What is known of an owner's types.
struct Kept {
    version: u64,
    held: Option<(Arc<OwnTypes>, Instant)>,
}

impl Types {
    /// Nothing is read before it is asked for.
    pub fn new(log: Log, health: Health, metrics: Arc<Metrics>) -> Self {
        Self { log, health, metrics, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Asks whose types were changed, once a second, for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut pause = tokio::time::interval(LOOK);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pause.tick().await;
            if let Err(error) = self.look().await {
                // Health tells that the database is away; what is known holds.
                tracing::debug!(%error, "event types cannot be followed");
            }
        }
    }

    /// Asks it once.
    pub async fn look(&self) -> Result<(), LogError> {
        let known_to = self.state().known_to.unwrap_or(0);
        let since = known_to.saturating_sub(OVERLAP_US);
        let changed = self.health.ask(self.log.event_types_since(since)).await?;
        let mut state = self.state();
        for (owner, version) in changed {
            state.known_to = Some(state.known_to.unwrap_or(0).max(version));
            state.moved(&owner, version);
        }
        state.known_to.get_or_insert(0);
        Ok(())
    }

    /// The types that hold in a tenant.
    pub async fn of(&self, tenant: &TenantId) -> Result<TypeSet, LogError> {
        if let Some(found) = self.held(tenant) {
            return Ok(found);
        }
        let _reading = self.reading.lock().await;
        if self.state().known_to.is_none() {
            self.look().await?;
        }
        // What was changed while it was read is read again.
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.held(tenant) {
                return Ok(found);
            }
            let missing = self.state().missing(tenant);
            for owner in missing {
                let stored = self.health.ask(self.log.event_types(&owner)).await?;
                let forgotten = self.state().hold(&owner, &stored);
                self.metrics.event_types_forgotten(forgotten);
            }
        }
        Err(LogError::Busy("the tenant's event types are changed all the time".into()))
    }

    /// The same, where all of it is at hand.
    fn held(&self, tenant: &TenantId) -> Option<TypeSet> {
        let mut state = self.state();
        state.known_to?;
        let defaults = match &mut state.defaults {
            None => None,
            Some(kept) => Some(kept.take()?),
        };
        let own = match state.tenants.get_mut(tenant) {
            None => None,
            Some(kept) => Some(kept.take()?),
        };
        Some(TypeSet::new(own, defaults))
    }

    /// What is stored for an owner.
    pub async fn stored(&self, owner: &Owner) -> Result<StoredTypes, LogError> {
        self.health.ask(self.log.event_types(owner)).await
    }

    /// Changes one type if `allowed` finds nothing wrong with it beside those that there are. It may be asked again, when others
    /// were quicker. `by`: who asks for it.
    pub async fn change<E: From<LogError>>(
        &self,
        by: &str,
        owner: &Owner,
        kind: &str,
        change: RuleChange<'_>,
        allowed: impl Fn(&StoredTypes) -> Result<(), E>,
    ) -> Result<Changed, E> {
        self.health.check_writing()?;
        let log = self.log.acting(by);
        for attempt in 0..ATTEMPTS {
            let stored = self.stored(owner).await?;
            allowed(&stored)?;
            let changing = log.change_event_type(owner, stored.version, kind, change.clone());
            if let Some(version) = self.health.ask(changing).await? {
                self.state().moved(owner.name(), version);
                return Ok(Changed::Yes);
            }
            // Either others were quicker, or there is no such tenant, whatever is tried.
            if attempt > 0 && stored.version == 0 && self.stored(owner).await?.version == 0 {
                return Ok(Changed::NoOwner);
            }
        }
        Err(LogError::Busy("others change these types at the same time".into()).into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// What is held, and used now.
    fn take(&mut self) -> Option<Arc<OwnTypes>> {
        let (types, used) = self.held.as_mut()?;
        *used = Instant::now();
        Some(types.clone())
    }

    fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |(types, _)| types.bytes())
    }
}

impl State {
    /// What is held of an owner's types holds no more, if it is older than this.
    fn moved(&mut self, owner: &str, version: u64) {
        let fresh = Kept { version, held: None };
        let kept = match TenantId::new(owner) {
            Ok(tenant) => self.tenants.entry(tenant).or_insert(fresh),
            // No tenant is called `*`.
            Err(_) => self.defaults.get_or_insert(fresh),
        };
        if kept.version < version {
            self.held_bytes = self.held_bytes.saturating_sub(kept.bytes());
            *kept = Kept { version, held: None };
        }
    }

    /// Whose types have to be read before a tenant's can be said.
    fn missing(&self, tenant: &TenantId) -> Vec<Owner> {
        let is_missing = |kept: &Kept| kept.held.is_none();
        let defaults = self.defaults.as_ref().filter(|kept| is_missing(kept)).map(|_| Owner::Installation);
        let own = self.tenants.get(tenant).filter(|kept| is_missing(kept));
        defaults.into_iter().chain(own.map(|_| Owner::Tenant(tenant.clone()))).collect()
    }

    /// Holds what was read; how many others were forgotten for it.
    fn hold(&mut self, owner: &Owner, stored: &StoredTypes) -> u64 {
        self.moved(owner.name(), stored.version);
        let kept = match owner {
            Owner::Tenant(tenant) => self.tenants.get_mut(tenant),
            Owner::Installation => self.defaults.as_mut(),
        };
        // Read before a change that is known already: it is read again.
        let Some(kept) = kept.filter(|kept| kept.version == stored.version) else { return 0 };
        let types = Arc::new(OwnTypes::stored(stored));
        let more = types.bytes();
        let before = kept.bytes();
        kept.held = Some((types, Instant::now()));
        self.held_bytes = self.held_bytes.saturating_sub(before) + more;
        self.make_room(owner)
    }

    /// Forgets what was not used for longest, but not what was read just now.
    fn make_room(&mut self, but: &Owner) -> u64 {
        let mut forgotten = 0;
        while self.held_bytes > HELD_BYTES {
            let held = self.tenants.iter_mut().filter(|(tenant, kept)| {
                kept.held.is_some() && !matches!(but, Owner::Tenant(but) if but == *tenant)
            });
            let oldest = held.min_by_key(|(_, kept)| kept.held.as_ref().map(|(_, used)| *used));
            let Some((_, kept)) = oldest else { break };
            self.held_bytes = self.held_bytes.saturating_sub(kept.bytes());
            kept.held = None;
            forgotten += 1;
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::StoredType;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn stored(version: u64, bytes: usize) -> StoredTypes {
        let definition = format!("{{\"title\":\"{}\"}}", "x".repeat(bytes));
        StoredTypes { version, types: vec![StoredType { kind: "a".into(), definition }] }
    }

    #[test]
    fn what_was_read_before_a_change_is_read_again() {
        let (mut state, owner) = (State::default(), Owner::Tenant(tenant("acme")));
        assert!(state.missing(&tenant("acme")).is_empty(), "whoever never had a type costs no question");
        state.moved("acme", 5);
        assert_eq!(state.missing(&tenant("acme")), std::slice::from_ref(&owner));
        state.moved("acme", 7);
        state.hold(&owner, &stored(5, 1));
        assert_eq!(
            state.missing(&tenant("acme")),
            std::slice::from_ref(&owner),
            "that is what it was before"
        );
        state.hold(&owner, &stored(7, 1));
        assert!(state.missing(&tenant("acme")).is_empty());
        state.moved("acme", 7);
        assert!(state.missing(&tenant("acme")).is_empty(), "the same is told again");
        state.moved("*", 3);
        assert_eq!(state.missing(&tenant("acme")), [Owner::Installation]);
    }

    #[test]
    fn what_is_held_has_a_bound_and_what_was_used_last_stays() {
        let mut state = State::default();
        let large = HELD_BYTES / 4;
        let mut forgotten = 0;
        for n in 0..8 {
            let owner = Owner::Tenant(tenant(&format!("t{n}")));
            forgotten += state.hold(&owner, &stored(1, large));
            assert!(state.missing(&tenant(&format!("t{n}"))).is_empty());
        }
        assert!(state.held_bytes <= HELD_BYTES && forgotten == 5, "{} {forgotten}", state.held_bytes);
        assert_eq!(state.missing(&tenant("t0")).len(), 1);
        let real: usize = state.tenants.values().map(Kept::bytes).sum();
        assert_eq!(real, state.held_bytes);
        state.moved("t7", 2);
        let real: usize = state.tenants.values().map(Kept::bytes).sum();
        assert_eq!(real, state.held_bytes);
    }
}
