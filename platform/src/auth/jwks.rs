//! Which keys does the identity provider use now?
//!
//! The key set is fetched when a token names a key we do not know, and in the background when it has become old.
//! Whatever tokens arrive, there is at most one fetch a minute (every 5 s until the first one has succeeded), so
//! nobody can make us flood the identity provider; in between, an unknown key stays unknown. A fetch that fails,
//! or brings no usable key, changes nothing: the keys we have stay.

use super::config::JWKS_URL;
use super::error::AuthError;
use super::key::{Jwk, Key, is_public_algorithm};
use super::token::Token;
use crate::env::ConfigError;
use crate::telemetry::{Metric, MetricKind};
use reqwest::{Client, Url};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex as Flight, OwnedMutexGuard};

/// Shortest time between two fetches.
const BETWEEN: Duration = Duration::from_secs(60);
/// Shortest time between two fetches while there has never been a key set: nobody can log in without one.
const BETWEEN_FIRST: Duration = Duration::from_secs(5);
/// Age at which a key set is fetched anew although every token still finds its key. A key the provider has
/// withdrawn is honoured this long at most while the provider can be reached.
const OLD: Duration = Duration::from_secs(300);
/// Longest time one fetch may take.
const FETCH: Duration = Duration::from_secs(5);
/// Largest key set, in bytes, and most keys in it. Providers publish two to ten keys.
const SET_BYTES: usize = 256 * 1024;
const SET_KEYS: usize = 100;

/// Fetches of the key set.
const REFRESHES: Metric = Metric {
    name: "carillon_jwks_refreshes_total",
    kind: MetricKind::Counter,
    labels: "result: ok, failed",
    what: "Fetches of the identity provider's key set.",
};

/// The metrics this module records.
pub const METRICS: &[Metric] = &[REFRESHES];

/// The keys behind a JWKS URL.
pub(super) struct Jwks(Arc<Source>);

struct Source {
    url: Url,
    client: Client,
    /// The last good key set; `None` until there was one.
    set: RwLock<Option<Arc<KeySet>>>,
    /// When a fetch was last begun.
    begun: Mutex<Option<SystemTime>>,
    /// Held during a fetch: whoever needs the same key waits for it instead of fetching again.
    flight: Arc<Flight<()>>,
}

struct KeySet {
    keys: Vec<Key>,
    fetched: SystemTime,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{}", with_causes(.0))]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("larger than 256 KiB")]
    TooLarge,
    #[error("not a JSON Web Key Set")]
    NotASet,
    #[error("no key in it can check RS256, ES256 or EdDSA signatures")]
    NoUsableKey,
}

/// `reqwest` says only "error sending request"; the cause is what an operator needs.
fn with_causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Jwks {
    /// Prepares to fetch; nothing is fetched yet.
    pub(super) fn new(url: Url) -> Result<Self, ConfigError> {
        let client = Client::builder()
            .timeout(FETCH)
            // A redirect could lead an attacker's keys in, or lead us to an internal address.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(url.scheme() == "https")
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| JWKS_URL.error(format!("cannot be used: {}", with_causes(&error))))?;
        let flight = Arc::new(Flight::new(()));
        Ok(Self(Arc::new(Source { url, client, set: RwLock::new(None), begun: Mutex::new(None), flight })))
    }

    /// Whether a key of the set has signed the token; fetches the set when that may help and is due.
    pub(super) async fn verify(&self, token: &Token<'_>, now: SystemTime) -> Result<(), AuthError> {
        if !is_public_algorithm(&token.algorithm) {
            return Err(AuthError::Signature);
        }
        if let Some(set) = self.0.set() {
            if set.verifies(token) {
                self.0.refresh_if_old(&set, now);
                return Ok(());
            }
            if set.keys.iter().any(|key| key.is_named_by(token)) {
                return Err(AuthError::Signature);
            }
        }
        self.0.refresh(now).await;
        match self.0.set() {
            Some(set) if set.verifies(token) => Ok(()),
            Some(_) => Err(AuthError::Signature),
            None => Err(AuthError::KeysUnavailable),
        }
    }

    /// Fetches the set if there is none.
    pub(super) async fn load(&self, now: SystemTime) -> Result<(), AuthError> {
        if self.0.set().is_none() {
            self.0.refresh(now).await;
        }
        self.0.set().map(drop).ok_or(AuthError::KeysUnavailable)
    }
}

impl KeySet {
    fn verifies(&self, token: &Token<'_>) -> bool {
        self.keys.iter().any(|key| key.verifies(token))
    }
}

impl Source {
    fn set(&self) -> Option<Arc<KeySet>> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the set if that is due, and waits for it; if a fetch is under way, waits for that one.
    async fn refresh(self: &Arc<Self>, now: SystemTime) {
        let flight = self.flight.clone().lock_owned().await;
        if self.begin(now) {
            // A task of its own: a client that goes away must not take the fetch of the minute with it.
            let _ = tokio::spawn(self.clone().fetch_and_keep(now, flight)).await;
        }
    }

    /// Begins a fetch in the background if the set is old and a fetch is due.
    fn refresh_if_old(self: &Arc<Self>, set: &KeySet, now: SystemTime) {
        if now.duration_since(set.fetched).unwrap_or_default() < OLD {
            return;
        }
        if let Ok(flight) = self.flight.clone().try_lock_owned()
            && self.begin(now)
        {
            tokio::spawn(self.clone().fetch_and_keep(now, flight));
        }
    }

    /// Whether a fetch may begin now; if so, this is when the last one began.
    fn begin(&self, now: SystemTime) -> bool {
        let between = if self.set().is_some() { BETWEEN } else { BETWEEN_FIRST };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let due = begun.is_none_or(|last| match now.duration_since(last) {
            Ok(passed) => passed >= between,
            // Callers' times differ a little. A clock set back by more than the interval starts it anew.
            Err(back) => back.duration() >= between,
        });
        if due {
            *begun = Some(now);
        }
        due
    }

    async fn fetch_and_keep(self: Arc<Self>, now: SystemTime, _flight: OwnedMutexGuard<()>) {
        let result = match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "key set fetched");
                let set = Arc::new(KeySet { keys, fetched: now });
                *self.set.write().unwrap_or_else(PoisonError::into_inner) = Some(set);
                "ok"
            }
            Err(error) => {
                let kept = self.set().map_or(0, |set| set.keys.len());
                // Without the query, which might hold a key of its own.
                let (host, path) = (self.url.host_str().unwrap_or_default(), self.url.path());
                tracing::warn!(host, path, kept, "key set cannot be fetched: {error}");
                "failed"
            }
        };
        metrics::counter!(REFRESHES.name, "result" => result).increment(1);
    }

    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        let without_url = reqwest::Error::without_url;
        let mut response = self.client.get(self.url.clone()).send().await.map_err(without_url)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(without_url)? {
            if body.len() + chunk.len() > SET_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        usable_keys(&body)
    }
}

/// The keys of a set that can check signatures of our algorithms; members of other kinds are passed over.
fn usable_keys(body: &[u8]) -> Result<Vec<Key>, FetchError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(body).map_err(|_| FetchError::NotASet)?;
    let known = |member| Key::of_jwk(&serde_json::from_value::<Jwk>(member).ok()?);
    let keys: Vec<Key> = set.keys.into_iter().take(SET_KEYS).filter_map(known).collect();
    if keys.is_empty() { Err(FetchError::NoUsableKey) } else { Ok(keys) }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
