//! Does a subscription that looks healthy really bring messages?
//!
//! After a failover a subscriber can stay connected to a server nobody publishes to any more, answering every PING. So
//! now and then a listener publishes a number to itself, through **another, ordinary connection** that was found anew,
//! and expects it back. Only an accepted probe that does not come back condemns the subscription; a probe that could
//! not be sent says nothing about it. (Centrifugo met the silent case in production: centrifugo#1189.)

use super::backoff::{jittered, random};
use super::config::Timing;
use super::fred::{Dialer, Link, LinkEnd, PublishError, Purpose};
use super::health::{DownCause, Failure};
use bytes::Bytes;
use tokio::sync::watch;

/// What the drain tells the prober.
pub(super) struct Echo {
    /// The newest probe that came back.
    pub(super) seen: watch::Receiver<u64>,
    /// How often we read too slowly and lost messages, probes possibly among them.
    pub(super) lags: watch::Receiver<u64>,
}

/// Resolves when the subscription is deaf.
pub(super) async fn probe(dialer: &Dialer, channel: &str, timing: &Timing, mut echo: Echo) -> Failure {
    let mut kept: Option<(Link, LinkEnd)> = None;
    // Probes of an earlier connection carry smaller numbers.
    let mut number = *echo.seen.borrow();
    let mut is_refused = false;
    loop {
        tokio::time::sleep(timing.probe + jittered(timing.probe, random()) / 10).await;
        number += 1;
        let lags = *echo.lags.borrow();
        match send(dialer, &mut kept, channel, number).await {
            Ok(()) => is_refused = false,
            Err(PublishError::Refused(detail)) => {
                if !std::mem::replace(&mut is_refused, true) {
                    tracing::warn!(
                        detail,
                        "redis refuses a message to ourselves: a subscription that went deaf is not noticed"
                    );
                }
                continue;
            }
            Err(PublishError::Lost(failure)) => {
                tracing::debug!(detail = failure.detail, "could not probe the redis subscription");
                continue;
            }
        }
        let arrived = echo.seen.wait_for(|seen| *seen >= number);
        let deaf = tokio::time::timeout(timing.probe_answer, arrived).await.is_err();
        if deaf && *echo.lags.borrow() == lags {
            return Failure::new(DownCause::Deaf, "a message to ourselves did not arrive");
        }
    }
}

async fn send(
    dialer: &Dialer,
    kept: &mut Option<(Link, LinkEnd)>,
    channel: &str,
    number: u64,
) -> Result<(), PublishError> {
    let (link, end) = match kept.take() {
        Some(link) => link,
        None => dialer.dial(Purpose::Publish).await.map_err(PublishError::Lost)?,
    };
    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
    let result = link.publish(channel.to_owned(), payload).await.await;
    // Only a cluster tells when it is asked at the wrong place; elsewhere the next probe must find its way anew. And a
    // cluster may have many nodes, too many to connect to all of them for every probe.
    if dialer.sharded() && result.is_ok() {
        *kept = Some((link, end));
    }
    result
}
