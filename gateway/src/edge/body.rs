//! What does a request say in its body?
//!
//! A body is read when it is known who sent it, and never more of it than a client may send in one frame. Each takes a share by
//! tenant and by user or API key for as long as it is on its way and being read, however little of it has arrived.

use super::problem::Problem;
use crate::authorize::Bearer;
use crate::metrics::metrics;
use axum::body::{Body, Bytes, to_bytes};
use carillon_platform::share::{Holding, HoldingLimits, Holdings, Refused};
use carillon_protocol::limits::CLIENT_MESSAGE_BYTES;
use http::{HeaderMap, StatusCode, header};
use std::time::Duration;

/// Longest time for a body to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

const FORM: &str = "application/x-www-form-urlencoded";

/// Bodies at a time, 16 MiB of them; 32 of a user or an API key. A tenant never has more than is free.
const LIMITS: HoldingLimits = HoldingLimits { total: 256, per_group: 256, per_member: 32 };

/// The bodies that are on their way to this node.
pub(crate) struct Bodies(Holdings);

impl Default for Bodies {
    fn default() -> Self {
        Self(Holdings::new(LIMITS))
    }
}

impl Bodies {
    /// A share for a body of whoever brings this, for as long as it is kept.
    pub(super) fn begin(&self, bearer: &Bearer) -> Result<Holding, Problem> {
        self.0.try_take(bearer.holder(), 1).map_err(|refused| {
            metrics().bodies_refused.increment(1);
            let problem = match refused {
                Refused::Total => {
                    let detail = "too many request bodies are on their way to this node";
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over_capacity", detail)
                }
                Refused::Group | Refused::Member => {
                    let whose = if refused == Refused::Group { "tenant" } else { "user or API key" };
                    let detail = format!("too many request bodies of this {whose} are on their way");
                    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
                }
            };
            // What comes would have to be read to hear the next request.
            problem.last().retry(1)
        })
    }
}

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
    use crate::authorize::testkit;
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

    #[test]
    fn i10_bodies_are_shared_by_tenant_and_user() {
        let bodies = Bodies::default();
        let bearer = |user: &str, tenants: &[(&str, &[&str])]| testkit::person(user, tenants, &[], 1_000, 60);
        let take = |bearer: &Bearer| bodies.begin(bearer).ok();
        let anna = bearer("anna", &[("acme", &[])]);
        let of_anna: Vec<Holding> = std::iter::from_fn(|| take(&anna)).collect();
        assert_eq!(of_anna.len(), 32);
        let refused = bodies.begin(&anna).err().unwrap();
        assert!(
            refused.code == "too_many_requests" && format!("{refused:?}").contains("user"),
            "{refused:?}"
        );
        let of_tenant: Vec<Holding> =
            (0..1_000).filter_map(|n| take(&bearer(&format!("u{n}"), &[("acme", &[])]))).collect();
        assert_eq!(of_anna.len() + of_tenant.len(), 128, "one tenant leaves half");
        assert!(take(&bearer("anna", &[("other", &[])])).is_some());
        // Whoever may come into several tenants counts alone, whatever these have.
        assert!(take(&bearer("anna", &[("acme", &[]), ("other", &[])])).is_some());
        drop(of_anna);
        assert!(take(&anna).is_some(), "what is taken is given back");
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
