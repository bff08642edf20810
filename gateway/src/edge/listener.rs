//! Who may speak HTTP to us, and for how long?
//!
//! Headers have a size and a time; a client that sends them byte by byte is cut off.

use super::fallback::{event_stream, poll};
use super::handshake::{Edge, Peer, websocket};
use super::problem::Problem;
use super::proxy;
use super::takeover::{Takeover, Threshold, hand_over};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::any;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a client may take with its request line and headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of them.
const HEADER_BYTES: usize = 32 * 1024;
/// TCP connections that speak HTTP at a time.
const HALF_OPEN: usize = 8_192;
/// How long a browser may remember what it may do.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(3_600);
/// How long to wait when descriptors run out.
const BREATH: Duration = Duration::from_millis(50);

/// How connections come to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As they are.
    Direct,
    /// Through a balancer that says first, in a PROXY protocol header, whose connection it is.
    Announced,
}

/// Accepts connections until `stop`.
pub(crate) async fn serve(listener: TcpListener, way: Way, edge: Arc<Edge>, stop: CancellationToken) {
    let fallbacks = Router::new()
        .route("/v1/sse", any(event_stream))
        .route("/v1/poll", any(poll))
        .layer(cors(edge.clone()));
    let router = Router::new()
        .route("/v1/ws", any(websocket))
        .route("/ws", any(websocket))
        .merge(fallbacks)
        .fallback(|| async { Problem::not_found().into_response() })
        .with_state(edge.clone());
    let half_open = Arc::new(Semaphore::new(HALF_OPEN));
    loop {
        // Closed never: the semaphore lives as long as this loop.
        let Ok(place) = half_open.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((mut socket, peer)) => {
                let (router, edge) = (router.clone(), edge.clone());
                tokio::spawn(async move {
                    if let Some(client) = client(&mut socket, peer, way, &edge).await {
                        speak_http(socket, client, router, &edge).await;
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Whose connection it is; none when that cannot be believed or read.
async fn client(socket: &mut TcpStream, peer: SocketAddr, way: Way, edge: &Edge) -> Option<SocketAddr> {
    if way == Way::Direct {
        return Some(peer);
    }
    if !edge.trusts(peer.ip()) {
        tracing::debug!(%peer, "a PROXY protocol header is not believed from there");
        return None;
    }
    match proxy::announced(socket).await {
        Ok(client) => Some(client.unwrap_or(peer)),
        Err(error) => {
            tracing::warn!(%peer, %error, "no PROXY protocol header");
            None
        }
    }
}

/// What pages of other origins may do: with the allowed ones, whatever asks for leave first. A WebSocket does not.
fn cors(edge: Arc<Edge>) -> CorsLayer {
    let allowed = move |_: &HeaderValue, request: &Parts| edge.origins.check(&request.headers).is_ok();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET])
        .allow_headers([
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            HeaderName::from_static("last-event-id"),
        ])
        .max_age(PREFLIGHT_KEPT)
}

/// Answers requests until the connection ends or one of them makes it a shard's.
async fn speak_http(socket: TcpStream, peer: SocketAddr, router: Router, edge: &Edge) {
    let (threshold, mut left) = Threshold::new();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().oneshot(request.map(axum::body::Body::new) as Request);
        let threshold = threshold.clone();
        async move {
            let mut response = answer.await?;
            if let Some((guest, head)) = Takeover::of(&mut response) {
                threshold.leave(guest, head);
                // This answer is not for the HTTP library to send: the socket is taken from under it.
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        biased;
        Ok(guest) = &mut left => {
            let parts = connection.into_parts();
            hand_over(parts.io, parts.read_buf, guest, &edge.shards, edge.user_timeout);
        }
        served = &mut connection => {
            if let Err(error) = served {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
        }
    }
}
