//! How does a listener serve a router, and drain?

use super::connection::serve;
use super::places::{Place, Places};
use axum::Router;
use axum::response::IntoResponse;
use socket2::SockRef;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Pause after an accept that failed for our own reasons: the likely one, no free descriptor, does not pass in microseconds.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes the kernel may hold unsent for one socket.
const NOT_SENT_BYTES: u32 = 64 * 1024;

/// A port that serves one router.
pub struct Server {
    listener: TcpListener,
    places: Places,
    router: Router,
}

/// The next connection, with its place. `trusts`: whether an address is that of a trusted balancer.
pub async fn accept(
    listener: &TcpListener,
    places: &Places,
    trusts: impl Fn(SocketAddr) -> bool,
) -> (TcpStream, Place) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                prepare(&socket);
                return (socket, places.enter(peer, trusts(peer)).await);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// We coalesce ourselves; and what the kernel cannot send yet is not hidden in its buffers: what a client reads is felt soon,
/// and what it does not read waits where it costs less. Both fail for a socket that is broken already, and its first read
/// will tell.
fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_notsent_lowat(NOT_SENT_BYTES);
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Server {
    /// A server that does not accept yet.
    pub fn new(listener: TcpListener, places: Places, router: Router) -> Self {
        Self { listener, places, router }
    }

    /// The address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopping`, then lets the requests under way finish, `drain` at the longest. Returns how many
    /// connections were cut off.
    pub async fn run(self, stopping: CancellationToken, drain: Duration) -> usize {
        let Self { listener, places, router } = self;
        let connections = TaskTracker::new();
        loop {
            let (socket, place) = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = accept(&listener, &places, |_| false) => accepted,
            };
            let (router, stopping) = (router.clone(), stopping.clone());
            connections.spawn(async move {
                let handler = move |request| {
                    let answer = router.clone().oneshot(request);
                    async move { answer.await.into_response() }
                };
                serve(socket, place, handler, pending::<()>(), stopping.cancelled_owned()).await;
            });
        }
        drop(listener);
        connections.close();
        match tokio::time::timeout(drain, connections.wait()).await {
            Ok(()) => 0,
            Err(_) => connections.len(),
        }
    }
}
