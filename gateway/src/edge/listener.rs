//! Who may speak HTTP to us, and for how long?
//!
//! Headers have a size and a time; a client that sends them byte by byte is cut off.

use super::handshake::{Edge, Peer, websocket};
use super::problem::Problem;
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::any;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a client may take with its request line and headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of them.
const HEADER_BYTES: usize = 32 * 1024;
/// TCP connections that speak HTTP at a time.
const HALF_OPEN: usize = 8_192;
/// How long to wait when descriptors run out.
const BREATH: Duration = Duration::from_millis(50);

/// Accepts connections until `stop`.
pub(crate) async fn serve(listener: TcpListener, edge: Arc<Edge>, stop: CancellationToken) {
    let router = Router::new()
        .route("/v1/ws", any(websocket))
        .route("/ws", any(websocket))
        .fallback(|| async { Problem::not_found().into_response() })
        .with_state(edge);
    let half_open = Arc::new(Semaphore::new(HALF_OPEN));
    loop {
        // Closed never: the semaphore lives as long as this loop.
        let Ok(place) = half_open.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    speak_http(socket, peer, router).await;
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

async fn speak_http(socket: TcpStream, peer: SocketAddr, router: Router) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request.map(axum::body::Body::new) as Request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
