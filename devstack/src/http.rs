//! How do we speak HTTP, also on a machine without certificates?

use std::error::Error;

use reqwest::{Client, ClientBuilder};
use serde_json::Value;

/// A client that takes no way through the caller's proxies, with these settings besides.
///
/// A bare machine has no root certificates, and the library then makes no client at all; without them only TLS fails.
pub(crate) fn client(settings: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let builder = || settings(Client::builder().no_proxy());
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// The error with its causes: its own text leaves out what one needs, such as a certificate that is not trusted.
pub(crate) fn with_causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What is to be said of an answer that is no problem of the contract: another server stands where a `service` was
/// expected, most often a balancer before services that are gone.
pub(crate) fn foreign_answer(service: &str, status: u16, content_type: &str) -> String {
    let kind = if content_type.is_empty() { "no content type" } else { content_type };
    match status {
        502..=504 => format!("a balancer answered HTTP {status} ({kind}): is a {service} running?"),
        _ => format!("HTTP {status} ({kind}) is no answer of a {service}: is the address right?"),
    }
}

/// The media type of an answer, without parameters; empty when it names none.
pub(crate) fn content_type(headers: &reqwest::header::HeaderMap) -> String {
    let value = headers.get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase()
}

/// The body, when it is a problem of the contract (RFC 9457, with a `code`).
pub(crate) fn problem(content_type: &str, body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    (content_type == "application/problem+json" && body["code"].is_string()).then_some(body)
}
