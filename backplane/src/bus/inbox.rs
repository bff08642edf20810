//! How do messages reach the gateway, and what when it is too slow to take them?
//!
//! A queue bounded in messages and bytes. The writer never waits: what does not fit is dropped and an
//! [`BusEvent::Interrupted`] stands in the queue at exactly the place of the loss.

use super::metrics::ListenerMetrics;
use bytes::Bytes;
use carillon_protocol::ident::TenantId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a gateway hears from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusEvent {
    /// An announcement. The payload may share its memory with its neighbours on the wire: copy what you keep for long.
    Message {
        /// Whose log grew.
        tenant: TenantId,
        /// What the publisher announced, unread.
        payload: Bytes,
    },
    /// Messages of any tenant may have been lost since the previous event: look into the log. After a reconnect it
    /// comes when every subscription is confirmed again, so what is committed from now on is announced.
    Interrupted {
        /// How they were lost.
        cause: Interruption,
    },
}

/// How messages may have been lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// There was no connection (also sent for the first one).
    Reconnected,
    /// We read more slowly than Redis sent.
    Lagged,
    /// The gateway took events more slowly than they came.
    Overflow,
}

impl Interruption {
    /// The cause as metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reconnected => "reconnected",
            Self::Lagged => "lagged",
            Self::Overflow => "overflow",
        }
    }
}

/// Payload of a waiting message plus what the entry itself costs.
fn weight(payload: &Bytes) -> usize {
    payload.len() + 128
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<BusEvent>,
    messages: usize,
    bytes: usize,
    closed: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    max_messages: usize,
    max_bytes: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading side, held by the gateway.
pub struct BusEvents(Arc<Shared>);

/// The writing side.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    metrics: Arc<ListenerMetrics>,
}

pub(super) fn inbox(
    max_messages: usize,
    max_bytes: usize,
    metrics: Arc<ListenerMetrics>,
) -> (Inbox, BusEvents) {
    let (waiting, wake) = (Mutex::default(), Notify::new());
    let shared = Arc::new(Shared { waiting, wake, max_messages, max_bytes });
    (Inbox { shared: Arc::clone(&shared), metrics }, BusEvents(shared))
}

impl Inbox {
    pub(super) fn message(&self, tenant: TenantId, payload: Bytes) {
        let mut waiting = self.shared.lock();
        let bytes = waiting.bytes + weight(&payload);
        if waiting.messages >= self.shared.max_messages
            || (bytes > self.shared.max_bytes && waiting.messages > 0)
        {
            self.metrics.overflowed.increment(1);
            self.mark(&mut waiting, Interruption::Overflow);
        } else if !waiting.closed {
            waiting.bytes = bytes;
            waiting.messages += 1;
            waiting.events.push_back(BusEvent::Message { tenant, payload });
        }
        drop(waiting);
        self.shared.wake.notify_one();
    }

    pub(super) fn interrupted(&self, cause: Interruption) {
        self.mark(&mut self.shared.lock(), cause);
        self.shared.wake.notify_one();
    }

    /// An unread interruption at the end already covers this loss, so marks never outnumber messages by more than one.
    fn mark(&self, waiting: &mut Waiting, cause: Interruption) {
        if !waiting.closed && !matches!(waiting.events.back(), Some(BusEvent::Interrupted { .. })) {
            self.metrics.interrupted(cause);
            waiting.events.push_back(BusEvent::Interrupted { cause });
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl BusEvents {
    /// The next event; `None` when the listener is gone. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<BusEvent> {
        loop {
            // One reader only (`&mut self`), and a notification before the wait is kept: no wake-up is missed.
            let closed = self.0.lock().closed;
            if let Some(event) = self.try_recv() {
                return Some(event);
            }
            if closed {
                return None;
            }
            self.0.wake.notified().await;
        }
    }

    /// The next event if one waits.
    pub fn try_recv(&mut self) -> Option<BusEvent> {
        let mut waiting = self.0.lock();
        let event = waiting.events.pop_front()?;
        if let BusEvent::Message { payload, .. } = &event {
            waiting.messages -= 1;
            waiting.bytes -= weight(payload);
        }
        Some(event)
    }
}

impl Drop for BusEvents {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        *waiting = Waiting { closed: true, ..Waiting::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(messages: usize, bytes: usize) -> (Inbox, BusEvents) {
        inbox(messages, bytes, Arc::new(ListenerMetrics::new()))
    }

    fn tenant() -> TenantId {
        TenantId::new("a").unwrap()
    }

    fn put(inbox: &Inbox, payload: &'static str) {
        inbox.message(tenant(), Bytes::from_static(payload.as_bytes()));
    }

    fn read(events: &mut BusEvents) -> Vec<String> {
        std::iter::from_fn(|| events.try_recv())
            .map(|event| match event {
                BusEvent::Message { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
                BusEvent::Interrupted { cause } => format!("<{}>", cause.as_str()),
            })
            .collect()
    }

    #[test]
    fn i10_the_place_of_a_loss_is_marked_once() {
        let (inbox, mut events) = small(2, 10_000);
        for payload in ["1", "2", "3", "4"] {
            put(&inbox, payload);
        }
        inbox.interrupted(Interruption::Reconnected);
        assert_eq!(read(&mut events), ["1", "2", "<overflow>"]);
        put(&inbox, "5");
        assert_eq!(read(&mut events), ["5"]);
    }

    #[test]
    fn i10_bytes_are_bounded_but_one_big_message_passes_an_empty_queue() {
        let (inbox, mut events) = small(100, 300);
        for payload in ["1", "2", "3"] {
            put(&inbox, payload);
        }
        assert_eq!(read(&mut events), ["1", "2", "<overflow>"]);
        inbox.message(tenant(), Bytes::from(vec![b'x'; 5_000]));
        put(&inbox, "late");
        assert_eq!(read(&mut events).len(), 2);
    }

    #[test]
    fn i10_marks_cannot_pile_up() {
        let (inbox, mut events) = small(3, 10_000);
        for _ in 0..1_000 {
            inbox.interrupted(Interruption::Reconnected);
            put(&inbox, "m");
            inbox.interrupted(Interruption::Lagged);
        }
        assert!(read(&mut events).len() <= 7);
    }

    #[tokio::test]
    async fn the_reader_wakes_for_an_event_and_for_the_end() {
        let (inbox, mut events) = small(3, 10_000);
        let reader = tokio::spawn(async move { (events.recv().await, events.recv().await) });
        tokio::task::yield_now().await;
        inbox.interrupted(Interruption::Lagged);
        tokio::task::yield_now().await;
        drop(inbox);
        let lagged = Some(BusEvent::Interrupted { cause: Interruption::Lagged });
        assert_eq!(reader.await.unwrap(), (lagged, None));
    }
}
