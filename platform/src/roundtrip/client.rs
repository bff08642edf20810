//! How does one client publish an event and wait for it?

use super::bearer::TokenSource;
use super::witness::{Findings, Witness};
use crate::tls;
use carillon_protocol::TenantId;
use futures_util::{SinkExt, StreamExt};
use reqwest::{StatusCode, Url, header};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// Longest time to connect, to publish, and to wait for the event: each.
const WITHIN: Duration = Duration::from_secs(5);

/// Whom to ask, as whom.
#[derive(Clone)]
pub struct RoundTripConfig {
    /// The publisher's base URL.
    pub publish: Url,
    /// The WebSocket's URL, without a query.
    pub socket: Url,
    /// The tenant, which should be nobody else's.
    pub tenant: TenantId,
    /// A channel of its own: every event in it is this client's.
    pub channel: String,
    /// Makes a user token that may publish and subscribe to the channel; asked for each connection and request.
    pub token: TokenSource,
}

/// Why an event did not make the round.
#[derive(Debug, thiserror::Error)]
pub enum RoundTripError {
    /// No WebSocket, or no welcome on it.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// The publisher did not acknowledge.
    #[error("not published: {0}")]
    PublishFailed(String),
    /// Acknowledged, and not there in time.
    #[error("acknowledged as seq {0}, but not received within 5 s")]
    NotReceived(u64),
}

impl RoundTripError {
    /// One word, for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotConnected(_) => "not_connected",
            Self::PublishFailed(_) => "publish_failed",
            Self::NotReceived(_) => "not_received",
        }
    }
}

/// A client that publishes to itself.
pub struct RoundTrip {
    config: RoundTripConfig,
    http: reqwest::Client,
    connector: Connector,
    socket: Option<Socket>,
    cursor: Option<(String, u64)>,
    witness: Witness,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What of a server frame matters here.
#[derive(Deserialize)]
struct Frame {
    r#type: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    epoch: Option<String>,
    #[serde(default)]
    reconnect_ms: u64,
    #[serde(default)]
    code: Option<String>,
}

#[derive(Deserialize)]
struct Acknowledged {
    seq: u64,
    epoch: String,
}

impl RoundTrip {
    /// A client that is not connected yet.
    ///
    /// # Errors
    /// The system's certificates or the HTTP library cannot be set up.
    pub fn new(config: RoundTripConfig) -> Result<Self, RoundTripError> {
        let fault = |error: String| RoundTripError::NotConnected(error);
        let tls = tls::of_the_system().map_err(|error| fault(error.to_string()))?;
        let http = reqwest::Client::builder()
            .http1_only()
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls.clone())
            .build()
            .map_err(|error| fault(error.to_string()))?;
        let connector = Connector::Rustls(Arc::new(tls));
        Ok(Self { config, http, connector, socket: None, cursor: None, witness: Witness::default() })
    }

    /// Publishes one event and waits for it. Connects, or resumes, when it has to.
    ///
    /// # Errors
    /// Where the event got lost; the next call tries again.
    pub async fn round(&mut self) -> Result<Duration, RoundTripError> {
        self.connected().await?;
        let sent = Instant::now();
        let Acknowledged { seq, epoch } = self.publish().await?;
        if self.cursor.as_ref().is_some_and(|(known, _)| *known != epoch) {
            // The log has a new life, and its numbers are others: come back and be told `reset`.
            self.socket = None;
            return Err(RoundTripError::NotReceived(seq));
        }
        if self.witness.acknowledged(seq) {
            return Ok(sent.elapsed());
        }
        let received = tokio::time::timeout(WITHIN, self.receive(seq)).await;
        match received {
            Ok(result) => result.map(|()| sent.elapsed()),
            Err(_) => Err(RoundTripError::NotReceived(seq)),
        }
    }

    /// What went wrong so far.
    pub fn findings(&self) -> Findings {
        self.witness.findings()
    }

    async fn publish(&self) -> Result<Acknowledged, RoundTripError> {
        let failed = RoundTripError::PublishFailed;
        let url = self.config.publish.join("/v1/events").map_err(|error| failed(error.to_string()))?;
        let event = json!({
            "type": "carillon.canary",
            "tenant": self.config.tenant,
            "channels": [self.config.channel],
            "data": {},
        });
        let response = self
            .http
            .post(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", (self.config.token)().expose()))
            .json(&event)
            .send()
            .await
            // The URL may name what only operators should know.
            .map_err(|error| failed(error.without_url().to_string()))?;
        if response.status() != StatusCode::CREATED {
            return Err(failed(format!("HTTP {}", response.status().as_u16())));
        }
        response.json().await.map_err(|error| failed(error.without_url().to_string()))
    }

    async fn connected(&mut self) -> Result<(), RoundTripError> {
        if self.socket.is_some() {
            return Ok(());
        }
        match tokio::time::timeout(WITHIN, self.connect()).await {
            Ok(result) => result,
            Err(_) => Err(RoundTripError::NotConnected("no answer within 5 s".into())),
        }
    }

    async fn connect(&mut self) -> Result<(), RoundTripError> {
        let failed = |error: tungstenite::Error| RoundTripError::NotConnected(error.to_string());
        let url = self.url();
        let mut request = url.as_str().into_client_request().map_err(failed)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", (self.config.token)().expose()));
        let mut bearer =
            bearer.map_err(|_| RoundTripError::NotConnected("the token cannot stand in a header".into()))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert("authorization", bearer);
        let connector = Some(self.connector.clone());
        let (socket, _) = tokio_tungstenite::connect_async_tls_with_config(request, None, true, connector)
            .await
            .map_err(failed)?;
        self.socket = Some(socket);
        loop {
            let Some(frame) = self.next_frame().await else {
                return Err(RoundTripError::NotConnected("closed before the welcome".into()));
            };
            if frame.r#type == "welcome" {
                if self.cursor.is_none() {
                    self.follow(&frame);
                }
                return Ok(());
            }
        }
    }

    /// Where to connect: with the cursor, once there is one.
    fn url(&self) -> Url {
        let mut url = self.config.socket.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("tenant", self.config.tenant.as_str());
        query.append_pair("channels", &self.config.channel);
        if let Some((epoch, seq)) = &self.cursor {
            query.append_pair("epoch", epoch).append_pair("since", &seq.to_string());
        }
        drop(query);
        url
    }

    /// Waits until this event has come, on however many connections.
    async fn receive(&mut self, seq: u64) -> Result<(), RoundTripError> {
        loop {
            if self.socket.is_none() {
                // An error is what a client would meet, too; it tries again until its time is over.
                if self.connect().await.is_err() {
                    self.socket = None;
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                continue;
            }
            let Some(frame) = self.next_frame().await else { continue };
            match frame.r#type.as_str() {
                "event" => {
                    let was_awaited = self.witness.came(frame.seq);
                    self.follow(&frame);
                    if was_awaited && frame.seq == seq {
                        return Ok(());
                    }
                }
                "heartbeat" => self.follow(&frame),
                "reset" => {
                    self.witness.start_over(frame.seq);
                    self.follow(&frame);
                    return Err(RoundTripError::NotReceived(seq));
                }
                "goaway" => {
                    if let Some(mut socket) = self.socket.take() {
                        let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(frame.reconnect_ms)).await;
                }
                "error" => {
                    let code = frame.code.unwrap_or_default();
                    return Err(RoundTripError::NotConnected(format!("the gateway answered {code}")));
                }
                _ => {}
            }
        }
    }

    /// The cursor moves with what comes.
    fn follow(&mut self, frame: &Frame) {
        let epoch = frame.epoch.clone().or_else(|| self.cursor.take().map(|(epoch, _)| epoch));
        self.cursor = epoch.map(|epoch| (epoch, frame.seq));
    }

    /// The next frame; none when the connection has ended.
    async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let socket = self.socket.as_mut()?;
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(frame) = serde_json::from_str(&text) {
                        return Some(frame);
                    }
                }
                Some(Ok(Message::Ping(data))) => {
                    let _ = socket.send(Message::Pong(data)).await;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.socket = None;
                    return None;
                }
                Some(Ok(_)) => {}
            }
        }
    }
}
