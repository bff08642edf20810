//! `GET /docs`: what is the contract, for people?
//!
//! One page around RapiDoc (MIT), vendored so that it works without the internet and under a strict content policy.

use super::App;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

const PAGE: &str = include_str!("../../assets/docs.html");
/// RapiDoc 9.3.8 as its authors published it (npm package `rapidoc`, `dist/rapidoc-min.js`).
const VIEWER: &str = include_str!("../../assets/rapidoc-min.js");
/// The viewer styles itself inline; scripts and requests stay with this origin.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

static VIEWER_TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash: [u8; 32] = Sha256::digest(VIEWER).into();
    let tag: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"viewer\""))
});

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/docs", get(page)).route("/docs/rapidoc-min.js", get(viewer))
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, PAGE).into_response()
}

async fn viewer(request: HeaderMap) -> Response {
    let tag = VIEWER_TAG.clone();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
        (header::ETAG, tag.clone()),
    ];
    if request.get(header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, VIEWER).into_response()
}
