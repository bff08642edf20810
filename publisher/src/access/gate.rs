//! Which credentials did the request bring, and are they proven?

use super::caller::Caller;
use super::session;
use crate::health::Health;
use carillon_backplane::api_key::{KeyFault, KeyRing, KeyUses, PREFIX};
use carillon_backplane::log::{ApiKey, Log, LogError};
use carillon_platform::auth::{AuthError, Verifier};
use carillon_platform::share::{AddressGroup, KeyLookup, KeyLookups};
use http::{HeaderMap, header};
use std::time::{Instant, SystemTime};

const API_KEY: &str = "x-api-key";

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Neither an API key nor a user token.
    #[error("send an API key or a user token: Authorization: Bearer … (an API key also as X-Api-Key)")]
    Missing,
    /// Two different credentials, or a header that cannot be read.
    #[error("{0}")]
    Unclear(&'static str),
    /// No such key, or it cannot be told now.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A user token that is not believed.
    #[error("{0}")]
    Token(AuthError),
}

/// Proves credentials.
pub struct Gate {
    verifier: Verifier,
    log: Log,
    health: Health,
    keys: KeyRing<AddressGroup>,
    sessions: KeyRing<AddressGroup>,
    lookups: KeyLookups,
    uses: KeyUses,
}

/// What a request brought.
enum Credential<'a> {
    Key(&'a str),
    Token(&'a str),
    /// Of a session of the console.
    Session(&'a str),
}

impl Gate {
    /// A gate that asks `log` for API keys and `verifier` about user tokens.
    pub fn new(verifier: Verifier, log: Log, health: Health) -> Self {
        Self {
            verifier,
            log,
            health,
            keys: KeyRing::default(),
            sessions: KeyRing::default(),
            lookups: KeyLookups::default(),
            uses: KeyUses::default(),
        }
    }

    /// Notes that a key is used, now and then and without anybody waiting for it. Gateways' own are made anew every day.
    fn note(&self, key: &ApiKey) {
        if !key.relay && self.uses.due(&key.id, Instant::now()) {
            let (log, id) = (self.log.clone(), key.id.clone());
            tokio::spawn(async move {
                if let Err(error) = log.note_key_use(&id).await {
                    tracing::debug!(%error, "it is not noted that an API key is used");
                }
            });
        }
    }

    /// A turn to look something up that proves who is asking and that this gate does not know; who brings it has proven nothing yet.
    pub async fn turn(&self, from: AddressGroup) -> Result<KeyLookup, LogError> {
        self.health.check()?;
        self.lookups.turn(from, false).await.map_err(|refused| {
            self.keys.note_refused();
            LogError::Busy(format!("too many credentials are looked up: {refused}"))
        })
    }

    /// Who is asking, from this address.
    pub async fn identify(&self, headers: &HeaderMap, from: AddressGroup) -> Result<Caller, Denied> {
        let turn = |known| async move {
            self.health.check()?;
            let turn = self.lookups.turn(from, known).await;
            turn.map_err(|refused| LogError::Busy(format!("too many API keys are looked up: {refused}")))
        };
        match credential(headers)? {
            Credential::Session(text) => {
                let ask = |id: String| async move { self.health.ask(self.log.console_session(&id)).await };
                Ok(Caller::Key(self.sessions.prove(text, from, turn, ask).await?))
            }
            Credential::Key(text) => {
                let ask = |id: String| async move { self.health.ask(self.log.api_key(&id)).await };
                let key = self.keys.prove(text, from, turn, ask).await?;
                self.note(&key);
                Ok(Caller::Key(key))
            }
            Credential::Token(token) => {
                self.verifier.verify(token, SystemTime::now()).await.map(Caller::User).map_err(Denied::Token)
            }
        }
    }
}

fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Denied> {
    const UNREADABLE: Denied =
        Denied::Unclear("the Authorization or X-Api-Key header holds something else than text");
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let authorization =
        authorizations.next().map(|value| value.to_str().map_err(|_| UNREADABLE)).transpose()?;
    if authorizations.next().is_some() {
        return Err(Denied::Unclear("the Authorization header is there twice"));
    }
    let api_key = headers.get(API_KEY).map(|value| value.to_str().map_err(|_| UNREADABLE)).transpose()?;
    let bearer = match authorization {
        None => None,
        Some(text) => match text.split_once(' ') {
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => Some(value.trim()),
            _ => {
                return Err(Denied::Unclear(
                    "the Authorization header must be Bearer, a space, and an API key or token",
                ));
            }
        },
    };
    match (bearer, api_key.map(str::trim)) {
        (None, None) => match session::of(headers) {
            Ok(session) => session.map(Credential::Session).ok_or(Denied::Missing),
            Err(session::Twice) => Err(Denied::Unclear("the cookie of the console is there twice")),
        },
        (Some(one), Some(other)) if one != other => {
            Err(Denied::Unclear("Authorization and X-Api-Key hold different credentials"))
        }
        (None, Some(key)) => Ok(Credential::Key(key)),
        (Some(text), _) if text.starts_with(PREFIX) => Ok(Credential::Key(text)),
        (Some(token), _) => Ok(Credential::Token(token)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(pairs: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        match credential(&headers) {
            Ok(Credential::Key(text)) => format!("key {text}"),
            Ok(Credential::Token(text)) => format!("token {text}"),
            Ok(Credential::Session(text)) => format!("session {text}"),
            Err(Denied::Missing) => "missing".into(),
            Err(_) => "unclear".into(),
        }
    }

    #[test]
    fn credentials_are_found_where_the_contract_says() {
        assert_eq!(read(&[("authorization", "Bearer crln_a_b")]), "key crln_a_b");
        assert_eq!(read(&[("authorization", "bearer  a.b.c")]), "token a.b.c");
        assert_eq!(read(&[("x-api-key", "crln_a_b")]), "key crln_a_b");
        assert_eq!(read(&[("authorization", "Bearer crln_a_b"), ("x-api-key", "crln_a_b")]), "key crln_a_b");
        assert_eq!(read(&[]), "missing");
        let cookie = ("cookie", "a=b; carillon_console=crln_c_d");
        assert_eq!(read(&[cookie, ("carillon-console", "1")]), "session crln_c_d");
        assert_eq!(read(&[cookie, ("carillon-console", "1"), ("x-api-key", "crln_a_b")]), "key crln_a_b");
        assert_eq!(read(&[cookie, cookie, ("carillon-console", "1")]), "unclear");
    }

    #[test]
    fn two_credentials_or_another_scheme_are_unclear() {
        assert_eq!(read(&[("authorization", "Bearer a.b.c"), ("x-api-key", "crln_a_b")]), "unclear");
        assert_eq!(read(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]), "unclear");
        assert_eq!(read(&[("authorization", "Basic YTpi")]), "unclear");
        assert_eq!(read(&[("authorization", "crln_a_b")]), "unclear");
    }
}
