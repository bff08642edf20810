//! Which keys does the identity provider use now?
//!
//! The key set is fetched when no key of it has signed a token, and in the background when it has become old. A known
//! `kid` proves nothing about that: some providers always use the same one, and renew the key under it.
//! Whatever tokens arrive, there is at most one fetch a minute (every 5 s until the first one has succeeded), so
//! nobody can make us flood the identity provider; in between, an unknown key stays unknown. A fetch that fails,
//! or brings no usable key, changes nothing: the keys we have stay.

use super::config::JWKS_URL;
use super::error::AuthError;
use super::jwk::{self, PassedOver};
use super::key::{Key, public_algorithm};
use super::token::Token;
use crate::env::ConfigError;
use crate::telemetry::{Metric, MetricKind};
use reqwest::{Client, Url};
use serde_json::Value;
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
    /// What was passed over in the last set: each is told once.
    passed_over: Mutex<Vec<PassedOver>>,
    /// Held during a fetch: whoever needs the same key waits for it instead of fetching again.
    flight: Arc<Flight<()>>,
}

struct KeySet {
    keys: Vec<Key>,
    fetched: SystemTime,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{}", with_causes(.0))]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("larger than 256 KiB")]
    TooLarge,
    #[error("not a JSON Web Key Set")]
    NotASet,
    #[error("an OpenID configuration, not a key set; the address of that is its jwks_uri")]
    Discovery,
    #[error("certificates by name, not a JSON Web Key Set; the provider has one at another address")]
    Certificates,
    #[error("no key in it can check signatures of tokens")]
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
            .http1_only()
            .timeout(FETCH)
            // A redirect could lead an attacker's keys in, or lead us to an internal address.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(url.scheme() == "https")
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")));
        // A bare host has no root certificates, and the library then makes no client, also for plain HTTP.
        let client = if url.scheme() == "https" { client } else { client.tls_certs_only([]) };
        let client = client
            .build()
            .map_err(|error| JWKS_URL.error(format!("cannot be used: {}", with_causes(&error))))?;
        let flight = Arc::new(Flight::new(()));
        Ok(Self(Arc::new(Source {
            url,
            client,
            set: RwLock::new(None),
            begun: Mutex::new(None),
            passed_over: Mutex::default(),
            flight,
        })))
    }

    /// Whether a key of the set has signed the token; fetches the set when that may help and is due.
    pub(super) async fn verify(&self, token: &Token<'_>, now: SystemTime) -> Result<(), AuthError> {
        if public_algorithm(&token.algorithm).is_none() {
            return Err(AuthError::Signature);
        }
        let tried = self.0.set();
        if let Some(set) = &tried
            && set.verifies(token)
        {
            self.0.refresh_if_old(set, now);
            return Ok(());
        }
        self.0.refresh(now).await;
        match (tried, self.0.set()) {
            (_, None) => Err(AuthError::KeysUnavailable),
            (Some(tried), Some(set)) if Arc::ptr_eq(&tried, &set) => Err(AuthError::Signature),
            (_, Some(set)) if set.verifies(token) => Ok(()),
            _ => Err(AuthError::Signature),
        }
    }

    /// Whether a key of the set is for this algorithm.
    pub(super) fn has_key_for(&self, algorithm: &str) -> bool {
        self.0.set().is_some_and(|set| set.keys.iter().any(|key| key.is_for(algorithm)))
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
        let (keys, passed_over) = read(&body)?;
        self.tell(passed_over);
        if keys.is_empty() { Err(FetchError::NoUsableKey) } else { Ok(keys) }
    }

    /// Tells of each member that is passed over, unless the last set had it, too.
    fn tell(&self, passed_over: Vec<PassedOver>) {
        let mut told = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        let (host, path) = (self.url.host_str().unwrap_or_default(), self.url.path());
        for PassedOver { key, reason, for_something_else } in
            passed_over.iter().filter(|member| !told.contains(member))
        {
            if *for_something_else {
                tracing::info!(host, path, key, "a key of the key set is passed over: it {reason}");
            } else {
                tracing::warn!(host, path, key, "a key of the key set cannot be used: it {reason}");
            }
        }
        *told = passed_over;
    }
}

/// The keys of a set that can check signatures, and why each other member cannot. A set is `{"keys": […]}` (RFC 7517
/// §5); the list alone, and one key alone, are published, too.
pub(super) fn read(body: &[u8]) -> Result<(Vec<Key>, Vec<PassedOver>), FetchError> {
    // Files written on Windows begin with a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let members = match serde_json::from_slice(body).map_err(|_| FetchError::NotASet)? {
        Value::Array(list) => list,
        Value::Object(mut set) => match set.remove("keys") {
            Some(Value::Array(list)) => list,
            Some(_) => return Err(FetchError::NotASet),
            None if set.contains_key("kty") => vec![Value::Object(set)],
            None if set.contains_key("jwks_uri") => return Err(FetchError::Discovery),
            None if set.values().any(is_pem) => return Err(FetchError::Certificates),
            None => return Err(FetchError::NotASet),
        },
        _ => return Err(FetchError::NotASet),
    };
    let (mut keys, mut passed_over) = (Vec::new(), Vec::new());
    for (place, member) in (1..).zip(members.iter().take(SET_KEYS)) {
        match jwk::read(member, place) {
            Ok(key) => keys.push(key),
            Err(member) => passed_over.push(member),
        }
    }
    if members.len() > SET_KEYS {
        passed_over.push(PassedOver {
            key: format!("number {} and later", SET_KEYS + 1),
            reason: format!("is beyond the {SET_KEYS} keys that are looked at"),
            for_something_else: false,
        });
    }
    Ok((keys, passed_over))
}

fn is_pem(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("-----BEGIN "))
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
