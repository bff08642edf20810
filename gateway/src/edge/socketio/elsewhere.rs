//! What becomes of a request of a session that polls at another node?
//!
//! The id of a session says which run of which node has it, and every node knows the others' addresses. So a client may ask any of them.
//! What a node does not know it asks there, once; when that node is gone, the client is told to connect anew. So many may be asked at a
//! time as there are permits: each costs a descriptor while its answer is awaited. A WebSocket leads there through a [`Tunnel`].

use super::addresses::{Address, Addresses};
use super::polling::answer;
use super::tunnel::{Permits, Tunnel};
use super::{EngineUrl, Fault, Transport};
use crate::admission::{Full, Permit};
use crate::edge::handshake::Edge;
use crate::edge::takeover::{Leaving, Takeover};
use crate::metrics::metrics;
use crate::socketio::engine::{Refused, VERSION};
use crate::ws;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use carillon_backplane::bus::Fleet;
use carillon_platform::forward::{Passed, Peers, Unanswered, Url};
use carillon_platform::share::{AddressGroup, Holder, HoldingLimits, Holdings};
use carillon_platform::sockets::Peer;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// Says that a gateway asks, on behalf of a client.
pub(super) const FOR_CLIENT: &str = "x-carillon-for-client";
/// Says in an answer to a gateway that it is known who the session's client is.
const CONNECTED: HeaderName = HeaderName::from_static("x-carillon-connected");
/// Longest answer to a poll: more than one has at most.
const LONGEST: usize = 1 << 20;
/// How much longer than a poll its answer may take.
const LATE: Duration = Duration::from_secs(20);

/// The other nodes.
pub(crate) struct Elsewhere {
    /// This run among all.
    me: u64,
    addresses: Addresses,
    peers: Peers,
    /// One for each request that is passed on.
    permits: Arc<Semaphore>,
    /// One for each body that is read of a socket of which nothing is known: half of them.
    unknown: Semaphore,
    /// Who has WebSockets that lead to other nodes: half of the permits are theirs at most, and half of those one address's.
    tunnels: Holdings<AddressGroup, ()>,
}

/// A request that is passed on; given back when its answer is there, or when nobody waits for it any more.
struct PassedOn<'a> {
    _permit: SemaphorePermit<'a>,
}

impl Drop for PassedOn<'_> {
    fn drop(&mut self) {
        metrics().polling_passed_on.decrement(1);
    }
}

impl Elsewhere {
    /// This node is `me`, the others are those of `fleet`, polls are answered within `poll`, and at most so many requests are passed on at a time.
    ///
    /// # Errors
    /// The HTTP library cannot be set up.
    pub(crate) fn new(
        me: u64,
        fleet: watch::Receiver<Option<Fleet>>,
        poll: Duration,
        most: usize,
    ) -> Result<Self, Unanswered> {
        let (addresses, tunnels) = (Addresses::default(), most / 2);
        tokio::spawn(addresses.clone().follow(fleet));
        Ok(Self {
            me,
            addresses,
            peers: Peers::new(poll + LATE, LONGEST)?,
            permits: Arc::new(Semaphore::new(most)),
            unknown: Semaphore::new(most.div_ceil(2)),
            tunnels: Holdings::new(HoldingLimits { total: tunnels, per_group: tunnels, per_member: tunnels }),
        })
    }

    /// The id of a session of this run.
    pub(super) fn id(&self, secret: &str) -> String {
        format!("{:016x}{secret}", self.me)
    }

    /// Whether this is a request that a gateway passes on: such a socket serves many clients, and is not one of somebody unknown.
    pub(super) fn is_of_a_gateway(&self, headers: &HeaderMap, peer: IpAddr) -> bool {
        let is_theirs = |known: &&Address| {
            let host =
                known.url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
            host.is_some_and(|host| host.to_canonical() == peer.to_canonical())
        };
        Self::is_passed_on(headers) && self.addresses.find(is_theirs).is_some()
    }

    /// Whether it says that a gateway passes it on.
    pub(super) fn is_passed_on(headers: &HeaderMap) -> bool {
        headers.contains_key(FOR_CLIENT)
    }

    /// Tells the gateway that asks whether it is known who the session's client is.
    pub(super) fn tell_connected(response: &mut Response) {
        response.headers_mut().insert(CONNECTED, HeaderValue::from_static("1"));
    }

    fn enter(&self) -> Result<PassedOn<'_>, Full> {
        let permit = self.permits.try_acquire().map_err(|_| Full::Node)?;
        metrics().polling_passed_on.increment(1);
        Ok(PassedOn { _permit: permit })
    }

    /// For the body of somebody unknown, while it is read: whoever is slow with theirs leaves half of the permits to the others.
    fn enter_unknown(&self) -> Result<SemaphorePermit<'_>, Full> {
        self.unknown.try_acquire().map_err(|_| Full::Node)
    }

    /// For a WebSocket that leads to another node, for as long as it does.
    fn enter_tunnel(&self, place: Permit) -> Result<Permits, Full> {
        let share = self.tunnels.try_take(Holder::group(place.address()), 1).map_err(|_| Full::Node)?;
        let socket = self.permits.clone().try_acquire_owned().map_err(|_| Full::Node)?;
        Ok(Permits::new(place, share, socket))
    }

    /// Where the node is that has this session, if it is another one that is there.
    fn address(&self, id: &str) -> Option<Url> {
        let run = u64::from_str_radix(id.get(..16)?, 16).ok().filter(|run| *run != self.me)?;
        self.addresses.find(|known| known.run == run).map(|known| known.url)
    }
}

impl Edge {
    /// A request of a session that is not here.
    pub(super) async fn socketio_elsewhere(
        &self,
        request: Request,
        asked: &EngineUrl<'_>,
        id: &str,
    ) -> Result<Response, Fault> {
        let unknown = || Fault::Engine(Refused::Session);
        if Elsewhere::is_passed_on(request.headers()) {
            return Err(unknown());
        }
        let mut url = self.elsewhere.address(id).ok_or_else(unknown)?;
        if asked.transport == Transport::WebSocket {
            let upgrade = self.socketio_handshake(&request)?;
            self.is_open()?;
            let place = self.admission.enter(self.address(&request))?;
            return self.socketio_tunnel(&upgrade, (&url, id), place).await;
        }
        if let Some(time) = &asked.time {
            url.query_pairs_mut().append_pair("t", time);
        }
        self.origins.check(request.headers()).map_err(|_| Fault::Engine(Refused::Forbidden))?;
        url.set_path("/socket.io/");
        url.query_pairs_mut()
            .append_pair("EIO", VERSION)
            .append_pair("transport", "polling")
            .append_pair("sid", id);
        let peer = request.extensions().get::<Peer>().cloned();
        let is_post = match *request.method() {
            Method::GET => false,
            Method::POST => true,
            _ => return Err(Fault::Engine(Refused::Request)),
        };
        // Before the body is read: of a session that nobody may have, no more bodies are held than there are permits.
        let permit = self.elsewhere.enter()?;
        // Who may send a larger one the session's node knows; here each is held until it has answered.
        let (place, said) = if is_post {
            let of = Some(self.address(&request));
            let place = self.sessions.bodies.enter(request.headers(), true, of)?;
            let is_known = peer.as_ref().is_some_and(Peer::is_authenticated);
            let reading = if is_known { None } else { Some(self.elsewhere.enter_unknown()?) };
            let said = place.read(request).await?;
            drop(reading);
            (Some(place), Some(said))
        } else {
            (None, None)
        };
        metrics().fallback("socketio_elsewhere");
        let asked = self.elsewhere.peers.ask(url, (FOR_CLIENT, "1"), said).await;
        drop((permit, place));
        let Passed { status, headers, body } = asked.map_err(|error| {
            tracing::debug!(%error, "the node of a session that polls does not answer");
            unknown()
        })?;
        if headers.contains_key(CONNECTED)
            && let Some(peer) = peer
        {
            peer.authenticated();
        }
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

    /// The probe of a client that polls, whose session is at this address.
    async fn socketio_tunnel(
        &self,
        upgrade: &ws::Upgrade,
        (url, id): (&Url, &str),
        place: Permit,
    ) -> Result<Response, Fault> {
        let permits = self.elsewhere.enter_tunnel(place)?;
        let tunnel = Tunnel::open(url, id, permits).await.map_err(|error| {
            tracing::debug!(%error, "no WebSocket to the node of a session that polls");
            Fault::Engine(Refused::Session)
        })?;
        metrics().fallback("socketio_upgrade_elsewhere");
        Ok(Takeover::mark(upgrade.response(), Leaving::Tunnel(Box::new(tunnel))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, ConnectionLimits};

    #[tokio::test]
    async fn i10_requests_that_are_passed_on_have_a_bound() {
        let (_seen, fleet) = watch::channel(None);
        let elsewhere = Elsewhere::new(1, fleet, Duration::from_secs(1), 2).unwrap();
        let under_way = [elsewhere.enter(), elsewhere.enter()];
        assert!(under_way.iter().all(Result::is_ok) && elsewhere.enter().is_err());
        let reading = elsewhere.enter_unknown();
        assert!(reading.is_ok() && elsewhere.enter_unknown().is_err(), "of the unknown half as many");
        drop((under_way, reading));
        assert!(elsewhere.enter_unknown().is_ok());
        assert!(elsewhere.enter().is_ok(), "what is given back can be taken");
    }

    #[tokio::test]
    async fn i10_websockets_to_other_nodes_have_a_bound_and_leave_half_to_polls() {
        let (_seen, fleet) = watch::channel(None);
        let elsewhere = Elsewhere::new(1, fleet, Duration::from_secs(1), 16).unwrap();
        let admission =
            Admission::new(ConnectionLimits { node: 100, per_second: 0, per_address: 0, per_user: 0 });
        let enter = |address: [u8; 4]| {
            let place = admission.enter(address.into()).unwrap();
            elsewhere.enter_tunnel(place)
        };
        let mut tunnels: Vec<_> = (0..8).map_while(|_| enter([192, 0, 2, 1]).ok()).collect();
        assert_eq!(tunnels.len(), 4, "one address leaves half of them");
        tunnels.extend((0..8).map_while(|n| enter([198, 51, 100, n]).ok()));
        assert_eq!(tunnels.len(), 8, "half of the permits");
        let polls: Vec<_> = (0..8).map(|_| elsewhere.enter()).collect();
        assert!(polls.iter().all(Result::is_ok) && elsewhere.enter().is_err());
        drop((tunnels, polls));
        assert!(admission.is_empty());
        assert!(enter([192, 0, 2, 1]).is_ok(), "what is given back can be taken");
    }
}
