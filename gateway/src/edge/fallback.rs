//! How does a client get its events that cannot have a WebSocket?
//!
//! `GET /v1/sse` is an event stream, `GET /v1/poll` one answer that waits for events. Both are admitted like a WebSocket
//! and then belong to a shard, as cursors on the same streams: whichever node a client comes back to, its cursor says
//! what it has. The end of the answer is the end of the connection, so no proxy has a length to wait for.

use super::handshake::Edge;
use super::problem::Problem;
use super::replies::LARGE;
use super::request::UrlQuery;
use super::takeover::{Guest, Takeover};
use crate::metrics::metrics;
use crate::shard::Wire;
use crate::ws::HandshakeFault;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use carillon_protocol::Cursor;
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// How long a poll with a cursor waits if it does not say.
const WAIT: Duration = Duration::from_secs(25);

/// `GET /v1/sse`
pub(super) async fn event_stream(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let let_in = || async {
        is_get(&request)?;
        let last = request.headers().get("last-event-id").cloned();
        edge.guest(request, |query| {
            let mut query = UrlQuery::of(query)?;
            if let Some(cursor) = last_event_id(last.as_ref())? {
                (query.hello.since, query.hello.epoch) = (Some(cursor.seq), Some(cursor.epoch));
            }
            Ok((query, Wire::EventStream))
        })
        .await
    };
    answer("sse", "text/event-stream", let_in().await)
}

/// `GET /v1/poll`
pub(super) async fn poll(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let let_in = || async {
        is_get(&request)?;
        edge.guest(request, |query| {
            let query = UrlQuery::of(query)?;
            // Without a cursor the answer is the cursor to begin with, and nobody waits for that.
            let wait = query.wait.unwrap_or(if query.hello.since.is_some() { WAIT } else { Duration::ZERO });
            Ok((query, Wire::Poll { wait_ms: wait.as_millis() as u32, most: LARGE as u32 }))
        })
        .await
    };
    answer("poll", "application/json", let_in().await)
}

fn is_get(request: &Request) -> Result<(), Problem> {
    if request.method() == Method::GET { Ok(()) } else { Err(HandshakeFault::Method.into()) }
}

/// The cursor that a browser sends when it comes back by itself. It is newer than the one in its URL.
fn last_event_id(header: Option<&HeaderValue>) -> Result<Option<Cursor>, Problem> {
    let Some(value) = header.filter(|value| !value.is_empty()) else { return Ok(None) };
    let cursor = value.to_str().ok().and_then(|text| text.parse().ok());
    cursor.map(Some).ok_or_else(|| {
        let detail = "Last-Event-ID must be the id of an event of this stream: <epoch>:<seq>";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_last_event_id", detail)
    })
}

fn answer(kind: &'static str, content: &'static str, guest: Result<Guest, Problem>) -> Response {
    match guest {
        Ok(guest) => {
            metrics().fallback(kind);
            Takeover::mark(opening(content), guest)
        }
        Err(problem) => {
            metrics().rejected(problem.code);
            problem.into_response()
        }
    }
}

/// The head of an answer whose body the shard writes.
fn opening(content: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    // Proxies that collect answers before they pass them on would keep every event to themselves.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_comes_back_says_where_it_was() {
        let of = |value: &str| {
            last_event_id(Some(&value.parse().unwrap())).map(|cursor| cursor.map(|cursor| cursor.to_string()))
        };
        assert_eq!(of("e1:42").unwrap().as_deref(), Some("e1:42"));
        assert_eq!(of("").unwrap(), None);
        assert_eq!(of("42").unwrap_err().code, "invalid_last_event_id");
        assert_eq!(last_event_id(None).unwrap(), None);
    }
}
