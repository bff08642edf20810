//! How does a client behave when the gateway does exactly what a test says?

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

/// What the server does next on the current connection.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends a frame.
    Say(Value),
    /// Sends a close frame and waits for the answer.
    Close(u16),
    /// Drops the TCP connection.
    Hang,
    /// Waits for the next text frame.
    Hear,
    /// Does nothing for a while, but answers pings.
    Rest(Duration),
}

/// One connection of the script: an HTTP status instead of the upgrade, or steps.
pub(super) enum Scene {
    /// Refuses the upgrade.
    Refuse(u16),
    /// Upgrades and takes these steps; afterwards it waits for the client to go.
    Play(Vec<Step>),
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Path and query of each upgrade.
    pub(super) paths: Vec<String>,
    /// `Authorization` of each upgrade.
    pub(super) bearers: Vec<String>,
    /// Every text frame.
    pub(super) frames: Vec<Value>,
}

/// A gateway that plays a script, one scene for each connection; further connections are refused with 503.
pub(super) struct Fake {
    pub(super) url: String,
    pub(super) seen: Arc<Mutex<Seen>>,
}

impl Fake {
    pub(super) async fn start(scenes: Vec<Scene>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let record = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut scenes = scenes.into_iter();
            while let Ok((stream, _)) = listener.accept().await {
                let scene = scenes.next().unwrap_or(Scene::Refuse(503));
                play(stream, scene, &record).await;
            }
        });
        Self { url, seen }
    }
}

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
async fn play(stream: TcpStream, scene: Scene, seen: &Mutex<Seen>) {
    let refuse = if let Scene::Refuse(status) = &scene { Some(*status) } else { None };
    let callback = |request: &Request, response: Response| {
        let mut seen = seen.lock().unwrap();
        seen.paths.push(request.uri().to_string());
        let bearer = request.headers().get("authorization").map(|v| v.to_str().unwrap().to_owned());
        seen.bearers.push(bearer.unwrap_or_default());
        match refuse {
            None => Ok(response),
            Some(status) => {
                let mut answer = ErrorResponse::new(Some(json!({"code": "scripted"}).to_string()));
                *answer.status_mut() = status.try_into().unwrap();
                let kind = "application/problem+json".parse().unwrap();
                answer.headers_mut().insert("content-type", kind);
                Err(answer)
            }
        }
    };
    let Ok(mut ws) = tokio_tungstenite::accept_hdr_async(stream, callback).await else { return };
    let Scene::Play(steps) = scene else { return };
    for step in steps {
        match step {
            Step::Say(frame) => ws.send(Message::text(frame.to_string())).await.unwrap(),
            Step::Hang => return,
            Step::Hear => {
                let frame = hear(&mut ws).await;
                seen.lock().unwrap().frames.push(frame);
            }
            Step::Rest(time) => tokio::time::sleep(time).await,
            Step::Close(code) => {
                ws.send(Message::Close(Some(CloseFrame { code: code.into(), reason: "scripted".into() })))
                    .await
                    .unwrap();
                break;
            }
        }
    }
    while let Some(Ok(_)) = ws.next().await {}
}

async fn hear(ws: &mut WebSocketStream<TcpStream>) -> Value {
    while let Some(Ok(message)) = ws.next().await {
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
    Value::Null
}

/// A `welcome` at this position.
pub(super) fn welcome(node: &str, seq: u64, resumed: &str) -> Step {
    Step::Say(json!({
        "type": "welcome", "connection": "c", "node": node, "tenant": "acme", "user": "1", "roles": [],
        "channels": ["tenant", "user:1"], "seq": seq, "epoch": "e1", "resumed": resumed,
        "heartbeat_ms": 200, "expires_in": 60, "limits": {},
    }))
}

/// An `event` at this seq.
pub(super) fn event(seq: u64) -> Step {
    Step::Say(json!({
        "type": "event", "seq": seq, "channels": ["tenant"],
        "event": {"id": format!("id-{seq}"), "type": "t", "time": "2026-05-04T13:02:07Z", "data": {"n": seq}},
    }))
}
