//! How does a process run that only reads the logs in the background?
//!
//! `carillon-publisher work`: the projectors, webhooks and escalations of `serve`, with an ops port and no public one. It needs the database and
//! nothing else: no Redis, no keys of user tokens. Any number of such processes and of publishers share the slots.

use crate::config::WorkConfig;
use crate::escalations;
use crate::health::Health;
use crate::projector::{self, Projectors};
use crate::readiness;
use crate::serve::{ServeError, bind, connect_log};
use crate::usage::Usage;
use crate::webhooks::{self, Hint, Webhooks};
use crate::worker::{self, Activation, Driver};
use carillon_backplane::log::{self, Log};
use carillon_platform::ops::Readiness;
use carillon_platform::outbound::{Outbound, OutboundConfig};
use carillon_platform::shutdown::Signals;
use carillon_platform::telemetry;
use carillon_platform::{ops, supervisor};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The readers of the log of this process.
pub(crate) struct Readers {
    projectors: Projectors,
    webhooks: Webhooks,
}

impl Readers {
    /// Starts them. `hint` is told when this process has made a log grow.
    pub(crate) fn start(
        driver: &Driver,
        log: &Log,
        node: &str,
        outbound: OutboundConfig,
        hint: Hint,
    ) -> Result<Self, ServeError> {
        let worker = format!("{node}/{}", Uuid::new_v4());
        let projectors = projector::start(driver, log, worker.clone());
        escalations::start(driver, log, hint.clone());
        let webhooks = webhooks::start(driver, log, Outbound::new(outbound)?, worker, hint);
        Ok(Self { projectors, webhooks })
    }

    /// Gives everything up, so that others need not wait for leases to end. The driver has stopped.
    pub(crate) async fn release(&self) {
        tokio::join!(self.projectors.release(), self.webhooks.stop());
    }
}

/// Runs until the process is asked to stop. Logging has begun.
pub async fn work(config: WorkConfig) -> Result<(), ServeError> {
    let WorkConfig { node, ops_listen, database_url, outbound, .. } = config;
    let scrape = telemetry::install("publisher", env!("CARGO_PKG_VERSION"))?;
    log::describe_metrics();
    let mut signals = Signals::listen()?;
    let (leaving, closing) = <(CancellationToken, CancellationToken)>::default();
    let log = connect_log(&database_url)?;
    let health = Health::new(log.clone(), Activation::default(), closing.clone());
    tokio::spawn(log::watch_pool(log.clone()));
    let ops_listener = bind(ops_listen)?;
    tracing::info!(node, ops = %ops_listener.local_addr()?, "working");
    let ready = {
        let leaving = leaving.clone();
        move || ready(health.clone(), leaving.clone())
    };
    tokio::spawn(supervisor::tell_when_ready(ready.clone()));
    let driver = Driver::default();
    let readers = Readers::start(&driver, &log, &node, outbound, Hint::default())?;
    let pages = worker::page(driver.statuses());
    let ops = tokio::spawn(ops::serve(
        ops_listener,
        scrape,
        Usage::default().metrics(0),
        ready,
        pages,
        closing.clone(),
    ));

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    supervisor::tell_stopping();
    leaving.cancel();
    driver.stop().await;
    readers.release().await;
    closing.cancel();
    // A probe that is still being answered may not hold up the end.
    let _ = ops.await;
    tracing::info!("stopped");
    Ok(())
}

async fn ready(health: Health, leaving: CancellationToken) -> Readiness {
    readiness::of_log(&health, &leaving).await
}
