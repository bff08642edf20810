//! What may a page of another origin do with this API?
//!
//! With an allowed origin all that a program may do: its browser asks first (preflight) and lets it read the answer. No
//! cookie of another origin is ever looked at (`access::session`), so a page brings its own credentials or has none; which headers it sends is therefore no
//! matter of the origin.

use super::App;
use super::position::POSITION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser may remember what it may do.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(3_600);

/// The layer around everything else, so that errors can be read, too.
pub(super) fn layer(app: Arc<App>) -> CorsLayer {
    let allowed = move |_: &HeaderValue, request: &Parts| app.origins.check(&request.headers).is_ok();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("idempotency-replayed"),
            POSITION,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
        ])
        .max_age(PREFLIGHT_KEPT)
}
