//! How does a client of Socket.IO speak to a gateway, packet by packet?
//!
//! Written from the protocol's own description, without a line of the gateway.

use crate::wire::PATIENCE;
use carillon_devstack::stack::Service;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A connection of Engine.IO over WebSocket.
pub(crate) struct Engine {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the server said of itself.
    pub(crate) handshake: Value,
    /// Events that came while something else was awaited.
    early: VecDeque<Value>,
    last_id: u64,
}

/// The address of a gateway's door.
pub(crate) fn url(gateway: &Service, more: &str) -> String {
    let base = gateway.ws_url();
    let base = base.strip_suffix("/v1/ws").unwrap();
    format!("{base}/socket.io/?EIO=4&transport=websocket{more}")
}

impl Engine {
    /// Opens one, with this behind the URL's own parameters and these headers.
    pub(crate) async fn open(gateway: &Service, more: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut request = url(gateway, more).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let mut engine = Self::of(request).await;
        let open = engine.text().await;
        engine.handshake = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        engine
    }

    /// A WebSocket for a session that polls, on which nothing was said yet.
    pub(crate) async fn raw(gateway: &Service, more: &str) -> Self {
        Self::of(url(gateway, more).into_client_request().unwrap()).await
    }

    /// The same, probed.
    pub(crate) async fn probe(gateway: &Service, more: &str) -> Self {
        let mut engine = Self::raw(gateway, more).await;
        engine.send("2probe").await;
        assert_eq!(engine.text().await, "3probe");
        engine
    }

    async fn of(request: Request) -> Self {
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap();
        Self { socket, handshake: Value::Null, early: VecDeque::new(), last_id: 0 }
    }

    /// The next message as it is; the close code where it ends.
    pub(crate) async fn message(&mut self) -> Result<String, Option<u16>> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(why))) => return Err(why.map(|why| why.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn text(&mut self) -> String {
        self.message().await.expect("the connection goes on")
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) -> Result<(), tungstenite::Error> {
        self.socket.send(Message::binary(bytes.to_vec())).await
    }

    /// The next packet of Socket.IO; pings of the server are answered.
    pub(crate) async fn packet(&mut self) -> String {
        loop {
            let text = self.text().await;
            match text.strip_prefix('4') {
                Some(packet) => return packet.to_owned(),
                None if text == "2" => self.send("3").await,
                None => panic!("a packet of Engine.IO that clients do not know: {text}"),
            }
        }
    }

    /// Sends CONNECT with this payload; the payload of the answer, or of the refusal.
    pub(crate) async fn connect(&mut self, auth: &Value) -> Result<Value, Value> {
        self.send(format!("40{auth}")).await;
        let packet = self.packet().await;
        let (kind, payload) = packet.split_at(1);
        let payload = serde_json::from_str(payload).unwrap();
        match kind {
            "0" => Ok(payload),
            "4" => Err(payload),
            _ => panic!("no answer to CONNECT: {packet}"),
        }
    }

    pub(crate) async fn emit(&mut self, event: Value) {
        self.send(format!("42{event}")).await;
    }

    /// Emits with a callback; what the callback gets.
    pub(crate) async fn call(&mut self, event: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(format!("42{id}{event}")).await;
        let answer = format!("3{id}");
        loop {
            let packet = self.packet().await;
            if let Some(arguments) = packet.strip_prefix(&answer).filter(|rest| rest.starts_with('[')) {
                let arguments: Value = serde_json::from_str(arguments).unwrap();
                assert_eq!(arguments.as_array().map(Vec::len), Some(1), "{packet}");
                return arguments[0].clone();
            }
            self.early.push_back(event_of(&packet));
        }
    }

    /// The JSON of the next packet that begins with this.
    pub(crate) async fn packet_of(&mut self, begin: &str) -> Value {
        loop {
            let packet = self.packet().await;
            if let Some(json) = packet.strip_prefix(begin) {
                return serde_json::from_str(json).unwrap();
            }
        }
    }

    /// The next event: its name and its arguments.
    pub(crate) async fn event(&mut self) -> Value {
        match self.early.pop_front() {
            Some(event) => event,
            None => event_of(&self.packet().await),
        }
    }

    /// The next event with this name.
    pub(crate) async fn next(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await;
            if event[0] == json!(name) {
                return event;
            }
        }
    }
}

fn event_of(packet: &str) -> Value {
    let event = packet.strip_prefix('2').unwrap_or_else(|| panic!("no event: {packet}"));
    serde_json::from_str(event).unwrap()
}
