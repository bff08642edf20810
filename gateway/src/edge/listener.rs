//! Who may speak HTTP to us?
//!
//! Sockets are counted by address and have deadlines ([`carillon_platform::sockets`]); behind a trusted balancer that
//! announces its clients, by the address it announces.

use super::commands::command;
use super::fallback::{event_stream, poll};
use super::handshake::{Edge, websocket};
use super::problem::Problem;
use super::proxy;
use super::socketio::socketio;
use super::takeover::{HandoverSlot, Takeover, hand_over};
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::any;
use carillon_platform::origin::OriginPolicy;
use carillon_platform::sockets::{self, End, Place, Places};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use hyper::body::Incoming;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser may remember what it may do.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(3_600);

/// How connections come to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As they are.
    Direct,
    /// Through a balancer that says first, in a PROXY protocol header, whose connection it is.
    Announced,
}

/// Accepts connections until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    way: Way,
    places: Places,
    edge: Arc<Edge>,
    stop: CancellationToken,
) {
    let fallbacks = Router::new()
        .route("/v1/sse", any(event_stream))
        .route("/v1/poll", any(poll))
        .layer(cors(edge.clone(), [Method::GET, Method::POST]));
    let commands =
        Router::new().route("/v1/commands", any(command)).layer(cors(edge.clone(), [Method::POST]));
    let router = Router::new()
        .route("/v1/ws", any(websocket))
        .route("/ws", any(websocket))
        .merge(fallbacks)
        .merge(commands);
    let router = match edge.socketio {
        true => {
            let door = Router::new().route("/socket.io/", any(socketio)).route("/socket.io", any(socketio));
            // A page may send its cookies along, as it had to where requests had to come back to one server; not any page: what stands
            // before us may read them.
            let is_listed = !matches!(edge.origins, OriginPolicy::Any);
            let cors = cors(edge.clone(), [Method::GET, Method::POST]).allow_credentials(is_listed);
            router.merge(door.layer(cors))
        }
        false => router,
    };
    let router = router.fallback(|| async { Problem::not_found().into_response() }).with_state(edge.clone());
    loop {
        let (socket, place) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = sockets::accept(&listener, &places, |peer| edge.trusts(peer.ip())) => accepted,
        };
        let (router, edge) = (router.clone(), edge.clone());
        tokio::spawn(async move {
            match way {
                Way::Direct => speak_http(socket, place, router, &edge).await,
                Way::Announced => {
                    let mut socket = socket;
                    if let Some(place) = announced(&mut socket, place, &edge).await {
                        speak_http(socket, place, router, &edge).await;
                    }
                }
            }
        });
    }
}

/// The place of the client that a balancer announces; none when that cannot be believed or read.
async fn announced(socket: &mut TcpStream, place: Place, edge: &Edge) -> Option<Place> {
    let peer = place.peer().address();
    if !edge.trusts(peer.ip()) {
        tracing::debug!(%peer, "a PROXY protocol header is not believed from there");
        return None;
    }
    let client = tokio::select! {
        client = proxy::announced(socket) => client,
        () = place.evicted() => return None,
    };
    match client {
        Ok(None) => Some(place),
        Ok(Some(client)) => Some(place.passed_on_for(client)),
        Err(error) => {
            tracing::warn!(%peer, %error, "no PROXY protocol header");
            None
        }
    }
}

/// What pages of other origins may do: with the allowed ones, whatever asks for leave first. A WebSocket does not.
fn cors<const N: usize>(edge: Arc<Edge>, methods: [Method; N]) -> CorsLayer {
    let allowed = move |_: &HeaderValue, request: &Parts| edge.origins.check(&request.headers).is_ok();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods(methods)
        // Whatever a page, or what watches it, adds: tracing (`traceparent`) goes with every request of some pages.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("x-request-id"),
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
        ])
        .max_age(PREFLIGHT_KEPT)
}

/// Answers requests until the connection ends or one of them makes it a shard's.
async fn speak_http(socket: TcpStream, place: Place, router: Router, edge: &Arc<Edge>) {
    let (slot, left) = HandoverSlot::new();
    let handler = move |request: hyper::Request<Incoming>| {
        let answer = router.clone().oneshot(request);
        let slot = slot.clone();
        async move {
            let mut response = answer.await.into_response();
            if let Some((client, head)) = Takeover::of(&mut response) {
                slot.leave(client, head);
                // This answer is not for the HTTP library to send: the socket is taken from under it.
                pending::<()>().await;
            }
            response
        }
    };
    let taken = async {
        match left.await {
            Ok(admitted) => admitted,
            Err(_) => pending().await,
        }
    };
    // Connections that are still HTTP end with the process.
    if let End::Taken(socket, early, admitted) =
        sockets::serve(socket, place, handler, taken, pending::<()>()).await
    {
        hand_over(socket, early, admitted, edge);
    }
}
