//! What becomes of a request of somebody who polls?

use super::bodies::too_large;
use super::session::{Polled, Session};
use super::{Elsewhere, Fault};
use crate::edge::handshake::Edge;
use crate::metrics::metrics;
use crate::socketio::engine::{EnginePacket, Refused};
use crate::socketio::payload::{self, Piece};
use crate::socketio::pipe::push_of_client;
use crate::ws::Opcode;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use carillon_platform::sockets::Peer;
use carillon_protocol::limits::CLIENT_MESSAGE_BYTES;
use http::{HeaderValue, Method, header};
use std::net::IpAddr;
use std::sync::Arc;

impl Edge {
    /// `GET` without a session: the first request of somebody who polls.
    pub(super) async fn socketio_poll(self: &Arc<Self>, request: Request) -> Result<Response, Fault> {
        if request.method() != Method::GET {
            return Err(Fault::Engine(Refused::Method));
        }
        self.origins.check(request.headers()).map_err(|_| Fault::Engine(Refused::Forbidden))?;
        let client = self.socketio_client(request, None)?;
        let open = Session::begin(self, client).await?;
        metrics().fallback("socketio_polling");
        Ok(answer(open, false))
    }

    /// A request of a session.
    pub(super) async fn socketio_polled(
        &self,
        request: Request,
        session: &Arc<Session>,
        time: Option<Box<str>>,
    ) -> Result<Response, Fault> {
        self.origins.check(request.headers()).map_err(|_| Fault::Engine(Refused::Forbidden))?;
        let is_get = match *request.method() {
            Method::GET => true,
            Method::POST => false,
            // It says nothing of the client, and neither keeps the session nor ends it.
            _ => return Err(Fault::Engine(Refused::Request)),
        };
        let peer = request.extensions().get::<Peer>();
        // A balancer may have a gateway's address, and its clients any header.
        let is_of_a_gateway = peer.is_some_and(|peer| {
            self.elsewhere.is_of_a_gateway(request.headers(), peer.ip()) && !self.trusts(peer.ip())
        });
        if let Some(peer) = peer
            && (is_of_a_gateway || session.is_connected())
        {
            peer.authenticated();
        }
        let is_passed_on = Elsewhere::is_passed_on(request.headers());
        let answer = if is_get {
            self.socketio_next(session, time).await
        } else {
            // Of who asked another node it was counted there.
            let of = (!is_of_a_gateway).then(|| self.address(&request));
            self.socketio_said(request, session, of).await
        };
        answer.map(|mut answer| {
            if is_passed_on && session.is_connected() {
                Elsewhere::tell_connected(&mut answer);
            }
            answer
        })
    }

    async fn socketio_next(&self, session: &Session, time: Option<Box<str>>) -> Result<Response, Fault> {
        if session.is_repeated(time) {
            // Its answer was lost on the way: what was in it is gone for this session, and comes when the client recovers.
            self.end(session);
            return Err(Fault::Engine(Refused::Session));
        }
        let refused = match session.poll().await {
            Polled::Packets(body) => {
                session.heard();
                return Ok(answer(body, false));
            }
            Polled::Noop => {
                session.heard();
                return Ok(answer(EnginePacket::Noop.to_text(), false));
            }
            // Two polls at a time: nobody knows any more what the client has.
            Polled::Overlap => Refused::Request,
            Polled::Over => Refused::Session,
        };
        self.end(session);
        Err(Fault::Engine(refused))
    }

    /// What a client says is acted on as a whole, unless the shard stops taking it, or not at all.
    async fn socketio_said(
        &self,
        request: Request,
        session: &Arc<Session>,
        of: Option<IpAddr>,
    ) -> Result<Response, Fault> {
        let Some(turn) = session.turn().await else {
            self.end(session);
            return Err(Fault::Engine(Refused::Request));
        };
        if self.sessions.find(&session.id).is_none() {
            // It has ended, or moved, while this waited.
            return Err(Fault::Engine(Refused::Session));
        }
        // What finds no place was not read, and ends nothing.
        let place = self.sessions.bodies.enter(request.headers(), session.is_connected(), of)?;
        let body = match place.read(request).await {
            Ok(body) => body,
            Err(problem) => {
                self.end(session);
                return Err(problem.into());
            }
        };
        let Ok(packets) = payload::read(&body) else {
            metrics().violations.increment(1);
            self.end(session);
            return Err(Fault::Engine(Refused::Request));
        };
        if packets.iter().any(|packet| packet.size() > CLIENT_MESSAGE_BYTES) {
            self.end(session);
            return Err(too_large(CLIENT_MESSAGE_BYTES).into());
        }
        let is_over = packets.contains(&Piece::Text("1"));
        let messages = messages(&packets);
        drop(packets);
        drop(body);
        if !session.push(messages, turn, place).await {
            self.end(session);
            return Err(Fault::Engine(Refused::Session));
        }
        session.heard();
        if is_over {
            // Its poll is answered, and there is no other.
            self.end(session);
        }
        Ok(answer("ok".to_owned(), true))
    }

    /// A session is over, and its connection with it as soon as no request of it is left.
    fn end(&self, session: &Session) {
        self.sessions.remove(&session.id);
        session.nudge();
    }
}

/// An answer to a poll, or to what was posted.
pub(super) fn answer(body: String, is_post: bool) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    let kind = if is_post { "text/html" } else { "text/plain; charset=UTF-8" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not every client makes the URL of each poll another.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Packets, as a client's WebSocket would bring them.
fn messages(packets: &[Piece<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        match packet {
            Piece::Text(text) => push_of_client(&mut bytes, Opcode::Text, text.as_bytes()),
            Piece::Binary(data) => push_of_client(&mut bytes, Opcode::Binary, data),
        }
    }
    bytes
}
