//! May a client of Socket.IO come in?
//!
//! What Engine.IO has codes for is refused with those. Who somebody is, is read with their CONNECT: only that has an answer in which a
//! client hears why.
//!
//! | module | question it answers |
//! |---|---|
//! | [`session`] | how does somebody who polls have a connection like everybody's? |
//! | [`polling`] | what becomes of a request of somebody who polls? |
//! | [`bodies`] | how much of what clients say is held at a time? |
//! | [`elsewhere`] | what becomes of a request of a session that polls at another node? |
//! | [`addresses`] | where are the other nodes? |
//! | [`mod@upgrade`] | how does somebody who polls get a WebSocket? |
//! | [`tunnel`] | and at a node that does not have their session? |

mod addresses;
mod bodies;
mod elsewhere;
mod polling;
mod session;
mod tunnel;
mod upgrade;

pub(crate) use elsewhere::Elsewhere;
pub(super) use session::Probing;
use session::Session;
pub(crate) use session::Sessions;
pub(super) use tunnel::Tunnel;
pub(super) use upgrade::upgrade;

use super::handshake::Edge;
use super::problem::Problem;
use super::takeover::{Client, Leaving, Takeover};
use crate::metrics::metrics;
use crate::refusals;
use crate::shard::{Coming, Format, Wire};
use crate::socketio::engine::{Refused, VERSION};
use crate::socketio::outgoing::{Form, Offset};
use crate::ws;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;

/// Why a request is refused.
enum Fault {
    /// Engine.IO has a code for it.
    Engine(Refused),
    /// It has none.
    Other(Problem),
}

impl<P: Into<Problem>> From<P> for Fault {
    fn from(problem: P) -> Self {
        Self::Other(problem.into())
    }
}

/// What the URL of a request of Engine.IO says.
#[derive(Debug, PartialEq, Eq)]
struct EngineUrl<'a> {
    transport: Transport,
    session: Option<Cow<'a, str>>,
    /// What most clients make another for each request.
    time: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    WebSocket,
    Polling,
}

impl<'a> EngineUrl<'a> {
    /// Of a query; the last of each parameter counts.
    fn read(query: &'a str) -> Result<Self, Refused> {
        let (mut version, mut transport, mut session, mut time) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "EIO" => version = Some(value),
                "transport" => transport = Some(value),
                "sid" => session = Some(value),
                "t" => time = Some(value),
                _ => {}
            }
        }
        // Whoever speaks another version has other names for the rest.
        if version.as_deref() != Some(VERSION) {
            return Err(Refused::Version);
        }
        let transport = match transport.as_deref() {
            Some("websocket") => Transport::WebSocket,
            Some("polling") => Transport::Polling,
            _ => return Err(Refused::Transport),
        };
        Ok(Self { transport, session, time })
    }
}

/// `GET /socket.io/`
pub(super) async fn socketio(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    match edge.socketio(request).await {
        Ok(response) => response,
        Err(Fault::Engine(refused)) => answer(refused),
        Err(Fault::Other(problem)) => {
            metrics().rejected(problem.code);
            problem.into_response()
        }
    }
}

impl Edge {
    async fn socketio(self: &Arc<Self>, request: Request) -> Result<Response, Fault> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let url = EngineUrl::read(&query).map_err(Fault::Engine)?;
        let session = match &url.session {
            Some(id) => match self.sessions.find(id) {
                Some(session) => Some(session),
                None => {
                    return self.socketio_elsewhere(request, &url, id).await;
                }
            },
            None => None,
        };
        match (url.transport, session) {
            (Transport::WebSocket, None) => self.socketio_websocket(request),
            (Transport::WebSocket, Some(session)) => self.socketio_upgrade(&request, session),
            (Transport::Polling, None) => self.socketio_poll(request).await,
            (Transport::Polling, Some(session)) => {
                let time = url.time.map(|time| time.as_ref().into());
                self.socketio_polled(request, &session, time).await
            }
        }
    }

    fn socketio_websocket(&self, request: Request) -> Result<Response, Fault> {
        let upgrade = self.socketio_handshake(&request)?;
        let client = self.socketio_client(request, upgrade.bearer.clone())?;
        metrics().fallback("socketio");
        Ok(Takeover::mark(upgrade.response(), Leaving::Client(client)))
    }

    /// The probe of a client that polls.
    fn socketio_upgrade(&self, request: &Request, session: Arc<Session>) -> Result<Response, Fault> {
        let upgrade = self.socketio_handshake(request)?;
        let probing = session.begin_probe().ok_or(Fault::Engine(Refused::Request))?;
        Ok(Takeover::mark(upgrade.response(), Leaving::Upgrade(probing)))
    }

    fn socketio_handshake(&self, request: &Request) -> Result<ws::Upgrade, Fault> {
        let checked = ws::handshake::check(request.method(), request.version(), request.headers(), false);
        let upgrade = checked.map_err(|_| Fault::Engine(Refused::Request))?;
        self.origins.check(request.headers()).map_err(|_| Fault::Engine(Refused::Forbidden))?;
        Ok(upgrade)
    }

    /// Somebody of whom nothing is known yet.
    fn socketio_client(&self, request: Request, offered: Option<Box<str>>) -> Result<Client, Fault> {
        self.is_open()?;
        let form = form_of(request.headers());
        let arrival = self.arrival(request, offered)?;
        let permit = self.admission.enter_unauthenticated(arrival.address)?;
        let coming = Coming::Unknown(arrival.into_query());
        Ok(Client { permit, coming, wire: Wire::SocketIo(form), format: Format::PLAIN })
    }
}

/// In which form a client gets its events that does not say so: a browser's ignores arguments that it does not expect, others may fail.
fn form_of(headers: &HeaderMap) -> Form {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let offset = if agent.starts_with("Mozilla/") { Offset::Position } else { Offset::None };
    Form { offset, ..Form::PLAIN }
}

/// A refusal in the protocol's own words.
fn answer(refused: Refused) -> Response {
    metrics().rejected(refused.code());
    refusals::tell(&Uuid::now_v7().to_string(), refused.status(), refused.code());
    let mut response = Response::new(Body::from(refused.to_json()));
    *response.status_mut() = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_of_engine_io_is_refused_with_its_codes() {
        for (query, refused) in [
            ("", Refused::Version),
            ("EIO=3&transport=websocket", Refused::Version),
            ("transport=websocket", Refused::Version),
            ("EIO=4", Refused::Transport),
            ("EIO=4&transport=flash", Refused::Transport),
            ("EIO=4&transport=webtransport", Refused::Transport),
        ] {
            assert_eq!(EngineUrl::read(query), Err(refused), "{query}");
        }
        let url = EngineUrl::read("EIO=4&transport=websocket&t=x&b64=1&token=a").unwrap();
        assert_eq!(url, EngineUrl { transport: Transport::WebSocket, session: None, time: Some("x".into()) });
        assert_eq!(
            EngineUrl::read("EIO=4&transport=websocket&sid=a%20b").unwrap().session.as_deref(),
            Some("a b")
        );
    }
}
