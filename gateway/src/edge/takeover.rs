//! How does a socket leave HTTP and become a shard's?
//!
//! A handler that lets a client in answers with a response that carries a [`Takeover`]. The response is never sent by the
//! HTTP library: its head goes to the shard with the socket, which writes it together with its own first words.

use super::handshake::Edge;
use super::socketio::{Probing, Tunnel, upgrade};
use crate::admission::Permit;
use crate::shard::{Coming, Format, Newcomer, Wire};
use axum::response::Response;
use bytes::Bytes;
use http::header;
use socket2::SockRef;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Somebody who was let in, without their socket.
pub(super) struct Client {
    pub(super) permit: Permit,
    pub(super) coming: Coming,
    pub(super) wire: Wire,
    pub(super) format: Format,
}

/// What makes a response the last that HTTP has to do with a connection.
#[derive(Clone)]
pub(super) struct Takeover(Arc<Mutex<Option<Leaving>>>);

/// Who leaves HTTP.
pub(super) enum Leaving {
    /// A client that a shard takes.
    Client(Client),
    /// The WebSocket of a session that a shard has already.
    Upgrade(Probing),
    /// The WebSocket of a session that another node has.
    Tunnel(Box<Tunnel>),
}

impl From<Client> for Leaving {
    fn from(client: Client) -> Self {
        Self::Client(client)
    }
}

impl Takeover {
    /// Adds a client to the response that lets them in.
    pub(super) fn mark(mut response: Response, client: impl Into<Leaving>) -> Response {
        response.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(client.into())))));
        response
    }

    /// The client of a response, if it has one, and the head of the response as bytes.
    pub(super) fn of(response: &mut Response) -> Option<Admitted> {
        let Self(client) = response.extensions_mut().remove()?;
        let client = client.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // The router gave it the length of the body it was made with, which is none.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        Some((client, head(response)))
    }
}

/// Somebody who was let in, and the head of the answer that says so.
type Admitted = (Leaving, Bytes);

/// Where the HTTP side of one connection leaves its client for the side that owns the socket.
#[derive(Clone)]
pub(super) struct HandoverSlot(Arc<Mutex<Option<oneshot::Sender<Admitted>>>>);

impl HandoverSlot {
    pub(super) fn new() -> (Self, oneshot::Receiver<Admitted>) {
        let (leave, left) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(leave)))), left)
    }

    /// Leaves a client; there is at most one in a connection's life.
    pub(super) fn leave(&self, client: Leaving, head: Bytes) {
        if let Some(leave) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody takes it when the connection ended meanwhile: the client is dropped, its permit given back.
            let _ = leave.send((client, head));
        }
    }
}

/// Takes the socket out of the asynchronous runtime, sets it up and gives it to a shard.
pub(super) fn hand_over(socket: TcpStream, early: Bytes, (leaving, head): Admitted, edge: &Arc<Edge>) {
    let Client { permit, coming, wire, format } = match leaving {
        Leaving::Client(client) => client,
        Leaving::Upgrade(probing) => {
            tokio::spawn(upgrade(socket, early, head, probing, edge.clone()));
            return;
        }
        Leaving::Tunnel(tunnel) => {
            tokio::spawn(tunnel.run(socket, early, head, edge.serving.clone()));
            return;
        }
    };
    match own(socket, wire, edge.user_timeout) {
        Ok(socket) => {
            let socket = mio::net::TcpStream::from_std(socket);
            edge.shards.connect(Box::new(Newcomer { socket, early, head, permit, coming, wire, format }));
        }
        Err(error) => tracing::debug!(%error, "a socket was lost on its way to a shard"),
    }
}

fn own(socket: TcpStream, wire: Wire, user_timeout: Duration) -> std::io::Result<std::net::TcpStream> {
    let socket = socket.into_std()?;
    // A WebSocket whose peer is gone is found by its silence. Who listens to an event stream is silent anyway, and only
    // the kernel knows whether what we say is acknowledged. Not for WebSockets: the kernel counts a reader whose window
    // stays smaller than one packet as dead, however steadily it reads.
    if let Wire::EventStream { .. } = wire {
        SockRef::from(&socket).set_tcp_user_timeout(Some(user_timeout))?;
    }
    Ok(socket)
}

/// The status line and headers of an HTTP/1.1 response.
fn head(response: &Response) -> Bytes {
    let status = response.status();
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or(""));
    head.reserve(512);
    let mut head = head.into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}
