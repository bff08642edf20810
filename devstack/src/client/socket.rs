//! How does a client connect to a gateway and talk with it, frame by frame?

use std::collections::BTreeMap;
use std::time::Duration;

use carillon_protocol::compact::plain;
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error as WsError};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::frame::{Cursor, Frame, Welcome};
use crate::http::{content_type, foreign_answer, problem};

/// Where the token travels (PROTOCOL, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPlace {
    /// `Authorization: Bearer`.
    #[default]
    Header,
    /// `Sec-WebSocket-Protocol: carillon.v1, bearer.<token>`: what browsers use.
    Subprotocol,
    /// `?token=`.
    Query,
    /// `{"type":"auth"}` after the upgrade.
    FirstFrame,
    /// Nowhere: for tests of the refusal.
    Nowhere,
}

/// What a client wants when it connects.
#[derive(Debug, Clone)]
pub struct Connect {
    /// `ws://host:port/v1/ws` or `wss://…`.
    pub url: String,
    /// The user token.
    pub token: String,
    /// Where the token travels.
    pub place: TokenPlace,
    /// Resume after this position.
    pub since: Option<Cursor>,
    /// An event that came before, `<seq>:<id>`; only with `since`.
    pub last: Option<String>,
    /// The client installation's name.
    pub device: Option<String>,
    /// Channels beside the automatic ones.
    pub channels: Vec<String>,
    /// Which types of events; empty: all.
    pub types: Vec<String>,
    /// Whether it is told who is in these channels.
    pub presence: bool,
    /// Whether events come in the compact form; then the token travels in no subprotocol.
    pub compact: bool,
    /// Another tenant than the token's own.
    pub tenant: Option<String>,
    /// The `Origin` a browser would send.
    pub origin: Option<String>,
    /// Size of the kernel's receive buffer in bytes: small, and a client that does not read is soon felt.
    pub receive_buffer: Option<u32>,
    /// Longest time for connection and handshake.
    pub patience: Duration,
}

impl Connect {
    /// A plain connection with the token in the header and ten seconds of patience.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            place: TokenPlace::default(),
            since: None,
            last: None,
            device: None,
            channels: Vec::new(),
            types: Vec::new(),
            presence: false,
            compact: false,
            tenant: None,
            origin: None,
            receive_buffer: None,
            patience: Duration::from_secs(10),
        }
    }

    /// With the token at this place.
    #[must_use]
    pub fn place(mut self, place: TokenPlace) -> Self {
        self.place = place;
        self
    }

    /// Resuming after this position.
    #[must_use]
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.since = Some(cursor);
        self
    }

    /// With these channels beside the automatic ones.
    #[must_use]
    pub fn channels<S: Into<String>>(mut self, channels: impl IntoIterator<Item = S>) -> Self {
        self.channels = channels.into_iter().map(Into::into).collect();
        self
    }

    /// Only events of these types.
    #[must_use]
    pub fn types<S: Into<String>>(mut self, types: impl IntoIterator<Item = S>) -> Self {
        self.types = types.into_iter().map(Into::into).collect();
        self
    }

    fn request(&self) -> Result<(Request, String, u16), SocketError> {
        let fault = |why: String| SocketError::Url(format!("{}: {why}", self.url));
        let mut url = Url::parse(&self.url).map_err(|e| fault(e.to_string()))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(fault("must begin with ws:// or wss://".into()));
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(cursor) = &self.since {
                query.append_pair("since", &cursor.seq.to_string());
                if let Some(epoch) = &cursor.epoch {
                    query.append_pair("epoch", epoch);
                }
                if let Some(last) = &self.last {
                    query.append_pair("last", last);
                }
            }
            if let Some(device) = &self.device {
                query.append_pair("device", device);
            }
            if !self.channels.is_empty() {
                query.append_pair("channels", &self.channels.join(","));
            }
            if !self.types.is_empty() {
                query.append_pair("types", &self.types.join(","));
            }
            if self.presence {
                query.append_pair("presence", "1");
            }
            if let Some(tenant) = &self.tenant {
                query.append_pair("tenant", tenant);
            }
            if self.place == TokenPlace::Query {
                query.append_pair("token", &self.token);
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        let host =
            url.host_str().ok_or_else(|| fault("has no host".into()))?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let mut request = url.as_str().into_client_request().map_err(|e| fault(e.to_string()))?;
        let text = |value: String| {
            HeaderValue::from_str(&value).map_err(|_| fault("token or origin is no header value".into()))
        };
        let headers = request.headers_mut();
        match self.place {
            TokenPlace::Header => {
                headers.insert("authorization", text(format!("Bearer {}", self.token))?);
            }
            TokenPlace::Subprotocol => {
                headers
                    .insert("sec-websocket-protocol", text(format!("carillon.v1, bearer.{}", self.token))?);
            }
            TokenPlace::Query | TokenPlace::FirstFrame | TokenPlace::Nowhere => {}
        }
        if self.compact {
            let both = HeaderValue::from_static("carillon.v1, carillon.v1.compact");
            headers.insert("sec-websocket-protocol", both);
        }
        if let Some(origin) = &self.origin {
            headers.insert("origin", text(origin.clone())?);
        }
        Ok((request, host, port))
    }
}

/// Why a connection is not, or no longer, there.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The address cannot be used.
    #[error("cannot use the address {0}")]
    Url(String),
    /// Nobody answers, or the connection broke without a close frame.
    #[error("connection lost: {0}")]
    Lost(String),
    /// An HTTP answer instead of the upgrade.
    #[error("{}", refusal(*status, code, problem, content_type))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The `code` of the problem, empty when the answer is none.
        code: String,
        /// The problem, null when the answer is none.
        problem: Value,
        /// The media type of the answer.
        content_type: String,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The gateway closed the WebSocket.
    #[error("closed with {code} {reason}")]
    Closed {
        /// The close code; 1005 when the frame carries none.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// Nothing arrived in time.
    #[error("nothing arrived in time")]
    Timeout,
    /// The gateway broke the contract.
    #[error("not a frame of the contract: {0}")]
    Contract(String),
}

/// What the answer says for people; without a code it is not a gateway's.
fn refusal(status: u16, code: &str, problem: &Value, content_type: &str) -> String {
    if code.is_empty() {
        return foreign_answer("gateway", status, content_type);
    }
    let detail = problem["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("refused with HTTP {status} {code}{detail}")
}

impl SocketError {
    /// Whether the contract tells a client to stay away: 44xx but 4408 and 4429, and the same reasons over HTTP.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Url(_) | Self::Contract(_) => true,
            Self::Refused { status, .. } => matches!(status, 400..=499) && *status != 429 && *status != 408,
            Self::Closed { code, .. } => (4400..4500).contains(code) && !matches!(code, 4408 | 4429),
            Self::Lost(_) | Self::Timeout => false,
        }
    }

    /// The close code, when there was one.
    pub fn close_code(&self) -> Option<u16> {
        if let Self::Closed { code, .. } = self { Some(*code) } else { None }
    }
}

/// An open WebSocket. Dropping it closes the TCP connection without a farewell.
#[derive(Debug)]
pub struct Socket {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    protocol: Option<String>,
    /// What it was told for the compact form.
    names: BTreeMap<u8, String>,
    /// Bytes of the newest text message, without its head.
    last_bytes: usize,
}

impl Socket {
    /// Connects and upgrades; with [`TokenPlace::FirstFrame`] also sends the token. The first frame is not awaited.
    pub async fn connect(wanted: &Connect) -> Result<Self, SocketError> {
        let deadline = Instant::now() + wanted.patience;
        timeout_at(deadline, Self::upgrade(wanted)).await.map_err(|_| SocketError::Timeout)?
    }

    /// Connects and waits for the `welcome`.
    pub async fn open(wanted: &Connect) -> Result<(Self, Welcome), SocketError> {
        let mut socket = Self::connect(wanted).await?;
        let frame = socket.next_frame(wanted.patience).await?;
        if !frame.is("welcome") {
            return Err(SocketError::Contract(format!("expected a welcome, got {frame:?}")));
        }
        let welcome =
            serde_json::from_value(frame.0).map_err(|e| SocketError::Contract(format!("welcome: {e}")))?;
        Ok((socket, welcome))
    }

    async fn upgrade(wanted: &Connect) -> Result<Self, SocketError> {
        let (request, host, port) = wanted.request()?;
        let stream = tcp(&host, port, wanted.receive_buffer).await?;
        // Small buffers: a test that stops reading wants the bytes to stay with the gateway.
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (ws, response) = client_async_tls_with_config(request, stream, Some(config), None)
            .await
            .map_err(|error| match error {
                WsError::Http(answer) => refused(&answer),
                // What rustls says of a certificate; no other try would mend it.
                WsError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    SocketError::Url(format!("{}: {error}", wanted.url))
                }
                other => lost_or_closed(&other),
            })?;
        let protocol = response.headers().get("sec-websocket-protocol").and_then(|v| v.to_str().ok());
        let protocol = protocol.map(str::to_owned);
        let mut socket = Self { ws, protocol, names: BTreeMap::new(), last_bytes: 0 };
        if wanted.place == TokenPlace::FirstFrame {
            socket.send_json(&json!({"type": "auth", "token": wanted.token})).await?;
        }
        Ok(socket)
    }

    /// The subprotocol the gateway selected.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Bytes of the newest text message, without its head: what was written, not what became of it.
    pub fn last_bytes(&self) -> usize {
        self.last_bytes
    }

    /// Sends one JSON text frame.
    pub async fn send_json(&mut self, frame: &Value) -> Result<(), SocketError> {
        self.send(Message::text(frame.to_string())).await
    }

    /// Sends any WebSocket message, for tests of what a gateway does with it.
    pub async fn send(&mut self, message: Message) -> Result<(), SocketError> {
        self.ws.send(message).await.map_err(|e| lost_or_closed(&e))
    }

    /// The next JSON frame, or why there is none within `patience`. Pings are answered on the way.
    ///
    /// Cancelling it loses no frame.
    pub async fn next_frame(&mut self, patience: Duration) -> Result<Frame, SocketError> {
        let deadline = Instant::now() + patience;
        loop {
            let message = timeout_at(deadline, self.ws.next()).await.map_err(|_| SocketError::Timeout)?;
            match message {
                Some(Ok(Message::Text(text))) => {
                    self.last_bytes = text.len();
                    // In the compact form events become the frames that others get.
                    let plain = plain(text.as_bytes(), &mut self.names);
                    let value = serde_json::from_slice(plain.as_deref().unwrap_or(text.as_bytes()));
                    return value.map(Frame).map_err(|e| SocketError::Contract(format!("{e} in {text}")));
                }
                Some(Ok(Message::Close(frame))) => return Err(self.said_goodbye(frame).await),
                Some(Ok(Message::Binary(_))) => return Err(SocketError::Contract("a binary message".into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(lost_or_closed(&error)),
                None => return Err(SocketError::Lost("the stream ended".into())),
            }
        }
    }

    /// The next frame of this `type`; others are skipped, at most 100,000 of them.
    pub async fn next_of(&mut self, kind: &str, patience: Duration) -> Result<Frame, SocketError> {
        let deadline = Instant::now() + patience;
        for _ in 0..100_000 {
            let frame = self.next_frame(deadline.saturating_duration_since(Instant::now())).await?;
            if frame.is(kind) {
                return Ok(frame);
            }
        }
        Err(SocketError::Contract(format!("100,000 frames and no {kind}")))
    }

    /// Sends a request with an `id` and returns the frame that answers it, with what arrived before.
    pub async fn ask(
        &mut self,
        request: &Value,
        patience: Duration,
    ) -> Result<(Frame, Vec<Frame>), SocketError> {
        self.send_json(request).await?;
        let deadline = Instant::now() + patience;
        let mut before = Vec::new();
        while before.len() < 100_000 {
            let frame = self.next_frame(deadline.saturating_duration_since(Instant::now())).await?;
            let answers = matches!(frame.kind(), "ok" | "error" | "pong" | "welcome");
            if answers && frame.0.get("id") == request.get("id") {
                return Ok((frame, before));
            }
            before.push(frame);
        }
        Err(SocketError::Contract("100,000 frames and no answer".into()))
    }

    /// Reads on until the gateway closes or the connection breaks, and says how; frames are thrown away.
    pub async fn ended(&mut self, patience: Duration) -> SocketError {
        let deadline = Instant::now() + patience;
        loop {
            if let Err(error) = self.next_frame(deadline.saturating_duration_since(Instant::now())).await {
                return error;
            }
        }
    }

    /// Says goodbye with 1000 and waits (at most a second) for the answer.
    pub async fn close(mut self) {
        let bye = CloseFrame { code: 1000.into(), reason: "".into() };
        if self.ws.close(Some(bye)).await.is_ok() {
            self.ended(Duration::from_secs(1)).await;
        }
    }

    /// Cuts the connection without a farewell: a TCP reset, as from a phone that lost its network.
    pub fn sever(self) {
        // Without it the kernel would still send what is queued and say FIN; either way the connection is gone.
        if let MaybeTlsStream::Plain(tcp) = self.ws.get_ref() {
            let _ = tcp.set_zero_linger();
        }
    }

    /// Sends the answer to a close frame, so that the gateway need not wait for it.
    async fn said_goodbye(&mut self, frame: Option<CloseFrame>) -> SocketError {
        // The gateway may be gone already; the close frame has been read and is what counts.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.ws.flush()).await;
        match frame {
            Some(frame) => SocketError::Closed { code: frame.code.into(), reason: frame.reason.to_string() },
            None => SocketError::Closed { code: 1005, reason: String::new() },
        }
    }
}

/// A connection to the first address of a host that answers: `localhost` often has two, and a server only one of them.
async fn tcp(host: &str, port: u16, receive_buffer: Option<u32>) -> Result<TcpStream, SocketError> {
    let lost = |e: std::io::Error| SocketError::Lost(e.to_string());
    let mut last = SocketError::Lost(format!("{host} has no address"));
    for address in tokio::net::lookup_host((host, port)).await.map_err(lost)? {
        let tcp = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(lost)?;
        if let Some(bytes) = receive_buffer {
            tcp.set_recv_buffer_size(bytes).map_err(lost)?;
        }
        match tcp.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(lost)?;
                return Ok(stream);
            }
            Err(error) => last = SocketError::Lost(format!("{address}: {error}")),
        }
    }
    Err(last)
}

fn refused(answer: &Response<Option<Vec<u8>>>) -> SocketError {
    let content_type = content_type(answer.headers());
    let problem = problem(&content_type, answer.body().as_deref().unwrap_or_default()).unwrap_or_default();
    let retry_after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
    SocketError::Refused {
        status: answer.status().as_u16(),
        code: problem["code"].as_str().unwrap_or_default().to_owned(),
        problem,
        content_type,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

fn lost_or_closed(error: &tungstenite::Error) -> SocketError {
    SocketError::Lost(error.to_string())
}
