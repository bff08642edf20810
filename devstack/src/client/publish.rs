//! How does an application publish over HTTP, and what does `carillon publish` do?

use std::fmt;
use std::io::Write;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::ledger::Ack;
use super::post::Post;
use crate::cli::PublishArgs;
use crate::http::{content_type, foreign_answer, problem, with_causes};

/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Who is expected at the other end.
const SERVICE: &str = "publisher";

/// Faults of a refused request that are told in words.
const TOLD_FAULTS: usize = 3;

/// What the publisher said instead of an acknowledgement (RFC 9457).
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, empty when something else than a publisher answered.
    pub code: String,
    /// What is wrong, for people, with the first faults of the request.
    pub detail: String,
    /// The media type of the answer.
    pub content_type: String,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The whole body, null when it is no problem.
    pub body: Value,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, detail, content_type, .. } = self;
        if self.is_foreign() {
            return f.write_str(&foreign_answer(SERVICE, *status, content_type));
        }
        write!(f, "refused with HTTP {status} {code}: {detail}")
    }
}

impl Problem {
    /// Whether something else than a publisher said it.
    pub fn is_foreign(&self) -> bool {
        self.code.is_empty()
    }
}

/// Why an event is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The publisher refused; nothing was stored, unless the status is 5xx.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Something on the way, most often a balancer that wants https, leads elsewhere; nothing was stored.
    #[error("HTTP {status} leads to {location}: give the address that leads to no other")]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// `Location`.
        location: String,
    },
    /// No answer: the event may or may not be stored.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer is not the contract's.
    #[error("not an answer of the contract: {0}")]
    Contract(String),
}

impl PublishError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(problem) => matches!(problem.status, 429 | 502 | 503 | 504),
            Self::NoAnswer(_) => true,
            Self::Contract(_) | Self::Redirected { .. } => false,
        }
    }

    /// The problem, when there is one.
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Refused(problem) = self { Some(problem) } else { None }
    }
}

/// What an API key may do, as far as a publisher shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The scope `publish`.
    pub publish: bool,
    /// The scope `read`; none when the key is for all tenants and none was named.
    pub read: Option<bool>,
    /// Whether each request must name its tenant.
    pub all_tenants: bool,
}

/// A client of `POST /v1/events`; clones share its connections.
#[derive(Debug, Clone)]
pub struct Publisher {
    http: reqwest::Client,
    url: String,
    api_key: String,
}

impl Publisher {
    /// For the publisher (or load balancer) at this HTTP URL.
    pub fn new(base_url: &str, api_key: impl Into<String>) -> Result<Self, PublishError> {
        let limits = |client: reqwest::ClientBuilder| {
            // Followed, a redirect makes a GET of the POST, and the list it gets looks like an answer.
            client
                .timeout(REQUEST_TIMEOUT)
                .connect_timeout(Duration::from_secs(5))
                .redirect(reqwest::redirect::Policy::none())
        };
        let http = crate::http::client(limits).map_err(|e| PublishError::Contract(e.to_string()))?;
        Ok(Self {
            http,
            url: format!("{}/v1/events", base_url.trim_end_matches('/')),
            api_key: api_key.into(),
        })
    }

    /// Publishes one event; `key` is the `Idempotency-Key`.
    pub async fn publish(&self, post: &Post, key: Option<&str>) -> Result<Ack, PublishError> {
        let (body, replayed) = self.send(serde_json::to_vec(post), key).await?;
        read_ack(body, replayed)
    }

    /// Publishes up to 500 events, all or none; the acknowledgements come in the same order.
    pub async fn publish_many(&self, posts: &[Post], key: Option<&str>) -> Result<Vec<Ack>, PublishError> {
        let (body, replayed) = self.send(serde_json::to_vec(posts), key).await?;
        let Value::Array(answers) = body else {
            return Err(PublishError::Contract(format!("an array was sent, the answer is {body}")));
        };
        if answers.len() != posts.len() {
            return Err(PublishError::Contract(format!(
                "{} answers to {} events",
                answers.len(),
                posts.len()
            )));
        }
        answers.into_iter().map(|answer| read_ack(answer, replayed)).collect()
    }

    /// Asks what the key may do, with an event that cannot be stored and a list of one event.
    pub async fn rights(&self, tenant: Option<&str>) -> Result<Rights, PublishError> {
        let publish = match self.send(Ok(b"{}".to_vec()), None).await {
            Err(PublishError::Refused(problem)) if problem.code == "missing_scope" => false,
            Err(PublishError::Refused(problem))
                if matches!(problem.status, 400 | 422) && !problem.is_foreign() =>
            {
                true
            }
            Err(error) => return Err(error),
            Ok((body, _)) => {
                return Err(PublishError::Contract(format!("an empty event was stored: {body}")));
            }
        };
        // A tenant that is not one needs no encoding to be refused.
        let list = |tenant: Option<&str>| {
            let named = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
            self.http.get(format!("{}?limit=1{named}", self.url)).bearer_auth(&self.api_key)
        };
        let unnamed = answer(list(None)).await;
        let all_tenants = match &unnamed {
            Err(PublishError::Refused(problem)) => {
                let faults = problem.body["errors"].as_array().into_iter().flatten();
                faults.into_iter().any(|fault| fault["code"] == "tenant_required")
            }
            _ => false,
        };
        let listed = match (all_tenants, tenant) {
            (true, None) => return Ok(Rights { publish, read: None, all_tenants }),
            (_, Some(_)) => answer(list(tenant)).await,
            (false, None) => unnamed,
        };
        let read = match listed {
            Ok(_) => true,
            Err(PublishError::Refused(problem)) if problem.code == "missing_scope" => false,
            Err(error) => return Err(error),
        };
        Ok(Rights { publish, read: Some(read), all_tenants })
    }

    async fn send(
        &self,
        body: serde_json::Result<Vec<u8>>,
        key: Option<&str>,
    ) -> Result<(Value, bool), PublishError> {
        let body = body.map_err(|e| PublishError::Contract(e.to_string()))?;
        let mut request = self
            .http
            .post(&self.url)
            .bearer_auth(&self.api_key)
            .header("content-type", "application/json")
            .body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        answer(request).await
    }
}

/// The body of a success, and whether it repeats an earlier one.
async fn answer(request: reqwest::RequestBuilder) -> Result<(Value, bool), PublishError> {
    let answer = request.send().await.map_err(no_answer)?;
    let status = answer.status();
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let replayed = header("idempotency-replayed") == Some("true");
    let retry_after = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    if let Some(location) = header("location").filter(|_| status.is_redirection()) {
        let (status, location) = (status.as_u16(), location.to_owned());
        return Err(PublishError::Redirected { status, location });
    }
    let content_type = content_type(answer.headers());
    let body = answer.bytes().await.map_err(no_answer)?;
    let status = status.as_u16();
    if status == 201 || status == 200 {
        let foreign = |_| PublishError::Contract(foreign_answer(SERVICE, status, &content_type));
        return Ok((serde_json::from_slice(&body).map_err(foreign)?, replayed));
    }
    let body = problem(&content_type, &body).unwrap_or_default();
    let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (code, mut detail) = (word("code"), word("detail"));
    for fault in body["errors"].as_array().into_iter().flatten().take(TOLD_FAULTS) {
        let place = fault["pointer"].as_str().or(fault["parameter"].as_str()).unwrap_or_default();
        detail.push_str(&format!("; {place} {}", fault["detail"].as_str().unwrap_or_default()));
    }
    let problem = Problem { status, code, detail, content_type, retry_after, body };
    Err(PublishError::Refused(Box::new(problem)))
}

fn no_answer(error: reqwest::Error) -> PublishError {
    PublishError::NoAnswer(with_causes(&error))
}

fn read_ack(answer: Value, replayed: bool) -> Result<Ack, PublishError> {
    #[derive(Deserialize)]
    struct Answer {
        id: String,
        seq: u64,
        epoch: String,
    }
    let Answer { id, seq, epoch } =
        serde_json::from_value(answer).map_err(|e| PublishError::Contract(e.to_string()))?;
    Ok(Ack { id, seq, epoch, replayed })
}

/// Where `carillon publish` goes.
#[derive(Debug, Clone)]
pub struct Destination {
    /// HTTP URL of a publisher or balancer.
    pub url: String,
    /// With the scope `publish`.
    pub api_key: String,
}

/// Why `carillon publish` ended.
#[derive(Debug, thiserror::Error)]
pub enum PublishCommandError {
    /// DATA is not JSON.
    #[error("DATA must be JSON: {0}")]
    Data(serde_json::Error),
    /// The event was not acknowledged.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Nothing can be written to stdout.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// `carillon publish`: posts the event (`--count` times, at `--rate`) and prints each acknowledgement as one line of JSON.
pub async fn run(args: &PublishArgs, destination: &Destination) -> Result<(), PublishCommandError> {
    let data = serde_json::from_str(&args.data).map_err(PublishCommandError::Data)?;
    let mut post = Post::new(&args.tenant, &args.kind, data).source(&args.source);
    post.id.clone_from(&args.id);
    post.subject.clone_from(&args.subject);
    post.actor.clone_from(&args.actor);
    post.priority.clone_from(&args.priority);
    post.channels.clone_from(&args.channels);
    post.users.clone_from(&args.users);
    post.roles.clone_from(&args.roles);
    let untargeted = post.channels.is_empty() && post.users.is_empty() && post.roles.is_empty();
    post.tenant_wide = args.tenant_wide || untargeted;

    let publisher = Publisher::new(&destination.url, &destination.api_key)?;
    let begun = tokio::time::Instant::now();
    for n in 0..args.count {
        if let Some(rate) = args.rate {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(n as f64 / rate)).await;
        }
        let ack = publisher.publish(&post, None).await?;
        let line = serde_json::json!({
            "id": ack.id, "seq": ack.seq, "epoch": ack.epoch, "replayed": ack.replayed,
        });
        writeln!(std::io::stdout().lock(), "{line}")?;
    }
    Ok(())
}
