//! `GET /` and `GET /docs`: what is this, and what is the contract, for people?
//!
//! The reference is RapiDoc (MIT), vendored so that it works without the internet and under a strict content policy.

use super::App;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const ROOT: &str = include_str!("../../assets/root.html");
const DOCS: &str = include_str!("../../assets/docs.html");
/// The viewer styles itself inline; scripts and requests stay with this origin, sockets included.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

pub(super) fn router() -> Router<Arc<App>> {
    let (script, style) = ("text/javascript; charset=utf-8", "text/css; charset=utf-8");
    Router::new()
        .route("/", get(|| page(ROOT)))
        .route("/docs", get(|| page(DOCS)))
        .route("/docs/page.js", asset(script, include_str!("../../assets/page.js")))
        .route("/docs/page.css", asset(style, include_str!("../../assets/page.css")))
        // RapiDoc 9.3.8 as its authors published it (npm package `rapidoc`, `dist/rapidoc-min.js`).
        .route("/docs/rapidoc-min.js", asset(script, include_str!("../../assets/rapidoc-min.js")))
}

async fn page(text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

/// A file that a page loads: browsers keep it for an hour and then ask by its tag whether it is the same.
fn asset(kind: &'static str, text: &'static str) -> MethodRouter<Arc<App>> {
    let hash: [u8; 32] = Sha256::digest(text).into();
    let tag: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = HeaderValue::from_str(&format!("\"{tag}\""));
    let tag = tag.unwrap_or_else(|_| HeaderValue::from_static("\"asset\""));
    get(move |request: HeaderMap| {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
            (header::ETAG, tag.clone()),
        ];
        let known = request.get(header::IF_NONE_MATCH) == Some(&tag);
        std::future::ready(match known {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, text).into_response(),
        })
    })
}
