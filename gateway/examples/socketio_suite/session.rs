//! What is a session of Engine.IO, whichever way its packets travel?
//!
//! A task each: it hears what clients say and when their time is over, and ends when its session does.

use super::MESSAGE_BYTES;
use super::application::Application;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use carillon_gateway::socketio::engine::{EnginePacket, Handshake};
use carillon_gateway::socketio::payload;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// As the suites want them.
const PING_INTERVAL: Duration = Duration::from_millis(300);
const PING_TIMEOUT: Duration = Duration::from_millis(200);
/// A little less is waited: the client's clock begins later than ours.
const PONG_TIMEOUT: Duration = Duration::from_millis(190);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long the poll beside a request that ended its session may be on its way.
const LAST_POLL: Duration = Duration::from_millis(100);

/// A message of either transport.
pub(super) enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// What a session is told.
pub(super) enum Said {
    /// By a request of a client that polls.
    Message(Message),
    /// A request's body was no payload.
    Nonsense,
    /// A poll; none says that there is nothing to poll here.
    Poll(oneshot::Sender<Option<String>>),
    /// A WebSocket that may take over.
    Probe(mpsc::UnboundedSender<Message>),
    /// By a WebSocket.
    OverSocket(Message),
    /// It has ended.
    SocketGone,
}

/// All sessions, by their ids.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Said>>>>);

impl Sessions {
    pub(super) fn find(&self, id: &str) -> Option<mpsc::UnboundedSender<Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Begins one, over a WebSocket if one is given; its `open` packet.
    pub(super) fn begin(
        &self,
        application: Application,
        socket: Option<mpsc::UnboundedSender<Message>>,
    ) -> String {
        let id = Uuid::now_v7().simple().to_string();
        let open = Handshake {
            session: &id,
            upgrades: socket.is_none(),
            ping_interval_ms: PING_INTERVAL.as_millis() as u64,
            ping_timeout_ms: PING_TIMEOUT.as_millis() as u64,
            max_payload: MESSAGE_BYTES,
        }
        .to_text();
        if let Some(socket) = &socket {
            let _ = socket.send(Message::Text(open.clone()));
        }
        let (send, inbox) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), send);
        let (sessions, begun) = (self.clone(), Instant::now());
        let session =
            Session { application, socket, probing: None, probed: false, queue: Vec::new(), poll: None };
        tokio::spawn(async move {
            session.run(inbox, begun).await;
            sessions.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        open
    }
}

struct Session {
    application: Application,
    /// None: the client polls.
    socket: Option<mpsc::UnboundedSender<Message>>,
    /// A WebSocket that has not taken over yet, and whether it was tried.
    probing: Option<mpsc::UnboundedSender<Message>>,
    probed: bool,
    queue: Vec<Message>,
    poll: Option<oneshot::Sender<Option<String>>>,
}

/// Whether a session goes on.
enum Then {
    GoOn,
    End,
    /// By its client: a poll that is on its way is answered.
    Closed,
}

impl Session {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Said>, begun: Instant) {
        let (mut ping_at, mut pong_by): (_, Option<Instant>) = (begun + PING_INTERVAL, None);
        loop {
            let connect_by = (!self.application.is_connected()).then_some(begun + CONNECT_TIMEOUT);
            let due = [Some(ping_at), pong_by, connect_by].into_iter().flatten().min().unwrap_or(ping_at);
            let then = tokio::select! {
                said = inbox.recv() => match said {
                    Some(said) => self.hear(said, &mut pong_by),
                    None => return,
                },
                () = sleep_until(due) => {
                    let now = Instant::now();
                    if now >= ping_at {
                        ping_at = now + PING_INTERVAL + PING_TIMEOUT;
                        pong_by.get_or_insert(now + PONG_TIMEOUT);
                        self.tell(Message::Text(EnginePacket::Ping("").to_text()));
                        Then::GoOn
                    } else {
                        Then::End
                    }
                }
                () = hung_up(&mut self.poll) => Then::End,
            };
            if pong_by.is_none() {
                ping_at = ping_at.min(Instant::now() + PING_INTERVAL);
            }
            match then {
                Then::GoOn => self.flush(),
                Then::End => return,
                Then::Closed => return self.part(inbox).await,
            }
        }
    }

    /// Answers the poll that waits, or the one on its way.
    async fn part(mut self, mut inbox: mpsc::UnboundedReceiver<Said>) {
        let noop = EnginePacket::Noop.to_text();
        if let Some(poll) = self.poll.take() {
            let _ = poll.send(Some(noop));
        } else if self.socket.is_none()
            && let Ok(Some(Said::Poll(poll))) = tokio::time::timeout(LAST_POLL, inbox.recv()).await
        {
            let _ = poll.send(Some(noop));
        }
    }

    fn hear(&mut self, said: Said, pong_by: &mut Option<Instant>) -> Then {
        match said {
            Said::Nonsense => Then::End,
            Said::Poll(poll) if self.socket.is_some() => {
                let _ = poll.send(None);
                Then::GoOn
            }
            Said::Poll(second) => {
                if let Some(first) = self.poll.take() {
                    let _ = first.send(Some(EnginePacket::Close.to_text()));
                    let _ = second.send(None);
                    return Then::End;
                }
                self.poll = Some(second);
                if self.probed && self.queue.is_empty() {
                    self.queue.push(Message::Text(EnginePacket::Noop.to_text()));
                }
                Then::GoOn
            }
            // A session that has a WebSocket takes no other: it is closed when it is dropped here.
            Said::Probe(_) if self.socket.is_some() => Then::GoOn,
            Said::Probe(socket) => {
                (self.probing, self.probed) = (Some(socket), false);
                Then::GoOn
            }
            Said::SocketGone if self.socket.as_ref().is_some_and(mpsc::UnboundedSender::is_closed) => {
                Then::End
            }
            Said::SocketGone => {
                (self.probing, self.probed) = (None, false);
                Then::GoOn
            }
            Said::Message(message) | Said::OverSocket(message) => self.packet(message, pong_by),
        }
    }

    fn packet(&mut self, message: Message, pong_by: &mut Option<Instant>) -> Then {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(bytes) => return self.told(|application, tell| application.binary(bytes, tell)),
        };
        match EnginePacket::parse(&text) {
            Err(_) => Then::End,
            Ok(EnginePacket::Close) => Then::Closed,
            Ok(EnginePacket::Ping(text)) => {
                if let Some(socket) = &self.probing {
                    let _ = socket.send(Message::Text(EnginePacket::Pong(text).to_text()));
                    self.probed = true;
                    if self.poll.is_some() {
                        self.queue.push(Message::Text(EnginePacket::Noop.to_text()));
                    }
                }
                Then::GoOn
            }
            Ok(EnginePacket::Pong(_)) => {
                *pong_by = None;
                Then::GoOn
            }
            Ok(EnginePacket::Upgrade) => {
                if let Some(socket) = self.probing.take() {
                    self.socket = Some(socket);
                }
                Then::GoOn
            }
            Ok(EnginePacket::Message(text)) => self.told(|application, tell| application.text(text, tell)),
            Ok(EnginePacket::Open(_) | EnginePacket::Noop) => Then::GoOn,
        }
    }

    /// What the application says to something.
    fn told(&mut self, hear: impl FnOnce(&mut Application, &mut Vec<Message>) -> bool) -> Then {
        if hear(&mut self.application, &mut self.queue) { Then::GoOn } else { Then::End }
    }

    fn tell(&mut self, message: Message) {
        self.queue.push(message);
    }

    /// What waits goes to the WebSocket, or into the answer of the poll that waits.
    fn flush(&mut self) {
        if let Some(socket) = &self.socket {
            self.queue.drain(..).for_each(|message| drop(socket.send(message)));
            return;
        }
        if self.queue.is_empty() {
            return;
        }
        let Some(poll) = self.poll.take() else { return };
        let mut body = String::new();
        for message in self.queue.drain(..payload::PACKETS.min(self.queue.len())) {
            match message {
                Message::Text(text) => payload::push(&mut body, &text),
                Message::Binary(bytes) => {
                    payload::push(&mut body, &format!("b{}", BASE64_STANDARD.encode(bytes)))
                }
            }
        }
        let _ = poll.send(Some(body));
    }
}

/// When the client of the poll that waits has gone.
async fn hung_up(poll: &mut Option<oneshot::Sender<Option<String>>>) {
    match poll {
        Some(poll) => poll.closed().await,
        None => std::future::pending().await,
    }
}
