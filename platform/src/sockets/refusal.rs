//! What is refused before a handler sees it, and how is that told?
//!
//! A head that is too large, and one that a proxy and we may read differently. The HTTP library answers a head that is too
//! large for its buffer by itself, without saying why: [`Guarded`](super::guarded::Guarded) keeps that answer back, and
//! [`tell`] says it as everything else is said, in a problem document (RFC 9457).

use super::HEAD_BYTES;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// How the library's own answer to a head that is too large, or has too many fields, begins. Ours have a body.
const TOO_LARGE: &[u8] = b"HTTP/1.1 431 ";
const WITHOUT_BODY: &[u8] = b"content-length: 0\r\n";

/// How long, and how much, a client is read that has been refused and still sends: a socket that is closed before that
/// would be reset, and the answer lost.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 256 * 1024;

/// Whether these bytes are the library's answer to a head that is too large.
pub(super) fn is_too_large(answer: &[u8]) -> bool {
    answer.starts_with(TOO_LARGE) && answer.windows(WITHOUT_BODY.len()).any(|part| part == WITHOUT_BODY)
}

/// Why a request is refused whatever it wants, if it is.
pub(super) fn of<B>(request: &Request<B>) -> Option<Refusal> {
    if head_bytes(request) > HEAD_BYTES {
        return Some(Refusal::HeadTooLarge);
    }
    // A request for two hosts is one that a proxy and we may read differently (RFC 9112 section 3.2).
    let hosts = request.headers().get_all(header::HOST).iter().count();
    (hosts > 1).then_some(Refusal::TwoHosts)
}

/// The bytes of a head, as it is usually written: one blank behind each colon.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let origin = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => scheme.len() + "://".len() + authority.as_str().len(),
        (None, Some(authority)) => authority.as_str().len(),
        _ => 0,
    };
    let target = origin + uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    line + request.headers().iter().map(field).sum::<usize>() + "\r\n".len()
}

/// A request that no handler sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    HeadTooLarge,
    TwoHosts,
}

impl Refusal {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "URL and headers together may have 32 KiB, and 100 headers",
            ),
            Self::TwoHosts => (StatusCode::BAD_REQUEST, "invalid_header", "a request has one Host"),
        }
    }

    /// The answer; it is the last of its connection.
    pub(super) fn response(self) -> Response<Body> {
        let (status, id, problem) = self.problem();
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let id = HeaderValue::try_from(id).ok();
        headers.extend(id.map(|id| (HeaderName::from_static("x-request-id"), id)));
        response
    }

    fn problem(self) -> (StatusCode, String, Value) {
        let (status, code, detail) = self.parts();
        let id = Uuid::now_v7().to_string();
        tracing::info!(request_id = id, status = status.as_u16(), code, "refused");
        let problem = json!({
            "type": format!("urn:carillon:problem:{code}"), "title": status.canonical_reason(), "status": status.as_u16(),
            "code": code, "detail": detail, "request_id": id,
        });
        (status, id, problem)
    }
}

/// Tells a client whose head does not end why it is refused, and reads on for a moment so that it hears it.
pub(super) async fn tell(mut socket: TcpStream, refusal: Refusal) {
    let (status, id, problem) = refusal.problem();
    let (body, reason) = (problem.to_string(), status.canonical_reason().unwrap_or_default());
    let answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\n\
         x-request-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
        status.as_u16(),
        body.len()
    );
    let told = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // A client that does not listen, or never ends, has had its answer.
    let _ = tokio::time::timeout(LINGER, told).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_the_bytes_that_were_sent() {
        for (uri, target) in [("/v1/ws?a=b", "/v1/ws?a=b"), ("http://x:1/a", "http://x:1/a"), ("*", "*")] {
            let request = Request::get(uri).header("host", "x").header("x-api-key", "k").body(()).unwrap();
            let sent = format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\n\r\n");
            assert_eq!(head_bytes(&request), sent.len(), "{uri}");
        }
    }

    #[test]
    fn only_the_librarys_own_answer_is_kept_back() {
        assert!(is_too_large(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ));
        assert!(!is_too_large(b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 12\r\n\r\n"));
        assert!(!is_too_large(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
    }
}
