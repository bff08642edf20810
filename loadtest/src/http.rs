//! How does the load test post events over one keep-alive connection?

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::failure::Failure;
use crate::target::Address;

/// Longest time for one request.
const REQUEST: Duration = Duration::from_secs(20);
/// Longest time one body is tried again after 503, 429 or a broken connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer that is read.
const ANSWER: usize = 4 << 20;

/// Posts over one connection, which is made again when it breaks.
pub(crate) struct Poster {
    address: Address,
    api_key: String,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Requests that had to be repeated.
    pub(crate) repeated: Repeated,
}

/// Requests that were not acknowledged at once.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Repeated {
    /// How many.
    pub(crate) requests: u64,
    /// The answer to the first of them.
    pub(crate) first: Option<String>,
}

impl Repeated {
    /// Takes over what another connection had to repeat.
    pub(crate) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.first = self.first.take().or(other.first);
    }
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.requests)?;
        self.first.iter().try_for_each(|why| write!(f, ", the first after {why}"))
    }
}

impl Poster {
    /// Connects at the first post.
    pub(crate) fn new(address: Address, api_key: String) -> Self {
        Self { address, api_key, sender: None, repeated: Repeated::default() }
    }

    /// What is asked from now on is asked with this token.
    pub(crate) fn speak_as(&mut self, token: String) {
        self.api_key = token;
    }

    /// Posts a JSON body until it is acknowledged with 201. The events must carry ids, so that repeating is safe.
    pub(crate) async fn post(&mut self, body: Bytes) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        loop {
            let outcome = timeout(REQUEST, self.once(body.clone())).await;
            let why = match outcome {
                Ok(Ok((201, answer))) => return Ok(answer),
                Ok(Ok((status, answer))) => {
                    let told = String::from_utf8_lossy(&answer[..answer.len().min(500)]).into_owned();
                    let why = format!("HTTP {status} {told}");
                    if !matches!(status, 429 | 502 | 503 | 504) {
                        return Err(Failure::Publish(why));
                    }
                    why
                }
                Ok(Err(why)) => {
                    self.sender = None;
                    why
                }
                Err(_) => {
                    self.sender = None;
                    "no answer in time".into()
                }
            };
            if begun.elapsed() > PATIENCE {
                return Err(Failure::Publish(why));
            }
            self.repeated.requests += 1;
            self.repeated.first.get_or_insert(why);
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn once(&mut self, body: Bytes) -> Result<(u16, Bytes), String> {
        let path = self.address.path.clone();
        self.request(Method::POST, &path, body).await
    }

    /// Sends one request and says how it was answered.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address.authority)
            .header("authorization", format!("Bearer {}", self.api_key))
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.address.authority).await?),
        };
        let lost = |error: hyper::Error| error.to_string();
        sender.ready().await.map_err(lost)?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        let status = answer.status().as_u16();
        let body =
            Limited::new(answer.into_body(), ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // A broken connection shows at the next request.
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(sender)
}
