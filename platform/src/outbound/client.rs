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

/// How long an unused connection is kept: what a name leads to is judged again after it.
const IDLE: Duration = Duration::from_secs(15);
/// Unused connections to one host.
const IDLE_PER_HOST: usize = 8;

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
