//! May this client come in?
//!
//! Everything that can be refused is refused while an HTTP status can still say why, the cheap before the dear: the form of
//! the handshake, the origin, the node's limits, the token; then the rest of the URL, the channels, the cursor.

use super::address::client_address;
use super::body::{Bodies, form, is_form};
use super::problem::Problem;
use super::replies::{Replies, SMALL};
use super::request::{RawQuery, UrlQuery, last_event_id, token, url_ticket, url_token};
use super::socketio::{Elsewhere, Sessions};
use super::takeover::{Client, Takeover};
use super::windows::Windows;
use crate::admission::{Admission, Kept, Permit};
use crate::authorize::{Authorizer, Bearer, Refusal};
use crate::live::Rates;
use crate::metrics::metrics;
use crate::serving::Serving;
use crate::shard::{Coming, Format, Shards, Wire};
use crate::ws;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use carillon_platform::auth::AuthError;
use carillon_platform::env::Cidr;
use carillon_platform::origin::OriginPolicy;
use carillon_platform::sockets::Peer;
use carillon_protocol::connection::Incarnation;
use http::Method;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a client is measured by.
pub(crate) struct Edge {
    pub(crate) origins: OriginPolicy,
    pub(crate) query_token: bool,
    /// Whether permessage-deflate is agreed to.
    pub(crate) compression: bool,
    /// Whether clients of Socket.IO are let in.
    pub(crate) socketio: bool,
    /// Those of them that poll here.
    pub(crate) sessions: Sessions,
    /// The other nodes, at which others poll.
    pub(crate) elsewhere: Elsewhere,
    /// Which run of this node it is.
    pub(crate) run: Arc<Incarnation>,
    pub(crate) trusted_proxies: Vec<Cidr>,
    pub(crate) admission: Admission,
    pub(crate) authorizer: Authorizer,
    pub(crate) replies: Replies,
    pub(crate) bodies: Bodies,
    pub(crate) windows: Windows,
    pub(crate) shards: Shards,
    pub(crate) serving: Serving,
    /// After this time without any acknowledgement the kernel gives an event stream up.
    pub(crate) user_timeout: Duration,
    /// How many commands people send.
    pub(crate) commands: Rates,
    /// Commands of a person, a second.
    pub(crate) command_rate: u32,
}

/// What is needed of a request to judge it.
pub(super) struct Arrival {
    peer: Option<Peer>,
    pub(super) address: IpAddr,
    token: Option<Credentials>,
    pub(super) query: RawQuery,
}

impl Arrival {
    /// Its query, with the credentials that the request brings wherever they stand.
    pub(super) fn into_query(self) -> RawQuery {
        match &self.token {
            Some(Credentials::Token(token)) => self.query.bringing("token", token),
            Some(Credentials::Ticket(ticket)) => self.query.bringing("ticket", ticket),
            None => self.query,
        }
    }
}

/// What a request brings to say who it is from.
enum Credentials {
    /// A user token or an API key.
    Token(Box<str>),
    /// A ticket.
    Ticket(Box<str>),
}

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
        let mut upgrade =
            ws::handshake::check(request.method(), request.version(), request.headers(), self.compression)?;
        self.origins.check(request.headers())?;
        let arrival = self.arrival(request, upgrade.bearer.clone())?;
        let mut client = match self.authenticate(&arrival).await? {
            Some((permit, bearer)) => {
                let query = arrival.query.read()?;
                self.admit(permit, bearer, query, Wire::WebSocket(None)).await?
            }
            None => {
                let permit = self.admission.enter_unauthenticated(arrival.address)?;
                let (coming, wire) = (Coming::Unknown(arrival.query), Wire::WebSocket(None));
                Client { permit, coming, wire, format: Format::PLAIN }
            }
        };
        if upgrade.deflate.is_some_and(ws::Deflate::keeps_window) {
            // Before its first frame nobody knows who it is: that is too early for something so large.
            let verified = matches!(client.coming, Coming::Admitted(_));
            let window = if verified { self.windows.take(client.permit.address()) } else { None };
            match window {
                Some(window) => client.permit.keep(Kept::Window(window)),
                None => upgrade.deflate = None,
            }
        }
        client.wire = Wire::WebSocket(upgrade.deflate);
        // A WebSocket says it by its subprotocol: its URL may be read after the answer.
        client.format = if upgrade.is_compact() { Format::COMPACT } else { Format::PLAIN };
        Ok(Takeover::mark(upgrade.response(), client))
    }

    /// Lets somebody in who will only listen. There is no first frame to bring a token, so the request must. What else the
    /// request says is read when the token has been checked, and so is the form that a POST brings.
    pub(super) async fn client(
        &self,
        request: Request,
        wire: impl FnOnce(&UrlQuery) -> Result<Wire, Refusal>,
    ) -> Result<Client, Problem> {
        self.is_open()?;
        self.origins.check(request.headers())?;
        let (parts, body) = request.into_parts();
        let posted = (parts.method == Method::POST).then(|| (is_form(&parts.headers), body));
        let mut arrival = self.arrival(Request::from_parts(parts, Body::empty()), None)?;
        let Some((permit, bearer)) = self.authenticate(&arrival).await? else {
            return Err(Refusal::from(AuthError::Missing).into());
        };
        if let Some((is_form, body)) = posted {
            let _share = self.bodies.begin(&bearer)?;
            arrival.query.append(&form(is_form, body).await?)?;
        }
        let query = arrival.query.read()?;
        let wire = wire(&query)?;
        self.admit(permit, bearer, query, wire).await
    }

    /// What is needed of a request. The rest is let go: a kept header would pin the whole buffer.
    pub(super) fn arrival(&self, request: Request, offered: Option<Box<str>>) -> Result<Arrival, Problem> {
        let query = request.uri().query().unwrap_or_default();
        // A ticket stands where a token may, and before it: whoever sends both sends the token for those who know no tickets.
        let ticket = url_ticket(query);
        let of_url = || if ticket.is_none() { url_token(query) } else { None };
        let token = token(request.headers(), offered, of_url, self.query_token).map_err(Refusal::from)?;
        let ticket = ticket.map(Credentials::Ticket);
        Ok(Arrival {
            peer: request.extensions().get().cloned(),
            address: self.address(&request),
            token: token.map(Credentials::Token).or(ticket),
            query: RawQuery::new(query, last_event_id(request.headers())),
        })
    }

    /// A place, and who it is for; none without a token. Nothing that costs more than a signature comes before this.
    pub(super) async fn authenticate(&self, arrival: &Arrival) -> Result<Option<(Permit, Bearer)>, Problem> {
        let Some(token) = &arrival.token else { return Ok(None) };
        let permit = self.admission.enter(arrival.address)?;
        let bearer = match token {
            Credentials::Token(token) => self.authorizer.verify(token, permit.address()).await?,
            Credentials::Ticket(ticket) => self.authorizer.redeem(ticket, permit.address()).await?,
        };
        if let Some(peer) = &arrival.peer {
            peer.authenticated();
        }
        Ok(Some((permit, bearer)))
    }

    /// With all they asked for, or not at all.
    pub(super) async fn admit(
        &self,
        mut permit: Permit,
        bearer: Bearer,
        query: UrlQuery,
        mut wire: Wire,
    ) -> Result<Client, Problem> {
        let asks = query.compact && matches!(wire, Wire::EventStream { .. } | Wire::Poll { .. });
        let format = if asks { Format::COMPACT } else { Format::PLAIN };
        let mut authorized = self.authorizer.admit(&bearer, query.hello).await?;
        // Who sends a command has an event stream or a poll that is counted.
        if wire != Wire::Command {
            authorized = self.authorizer.take_place(authorized).await?;
        }
        let (tenant, user) = (&authorized.identity.tenant, &authorized.identity.user);
        permit.identify(tenant, user)?;
        if let Wire::Poll { most, .. } = &mut wire {
            match self.replies.large(tenant, user) {
                Some(reply) => permit.keep(Kept::Reply(reply)),
                None => *most = SMALL as u32,
            }
        }
        Ok(Client { permit, coming: Coming::Admitted(Box::new(authorized)), wire, format })
    }

    pub(super) fn is_open(&self) -> Result<(), Problem> {
        if self.serving.takes_connections() { Ok(()) } else { Err(Problem::draining()) }
    }

    /// Whether what this peer says of others is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|cidr| cidr.contains(peer))
    }

    /// Of whom a request is.
    pub(super) fn address(&self, request: &Request) -> IpAddr {
        let peer = request.extensions().get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), Peer::ip);
        client_address(peer, request.headers(), &self.trusted_proxies)
    }
}
