//! What does a request say in its body?
//!
//! A body is read when it is known who sent it, and never more of it than a client may send in one frame.

use super::problem::Problem;
use axum::body::{Body, Bytes, to_bytes};
use carillon_protocol::limits::CLIENT_MESSAGE_BYTES;
use http::{HeaderMap, StatusCode, header};
use std::time::Duration;

/// Longest time for a body to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

const FORM: &str = "application/x-www-form-urlencoded";

/// All of it.
pub(super) async fn whole(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(PATIENCE, to_bytes(body, CLIENT_MESSAGE_BYTES)).await;
    read.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body took more than 10 s")
    })?
    .map_err(|_| {
        let detail = format!("a body has at most {CLIENT_MESSAGE_BYTES} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    })
}

/// The parameters in it, written as in a URL; none in an empty one.
pub(super) async fn form(is_form: bool, body: Body) -> Result<String, Problem> {
    let bytes = whole(body).await?;
    if !bytes.is_empty() && !is_form {
        // Other forms would be read as parameters that nobody knows, and none of their channels joined.
        let detail = format!("the body has the parameters of the URL, as {FORM}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    String::from_utf8(bytes.into())
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "the body is not UTF-8"))
}

/// Whether a body is announced as a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_form_is_told_by_its_content_type() {
        for (value, is) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded ; charset=UTF-8", true),
            ("application/json", false),
            ("text/plain;charset=UTF-8", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_form(&headers), is, "{value}");
        }
        assert!(!is_form(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let read = |is_form, body: Vec<u8>| async move { form(is_form, body.into()).await };
        assert_eq!(read(true, b"channels=a%2Cb".to_vec()).await.unwrap(), "channels=a%2Cb");
        assert_eq!(read(false, vec![]).await.unwrap(), "");
        assert_eq!(read(true, vec![b'a'; CLIENT_MESSAGE_BYTES]).await.unwrap().len(), CLIENT_MESSAGE_BYTES);
        for (is_form, body, code) in [
            (false, b"{}".to_vec(), "unsupported_media_type"),
            (true, vec![b'a'; CLIENT_MESSAGE_BYTES + 1], "body_too_large"),
            (true, vec![0xff], "invalid_query"),
        ] {
            assert_eq!(read(is_form, body).await.unwrap_err().code, code);
        }
    }
}
