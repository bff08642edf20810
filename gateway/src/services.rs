//! Which back ends listen here, and does their API key still work?
//!
//! An API key is proven as a publisher proves it: looked up in the log's database, at most once in ten seconds for all
//! connections together, and in a turn of the address it comes from. Keys that somebody listens with are looked up again all
//! the time, so that a connection ends with its key. While the database is away nobody is sent away.

use crate::authorize::Refusal;
use crate::shard::{Shards, ToShard};
use carillon_backplane::api_key::{KeyFault, KeyRing, KeyUses, PREFIX};
use carillon_backplane::log::{ApiKey, Log, LogError};
use carillon_platform::auth::ticket::KeyTicket;
use carillon_platform::auth::{AuthError, Identity, ServiceKey};
use carillon_platform::share::{AddressGroup, KeyLookups};
use carillon_protocol::{CloseCode, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often keys in use are looked up. A revoked one works this long, and as long again in [`KeyRing`]'s memory at most.
const LOOK: Duration = Duration::from_secs(5);

/// The services that listen at this node.
pub(crate) struct Services {
    log: Log,
    ring: KeyRing<AddressGroup>,
    lookups: KeyLookups,
    uses: KeyUses,
    /// By the id of their key; those that nobody uses any more are forgotten at the next look.
    listening: Mutex<HashMap<String, Weak<String>>>,
}

/// A service whose key is proven and may read.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    key: ServiceKey,
    tenant: Option<TenantId>,
    expires_at: Option<u64>,
    publish: bool,
}

impl Services {
    pub(crate) fn new(log: Log) -> Self {
        let (ring, lookups, uses) = (KeyRing::default(), KeyLookups::default(), KeyUses::default());
        Self { log, ring, lookups, uses, listening: Mutex::default() }
    }

    /// Whether this is an API key and no user token.
    pub(crate) fn is_key(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Whose key it is, that comes from this address.
    pub(crate) async fn prove(&self, text: &str, from: AddressGroup) -> Result<Service, Refusal> {
        let turn = |known| async move {
            let turn = self.lookups.turn(from, known).await;
            turn.map_err(|refused| LogError::Busy(format!("too many API keys are looked up: {refused}")))
        };
        let stored = self.ring.prove(text, from, turn, |id| async move { self.log.api_key(&id).await }).await;
        let key = stored.map_err(refusal)?;
        not_of_the_installation(&key)?;
        self.admit(key)
    }

    /// The service of a key that was proven elsewhere, in one tenant, no longer than the credentials that the ticket was issued for.
    pub(crate) async fn by_ticket(&self, ticket: KeyTicket) -> Result<Service, Refusal> {
        let KeyTicket { key: id, tenant, expires_at } = ticket;
        let stored = self.log.api_key(&id).await.map_err(|error| refusal(error.into()))?;
        let key = stored.ok_or_else(|| refusal(KeyFault::Invalid))?;
        not_of_the_installation(&key)?;
        if key.tenant.as_ref().is_some_and(|bound| *bound != tenant) {
            return Err(AuthError::TenantForbidden.into());
        }
        // Whichever ends first: a session of the console stands for a key that lasts longer.
        let ends = [expires_at, key.expires_at_secs].into_iter().flatten().min();
        self.admit(ApiKey { tenant: Some(tenant), expires_at_secs: ends, ..key })
    }

    fn admit(&self, key: ApiKey) -> Result<Service, Refusal> {
        let ApiKey { id, tenant, read, publish, expires_at_secs, .. } = key;
        if !read {
            let message = "listening needs an API key with the scope read";
            return Err(Refusal::new("missing_scope", message, 403, CloseCode::Forbidden));
        }
        if self.uses.due(&id, Instant::now()) {
            let (log, id) = (self.log.clone(), id.clone());
            tokio::spawn(async move {
                if let Err(error) = log.note_key_use(&id).await {
                    tracing::debug!(%error, "it is not noted that an API key is used");
                }
            });
        }
        Ok(Service { key: self.in_use(&id), tenant, expires_at: expires_at_secs, publish })
    }

    fn in_use(&self, id: &str) -> ServiceKey {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = listening.get(id).and_then(Weak::upgrade) {
            return key;
        }
        let key: ServiceKey = Arc::new(id.into());
        listening.insert(id.into(), Arc::downgrade(&key));
        key
    }

    /// The keys that somebody has now.
    fn all_in_use(&self) -> Vec<ServiceKey> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.retain(|_, key| key.strong_count() > 0);
        listening.values().filter_map(Weak::upgrade).collect()
    }

    /// Ends the connections of keys that were revoked, until the node stops.
    pub(crate) async fn watch(self: Arc<Self>, shards: Shards, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            for key in self.all_in_use() {
                match self.log.api_key(&key).await {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        tracing::info!(key = %key, "an API key has ended, and so do the connections it opened");
                        shards.send_all(|| ToShard::KeyEnded(key.clone()));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "API keys in use cannot be looked up");
                        break;
                    }
                }
            }
        }
    }
}

/// Refuses a key of the tenant in which the installation tells of itself: there are keys for all tenants alone.
fn not_of_the_installation(key: &ApiKey) -> Result<(), Refusal> {
    match key.tenant.as_ref().is_some_and(TenantId::is_operator) {
        true => Err(AuthError::TenantForbidden.into()),
        false => Ok(()),
    }
}

/// Why a key was not proven.
fn refusal(fault: KeyFault) -> Refusal {
    match fault {
        KeyFault::Invalid => {
            Refusal::new("credentials_invalid", fault.to_string(), 401, CloseCode::Unauthenticated)
        }
        KeyFault::Log(error) if error.is_overload() => {
            let message = "too many API keys wait to be looked up; come back soon";
            Refusal { message: message.into(), ..Refusal::busy() }
        }
        KeyFault::Log(_) => Refusal::unavailable("the API key cannot be looked up now; come back soon"),
    }
}

impl Service {
    /// A service of every tenant, which may publish; its key ends then (seconds since 1970).
    #[cfg(test)]
    pub(crate) fn for_all(key: ServiceKey, expires_at: u64) -> Self {
        Self { key, tenant: None, expires_at: Some(expires_at), publish: true }
    }

    /// The id of its key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whether its key is for every tenant.
    pub(crate) fn is_for_all_tenants(&self) -> bool {
        self.tenant.is_none()
    }

    /// The service in the tenant that was named, or in the only one its key is for.
    pub(crate) fn enter(&self, asked: Option<&TenantId>) -> Result<Identity, AuthError> {
        let tenant = match (&self.tenant, asked) {
            (Some(bound), Some(asked)) if bound != asked => return Err(AuthError::TenantForbidden),
            (Some(bound), _) => bound,
            (None, Some(asked)) => asked,
            (None, None) => return Err(AuthError::TenantRequired),
        };
        let publish = self.publish && !tenant.is_operator();
        Identity::of_service(self.key.clone(), tenant.clone(), self.expires_at, publish)
            .map_err(|_| AuthError::TenantForbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(tenant: Option<&str>) -> Service {
        let tenant = tenant.map(|name| TenantId::new(name).unwrap());
        Service { key: Arc::new("k1".into()), tenant, expires_at: Some(7), publish: false }
    }

    #[test]
    fn too_many_look_ups_are_told_from_a_database_that_is_away() {
        let told = |fault: KeyFault| {
            let Refusal { code, status, close, .. } = refusal(fault);
            (code, status, close)
        };
        let busy = LogError::Busy(String::new()).into();
        assert_eq!(told(busy), ("log_busy", 503, CloseCode::OverCapacity));
        let away = LogError::Down(String::new()).into();
        assert_eq!(told(away), ("unavailable", 503, CloseCode::OverCapacity));
        assert_eq!(told(KeyFault::Invalid), ("credentials_invalid", 401, CloseCode::Unauthenticated));
    }

    #[test]
    fn a_key_enters_the_tenants_it_is_for() {
        let (acme, other) = (TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
        let entered = service(Some("acme")).enter(None).unwrap();
        assert_eq!((&entered.tenant, entered.expires_at), (&acme, 7));
        assert_eq!(service(Some("acme")).enter(Some(&other)), Err(AuthError::TenantForbidden));
        assert_eq!(service(None).enter(None), Err(AuthError::TenantRequired));
        assert_eq!(service(None).enter(Some(&other)).map(|entered| entered.tenant), Ok(other));
        // The installation alone tells of itself.
        let operator = TenantId::new(TenantId::OPERATOR).unwrap();
        let all = Service { publish: true, ..service(None) };
        let entered = all.enter(Some(&operator)).unwrap();
        assert!(!entered.caps.publish && all.enter(Some(&acme)).unwrap().caps.publish);
    }
}
