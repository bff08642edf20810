//! What did the client send, and is it small, quick and plain enough to be read?

use super::problem::{Code, Problem};
use crate::event::request::Form;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use carillon_protocol::limits;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest time for a body to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Most KiB of bodies in memory at a time, over all requests.
const BUDGET_KIB: usize = 64 * 1024;
/// How much of a refused body is still read, so that the client gets to see the answer instead of a reset.
const DISCARDED: usize = 8 * limits::BODY_BYTES;
/// Longest time for that.
const DISCARDING: Duration = Duration::from_secs(2);

/// The memory request bodies may take together.
#[derive(Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_KIB)))
    }
}

/// A body, and the memory it takes from the budget until dropped.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _kib: OwnedSemaphorePermit,
}

/// The form the content type names.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let unsupported = |detail: &str| Problem::new(Code::UnsupportedMediaType, detail);
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(unsupported("send the body without content-encoding"));
    }
    const TAKEN: &str = "content-type must be application/json, application/cloudevents+json or \
                         application/cloudevents-batch+json, in UTF-8";
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.ok_or_else(|| unsupported(TAKEN))?.to_ascii_lowercase();
    let (essence, parameters) = media.split_once(';').unwrap_or((&media, ""));
    let utf8 = parameters.split(';').all(|parameter| match parameter.trim().split_once('=') {
        Some(("charset", charset)) => matches!(charset.trim_matches('"'), "utf-8" | "utf8"),
        _ => true,
    });
    match essence.trim() {
        "application/json" if utf8 => Ok(Form::Plain),
        "application/cloudevents+json" if utf8 => Ok(Form::CloudEvent),
        "application/cloudevents-batch+json" if utf8 => Ok(Form::CloudEventBatch),
        _ => Err(unsupported(TAKEN)),
    }
}

/// Reads the body, at most [`limits::BODY_BYTES`] of it.
pub(super) async fn read(budget: &BodyBudget, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    let most = limits::BODY_BYTES as u64;
    if announced.is_some_and(|length| length > most) {
        discard(headers, body).await;
        return Err(too_large());
    }
    let kib = (announced.unwrap_or(most) / 1024 + 1) as u32;
    let Ok(permit) = budget.0.clone().try_acquire_many_owned(kib) else {
        return Err(Problem::new(Code::Overloaded, "too many request bodies are being read"));
    };
    let capacity = announced.map_or(1024, |length| length as usize);
    match tokio::time::timeout(ARRIVAL, collect(body, capacity)).await {
        Ok(Ok(bytes)) => Ok(Held { bytes, _kib: permit }),
        Ok(Err(Some(rest))) => {
            discard(headers, rest).await;
            Err(too_large())
        }
        Ok(Err(None)) => Err(Problem::new(Code::InvalidBody, "the body ended early or is malformed")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", ARRIVAL.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail))
        }
    }
}

fn too_large() -> Problem {
    let detail = format!("the body is larger than {} bytes", limits::BODY_BYTES);
    Problem::new(Code::BodyTooLarge, detail)
}

/// The bytes, or the rest of a body that is too large, or `None` for one that broke off.
async fn collect(mut body: Body, capacity: usize) -> Result<Bytes, Option<Body>> {
    let mut bytes = BytesMut::with_capacity(capacity);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| None)?.into_data() else { continue };
        if bytes.len() + data.len() > limits::BODY_BYTES {
            return Err(Some(body));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads and forgets a body that is refused anyway. A client that asked first whether to send it (`Expect`) is not
/// invited to.
pub(super) async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARDED {
                return;
            }
        }
    };
    // Whoever sends more, or more slowly, is cut off.
    let _ = tokio::time::timeout(DISCARDING, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn form_of(media: &'static str) -> Result<Form, Code> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
        form(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn three_media_types_are_taken_in_utf_8() {
        assert_eq!(form_of("application/json"), Ok(Form::Plain));
        assert_eq!(form_of("Application/JSON; charset=UTF-8"), Ok(Form::Plain));
        assert_eq!(form_of("application/cloudevents+json;charset=\"utf-8\""), Ok(Form::CloudEvent));
        assert_eq!(form_of("application/cloudevents-batch+json"), Ok(Form::CloudEventBatch));
        for other in
            ["", "text/plain", "application/jsonx", "application/json; charset=latin1", "multipart/form-data"]
        {
            assert_eq!(form_of(other), Err(Code::UnsupportedMediaType), "{other}");
        }
    }

    #[test]
    fn compressed_bodies_are_refused() {
        let mut headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
        assert!(form(&headers).is_ok());
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(form(&headers).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_in_size_and_time() {
        let budget = BodyBudget::default();
        let none = HeaderMap::new();
        let whole = read(&budget, &none, Body::from(vec![0; limits::BODY_BYTES])).await;
        assert_eq!(whole.map(|held| held.bytes.len()).ok(), Some(limits::BODY_BYTES));
        let large = read(&budget, &none, Body::from(vec![0; limits::BODY_BYTES + 1])).await;
        assert_eq!(large.err().map(|problem| problem.code), Some(Code::BodyTooLarge));
        let endless = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<hyper::body::Frame<Bytes>, std::convert::Infallible>,
        >());
        let slow = read(&budget, &none, Body::new(endless)).await;
        assert_eq!(slow.err().map(|problem| problem.code), Some(Code::RequestTimeout));
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let budget = BodyBudget::default();
        let mut held = Vec::new();
        while let Ok(body) = read(&budget, &HeaderMap::new(), Body::from("x")).await {
            held.push(body);
        }
        assert_eq!(held.len(), 63, "each of unknown length counts as the largest");
        held.clear();
        assert!(read(&budget, &HeaderMap::new(), Body::from("x")).await.is_ok());
    }
}
