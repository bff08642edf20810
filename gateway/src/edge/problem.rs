//! How is a refusal told?
//!
//! As `application/problem+json` (RFC 9457) with a stable `code`.

use crate::admission::Full;
use crate::authorize::Refusal;
use crate::refusals;
use crate::ws::HandshakeFault;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use carillon_platform::origin::NotAllowed;
use carillon_platform::share::Refused;
use carillon_protocol::Channel;
use carillon_protocol::server::ServerFrame;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

/// Those refused together do not come back together.
const RETRY_SPREAD_MS: u64 = 2_000;

/// Why a client may not come in.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    pub(super) code: &'static str,
    detail: String,
    channels: Vec<Channel>,
    retry_after: Option<u32>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    request_id: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [Channel],
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, channels: Vec::new(), retry_after: None, headers: Vec::new() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "a gateway has /v1/ws, /v1/sse, /v1/poll, /v1/commands and, with CARILLON_SOCKETIO=on, /socket.io/",
        )
    }

    /// The node is stopping.
    pub(super) fn draining() -> Self {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "this node is being emptied; try again");
        problem.last().retry(1)
    }

    /// Nothing follows on its connection.
    pub(super) fn last(self) -> Self {
        Self { headers: vec![(header::CONNECTION, HeaderValue::from_static("close"))], ..self }
    }

    /// With this header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn retry(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Tells the log of an answer with this status. The id of the request, for the answer.
    fn told(&self, status: StatusCode) -> String {
        let request_id = Uuid::now_v7().to_string();
        match self.retry_after {
            None => refusals::tell(&request_id, status.as_u16(), self.code),
            Some(_) => refusals::tell_passing(&request_id, status.as_u16(), self.code),
        }
        request_id
    }
}

impl From<NotAllowed> for Problem {
    fn from(_: NotAllowed) -> Self {
        HandshakeFault::Origin.into()
    }
}

impl From<HandshakeFault> for Problem {
    fn from(fault: HandshakeFault) -> Self {
        let headers = fault
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_static(value))))
            .collect();
        Self { headers, ..Self::new(fault.status(), fault.code(), fault.to_string()) }
    }
}

impl From<Full> for Problem {
    /// A connection that stays open costs as much as twenty that were let in: who is refused for want of room has none.
    fn from(full: Full) -> Self {
        let problem = match full {
            Full::Node => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "over_capacity",
                "this node has as many connections as it may have",
            )
            .retry(2),
            Full::Rate => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "over_capacity",
                "more new connections than this node takes in a second",
            )
            // Spread, so that those refused together do not come back together.
            .retry(fastrand::u32(1..=3)),
            Full::Address => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", "too many from this address")
                    .retry(5)
            }
            Full::Unauthenticated(refused) => {
                let (status, detail) = match refused {
                    Refused::Total => (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "too many connections of this node have not sent their token; send it with the request",
                    ),
                    Refused::Group | Refused::Member => (
                        StatusCode::TOO_MANY_REQUESTS,
                        "too many connections from this address have not sent their token; send it with the request",
                    ),
                };
                // By then those that are there have sent theirs, or are gone.
                Self::new(status, "too_many_unauthenticated", detail).retry(5)
            }
            Full::User => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", "too many of this user")
                    .retry(5)
            }
        };
        problem.last()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let problem = Self { channels: refusal.channels, ..Self::new(status, refusal.code, refusal.message) };
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.retry(1),
            StatusCode::TOO_MANY_REQUESTS => problem.retry(5),
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer realm=\"carillon\"");
                Self { headers: vec![(header::WWW_AUTHENTICATE, challenge)], ..problem }
            }
            _ => problem,
        }
    }
}

impl Problem {
    /// The same for a request that is an event stream. Browsers end an `EventSource` for good at any status but 200,
    /// whatever `Retry-After` says: so a refusal that passes is a stream that says when to come back, and ends.
    pub(super) fn into_event_stream(self) -> Response {
        let Some(seconds) = self.retry_after else { return self.into_response() };
        let request_id = self.told(StatusCode::OK);
        let retry_ms = u64::from(seconds) * 1_000 + fastrand::u64(..=RETRY_SPREAD_MS);
        let frame = ServerFrame::Error { id: None, code: self.code, message: &self.detail, channels: None };
        let message = [format!("retry: {retry_ms}\ndata: ").as_bytes(), &frame.to_json(), b"\n\n"].concat();
        let mut response = Response::new(Body::from(message));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        name(headers, &request_id);
        headers.extend(self.headers);
        response
    }
}

/// Names the request in its answer.
fn name(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let request_id = self.told(self.status);
        let body = Document {
            r#type: format!("urn:carillon:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            request_id: request_id.clone(),
            channels: &self.channels,
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        name(headers, &request_id);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.extend(self.headers);
        response
    }
}
