//! Do the codecs hold against the protocols' own test suites? The server that those of Engine.IO v4 and Socket.IO v5 ask for.
//!
//! `socketio_suite [PORT]` listens on the loopback address, on port 3000 if none is given: `/engine.io/` echoes messages, `/socket.io/` has
//! the namespaces `/` and `/custom`. Packets, payloads and WebSockets are read and written by the gateway's own codecs; sessions are this
//! program's. `loadtest/socketio/suites.sh` runs the suites.

#![expect(clippy::print_stdout, reason = "whoever starts it reads the port there")]

mod application;
mod session;
mod socket;

use application::Application;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use carillon_gateway::socketio::engine::{Refused, VERSION};
use carillon_gateway::socketio::payload::{self, Piece};
use http::{Method, StatusCode, header};
use session::{Message, Said, Sessions};
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Bytes of the largest message, as the suites want it.
const MESSAGE_BYTES: usize = 1_000_000;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(3000);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback(serve).with_state(Sessions::default())).await
}

async fn serve(State(sessions): State<Sessions>, request: Request) -> Response {
    handle(&sessions, request)
        .await
        .unwrap_or_else(|refused| answer(refused.status(), "application/json", refused.to_json()))
}

async fn handle(sessions: &Sessions, request: Request) -> Result<Response, Refused> {
    let application = match request.uri().path() {
        "/engine.io/" => Application::Echo,
        "/socket.io/" => Application::socket_io(),
        _ => return Err(Refused::Request),
    };
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let query: HashMap<String, String> = form_urlencoded::parse(query).into_owned().collect();
    let said = |name: &str| query.get(name).map(String::as_str);
    if said("EIO") != Some(VERSION) {
        return Err(Refused::Version);
    }
    let session = said("sid").map(|id| sessions.find(id).ok_or(Refused::Session)).transpose()?;
    match said("transport") {
        Some("polling") => polling(sessions, application, session, request).await,
        Some("websocket") => websocket(sessions, application, session, request),
        _ => Err(Refused::Transport),
    }
}

async fn polling(
    sessions: &Sessions,
    application: Application,
    session: Option<mpsc::UnboundedSender<Said>>,
    request: Request,
) -> Result<Response, Refused> {
    const TEXT: &str = "text/plain; charset=UTF-8";
    match (session, request.method()) {
        (None, &Method::GET) => Ok(answer(200, TEXT, sessions.begin(application, None))),
        (None, _) => Err(Refused::Method),
        (Some(session), &Method::GET) => {
            let (poll, answered) = oneshot::channel();
            let _ = session.send(Said::Poll(poll));
            let body = answered.await.ok().flatten().ok_or(Refused::Session)?;
            Ok(answer(200, TEXT, body))
        }
        (Some(session), &Method::POST) => {
            let body = to_bytes(request.into_body(), MESSAGE_BYTES).await.map_err(|_| Refused::Request)?;
            let pieces = std::str::from_utf8(&body).ok().and_then(|body| payload::read(body).ok());
            let Some(pieces) = pieces else {
                let _ = session.send(Said::Nonsense);
                return Err(Refused::Request);
            };
            for piece in pieces {
                let message = match piece {
                    Piece::Text(text) => Message::Text(text.to_owned()),
                    Piece::Binary(bytes) => Message::Binary(bytes),
                };
                let _ = session.send(Said::Message(message));
            }
            Ok(answer(200, "text/html", "ok".into()))
        }
        (Some(_), _) => Err(Refused::Request),
    }
}

fn websocket(
    sessions: &Sessions,
    application: Application,
    session: Option<mpsc::UnboundedSender<Said>>,
    mut request: Request,
) -> Result<Response, Refused> {
    let upgrade =
        carillon_gateway::ws::handshake::check(request.method(), request.version(), request.headers(), false)
            .map_err(|_| Refused::Request)?;
    let upgraded = hyper::upgrade::on(&mut request);
    let (send, messages) = mpsc::unbounded_channel();
    let session = match session {
        Some(session) => {
            let _ = session.send(Said::Probe(send));
            session
        }
        None => {
            let open = sessions.begin(application, Some(send.clone()));
            let id = open.split('"').nth(3).unwrap_or_default();
            sessions.find(id).ok_or(Refused::Session)?
        }
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            socket::run(upgraded, &session, messages).await;
        }
    });
    Ok(upgrade.response::<Body>())
}

fn answer(status: u16, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
