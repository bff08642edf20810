//! How much of what clients say is held at a time?
//!
//! A body of who polls is held until the shard has it, or until the node has answered that it was passed on to. A client has one on its
//! way (`Session::turn`), and of the larger ones there are so many at a node, and so many of one address.

use crate::admission::Full;
use crate::edge::problem::Problem;
use axum::body::to_bytes;
use axum::extract::Request;
use carillon_platform::share::AddressGroup;
use carillon_protocol::limits::CLIENT_MESSAGE_BYTES;
use http::{HeaderMap, StatusCode, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Larger bodies that are held at a time.
const MOST: usize = 16;
/// So many of them of one address.
const OF_AN_ADDRESS: usize = 4;
/// Longest time for a body to arrive.
const BODY: Duration = Duration::from_secs(10);
/// Bytes of a larger body, of a client that is known: older ones send at once whatever they have waited with, as much as engine.io takes.
const LARGE: usize = 1_000_000;

/// The larger bodies that are held here.
#[derive(Debug, Default, Clone)]
pub(super) struct Bodies(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    count: usize,
    of: HashMap<AddressGroup, usize>,
}

/// A body that may come, held as long as this is.
#[derive(Debug)]
pub(super) struct Body {
    /// None: it is none of the larger ones.
    _large: Option<Large>,
    most: usize,
}

/// A place of a larger one, given back when it is dropped.
#[derive(Debug)]
struct Large {
    bodies: Bodies,
    of: Option<AddressGroup>,
}

impl Bodies {
    /// A place for the body of a request. A larger one says its length, and only who may sends it; `of` is the address that it counts
    /// for, none if it has counted elsewhere.
    pub(super) fn enter(
        &self,
        headers: &HeaderMap,
        may_be_large: bool,
        of: Option<IpAddr>,
    ) -> Result<Body, Full> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        if !may_be_large || length.is_none_or(|length: usize| length <= CLIENT_MESSAGE_BYTES) {
            return Ok(Body { _large: None, most: CLIENT_MESSAGE_BYTES });
        }
        Ok(Body { _large: Some(self.enter_large(of.map(AddressGroup::from))?), most: LARGE })
    }

    fn enter_large(&self, of: Option<AddressGroup>) -> Result<Large, Full> {
        let mut held = self.held();
        let own = of.and_then(|of| held.of.get(&of).copied()).unwrap_or_default();
        if held.count >= MOST || own >= OF_AN_ADDRESS {
            return Err(Full::Node);
        }
        held.count += 1;
        if let Some(of) = of {
            held.of.insert(of, own + 1);
        }
        drop(held);
        Ok(Large { bodies: self.clone(), of })
    }

    /// Those that are held now.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.held().count
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let mut held = self.bodies.held();
        held.count = held.count.saturating_sub(1);
        if let Some(of) = self.of
            && let Some(own) = held.of.get_mut(&of)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.of.remove(&of);
            }
        }
    }
}

impl Body {
    /// What the request says.
    pub(super) async fn read(&self, request: Request) -> Result<String, Problem> {
        let bytes = tokio::time::timeout(BODY, to_bytes(request.into_body(), self.most))
            .await
            .map_err(|_| {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body took more than 10 s")
            })?
            .map_err(|_| too_large(self.most))?;
        String::from_utf8(bytes.into())
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "invalid_json", "the body is not UTF-8"))
    }
}

/// A body that has more bytes than this, or a packet that has too many.
pub(super) fn too_large(most: usize) -> Problem {
    let detail =
        format!("a body has at most {most} bytes, and a packet in it {CLIENT_MESSAGE_BYTES} (maxPayload)");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn enter(bodies: &Bodies, length: usize, may_be_large: bool, of: Option<u8>) -> Result<Body, Full> {
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))]);
        bodies.enter(&headers, may_be_large, of.map(|of| IpAddr::from([10, 0, 0, of])))
    }

    #[test]
    fn i10_larger_bodies_have_a_bound_and_one_address_does_not_take_them_all() {
        let bodies = Bodies::default();
        let large = |of| enter(&bodies, LARGE, true, of);
        let of_one: Vec<_> = (0..OF_AN_ADDRESS).map(|_| large(Some(1)).unwrap()).collect();
        assert_eq!(large(Some(1)).err(), Some(Full::Node), "one address has its share");
        let of_others: Vec<_> = (OF_AN_ADDRESS..MOST).map(|_| large(None).unwrap()).collect();
        assert_eq!(large(Some(2)).err(), Some(Full::Node), "all are taken");
        assert!(enter(&bodies, CLIENT_MESSAGE_BYTES, true, Some(1)).is_ok(), "others come as ever");
        assert_eq!(enter(&bodies, LARGE, false, Some(2)).unwrap().most, CLIENT_MESSAGE_BYTES);
        drop((of_one, of_others));
        assert!(large(Some(1)).is_ok(), "what is given back can be taken");
        assert!(bodies.held().of.is_empty() && bodies.held().count == 0);
    }
}
