//! How does a client get its events that cannot have a WebSocket?
//!
//! `/v1/sse` is an event stream, `/v1/poll` one answer that waits for events. Both are asked for with GET, or, where the URL has
//! no room for all the channels, with POST and a form that has the parameters of the URL. Both are admitted like a WebSocket
//! and then belong to a shard, as cursors on the same streams: whichever node a client comes back to, its cursor says
//! what it has. The end of the answer is the end of the connection, so no proxy has a length to wait for; a stream comes in
//! chunks where HTTP has them.

use super::handshake::Edge;
use super::problem::Problem;
use super::replies::LARGE;
use super::request::{no_presence, no_ticket};
use super::takeover::Takeover;
use crate::metrics::metrics;
use crate::shard::Wire;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Version, header};
use std::sync::Arc;
use std::time::Duration;

/// How long a poll with a cursor waits if it does not say.
const WAIT: Duration = Duration::from_secs(25);

/// `GET /v1/sse`, `POST /v1/sse`
pub(super) async fn event_stream(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let chunked = request.version() == Version::HTTP_11;
    let let_in = || async {
        is_get_or_post(&request)?;
        edge.client(request, |_| Ok(Wire::EventStream { chunked })).await
    };
    match let_in().await {
        Ok(client) => {
            let mut response = opening("sse", "text/event-stream");
            if chunked {
                let headers = response.headers_mut();
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            Takeover::mark(response, client)
        }
        Err(problem) => refused(problem, Problem::into_event_stream),
    }
}

/// `GET /v1/poll`, `POST /v1/poll`
pub(super) async fn poll(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let let_in = || async {
        is_get_or_post(&request)?;
        no_ticket(request.uri().query().unwrap_or_default())?;
        edge.client(request, |query| {
            no_presence(query)?;
            // Without a cursor the answer is the cursor to begin with, and nobody waits for that.
            let wait = query.wait.unwrap_or(if query.hello.since.is_some() { WAIT } else { Duration::ZERO });
            Ok(Wire::Poll { wait_ms: wait.as_millis() as u32, most: LARGE as u32 })
        })
        .await
    };
    match let_in().await {
        Ok(client) => Takeover::mark(opening("poll", "application/json"), client),
        Err(problem) => refused(problem, Problem::into_response),
    }
}

fn is_get_or_post(request: &Request) -> Result<(), Problem> {
    if [Method::GET, Method::POST].contains(request.method()) {
        return Ok(());
    }
    let detail = "this is asked for with GET, or with POST and the parameters as a form";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    Err(problem.with(header::ALLOW, HeaderValue::from_static("GET, POST")))
}

pub(super) fn refused(problem: Problem, tell: impl FnOnce(Problem) -> Response) -> Response {
    metrics().rejected(problem.code);
    tell(problem)
}

/// The head of an answer whose body the shard writes.
pub(super) fn opening(kind: &'static str, content: &'static str) -> Response {
    metrics().fallback(kind);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    // Proxies that collect answers before they pass them on would keep every event to themselves.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
