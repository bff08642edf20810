//! How does one of our services post something to another, and what does it answer?
//!
//! Over HTTP/1.1 on connections that are kept. A request has one end: an answer, or that there was none in time; then nobody
//! knows what became of it, and it is for the caller to say so.

use crate::tls;
use http::HeaderMap;
pub use reqwest::Url;
use reqwest::{Client, header, redirect};
use std::time::Duration;

/// Largest answer that is read, in bytes.
const ANSWER: usize = 64 * 1024;
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a connection that nobody uses is kept: shorter than the other side keeps it.
const KEPT: Duration = Duration::from_secs(15);
/// The same where the other side may not know who asks: it then gives such a connection ten seconds.
const KEPT_UNKNOWN: Duration = Duration::from_secs(5);
/// So many of these are kept for each other process.
const IDLE_PEERS: usize = 16;

/// The way to another service. Clones share its connections.
#[derive(Clone)]
pub struct Forward {
    client: Client,
    url: Url,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Seconds to wait, if it says so.
    pub retry_after_s: Option<u64>,
    /// What it says.
    pub body: Vec<u8>,
}

/// What another process of one's own kind answered.
#[derive(Debug, Clone)]
pub struct Passed {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// What it says.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(String);

impl Forward {
    /// The way to a path of the service at `base`, where each request has an answer `within` this time, or none.
    ///
    /// # Errors
    /// The HTTP library cannot be set up, or the path fits no URL.
    pub fn new(base: &Url, path: &str, within: Duration) -> Result<Self, Unanswered> {
        let fault = |error: String| Unanswered(error);
        let client = Client::builder()
            .http1_only()
            .timeout(within)
            .connect_timeout(CONNECT.min(within))
            .pool_idle_timeout(KEPT)
            .redirect(redirect::Policy::none())
            .tls_backend_preconfigured(tls::of_the_system().map_err(|error| fault(error.to_string()))?)
            .build()
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self { client, url: base.join(path).map_err(|error| fault(error.to_string()))? })
    }

    /// Posts JSON with an API key and further headers.
    ///
    /// # Errors
    /// There is no answer, or none that can be read; what became of the request is not known.
    pub async fn post(
        &self,
        key: &str,
        headers: &[(&str, &str)],
        json: String,
    ) -> Result<Answer, Unanswered> {
        let mut request = self.client.post(self.url.clone()).bearer_auth(key);
        request = request.header(header::CONTENT_TYPE, "application/json").body(json);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // The URL may name what only operators should know.
        let fault = |error: reqwest::Error| Unanswered(error.without_url().to_string());
        let mut response = request.send().await.map_err(fault)?;
        let retry_after_s = response.headers().get(header::RETRY_AFTER);
        let retry_after_s = retry_after_s.and_then(|value| value.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body = read(&mut response, ANSWER).await?;
        Ok(Answer { status, retry_after_s, body })
    }
}

/// The way to other processes of one's own kind, each at its own address. Clones share connections.
#[derive(Clone)]
pub struct Peers {
    client: Client,
    longest: usize,
}

impl Peers {
    /// Each request has an answer `within` this time and of at most so many bytes, or none.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub fn new(within: Duration, longest: usize) -> Result<Self, Unanswered> {
        let client = Client::builder()
            .http1_only()
            .no_proxy()
            .timeout(within)
            .connect_timeout(CONNECT.min(within))
            .pool_idle_timeout(KEPT_UNKNOWN)
            .pool_max_idle_per_host(IDLE_PEERS)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Unanswered(error.to_string()))?;
        Ok(Self { client, longest })
    }

    /// Asks with GET, or with POST where there is a body.
    ///
    /// # Errors
    /// There is no answer, or none that can be read; what became of the request is not known.
    pub async fn ask(
        &self,
        url: Url,
        (name, value): (&str, &str),
        body: Option<String>,
    ) -> Result<Passed, Unanswered> {
        let request = match body {
            None => self.client.get(url),
            Some(body) => self.client.post(url).body(body),
        };
        let fault = |error: reqwest::Error| Unanswered(error.without_url().to_string());
        let mut response = request.header(name, value).send().await.map_err(fault)?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let body = read(&mut response, self.longest).await?;
        Ok(Passed { status, headers, body })
    }
}

/// The body of an answer, if it has at most so many bytes.
async fn read(response: &mut reqwest::Response, longest: usize) -> Result<Vec<u8>, Unanswered> {
    let fault = |error: reqwest::Error| Unanswered(error.without_url().to_string());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if body.len() + chunk.len() > longest {
            return Err(Unanswered("the answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
