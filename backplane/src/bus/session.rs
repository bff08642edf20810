//! How does a gateway keep its subscriptions on one connection, and come back on the next?
//!
//! A session is one link: subscribe to everything wanted, tell the gateway to look into the log, be up, follow the
//! wishes, and end at the first sign of trouble. The supervisor then starts the next one.

use super::backoff::Backoff;
use super::config::Timing;
use super::drain::Traffic;
use super::fred::{Dialer, Link, Messages, Purpose};
use super::health::{Failure, HealthCell};
use super::inbox::{Inbox, Interruption};
use super::name::Names;
use super::probe::{Echo, probe};
use super::pulse::pulse;
use super::wanted::Wanted;
use carillon_protocol::ident::TenantId;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Channels of one SUBSCRIBE.
const BATCH: usize = 256;
/// Sharded subscriptions renewed per [`AUDIT_EVERY`]: enough to find a moved slot, and nothing a server would notice.
const AUDIT: usize = 50;
const AUDIT_EVERY: Duration = Duration::from_secs(1);

/// The wishes, shared by the gateway's tasks (who change them) and the supervisor (who fulfils them).
#[derive(Default)]
pub(super) struct Wishes {
    wanted: Mutex<Wanted>,
    changed: Notify,
}

impl Wishes {
    pub(super) fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to send to Redis.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }
}

pub(super) struct Supervisor {
    pub(super) dialer: Dialer,
    pub(super) names: Names,
    pub(super) timing: Timing,
    pub(super) wishes: Arc<Wishes>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) health: HealthCell,
    /// Where the drain takes the messages of each new link from.
    pub(super) links: mpsc::Sender<Messages>,
}

impl Supervisor {
    /// One session after the other until `stop` changes or its sender is gone.
    pub(super) async fn run(self, mut stop: watch::Receiver<()>) {
        tokio::select! {
            _ = stop.changed() => {}
            () = self.supervise() => {}
        }
        self.wishes.lock().down();
    }

    async fn supervise(&self) {
        let mut backoff = Backoff::new(self.timing.backoff_min, self.timing.backoff_max);
        loop {
            let failure = self.session(&mut backoff).await;
            self.wishes.lock().down();
            self.health.down(&failure);
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn session(&self, backoff: &mut Backoff) -> Failure {
        let (link, mut end) = match self.dialer.dial(Purpose::Subscribe).await {
            Ok(link) => link,
            Err(failure) => return failure,
        };
        if self.links.send(link.messages()).await.is_err() {
            return Failure::new(super::DownCause::Stopped, "the reader of messages has ended");
        }
        self.wishes.lock().start_over();
        let echo = Echo { seen: self.traffic.probe.subscribe(), lags: self.traffic.lags.subscribe() };
        let received = || self.traffic.received.load(Ordering::Relaxed);
        tokio::select! {
            failure = end.wait() => failure,
            failure = pulse(&link, &self.timing, received) => failure,
            failure = self.keep_subscribed(&link, backoff) => failure,
            failure = probe(&self.dialer, self.names.probe(), &self.timing, echo) => failure,
        }
    }

    /// Never ends but by a failure.
    async fn keep_subscribed(&self, link: &Link, backoff: &mut Backoff) -> Failure {
        let result = async {
            link.subscribe(vec![self.names.probe().to_owned()]).await?;
            self.fulfil(link).await?;
            backoff.reset();
            self.inbox.interrupted(Interruption::Reconnected);
            self.health.up();
            loop {
                tokio::select! {
                    () = self.wishes.changed.notified() => self.fulfil(link).await?,
                    () = tokio::time::sleep(AUDIT_EVERY), if self.dialer.sharded() => {
                        let part = self.wishes.lock().audit(AUDIT);
                        link.subscribe(self.channels(&part)).await?;
                    }
                }
            }
        };
        let result: Result<std::convert::Infallible, Failure> = result.await;
        match result {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    /// Sends what is to be sent until everything wanted is confirmed. Whole batches: a thousand callers cost a few
    /// round trips.
    async fn fulfil(&self, link: &Link) -> Result<(), Failure> {
        loop {
            let leaving = self.wishes.lock().take_leaving();
            if !leaving.is_empty() {
                link.unsubscribe(self.channels(&leaving)).await?;
            }
            let batch = self.wishes.lock().take_batch(BATCH);
            if !batch.is_empty() {
                link.subscribe(self.channels(&batch)).await?;
                self.wishes.lock().confirm(&batch);
            } else if self.wishes.lock().settle() {
                return Ok(());
            }
        }
    }

    fn channels(&self, tenants: &[TenantId]) -> Vec<String> {
        tenants.iter().map(|tenant| self.names.log(tenant)).collect()
    }
}
