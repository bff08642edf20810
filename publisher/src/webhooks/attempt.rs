//! How is one message sent, and what does the answer mean?
//!
//! Signed anew each time, for receivers refuse timestamps that are old. The status decides: 2xx is a delivery, 410 the end, 429 and 503
//! with `Retry-After` a rest; everything else, redirects and 101 among it, is a failure.

use super::metrics::{self, Result as Counted};
use super::schedule;
use carillon_backplane::log::OpenWebhook;
use carillon_platform::outbound::{Bounds, Outbound, SigningSecret, Target, Wanted, signature};
use carillon_protocol::TenantId;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What an attempt may take, in all.
pub(super) const WITHIN: Duration = Duration::from_secs(15);
/// Of an answer's body so much is kept.
pub(crate) const ANSWER_BYTES: usize = 20 * 1024;
/// Of the words for a fault so many bytes are kept.
const ERROR_BYTES: usize = 512;

/// Where messages go and what they are signed with.
pub(crate) struct Endpoint {
    tenant: TenantId,
    target: Result<Target, String>,
    secrets: Vec<SigningSecret>,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// The receiver wants nothing any more.
    Gone,
    /// The receiver wants to be left alone until then.
    Rests(Timestamp),
    /// It did not work.
    Failed,
}

/// One attempt, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Attempt {
    /// When it began.
    pub(crate) at: String,
    /// The answer's status; none: there was no answer.
    pub(crate) status: Option<u16>,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
    /// Why it is no delivery; none: it is one.
    pub(crate) error: Option<String>,
    /// The beginning of the answer's body.
    #[serde(skip)]
    pub(crate) answer: String,
}

impl Endpoint {
    /// As the webhook is set.
    pub(crate) fn new(tenant: &TenantId, open: &OpenWebhook, outbound: &Outbound) -> Self {
        Self {
            tenant: tenant.clone(),
            // What was allowed when it was set may not be any more.
            target: outbound.target(&open.url).map_err(|fault| format!("the URL {fault}")),
            secrets: open.secrets.iter().filter_map(|text| SigningSecret::read(text)).collect(),
        }
    }

    /// Sends a message once.
    pub(crate) async fn send(
        &self,
        outbound: &Outbound,
        id: &str,
        body: Vec<u8>,
        wanted: Wanted,
    ) -> (Verdict, Attempt) {
        let (at, began) = (Timestamp::now(), Instant::now());
        let result = match &self.target {
            Err(fault) => Err(("address", fault.clone())),
            Ok(target) => {
                let signed = signature::headers(&self.secrets, id, at.as_second().unsigned_abs(), &body);
                let bounds = Bounds { within: WITHIN, answer_bytes: ANSWER_BYTES };
                let headers = HeaderMap::from_iter(signed);
                let reply = outbound.deliver(&self.tenant, target, headers, body, (wanted, bounds)).await;
                reply.map_err(|fault| (fault.label(), fault.to_string()))
            }
        };
        let took = began.elapsed();
        let mut attempt = Attempt {
            at: format!("{at:.3}"),
            status: None,
            ms: took.as_millis() as u64,
            error: None,
            answer: String::new(),
        };
        let (verdict, counted) = match result {
            Ok(reply) => {
                let status = reply.status.as_u16();
                attempt.status = Some(status);
                attempt.answer = text(&reply.beginning);
                let verdict = verdict(status, reply.retry_after.as_deref(), Timestamp::now());
                if verdict != Verdict::Delivered {
                    attempt.error = Some(format!("the receiver answered {status}"));
                }
                (verdict, if verdict == Verdict::Delivered { Counted::Delivered } else { Counted::Status })
            }
            Err((label, fault)) => {
                attempt.error = Some(shortened(fault));
                (Verdict::Failed, Counted::Fault(label))
            }
        };
        metrics::attempted(counted, took);
        (verdict, attempt)
    }
}

fn verdict(status: u16, retry_after: Option<&str>, now: Timestamp) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        410 => Verdict::Gone,
        _ => schedule::rest(status, retry_after, now).map_or(Verdict::Failed, Verdict::Rests),
    }
}

/// Bytes as a text that Postgres takes.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

fn shortened(mut fault: String) -> String {
    let end = (0..=ERROR_BYTES.min(fault.len())).rev().find(|end| fault.is_char_boundary(*end));
    fault.truncate(end.unwrap_or(0));
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides() {
        let now = Timestamp::UNIX_EPOCH;
        let of = |status, retry| verdict(status, retry, now);
        for good in [200, 201, 204, 299] {
            assert_eq!(of(good, None), Verdict::Delivered);
        }
        for bad in [101, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 429, 500, 503, 600] {
            assert_eq!(of(bad, None), Verdict::Failed, "{bad}");
        }
        assert_eq!(of(410, Some("5")), Verdict::Gone);
        let rests = Verdict::Rests(Timestamp::from_second(5).unwrap());
        assert_eq!(
            (of(429, Some("5")), of(503, Some("5")), of(500, Some("5"))),
            (rests, rests, Verdict::Failed)
        );
    }

    #[test]
    fn what_is_kept_of_an_answer_can_be_stored() {
        assert_eq!(text(b"a\0b\xff"), "a\u{fffd}b\u{fffd}");
        let long = shortened("\u{10d}".repeat(400));
        assert!(long.len() <= ERROR_BYTES && long.len() > ERROR_BYTES - 4);
    }
}
