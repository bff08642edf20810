//! How does the service start, run and stop?
//!
//! The stop begins with time for balancers to notice: unready, but at work, and every answer is the last one on its
//! connection. Then it goes the way of an event: no new connections, requests under way finish, their batches commit,
//! what was committed is announced, and last the ops port closes, so that probes and scrapes see all of it.

use crate::access::Gate;
use crate::batcher::Batcher;
use crate::batcher::announce::Announce;
use crate::config::Config;
use crate::health::Health;
use crate::http::{App, BodyBudget, Parsing, Reads, Trials, router};
use crate::inbox::{InboxNews, SendLive};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbox::{self, Listening, Mover};
use crate::presence::Presence;
use crate::rates::Rates;
use crate::rules::{Rules, Tell};
use crate::stats::StatsReader;
use crate::stats_feed::Feed;
use crate::subsystems::Subsystems;
use crate::tenants::Tenants;
use crate::types::Types;
use crate::usage::Usage;
use crate::webhooks::Hint;
use crate::work::Readers;
use crate::worker::{self, Activation, Driver};
use crate::{maintenance, projector, readiness};
use carillon_backplane::api_key;
use carillon_backplane::bus::{Announcer, BusConfig, BusError, BusMode, NodesWatch, PresenceReader};
use carillon_backplane::log::{self, Log, LogConfig, LogError, Role};
use carillon_platform::ask::Asker;
use carillon_platform::auth::Verifier;
use carillon_platform::config::{Common, RedisMode};
use carillon_platform::env::{ConfigError, Secret};
use carillon_platform::listen::listen;
use carillon_platform::outbound::{CallFault, Outbound};
use carillon_platform::shutdown::Signals;
use carillon_platform::sockets::{Places, Server, SocketLimits};
use carillon_platform::telemetry::{self, TelemetryError, Traces};
use carillon_platform::{descriptors, ops, supervisor};
use carillon_protocol::envelope;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Most connections at a time, fewer where descriptors do not suffice.
const CONNECTIONS: usize = 8_192;
/// Of these one in so many may be unproven.
const UNPROVEN: usize = 8;
/// Descriptors that are not clients' sockets: the ops port's, the database's, Redis's, files.
const OTHER_DESCRIPTORS: u64 = 256;
/// Longest time the last batches may take after the last request.
const LAST_BATCHES: Duration = Duration::from_secs(5);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting that only shows to be wrong when it is used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `DATABASE_URL` cannot be used.
    #[error("DATABASE_URL cannot be used: {0}")]
    Database(#[from] LogError),
    /// `REDIS_URL` cannot be used.
    #[error("REDIS_URL cannot be used: {0}")]
    Redis(#[from] BusError),
    /// Tenants' applications cannot be called at all.
    #[error("the client for tenants' URLs cannot be made: {0}")]
    Outbound(#[from] CallFault),
    /// Logging or metrics cannot start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The operating system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Runs until the process is asked to stop. Logging has begun.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let Config {
        common,
        origins,
        retention_days,
        archive,
        latest_days,
        revocation_days,
        device_days,
        session_days,
        activity_days,
        analytics_days,
        projectors,
        outbox: listening,
        notice_days,
        drain_delay,
        drain,
    } = config;
    let scrape = telemetry::install("publisher", env!("CARGO_PKG_VERSION"))?;
    carillon_backplane::bus::describe_metrics();
    log::describe_metrics();
    api_key::describe_metrics();
    let mut signals = Signals::listen()?;
    let descriptors = descriptors::raise()?;

    let (leaving, stopping, closing) = <(CancellationToken, CancellationToken, CancellationToken)>::default();
    let (log, announcer) = (connect_log(&common.database_url)?, Announcer::connect(&bus(&common))?);
    let presence = PresenceReader::connect(&bus(&common))?;
    let nodes = NodesWatch::connect(&bus(&common))?;
    let stats = {
        let nodes = nodes.clone();
        StatsReader::new(presence.limits(), move || nodes.now())
    };
    let me = format!("{} {}", common.node, Uuid::new_v4().simple());
    let limits = Limits::new(Some(presence.limits()), me.clone());
    let inbox_news = InboxNews::new(&common.node, Uuid::new_v4().as_u64_pair().0, live(&announcer));
    let watching = nodes.clone();
    let feed = Feed {
        stats: StatsReader::new(presence.limits(), move || watching.now()),
        store: presence.limits(),
        news: inbox_news.clone(),
        me,
    };
    tokio::spawn(feed.run(leaving.clone()));
    let metrics = Arc::new(Metrics::new());
    let partitions = Activation::default();
    let health = Health::new(log.clone(), partitions.clone(), closing.clone());
    let traces = Traces::start(
        common.trace_endpoint.clone(),
        common.trace_samples,
        "carillon-publisher",
        &common.node,
    )?;
    let usage = Usage::default();
    let tenants = usage.metrics(common.tenant_metrics);
    let hint = Hint::default();
    let announce = via(&announcer, usage, hint.clone());
    let batcher = Batcher::start(log.clone(), health.clone(), announce.clone(), metrics.clone(), &traces);
    let types = Arc::new(Types::new(log.clone(), health.clone(), metrics.clone()));
    tokio::spawn(types.clone().follow());
    let mover = Mover::new(outbox::Parts {
        log: log.clone(),
        health: health.clone(),
        types: types.clone(),
        tenants: Tenants::new(log.clone(), health.clone(), common.tenants),
        limits: limits.clone(),
        announce,
        metrics: metrics.clone(),
    });
    limits.begin(&log).await;
    tokio::spawn(limits.clone().follow(log.clone(), health.clone()));
    tokio::spawn(log::watch_pool(log.clone()));
    let verifier = Verifier::new(common.auth)?;
    if let Err(error) = verifier.load_keys(SystemTime::now()).await {
        tracing::warn!(%error, "user tokens are refused until the keys can be fetched");
    }
    let watched = nodes.clone();
    let subsystems = {
        let (announcer, parts) = (announcer.clone(), (log.clone(), health.clone(), metrics.clone()));
        let redis = move || announcer.health();
        Subsystems::new(parts, projector::names(), retention_days, redis, move || nodes.now())
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let app = App {
        log: log.clone(),
        intake: batcher.intake(),
        gate: Gate::new(verifier, log.clone(), health.clone()),
        tenants: Tenants::new(log.clone(), health.clone(), common.tenants),
        rules: Rules::new(log.clone(), health.clone(), tell(&announcer)),
        presence: Presence::new(presence, metrics.clone()),
        types,
        limits: limits.clone(),
        stats,
        rates: Rates::default(),
        asker: Asker::new(Outbound::new(common.outbound.clone())?),
        hint: hint.clone(),
        trials: Trials::default(),
        health: health.clone(),
        subsystems,
        bodies: BodyBudget::default(),
        inbox_news,
        reads: Reads::new(metrics.clone()),
        revocations_last: Duration::from_secs(u64::from(revocation_days) * 86_400),
        parsing: Parsing::new(processors, metrics.clone())?,
        metrics,
        traces: traces.clone(),
        origins,
        leaving: leaving.clone(),
    };
    let places = Places::new("public", socket_limits(descriptors));
    let server = Server::new(bind(common.listen)?, places, router(Arc::new(app)));
    let ops_listener = bind(common.ops_listen)?;
    tracing::info!(node = common.node, listen = %server.address()?, ops = %ops_listener.local_addr()?, "serving");

    let ready = {
        let (health, announcer, leaving) = (health.clone(), announcer.clone(), leaving.clone());
        move || readiness::check(health.clone(), announcer.clone(), leaving.clone())
    };
    tokio::spawn(supervisor::tell_when_ready(ready.clone()));
    let driver = Driver::default();
    maintenance::today(&log).await;
    let ages = maintenance::Ages {
        retention_days,
        latest_days,
        device_days,
        session_days,
        activity_days,
        analytics_days,
        notice_days,
    };
    maintenance::start(&driver, &log, (&common.node, watched), ages, (partitions, archive));
    let moving = TaskTracker::new();
    if listening != Listening::Off {
        moving.spawn(mover.run(listening, leaving.clone()));
    }
    moving.close();
    let readers = match projectors {
        true => Some(Readers::start(&driver, &log, &common.node, common.outbound, hint)?),
        false => None,
    };
    let pages = worker::page(driver.statuses());
    let ops = tokio::spawn(ops::serve(ops_listener, scrape, tenants, ready, pages, closing.clone()));
    let serving = tokio::spawn(server.run(stopping.clone(), drain));

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    supervisor::tell_stopping();
    leaving.cancel();
    let served = async {
        tokio::time::sleep(drain_delay).await;
        stopping.cancel();
        serving.await
    };
    let unfinished = tokio::select! {
        cut = served => cut.unwrap_or(0),
        signal = signals.next() => {
            tracing::warn!(signal, "stopping at once");
            0
        }
    };
    let committed = batcher.stop(LAST_BATCHES).await;
    let _ = tokio::time::timeout(LAST_BATCHES, moving.wait()).await;
    driver.stop().await;
    if let Some(readers) = readers {
        readers.release().await;
    }
    announcer.close().await;
    closing.cancel();
    // A probe that is still being answered may not hold up the end.
    let _ = ops.await;
    let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
    tracing::info!(unfinished_connections = unfinished, all_batches_ended = committed, "stopped");
    Ok(())
}

fn socket_limits(descriptors: u64) -> SocketLimits {
    let possible = usize::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(usize::MAX);
    let total = possible.clamp(UNPROVEN, CONNECTIONS);
    SocketLimits { total, unproven: total / UNPROVEN }
}

pub(crate) fn connect_log(url: &Secret) -> Result<Log, LogError> {
    Log::connect(LogConfig { url: url.expose().to_owned(), role: Role::Publisher })
}

fn bus(common: &Common) -> BusConfig {
    let mode = match common.redis_mode {
        RedisMode::Standalone => BusMode::Standalone,
        RedisMode::Sentinel => BusMode::Sentinel,
        RedisMode::Cluster => BusMode::Cluster,
    };
    BusConfig::new(common.redis_url.expose(), mode, &common.redis_prefix)
}

fn via(announcer: &Announcer, usage: Usage, hint: Hint) -> Announce {
    let announcer = announcer.clone();
    Arc::new(move |batch| {
        usage.stored(&batch);
        hint.log_has_grown();
        announcer.announce(&batch.tenant, envelope::encode(&batch));
    })
}

/// Tells gateways that a tenant's settings have changed.
fn tell(announcer: &Announcer) -> Tell {
    let announcer = announcer.clone();
    Arc::new(move |tenant| {
        announcer.announce(tenant, envelope::encode_settings(tenant));
    })
}

/// Takes what only those get who are connected now to the gateways.
fn live(announcer: &Announcer) -> SendLive {
    let announcer = announcer.clone();
    Arc::new(move |tenant, envelope| {
        announcer.announce(tenant, envelope);
    })
}

pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    listen(address).map_err(|error| ServeError::Listen(address, error))
}
