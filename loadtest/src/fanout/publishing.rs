//! How are events published at a steady rate, and what does each acknowledgement say?
//!
//! Requests leave when the plan says so, however late the answers are, as long as one of the connections is free; how
//! late they left is measured too, or a slow server would hide its slowness by being asked less.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use crate::clock::monotonic_ns;
use crate::failure::Failure;
use crate::http::{Poster, Repeated};
use crate::latency::Latency;
use crate::target::Address;

/// What is published, and how fast.
pub(super) struct Publishing {
    /// The publisher's events resource.
    pub(super) address: Address,
    /// May publish for all tenants.
    pub(super) api_key: String,
    /// They take turns, request by request.
    pub(super) tenants: Vec<String>,
    /// Makes ids unique.
    pub(super) run: String,
    /// How many requests.
    pub(super) requests: u64,
    /// Events in each.
    pub(super) batch: u32,
    /// Requests for each second.
    pub(super) requests_per_second: f64,
    /// Makes events as large as wanted.
    pub(super) filling: String,
    /// Keep-alive connections.
    pub(super) tasks: u32,
}

/// What came of it.
pub(super) struct Published {
    /// Every event.
    pub(super) acks: Vec<Acked>,
    /// From leaving to the acknowledgement.
    pub(super) latency: Latency,
    /// From when a request was to leave to when it left.
    pub(super) lateness: Latency,
    /// Requests that were not acknowledged at once.
    pub(super) repeated: Repeated,
}

/// An acknowledged event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acked {
    /// Index of its tenant.
    pub(super) tenant: u32,
    /// Its place.
    pub(super) seq: u64,
    /// When the acknowledgement was here, on the monotonic clock.
    pub(super) at_ns: u64,
}

impl Publishing {
    /// Runs on a thread of its own, so that reading does not delay the stamps.
    pub(super) fn run(self) -> Result<Published, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let published = Rc::new(RefCell::new(Published {
            acks: Vec::new(),
            latency: Latency::new()?,
            lateness: Latency::new()?,
            repeated: Repeated::default(),
        }));
        let (this, next) = (Rc::new(self), Rc::new(Cell::new(0)));
        let begun = Begun { at: Instant::now(), ns: monotonic_ns() };
        let tasks = LocalSet::new();
        let workers: Vec<_> = (0..this.tasks)
            .map(|_| {
                let (this, next, published) = (Rc::clone(&this), Rc::clone(&next), Rc::clone(&published));
                tasks.spawn_local(async move { this.work(begun, &next, &published).await })
            })
            .collect();
        runtime.block_on(tasks.run_until(async {
            for worker in workers {
                worker.await.map_err(|_| Failure::Publish("a publishing task panicked".into()))??;
            }
            Ok::<(), Failure>(())
        }))?;
        drop(tasks);
        let published =
            Rc::into_inner(published).ok_or_else(|| Failure::Publish("a task did not end".into()))?;
        Ok(published.into_inner())
    }

    async fn work(
        &self,
        begun: Begun,
        next: &Cell<u64>,
        published: &RefCell<Published>,
    ) -> Result<(), Failure> {
        let mut poster = Poster::new(self.address.clone(), self.api_key.clone());
        loop {
            let n = next.replace(next.get() + 1);
            if n >= self.requests {
                published.borrow_mut().repeated.merge(poster.repeated);
                return Ok(());
            }
            let due = Duration::from_secs_f64(n as f64 / self.requests_per_second);
            sleep_until(begun.at + due).await;
            let tenant = (n % self.tenants.len() as u64) as u32;
            let stamp = monotonic_ns();
            let answer = poster.post(self.body(n, tenant, stamp)).await?;
            let at_ns = monotonic_ns();
            let seqs = seqs(&answer, self.batch)?;
            let mut published = published.borrow_mut();
            published.lateness.between(begun.ns + due.as_nanos() as u64, stamp);
            published.latency.between(stamp, at_ns);
            published.acks.extend(seqs.into_iter().map(|seq| Acked { tenant, seq, at_ns }));
        }
    }

    /// One event, or an array of them, all stamped now.
    fn body(&self, n: u64, tenant: u32, stamp: u64) -> Bytes {
        let event = |place: u32| {
            serde_json::json!({
                "tenant": self.tenants[tenant as usize],
                "id": format!("{}-{n}-{place}", self.run),
                "type": "load.event",
                "tenant_wide": true,
                "data": {"stamp": stamp, "filling": self.filling},
            })
        };
        let body = if self.batch == 1 { event(0) } else { (0..self.batch).map(event).collect() };
        body.to_string().into()
    }
}

/// When publishing began, on both clocks.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    ns: u64,
}

/// The numbers the events of one request got.
fn seqs(answer: &[u8], batch: u32) -> Result<Vec<u64>, Failure> {
    #[derive(Deserialize)]
    struct Ack {
        seq: u64,
    }
    let acks: Result<Vec<Ack>, _> = match batch {
        1 => serde_json::from_slice(answer).map(|ack| vec![ack]),
        _ => serde_json::from_slice(answer),
    };
    match acks {
        Ok(acks) if acks.len() == batch as usize => Ok(acks.into_iter().map(|ack| ack.seq).collect()),
        Ok(acks) => Err(Failure::Publish(format!("{} acknowledgements of {batch} events", acks.len()))),
        Err(error) => Err(Failure::Publish(format!("an answer of another kind: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_a_request_has_a_number() {
        assert_eq!(seqs(br#"{"id":"a","seq":4,"epoch":"e"}"#, 1).unwrap(), [4]);
        assert_eq!(seqs(br#"[{"seq":4},{"seq":5}]"#, 2).unwrap(), [4, 5]);
        assert!(seqs(br#"[{"seq":4}]"#, 2).is_err() && seqs(b"{}", 1).is_err());
    }
}
