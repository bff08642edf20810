//! What did the client send, and is it small and quick enough to be read?

use super::address;
use super::problem::{Code, Problem};
use crate::batcher::Publisher;
use crate::event::Fault;
use crate::event::binary::is_utf8;
use crate::event::request::{Unreadable, value};
use crate::metrics;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use carillon_platform::share::{AddressGroup, Holder, Holding, HoldingLimits, Holdings, Refused};
use carillon_protocol::{TenantId, limits};
use http::{HeaderMap, header, request::Parts};
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Duration;

/// Longest time for a body to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Most bytes of bodies in memory at a time, over all requests. One tenant stops at half of it, and so does one caller.
const BUDGET: usize = 64 * 1024 * 1024;
/// What a body counts at least, however little of it has arrived: so one that drips is not for free, either.
const LEAST: usize = 16 * 1024;
/// Refused bodies that are still read at a time, so that their clients get to see the answer instead of a reset. One address
/// stops at half of them.
const DISCARDED_AT_ONCE: usize = 256;
/// Most that is read of a body that is too large.
const DISCARDED: usize = 8 * limits::BODY_BYTES;
/// Longest time for that.
const DISCARDING: Duration = Duration::from_secs(2);
/// What whoever has its share of the memory waits for its answer: sent again at once, a megabyte costs nearly as much as one that is
/// taken.
const PAUSE: Duration = Duration::from_millis(250);

/// The memory and attention request bodies may take together.
#[derive(Clone)]
pub struct BodyBudget {
    bytes: Holdings<BodyGroup, Publisher>,
    discarding: Holdings<AddressGroup, ()>,
}

/// Who shares with whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum BodyGroup {
    /// All who publish for a tenant.
    Tenant(TenantId),
    /// A caller whose tenant is not known before the body.
    Caller(Publisher),
}

/// Whose body it is.
pub(super) type BodyHolder = Holder<BodyGroup, Publisher>;

impl Default for BodyBudget {
    fn default() -> Self {
        let all = |total| HoldingLimits { total, per_group: total, per_member: total };
        Self { bytes: Holdings::new(all(BUDGET)), discarding: Holdings::new(all(DISCARDED_AT_ONCE)) }
    }
}

/// Whose a body is. A key for all tenants has a share of its own, for its body alone tells the tenants.
pub(super) fn holder(publisher: &Publisher, tenant: Option<&TenantId>) -> BodyHolder {
    let member = publisher.clone();
    let group =
        tenant.map_or_else(|| BodyGroup::Caller(member.clone()), |tenant| BodyGroup::Tenant(tenant.clone()));
    Holder { group, member }
}

/// Whether a body is announced as JSON in UTF-8, as it is.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body without content-encoding"));
    }
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.to_ascii_lowercase();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" && is_utf8(&media) {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "content-type must be application/json, in UTF-8"))
}

/// Reads what an administrator sets: one JSON document. Who asks, and for what, is `judged` before, so that a body nobody wants costs
/// nothing; `invalid` says what is wrong with a document that names a member twice.
pub(super) async fn document<T>(
    budget: &BodyBudget,
    parts: &Parts,
    body: Body,
    judged: Result<(T, BodyHolder), Problem>,
    invalid: fn(Vec<Fault>) -> Problem,
) -> Result<(T, Value, Held), Problem> {
    let (wanted, holder) = match judged {
        Ok(judged) => judged,
        Err(problem) => {
            discard(budget, parts, body, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    let held = read(budget, holder, parts, body).await?;
    let said = value(&held.bytes).map_err(|fault| match fault {
        Unreadable::NotJson(detail) => Problem::new(Code::InvalidJson, detail),
        Unreadable::Faulty(faults) => invalid(faults),
    })?;
    Ok((wanted, said, held))
}

/// A body, and the memory it takes from the budget until dropped.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Holding<BodyGroup, Publisher>,
}

/// Reads the body, at most [`limits::BODY_BYTES`] of it. What has arrived counts, not what was announced.
pub(super) async fn read(
    budget: &BodyBudget,
    holder: BodyHolder,
    parts: &Parts,
    body: Body,
) -> Result<Held, Problem> {
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits::BODY_BYTES as u64) {
        discard(budget, parts, body, DISCARDED).await;
        return Err(too_large());
    }
    let mut share = match budget.bytes.try_take(holder, LEAST) {
        Ok(share) => share,
        Err(refused) => {
            let problem = no_room(refused).await;
            discard(budget, parts, body, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    match tokio::time::timeout(ARRIVAL, collect(body, &mut share)).await {
        Ok(Ok(bytes)) => Ok(Held { bytes, _share: share }),
        Ok(Err(Unread::TooLarge(rest))) => {
            drop(share);
            discard(budget, parts, rest, DISCARDED).await;
            Err(too_large())
        }
        Ok(Err(Unread::NoRoom(refused, rest))) => {
            drop(share);
            let problem = no_room(refused).await;
            discard(budget, parts, rest, limits::BODY_BYTES).await;
            Err(problem)
        }
        Ok(Err(Unread::BrokeOff)) => {
            Err(Problem::new(Code::InvalidBody, "the body ended early or is malformed"))
        }
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

/// Why there is no room, told after a pause to whoever has its share.
async fn no_room(refused: Refused) -> Problem {
    match refused {
        Refused::Total => Problem::new(Code::Overloaded, "too many request bodies are being read"),
        Refused::Group | Refused::Member => {
            tokio::time::sleep(PAUSE).await;
            let detail = "too many request bodies of this tenant or these credentials are being read";
            Problem::new(Code::BodyShareFull, detail)
        }
    }
}

/// Why there are no bytes, with what is left to read.
enum Unread {
    TooLarge(Body),
    NoRoom(Refused, Body),
    BrokeOff,
}

/// The bytes. The share grows with the room they take.
async fn collect(mut body: Body, share: &mut Holding<BodyGroup, Publisher>) -> Result<Bytes, Unread> {
    let mut bytes = BytesMut::with_capacity(LEAST);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::BrokeOff)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > limits::BODY_BYTES {
            return Err(Unread::TooLarge(body));
        }
        let room = share.amount();
        if length > room {
            let wanted = length.max(2 * room).min(limits::BODY_BYTES);
            if let Err(refused) = share.grow(wanted - room) {
                return Err(Unread::NoRoom(refused, body));
            }
            bytes.reserve(wanted - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads and forgets at most so much of a body that is refused anyway. A client that asked first whether to send it (`Expect`)
/// is not invited to, and of one address only some are waited for.
pub(super) async fn discard(budget: &BodyBudget, parts: &Parts, mut body: Body, most: usize) {
    if parts.headers.contains_key(header::EXPECT) {
        return;
    }
    let _attention = match budget.discarding.try_take(Holder::group(address(parts)), 1) {
        Ok(attention) => attention,
        Err(bound) => return metrics::body_not_discarded(bound),
    };
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > most {
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

    fn tenant(name: &str) -> BodyHolder {
        let user = Publisher { name: "user:anna".into(), several_tenants: false };
        Holder { group: BodyGroup::Tenant(TenantId::new(name).unwrap()), member: user }
    }

    fn parts() -> Parts {
        http::Request::new(()).into_parts().0
    }

    fn endless(beginning: Vec<u8>) -> Body {
        let first = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(beginning))]);
        let rest = futures_util::stream::pending();
        Body::from_stream(futures_util::StreamExt::chain(first, rest))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_in_size_and_time() {
        let budget = BodyBudget::default();
        let whole = read(&budget, tenant("a"), &parts(), Body::from(vec![0; limits::BODY_BYTES])).await;
        assert_eq!(whole.map(|held| held.bytes.len()).ok(), Some(limits::BODY_BYTES));
        let large = read(&budget, tenant("a"), &parts(), Body::from(vec![0; limits::BODY_BYTES + 1])).await;
        assert_eq!(large.err().map(|problem| problem.code), Some(Code::BodyTooLarge));
        let slow = read(&budget, tenant("a"), &parts(), endless(vec![0])).await;
        assert_eq!(slow.err().map(|problem| problem.code), Some(Code::RequestTimeout));
        assert_eq!(budget.bytes.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_arrived_counts_and_a_tenant_stops_at_half() {
        let budget = BodyBudget::default();
        let mut slow = Vec::new();
        for _ in 0..97 {
            slow.push(Box::pin(async {
                let parts = parts();
                read(&budget, tenant("slow"), &parts, endless(vec![0; 100])).await
            }));
        }
        for one in &mut slow {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(budget.bytes.used(), 97 * LEAST);
        drop(slow);
        let mut held = Vec::new();
        let began = tokio::time::Instant::now();
        let refused = loop {
            match read(&budget, tenant("greedy"), &parts(), Body::from(vec![0; limits::BODY_BYTES])).await {
                Ok(body) => held.push(body),
                Err(problem) => break problem.code,
            }
        };
        assert_eq!((held.len(), refused), (32, Code::BodyShareFull));
        assert_eq!(began.elapsed(), PAUSE, "told after a while and never at once");
        assert!(read(&budget, tenant("other"), &parts(), Body::from("x")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_bodies_are_waited_for_a_moment_and_not_for_all() {
        let budget = BodyBudget::default();
        let parts = parts();
        let mut waiting = Vec::new();
        for _ in 0..DISCARDED_AT_ONCE / 2 {
            waiting.push(Box::pin(discard(&budget, &parts, endless(vec![0]), 100)));
        }
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        let one_more = std::pin::pin!(discard(&budget, &parts, endless(vec![0]), 100));
        assert!(futures_util::poll!(one_more).is_ready(), "the address has its share");
        let began = tokio::time::Instant::now();
        futures_util::future::join_all(waiting).await;
        assert_eq!(began.elapsed(), DISCARDING);
    }
}
