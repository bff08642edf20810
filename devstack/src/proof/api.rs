//! How does a run ask the publishers, while some of them may be away?

use std::fmt::Display;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

/// How long one question is asked again and again.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A run could not be made; no promise was broken by it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProofError(pub String);

impl ProofError {
    /// While doing `what`.
    pub fn of<E: Display>(what: &str) -> impl Fn(E) -> Self + '_ {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// Asks any publisher of several.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    publishers: Vec<String>,
}

impl Api {
    /// Of the publishers at these URLs.
    pub fn new(publishers: Vec<String>) -> Result<Self, ProofError> {
        let http = crate::http::client(|client| client.timeout(Duration::from_secs(10)));
        Ok(Self { http: http.map_err(ProofError::of("the HTTP client"))?, publishers })
    }

    /// Asks one after the other until there is an answer that is no "later"; a refusal is an error.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<&Value>,
    ) -> Result<Value, ProofError> {
        let begun = Instant::now();
        let mut last = String::new();
        for publisher in self.publishers.iter().cycle() {
            if begun.elapsed() > PATIENCE {
                break;
            }
            let mut request =
                self.http.request(method.clone(), format!("{publisher}{path}")).bearer_auth(bearer);
            if let Some(body) = body {
                request = request.json(body);
            }
            match request.send().await {
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await;
                    match text {
                        Ok(text) if status.is_success() => {
                            return Ok(serde_json::from_str(&text).unwrap_or_default());
                        }
                        Ok(text) if !status.is_server_error() && status.as_u16() != 429 => {
                            return Err(ProofError(format!("{method} {path}: {status} {text}")));
                        }
                        Ok(text) => last = format!("{status} {text}"),
                        Err(error) => last = crate::http::with_causes(&error),
                    }
                }
                Err(error) => last = crate::http::with_causes(&error),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(ProofError(format!("{method} {path} had no answer within {PATIENCE:?}; the last was {last}")))
    }
}
