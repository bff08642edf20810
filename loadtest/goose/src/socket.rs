//! How does one person listen over a WebSocket, and come back with the cursor?

use std::time::Duration;

use carillon_protocol::CloseCode;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::ledger::{Happening, LEDGER};
use crate::sequence::Sequence;
use crate::team::now_ms;

/// Longest wait for a `welcome` or an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where and as whom to listen.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// `ws://host:port/v1/ws`, with the channels.
    pub(crate) url: String,
    /// The user token.
    pub(crate) token: String,
}

/// A person's connection and what came over it; between two connections only what came.
pub(crate) struct Socket {
    address: Address,
    stream: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    /// What came so far; none before the first `welcome`.
    pub(crate) seen: Option<Sequence>,
    epoch: String,
    /// When the connection was asked for, milliseconds since 1970.
    begun_ms: u64,
}

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The handshake, or the connection itself.
    #[error(transparent)]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// Nothing came in time.
    #[error("nothing within {PATIENCE:?}")]
    Late,
    /// The server closed.
    #[error("closed: {0}")]
    Closed(String),
    /// What the server sent is no frame of the contract.
    #[error("no frame: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// What of a frame a listener looks at.
#[derive(Debug, Deserialize)]
struct Frame {
    r#type: String,
    #[serde(default)]
    seq: u64,
    epoch: Option<String>,
    event: Option<Event>,
    id: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Event {
    data: Stamped,
}

#[derive(Debug, Deserialize)]
struct Stamped {
    stamp: u64,
}

impl Socket {
    /// Nobody is connected yet.
    pub(crate) fn new(address: Address) -> Self {
        Self { address, stream: None, seen: None, epoch: String::new(), begun_ms: 0 }
    }

    /// Connects and waits for the `welcome`; with the cursor when there was a connection before. How long it took.
    pub(crate) async fn enter(&mut self) -> Result<Duration, Fault> {
        let begun = Instant::now();
        self.begun_ms = now_ms();
        let mut url = self.address.url.clone();
        if let Some(Sequence { cursor, .. }) = self.seen {
            url += &format!("&since={cursor}&epoch={}", self.epoch);
        }
        let mut request = url.into_client_request().map_err(Box::new)?;
        if let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {}", self.address.token)) {
            request.headers_mut().insert("authorization", bearer);
        }
        let (stream, _) =
            timeout(PATIENCE, connect_async(request)).await.map_err(|_| Fault::Late)?.map_err(Box::new)?;
        self.stream = Some(stream);
        let frame = self.next(begun + PATIENCE).await?.ok_or(Fault::Late)?;
        if frame.r#type != "welcome" {
            return Err(Fault::Closed(format!("a {} instead of a welcome", frame.r#type)));
        }
        self.epoch = frame.epoch.unwrap_or_default();
        match &self.seen {
            Some(_) => LEDGER.count(Happening::Comeback),
            None => {
                LEDGER.count(Happening::Begun);
                self.seen = Some(Sequence::after(frame.seq));
            }
        }
        Ok(begun.elapsed())
    }

    /// Takes what comes until `deadline`, or until everything up to `head` has come.
    pub(crate) async fn listen(&mut self, deadline: Instant, head: Option<u64>) -> Result<(), Fault> {
        while head.is_none_or(|head| self.cursor() < head) {
            let Some(frame) = self.next(deadline).await? else { break };
            self.take(&frame);
        }
        Ok(())
    }

    /// Sends a `ping` and takes what comes until its answer. How long that took.
    pub(crate) async fn ping(&mut self, id: u64) -> Result<Duration, Fault> {
        let begun = Instant::now();
        self.send(Message::text(json!({"type": "ping", "id": id}).to_string())).await?;
        loop {
            let frame = self.next(begun + PATIENCE).await?.ok_or(Fault::Late)?;
            if frame.r#type == "pong" && frame.id == Some(id) {
                return Ok(begun.elapsed());
            }
            self.take(&frame);
        }
    }

    /// Says good-bye; what is still under way is left for the next connection.
    pub(crate) async fn leave(&mut self) {
        let bye = CloseFrame { code: CloseCode::Bye.code().into(), reason: "".into() };
        if let Some(mut stream) = self.stream.take() {
            // A connection that cannot even be closed is gone, which is what was wanted.
            _ = timeout(PATIENCE, stream.close(Some(bye))).await;
        }
    }

    /// The last number that came.
    pub(crate) fn cursor(&self) -> u64 {
        self.seen.map_or(0, |seen| seen.cursor)
    }

    fn take(&mut self, frame: &Frame) {
        let Some(seen) = &mut self.seen else { return };
        match (frame.r#type.as_str(), &frame.event) {
            ("event", Some(event)) => {
                seen.take(frame.seq);
                // What is older than the connection was missed, not late.
                if event.data.stamp >= self.begun_ms {
                    LEDGER.time("delivery", now_ms().saturating_sub(event.data.stamp));
                }
            }
            ("heartbeat", _) => seen.told(frame.seq),
            ("reset", _) => {
                LEDGER.count(Happening::Reset);
                seen.cursor = frame.seq;
                self.epoch = frame.epoch.clone().unwrap_or_default();
            }
            _ => {}
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Fault> {
        let stream = self.stream.as_mut().ok_or_else(|| Fault::Closed("already".into()))?;
        Ok(timeout(PATIENCE, stream.send(message)).await.map_err(|_| Fault::Late)?.map_err(Box::new)?)
    }

    /// The next frame; none when the deadline came first.
    async fn next(&mut self, deadline: Instant) -> Result<Option<Frame>, Fault> {
        loop {
            let stream = self.stream.as_mut().ok_or_else(|| Fault::Closed("already".into()))?;
            let Ok(message) = timeout_at(deadline, stream.next()).await else { return Ok(None) };
            let message = message.ok_or_else(|| Fault::Closed("without a word".into()))?.map_err(Box::new)?;
            match message {
                Message::Text(text) => return Ok(Some(serde_json::from_str(&text)?)),
                Message::Close(close) => {
                    let why = close.map(|close| format!("{} {}", u16::from(close.code), close.reason));
                    return Err(Fault::Closed(why.unwrap_or_else(|| "without a code".into())));
                }
                _ => {}
            }
        }
    }
}
