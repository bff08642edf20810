//! What does every answer carry, whatever was asked?
//!
//! A request id, a bound on time, a count by route and status, headers that keep browsers from guessing, and for
//! errors the problem's JSON. Handlers below it only say what is theirs.

use super::App;
use super::problem::{Code, Problem};
use super::{forms, relay};
use crate::metrics::Route;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::sync::Arc;
use std::time::Duration;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id taken from a client, in bytes.
const REQUEST_ID_BYTES: usize = 128;
/// Longest time for one request: reading its body, waiting for its batch and the commit are bounded below this.
const REQUEST: Duration = Duration::from_secs(20);

/// The outermost layer.
pub(super) async fn outermost(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = route(request.method(), request.uri().path());
    let answer = tokio::time::timeout(REQUEST, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| {
        Problem::new(Code::Unavailable, "the request could not be answered in time").into_response()
    });
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.log(id.to_str().unwrap_or_default());
        *response.body_mut() = Body::from(problem.body(id.to_str().unwrap_or_default()));
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    app.metrics.request(route, response.status());
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if app.leaving.is_cancelled() {
        // Whoever keeps connections for later shall not find this one closed then.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The client's own id when it is fit for logs and headers, else a fresh one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
    };
    match headers.get(REQUEST_ID).filter(fit) {
        Some(id) => id.clone(),
        None => HeaderValue::from_str(&uuid::Uuid::now_v7().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("none")),
    }
}

fn route(method: &Method, path: &str) -> Route {
    match path {
        path if method == Method::POST && (forms::PATHS.contains(&path) || path == relay::PATH) => {
            Route::Publish
        }
        "/v1/events" => Route::List,
        "/v1/position" => Route::Position,
        path if path == "/v1/presence" || path.starts_with("/v1/presence/") => Route::Presence,
        path if path == "/v1/channel-rules" || path.starts_with("/v1/channel-rules/") => Route::Rules,
        path if path == "/v1/event-types" || path.starts_with("/v1/event-types/") => Route::Types,
        path if path == "/v1/preferences" || path.starts_with("/v1/preferences/") => Route::Preferences,
        "/v1/tickets" => Route::Tickets,
        "/v1/connections" | "/v1/stats" => Route::Connections,
        path if path == "/v1/revocations" || path.starts_with("/v1/revocations/") => Route::Connections,
        path if path.starts_with("/v1/tenants/") => Route::Tenants,
        "/v1/notices" if method == Method::POST => Route::Publish,
        path if path == "/v1/inbox" || path.starts_with("/v1/inbox/") => Route::Inbox,
        "/v1/activity" => Route::Activity,
        path if path == "/v1/health" || path.starts_with("/v1/health/") => Route::Health,
        path if path == "/console" || path.starts_with("/console/") || path.starts_with("/v1/console/") => {
            Route::Console
        }
        "/openapi.json" | "/asyncapi.json" => Route::OpenApi,
        "/" | "/docs" | "/docs/page.js" | "/docs/page.css" | "/docs/rapidoc-min.js" => Route::Docs,
        path if path.strip_prefix("/v1/events/").is_some_and(|id| !id.is_empty() && !id.contains('/')) => {
            Route::Event
        }
        _ => Route::Other,
    }
}

/// The answer to a path nobody serves.
pub(super) async fn no_such_path() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path; /docs describes what there is")
}

/// The answer to a method a path does not have; axum adds `Allow`.
pub(super) async fn no_such_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path does not take this method; Allow lists those it takes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_request_id_is_kept_and_any_other_replaced() {
        let id = |value: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(value))]);
            request_id(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(id("abc-1:2/3"), "abc-1:2/3");
        for bad in ["", "a b", "<script>"] {
            assert_eq!(id(bad).len(), 36, "{bad}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
