//! How does a gateway get announcements?

use super::BusError;
use super::config::BusConfig;
use super::drain::{Drain, Traffic};
use super::fred::Dialer;
use super::health::{BusHealth, HealthCell};
use super::inbox::{BusEvents, inbox};
use super::metrics::ListenerMetrics;
use super::name::Names;
use super::session::{Supervisor, Wishes};
use super::wanted::Want;
use carillon_protocol::ident::TenantId;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The gateway's side of the bus. Share it by reference or `Arc`; dropping it ends its connections and threads, and
/// [`BusEvents::recv`] then returns `None`.
pub struct Listener {
    wishes: Arc<Wishes>,
    metrics: Arc<ListenerMetrics>,
    health: watch::Receiver<BusHealth>,
    /// Dropped last of all: the threads see it.
    _stop: watch::Sender<()>,
}

impl Listener {
    /// Starts listening. Returns at once, whether Redis is there or not; the health tells. Needs no runtime: the
    /// connection and the reader of its messages have a thread each, so neither can delay the other, nor be delayed by
    /// a busy gateway.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without threads.
    pub fn connect(config: &BusConfig) -> Result<(Self, BusEvents), BusError> {
        let dialer = Dialer::new(config)?;
        let metrics = Arc::new(ListenerMetrics::new());
        let names = Names::new(&config.prefix, &uuid::Uuid::new_v4().simple().to_string());
        let (inbox, events) = inbox(config.queue_messages, config.queue_bytes, Arc::clone(&metrics));
        let (inbox, traffic, wishes) = (Arc::new(inbox), Arc::<Traffic>::default(), Arc::<Wishes>::default());
        let health = HealthCell::new("listener", metrics.up.clone());
        let health_changes = health.watch();
        let (stop, stopped) = watch::channel(());
        let (links, new_links) = mpsc::channel(1);
        let drain = Drain {
            names: names.clone(),
            inbox: Arc::clone(&inbox),
            traffic: Arc::clone(&traffic),
            metrics: Arc::clone(&metrics),
        };
        let timing = config.timing;
        let (shared, session_wishes) = (Arc::clone(&wishes), wishes);
        let supervisor =
            Supervisor { dialer, names, timing, wishes: session_wishes, inbox, traffic, health, links };
        super::spawn_thread("bus-drain", drain.run(new_links))?;
        super::spawn_thread("bus-listen", supervisor.run(stopped))?;
        Ok((Self { wishes: shared, metrics, health: health_changes, _stop: stop }, events))
    }

    /// Wants announcements of this tenant from now on; resolves when Redis has confirmed it. Wanting a tenant twice is
    /// wanting it once. Costs one round trip, shared by all who call at the same time.
    ///
    /// # Errors
    /// [`BusError::Down`] when the link is down or goes down meanwhile, within about two seconds at the latest. The wish
    /// stays: the tenant is subscribed as soon as Redis is back, and [`super::BusEvent::Interrupted`] tells when.
    pub async fn subscribe(&self, tenant: &TenantId) -> Result<(), BusError> {
        let want = {
            let mut wanted = self.wishes.lock();
            let want = wanted.want(tenant);
            self.metrics.subscriptions.set(wanted.len() as f64);
            want
        };
        match want {
            Want::Confirmed => Ok(()),
            Want::Down => Err(BusError::Down),
            Want::Wait(confirmed) => {
                self.wishes.notify();
                confirmed.await.map_err(|_| BusError::Down)
            }
        }
    }

    /// Wants no more announcements of this tenant. Some may still come; a [`Listener::subscribe`] that still waits fails.
    pub fn unsubscribe(&self, tenant: &TenantId) {
        let mut wanted = self.wishes.lock();
        let tell = wanted.unwant(tenant);
        self.metrics.subscriptions.set(wanted.len() as f64);
        drop(wanted);
        if tell {
            self.wishes.notify();
        }
    }

    /// Whether announcements of every wanted tenant flow. Cheap.
    pub fn health(&self) -> BusHealth {
        *self.health.borrow()
    }

    /// Follows the health.
    pub fn health_changes(&self) -> watch::Receiver<BusHealth> {
        self.health.clone()
    }
}
