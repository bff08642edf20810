//! May this client come in?
//!
//! Everything that can be refused is refused while an HTTP status can still say why: the form of the handshake, the
//! origin, the node's limits, the token, the channels, the cursor.

use super::problem::Problem;
use super::request::{UrlQuery, client_address, token};
use super::takeover::{Guest, Takeover};
use crate::admission::Admission;
use crate::door::Door;
use crate::entrance::{Doorman, Refusal};
use crate::metrics::metrics;
use crate::shard::{Shards, Wire};
use crate::ws::{self, OriginPolicy};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use carillon_platform::auth::AuthError;
use carillon_platform::env::Cidr;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a client is measured by.
pub(crate) struct Edge {
    pub(crate) origins: OriginPolicy,
    pub(crate) query_token: bool,
    /// Whether permessage-deflate is agreed to.
    pub(crate) compression: bool,
    pub(crate) trusted_proxies: Vec<Cidr>,
    pub(crate) admission: Admission,
    pub(crate) doorman: Doorman,
    pub(crate) shards: Shards,
    pub(crate) door: Door,
    /// After this time without any acknowledgement the kernel gives an event stream up.
    pub(crate) user_timeout: Duration,
}

/// The peer of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// `GET /v1/ws`
pub(super) async fn websocket(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let began = Instant::now();
    match edge.websocket(request).await {
        Ok(response) => {
            metrics().handshake_seconds.record(began.elapsed().as_secs_f64());
            response
        }
        Err(problem) => {
            metrics().rejected(problem.code);
            problem.into_response()
        }
    }
}

impl Edge {
    async fn websocket(&self, request: Request) -> Result<Response, Problem> {
        self.is_open()?;
        let upgrade =
            ws::handshake::check(request.method(), request.version(), request.headers(), self.compression)?;
        self.origins.check(request.headers())?;
        let address = self.address(&request);
        let query = UrlQuery::of(request.uri())?;
        let offered = upgrade.bearer.clone();
        let token =
            token(request.headers(), offered, query.token, self.query_token).map_err(Refusal::from)?;
        // A kept header would pin the whole buffer of the request.
        drop(request);
        let mut permit = self.admission.enter(address)?;
        let entrance = match token {
            Some(token) => {
                let entrance = self.doorman.admit(&token, query.hello.clone()).await?;
                permit.identify(&entrance.identity.tenant, &entrance.identity.user)?;
                Some(Box::new(entrance))
            }
            None => None,
        };
        let guest = Guest { permit, hello: query.hello, entrance, wire: Wire::WebSocket(upgrade.deflate) };
        Ok(Takeover::mark(upgrade.response(), guest))
    }

    /// Lets somebody in who will only listen. There is no first frame to bring a token, so the request must.
    pub(super) async fn guest(
        &self,
        request: Request,
        query: UrlQuery,
        wire: Wire,
    ) -> Result<Guest, Problem> {
        self.is_open()?;
        self.origins.check(request.headers())?;
        let address = self.address(&request);
        let token = token(request.headers(), None, query.token, self.query_token)
            .and_then(|token| token.ok_or(AuthError::Missing))
            .map_err(Refusal::from)?;
        drop(request);
        let mut permit = self.admission.enter(address)?;
        let entrance = self.doorman.admit(&token, query.hello.clone()).await?;
        permit.identify(&entrance.identity.tenant, &entrance.identity.user)?;
        Ok(Guest { permit, hello: query.hello, entrance: Some(Box::new(entrance)), wire })
    }

    fn is_open(&self) -> Result<(), Problem> {
        if self.door.is_open() { Ok(()) } else { Err(Problem::draining()) }
    }

    /// Whether what this peer says of others is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|cidr| cidr.contains(peer))
    }

    fn address(&self, request: &Request) -> IpAddr {
        let peer = request.extensions().get::<Peer>().map_or([0, 0, 0, 0].into(), |peer| peer.0.ip());
        client_address(peer, request.headers(), &self.trusted_proxies)
    }
}
