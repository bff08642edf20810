//! Which back ends listen here, and does their API key still work?
//!
//! An API key is proven like a publisher proves it: looked up in the log's database, at most once in ten seconds for all
//! connections together, and keys that nobody has ever seen have an allowance of their own. Keys that somebody listens with are looked up again all the time, so that a connection ends with
//! its key. While the database is away nobody is sent away.

use crate::entrance::Refusal;
use crate::shard::{Shards, ToShard};
use carillon_backplane::api_key::{KeyFault, KeyRing, PREFIX};
use carillon_backplane::log::{ApiKey, Log, LogError};
use carillon_platform::auth::{AuthError, Identity, ServiceKey};
use carillon_protocol::{CloseCode, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often keys in use are looked up. A revoked one works this long, and as long again in [`KeyRing`]'s memory at most.
const LOOK: Duration = Duration::from_secs(5);

/// Questions a second for ids that were never seen, and how many may come at once.
const STRANGERS_PER_SECOND: f64 = 50.0;
const STRANGERS_AT_ONCE: f64 = 200.0;

/// The services that listen at this node.
pub(crate) struct Services {
    log: Log,
    ring: KeyRing,
    strangers: Mutex<Allowance>,
    /// By the id of their key; those that nobody uses any more are forgotten at the next look.
    listening: Mutex<HashMap<String, Weak<String>>>,
}

/// A service whose key is proven and may read.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    key: ServiceKey,
    tenant: Option<TenantId>,
    expires_at: Option<u64>,
}

impl Services {
    pub(crate) fn new(log: Log) -> Self {
        let strangers = Mutex::new(Allowance { left: STRANGERS_AT_ONCE, at: None });
        Self { log, ring: KeyRing::default(), strangers, listening: Mutex::default() }
    }

    /// Whether this is an API key and no user token.
    pub(crate) fn is_key(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Whose key it is.
    pub(crate) async fn prove(&self, text: &str) -> Result<Service, Refusal> {
        let turn = |known: bool| async move {
            let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            let takes = known || strangers.take(Instant::now());
            takes.then_some(()).ok_or_else(|| LogError::Busy("too many unknown API keys are tried".into()))
        };
        let stored = self.ring.prove(text, turn, |id| async move { self.log.api_key(&id).await }).await;
        let ApiKey { id, tenant, read, expires_at_secs, .. } = stored.map_err(|fault| match fault {
            KeyFault::Invalid => {
                Refusal::new("credentials_invalid", fault.to_string(), 401, CloseCode::Unauthenticated)
            }
            KeyFault::Log(_) => Refusal::unavailable("the API key cannot be looked up now; come back soon"),
        })?;
        if !read {
            let message = "listening needs an API key with the scope read";
            return Err(Refusal::new("missing_scope", message, 403, CloseCode::Forbidden));
        }
        Ok(Service { key: self.in_use(&id), tenant, expires_at: expires_at_secs })
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

/// A bucket of questions that fills with time.
struct Allowance {
    left: f64,
    at: Option<Instant>,
}

impl Allowance {
    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let filled = self.left + passed.as_secs_f64() * STRANGERS_PER_SECOND;
        (self.left, self.at) = (filled.min(STRANGERS_AT_ONCE), Some(now));
        let takes = self.left >= 1.0;
        if takes {
            self.left -= 1.0;
        }
        takes
    }
}

impl Service {
    /// The service in the tenant that was named, or in the only one its key is for.
    pub(crate) fn enter(&self, asked: Option<&TenantId>) -> Result<Identity, AuthError> {
        let tenant = match (&self.tenant, asked) {
            (Some(bound), Some(asked)) if bound != asked => return Err(AuthError::TenantForbidden),
            (Some(bound), _) => bound,
            (None, Some(asked)) => asked,
            (None, None) => return Err(AuthError::TenantRequired),
        };
        Identity::of_service(self.key.clone(), tenant.clone(), self.expires_at)
            .map_err(|_| AuthError::TenantForbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(tenant: Option<&str>) -> Service {
        let tenant = tenant.map(|name| TenantId::new(name).unwrap());
        Service { key: Arc::new("k1".into()), tenant, expires_at: Some(7) }
    }

    #[test]
    fn guesses_have_an_allowance_that_fills_again() {
        let (mut allowance, begin) = (Allowance { left: STRANGERS_AT_ONCE, at: None }, Instant::now());
        let mut taken = |at| (0..1_000).filter(|_| allowance.take(at)).count();
        assert_eq!(taken(begin), 200);
        assert_eq!(taken(begin + Duration::from_secs(1)), 50);
        assert_eq!(taken(begin + Duration::from_secs(3_600)), 200, "and no more than at the beginning");
    }

    #[test]
    fn a_key_enters_the_tenants_it_is_for() {
        let (acme, other) = (TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
        let entered = service(Some("acme")).enter(None).unwrap();
        assert_eq!((entered.tenant, entered.expires_at), (acme.clone(), 7));
        assert_eq!(service(Some("acme")).enter(Some(&other)), Err(AuthError::TenantForbidden));
        assert_eq!(service(None).enter(None), Err(AuthError::TenantRequired));
        assert_eq!(service(None).enter(Some(&other)).map(|entered| entered.tenant), Ok(other));
    }
}
