//! How are connections accepted, bounded and drained?
//!
//! hyper's own server builder instead of `axum::serve`: only it lets us bound the time a client may take for its
//! request's head, which is what keeps slow clients from holding every connection.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8_192;
/// Longest time for a request's head, and therefore for an idle connection. Above the usual 60 s of load balancers,
/// so that not we but they close idle connections.
const HEAD: Duration = Duration::from_secs(75);
/// Largest request head, in bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// Pause after a failed accept: the likely reason, no free descriptor, does not pass in microseconds.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The public port.
pub struct Server {
    listener: TcpListener,
    router: Router,
}

impl Server {
    /// A server that does not accept yet.
    pub fn new(listener: TcpListener, router: Router) -> Self {
        Self { listener, router }
    }

    /// The address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopping`, then lets the requests under way finish, `drain` at the longest. Returns how many
    /// connections were cut off.
    pub async fn run(self, stopping: CancellationToken, drain: Duration) -> usize {
        let connections = TaskTracker::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = accept(&self.listener, &room) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let connection = connection(stream, self.router.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        connections.close();
        match tokio::time::timeout(drain, connections.wait()).await {
            Ok(()) => 0,
            Err(_) => connections.len(),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connection(stream: TcpStream, router: Router, stopping: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // Clients that vanish, or speak something else than HTTP, are everyday life.
        tracing::debug!(%error, "connection ended");
    }
}
