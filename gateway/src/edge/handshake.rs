//! May this request become a WebSocket?
//!
//! Everything that can be refused is refused before the upgrade, while an HTTP status can still say why: the form of
//! the handshake, the origin, the node's limits, the token, the channels, the cursor.

use super::problem::Problem;
use super::request::{UrlQuery, client_address, token};
use crate::admission::{Admission, Permit};
use crate::entrance::{Doorman, Entrance, Hello, Refusal};
use crate::metrics::metrics;
use crate::shard::{Newcomer, Shards};
use crate::ws::{self, OriginPolicy, Upgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use carillon_platform::env::Cidr;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes of events the kernel may hold for one socket before they wait in the log instead.
const NOT_SENT_BYTES: u32 = 64 * 1024;

/// What a handshake is measured by.
pub(crate) struct Edge {
    pub(crate) origins: OriginPolicy,
    pub(crate) query_token: bool,
    pub(crate) trusted_proxies: Vec<Cidr>,
    pub(crate) admission: Admission,
    pub(crate) doorman: Doorman,
    pub(crate) shards: Shards,
    pub(crate) draining: AtomicBool,
    /// After this time without any acknowledgement the kernel gives a socket up.
    pub(crate) user_timeout: Duration,
}

/// The peer of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// `GET /v1/ws`
pub(super) async fn websocket(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    match edge.accept(request).await {
        Ok(response) => response,
        Err(problem) => {
            metrics().rejected(problem.code);
            problem.into_response()
        }
    }
}

impl Edge {
    async fn accept(self: Arc<Self>, request: Request) -> Result<Response, Problem> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Problem::draining());
        }
        let (mut parts, _) = request.into_parts();
        let upgrade = ws::handshake::check(&parts.method, parts.version, &parts.headers)?;
        self.origins.check(&parts.headers)?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(ws::HandshakeFault::NotUpgrade)?;
        let peer = parts.extensions.get::<Peer>().map_or([0, 0, 0, 0].into(), |peer| peer.0.ip());
        let address = client_address(peer, &parts.headers, &self.trusted_proxies);
        let query = UrlQuery::of(&parts.uri)?;
        let token = token(&parts.headers, upgrade.bearer.clone(), query.token, self.query_token)
            .map_err(Refusal::from)?;
        // A kept header would pin the whole buffer of the request.
        drop(parts);
        let mut permit = self.admission.enter(address)?;
        let entrance = match token {
            Some(token) => {
                let entrance = self.doorman.admit(&token, query.hello.clone()).await?;
                permit.identify(&entrance.identity.tenant, &entrance.identity.user)?;
                Some(Box::new(entrance))
            }
            None => None,
        };
        Ok(self.upgrade(&upgrade, on_upgrade, permit, query.hello, entrance))
    }

    fn upgrade(
        self: Arc<Self>,
        upgrade: &Upgrade,
        on_upgrade: OnUpgrade,
        permit: Permit,
        hello: Hello,
        entrance: Option<Box<Entrance>>,
    ) -> Response {
        tokio::spawn(async move {
            // A client that goes away between our answer and its upgrade leaves nothing behind.
            let Ok(upgraded) = on_upgrade.await else { return };
            let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
            match own(parts.io.into_inner(), self.user_timeout) {
                Ok(socket) => {
                    let early = parts.read_buf;
                    self.shards.connect(Box::new(Newcomer { socket, early, permit, hello, entrance }));
                }
                Err(error) => tracing::debug!(%error, "a socket was lost in its upgrade"),
            }
        });
        upgrade.response()
    }
}

/// Takes the socket out of the asynchronous runtime and sets it up for a shard.
fn own(socket: TcpStream, user_timeout: Duration) -> std::io::Result<std::net::TcpStream> {
    let socket = socket.into_std()?;
    let options = SockRef::from(&socket);
    // We coalesce ourselves.
    options.set_tcp_nodelay(true)?;
    // What does not fit waits in the log, where it costs a number and not memory.
    options.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
    // Also ends sockets whose peer acknowledges but takes nothing, so it stands above the stall time-out.
    options.set_tcp_user_timeout(Some(user_timeout))?;
    Ok(socket)
}
