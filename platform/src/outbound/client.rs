//! How is a request sent, to exactly an address that was judged?

use super::config::OutboundConfig;
use super::resolver::{JudgingResolver, NoOpenAddress, on_behalf_of};
use super::target::{Target, TargetFault};
use crate::tls;
use carillon_protocol::TenantId;
use http::{HeaderMap, StatusCode};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long an unused connection is kept: what a name leads to is judged again after it.
const IDLE: Duration = Duration::from_secs(15);
/// Unused connections to one host: as many as are used at a time.
const IDLE_PER_HOST: usize = 32;
/// Bodies that are read although nobody waits for them; beyond that connections are closed.
static READ_BESIDE: Semaphore = Semaphore::const_new(256);
/// How long the body of an answer is waited for whose status has decided.
const BEGINNING: Duration = Duration::from_secs(1);

/// Sends requests to tenants' URLs.
#[derive(Clone)]
pub struct Outbound {
    http: reqwest::Client,
    allowed: Arc<OutboundConfig>,
}

/// What a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// In all: looking up, connecting, sending, and the answer's last byte.
    pub within: Duration,
    /// Of the answer's body.
    pub answer_bytes: usize,
}

/// An answer, of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Vec<u8>,
}

/// What became of a request whose answer's status alone decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// What `Retry-After` says.
    pub retry_after: Option<String>,
    /// The beginning of the body, as far as it came in time.
    pub beginning: Vec<u8>,
}

/// Of which answers the body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Of all.
    OfAll,
    /// Of those that are no 2xx.
    OfFailures,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// The URL, or every address of its host, is one that may not be called.
    #[error("{0}")]
    Closed(String),
    /// It took too long.
    #[error("there was no whole answer in time")]
    TooSlow,
    /// The answer's body is too large.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// There was no connection, no TLS, or no HTTP on it.
    #[error("{0}")]
    Failed(String),
}

impl CallFault {
    /// One word, for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed(_) => "address",
            Self::TooSlow => "timeout",
            Self::TooLarge => "too_large",
            Self::Failed(_) => "connection",
        }
    }
}

impl Outbound {
    /// A client for what this installation allows.
    pub fn new(allowed: OutboundConfig) -> Result<Self, CallFault> {
        let failed = |error: &dyn Error| CallFault::Failed(error.to_string());
        let tls = tls::of_the_system().map_err(|error| failed(&error))?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("Carillon/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look the name up by itself.
            .no_proxy()
            .http1_only()
            .dns_resolver(JudgingResolver::new(&allowed.opened))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { http, allowed: Arc::new(allowed) })
    }

    /// What tenants' URLs may be and lead to.
    pub fn allowed(&self) -> &OutboundConfig {
        &self.allowed
    }

    /// Reads a URL and judges what can be judged without looking its host up.
    pub fn target(&self, url: &str) -> Result<Target, TargetFault> {
        Target::read(url, &self.allowed)
    }

    /// Posts JSON; `owner` is the tenant whose URL it is.
    pub async fn post(
        &self,
        owner: &TenantId,
        target: &Target,
        headers: HeaderMap,
        body: Vec<u8>,
        bounds: Bounds,
    ) -> Result<Answer, CallFault> {
        let request = self.http.post(target.url().clone()).headers(headers);
        let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        let exchange = on_behalf_of(owner.clone(), exchange(request, bounds.answer_bytes));
        match tokio::time::timeout(bounds.within, exchange).await {
            Ok(result) => result,
            Err(_) => Err(CallFault::TooSlow),
        }
    }

    /// Posts JSON and hears the status. Of the body the beginning is kept, at most `bounds.answer_bytes`; whether it is whole, or ends
    /// at all, changes nothing.
    pub async fn deliver(
        &self,
        owner: &TenantId,
        target: &Target,
        headers: HeaderMap,
        body: Vec<u8>,
        (wanted, bounds): (Wanted, Bounds),
    ) -> Result<Reply, CallFault> {
        let request = self.http.post(target.url().clone()).headers(headers);
        let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        let request = request.header(http::header::ACCEPT_ENCODING, "identity");
        let reply = on_behalf_of(owner.clone(), reply(request, wanted, bounds.answer_bytes));
        match tokio::time::timeout(bounds.within, reply).await {
            Ok(result) => result,
            Err(_) => Err(CallFault::TooSlow),
        }
    }
}

async fn reply(request: reqwest::RequestBuilder, wanted: Wanted, most: usize) -> Result<Reply, CallFault> {
    let response = request.send().await.map_err(fault)?;
    let status = response.status();
    let retry_after = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    if wanted == Wanted::OfFailures && status.is_success() {
        // Read to its end it leaves a connection that can be used again; nobody waits for that.
        if let Ok(place) = READ_BESIDE.try_acquire() {
            tokio::spawn(async move {
                beginning(response, most).await;
                drop(place);
            });
        }
        return Ok(Reply { status, retry_after, beginning: Vec::new() });
    }
    Ok(Reply { status, retry_after, beginning: beginning(response, most).await })
}

/// What comes of a body in time.
async fn beginning(mut response: reqwest::Response, most: usize) -> Vec<u8> {
    let mut beginning = Vec::new();
    let reading = async {
        // A connection whose answer was not read to its end is closed, and not used again.
        while let Ok(Some(piece)) = response.chunk().await {
            let left = most - beginning.len();
            beginning.extend_from_slice(&piece[..piece.len().min(left)]);
            if piece.len() > left {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BEGINNING, reading).await;
    beginning
}

async fn exchange(request: reqwest::RequestBuilder, most: usize) -> Result<Answer, CallFault> {
    let mut response = request.send().await.map_err(fault)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(fault)? {
        if body.len() + piece.len() > most {
            return Err(CallFault::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, body })
}

/// The cause in words, without the URL: its query may hold what only the tenant should know.
fn fault(error: reqwest::Error) -> CallFault {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if cause.is::<NoOpenAddress>() {
            return CallFault::Closed(cause.to_string());
        }
    }
    CallFault::Failed(cause.to_string())
}
