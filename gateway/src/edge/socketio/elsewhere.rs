//! What becomes of a request of a session that polls at another node?
//!
//! The id of a session says which run of which node has it, and every node knows the others' addresses. So a client may ask any of them.
//! What a node does not know it asks there, once; when that node is gone, the client is told to connect anew.

use super::polling::{answer, body};
use super::{Fault, Transport};
use crate::edge::handshake::Edge;
use crate::metrics::metrics;
use crate::socketio::engine::{Refused, VERSION};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use carillon_backplane::bus::Fleet;
use carillon_platform::forward::{Answer, Peers, Unanswered, Url};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;

/// Says that a gateway asks, on behalf of a client.
const FOR_CLIENT: &str = "x-carillon-for-client";
/// Longest answer to a poll: more than one has at most.
const LONGEST: usize = 1 << 20;
/// How much longer than a poll its answer may take.
const LATE: Duration = Duration::from_secs(20);

/// The other nodes.
pub(crate) struct Elsewhere {
    /// This run among all.
    me: u64,
    fleet: watch::Receiver<Option<Fleet>>,
    peers: Peers,
}

impl Elsewhere {
    /// This node is `me`, and polls are answered within `poll`.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub(crate) fn new(
        me: u64,
        fleet: watch::Receiver<Option<Fleet>>,
        poll: Duration,
    ) -> Result<Self, Unanswered> {
        Ok(Self { me, fleet, peers: Peers::new(poll + LATE, LONGEST)? })
    }

    /// The id of a session of this run.
    pub(super) fn id(&self, secret: &str) -> String {
        format!("{:016x}{secret}", self.me)
    }

    /// Whether this is a request that a gateway passes on: such a socket serves many clients, and is not one of somebody unknown.
    pub(super) fn is_of_a_gateway(&self, headers: &HeaderMap, peer: IpAddr) -> bool {
        let is_theirs = |address: &str| {
            let host = address.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
            let host = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
            host.is_some_and(|host| host.to_canonical() == peer.to_canonical())
        };
        headers.contains_key(FOR_CLIENT)
            && self.fleet.borrow().as_ref().is_some_and(|fleet| {
                fleet.nodes.iter().filter_map(|card| card.address.as_deref()).any(is_theirs)
            })
    }

    /// Where the node is that has this session, if it is another one that is there.
    fn address(&self, id: &str) -> Option<Url> {
        let run = u64::from_str_radix(id.get(..16)?, 16).ok().filter(|run| *run != self.me)?;
        let fleet = self.fleet.borrow();
        let card = fleet.as_ref()?.nodes.iter().find(|card| card.incarnation == run)?;
        card.address.as_deref()?.parse().ok()
    }
}

impl Edge {
    /// A request of a session that is not here.
    pub(super) async fn socketio_elsewhere(
        &self,
        request: Request,
        transport: Transport,
        id: &str,
    ) -> Result<Response, Fault> {
        let unknown = || Fault::Engine(Refused::Session);
        // A WebSocket stays at the node that it leads to: the client goes on polling and needs none.
        if transport != Transport::Polling || request.headers().contains_key(FOR_CLIENT) {
            return Err(unknown());
        }
        let mut url = self.elsewhere.address(id).ok_or_else(unknown)?;
        let query = request.uri().query().unwrap_or_default();
        let time = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "t");
        if let Some((name, value)) = time {
            url.query_pairs_mut().append_pair(&name, &value);
        }
        self.origins.check(request.headers()).map_err(|_| Fault::Engine(Refused::Forbidden))?;
        url.set_path("/socket.io/");
        url.query_pairs_mut()
            .append_pair("EIO", VERSION)
            .append_pair("transport", "polling")
            .append_pair("sid", id);
        let (said, is_post) = match *request.method() {
            Method::GET => (None, false),
            Method::POST => (Some(body(request).await?), true),
            _ => return Err(Fault::Engine(Refused::Request)),
        };
        metrics().fallback("socketio_elsewhere");
        let Answer { status, body, .. } =
            self.elsewhere.peers.ask(url, (FOR_CLIENT, "1"), said).await.map_err(|error| {
                tracing::debug!(%error, "the node of a session that polls does not answer");
                unknown()
            })?;
        let text = String::from_utf8(body).map_err(|_| unknown())?;
        if status == 200 {
            return Ok(answer(text, is_post));
        }
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}
