//! How does a gateway start, run and stop?

use crate::admission::{Admission, ConnectionLimits};
use crate::budget::Budget;
use crate::config::Config;
use crate::desk;
use crate::edge::handshake::Edge;
use crate::edge::listener;
use crate::entrance::Doorman;
use crate::shard::{self, FrameRate, ShardConfig, Shards, ToShard};
use crate::stream::backlog::Backlog;
use crate::stream::feed::{Feed, FeedConfig, Streams};
use crate::stream::ring::RingLimits;
use carillon_backplane::bus::{self, BusConfig, BusError, BusMode, Listener};
use carillon_backplane::log::{self, Log, LogConfig, LogError, Role};
use carillon_platform::auth::Verifier;
use carillon_platform::config::{RedisMode, Tenants};
use carillon_platform::descriptors;
use carillon_platform::env::ConfigError;
use carillon_platform::listen::listen;
use carillon_platform::ops::{self, Readiness, State};
use carillon_platform::shutdown::Signals;
use carillon_platform::telemetry::MetricsHandle;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Database connections: resumes, repairs, the head watch.
const DATABASE_CONNECTIONS: usize = 8;
/// Descriptors that are not clients' sockets.
const OTHER_DESCRIPTORS: u64 = 256;
/// How long after the last departure sockets may still close.
const AFTER_DRAIN: Duration = Duration::from_secs(3);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable has a wrong value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refused something, for example an address.
    #[error("{what}: {error}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// A gateway that runs.
pub struct Node {
    edge: Arc<Edge>,
    shards: Shards,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    drain: Duration,
}

impl Node {
    /// Binds both ports and starts everything. Neither Postgres nor Redis needs to be there yet.
    pub async fn start(config: Config, metrics: MetricsHandle) -> Result<Self, StartError> {
        let limits = connection_limits(&config)?;
        let verifier = Verifier::new(config.common.auth.clone())?;
        let public = bind(config.common.listen, "CARILLON_LISTEN")?;
        let private = bind(config.common.ops_listen, "CARILLON_OPS_LISTEN")?;
        let log = Log::connect(LogConfig {
            url: config.common.database_url.expose().to_owned(),
            role: Role::Gateway,
            pool_size: DATABASE_CONNECTIONS,
        })
        .map_err(database_fault)?;
        bus::describe_metrics();
        log::describe_metrics();
        let (fast_path, batches) = Listener::connect(&bus_config(&config)).map_err(redis_fault)?;
        if let Err(error) = verifier.load_keys(SystemTime::now()).await {
            tracing::warn!(%error, "the identity provider's keys are not there yet");
        }

        let (errand, errands) = mpsc::unbounded_channel();
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(64);
        let (shards, threads) = shard::start(cores, &shard_config(&config), &errand)
            .map_err(|error| StartError::System { what: "shards", error })?;
        let stop = CancellationToken::new();
        let feed_config = feed_config(&config);
        let backlog = Backlog::new(log.clone(), feed_config.replay_budget.clone());
        let (feed, streams) = Feed::new(feed_config, log.clone(), fast_path, shards.clone());
        let doorman = Doorman::new(verifier, streams.clone(), log);
        let edge = Arc::new(Edge {
            origins: config.origins,
            query_token: config.query_token,
            compression: config.compression,
            trusted_proxies: config.trusted_proxies,
            admission: Admission::new(limits),
            doorman: doorman.clone(),
            shards: shards.clone(),
            draining: AtomicBool::new(false),
            user_timeout: config.stall_timeout + Duration::from_secs(5),
        });
        tokio::spawn(feed.run(batches, stop.clone()));
        tokio::spawn(desk::run(errands, shards.clone(), doorman, backlog));
        tracing::info!(node = config.common.node, listen = %config.common.listen, ops = %config.common.ops_listen, shards = cores, "gateway started");
        let readiness = {
            let edge = edge.clone();
            move || std::future::ready(readiness(&edge, &streams))
        };
        tokio::spawn(ops::serve(private, metrics, readiness, stop.clone()));
        tokio::spawn(listener::serve(public, edge.clone(), stop.clone()));
        Ok(Self { edge, shards, threads, stop, drain: config.drain })
    }

    /// Runs until asked to stop, then has every connection leave (I8): new ones get 503, the others are told to go
    /// over the drain time and closed with a code that says resume. A second signal cuts it short.
    pub async fn run(self, signals: &mut Signals) {
        let signal = signals.next().await;
        tracing::info!(signal, connections = self.shards.load(), "draining");
        self.edge.draining.store(true, Ordering::Relaxed);
        self.shards.send_all(|| ToShard::Drain(self.drain));
        let deadline = Instant::now() + self.drain + AFTER_DRAIN;
        while self.shards.load() > 0 && Instant::now() < deadline {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
                _ = signals.next() => break,
            }
        }
        self.shards.send_all(|| ToShard::Stop);
        for thread in self.threads {
            // A panic would have ended the process.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.stop.cancel();
        tracing::info!("stopped");
    }
}

/// A gateway without Redis or Postgres still serves those who are connected, so it is degraded, not unready: taking
/// all nodes out of the balancer at once would make it worse.
fn readiness(edge: &Edge, streams: &Streams) -> Readiness {
    let mut readiness = Readiness::ready();
    if streams.database_is_down() {
        readiness = readiness.because(
            State::Degraded,
            "database",
            "Postgres cannot be reached: resumes and new tenants wait",
        );
    }
    if streams.bus_is_down() {
        readiness = readiness.because(
            State::Degraded,
            "redis",
            "Redis cannot be reached: events come from the log, later",
        );
    }
    if edge.draining.load(Ordering::Relaxed) {
        readiness = readiness.because(State::Unready, "draining", "the node is stopping");
    }
    readiness
}

fn connection_limits(config: &Config) -> Result<ConnectionLimits, StartError> {
    let descriptors =
        descriptors::raise().map_err(|error| StartError::System { what: "RLIMIT_NOFILE", error })?;
    if let Some(wanted) = config.max_connections {
        descriptors::require(Config::MAX_CONNECTIONS, u64::from(wanted) + OTHER_DESCRIPTORS, descriptors)?;
    }
    let possible = descriptors.saturating_sub(OTHER_DESCRIPTORS).max(1) as usize;
    Ok(ConnectionLimits {
        node: config.max_connections.map_or(possible, |wanted| wanted as usize),
        per_address: config.max_per_ip as usize,
        per_user: config.max_per_user as usize,
    })
}

fn bind(address: std::net::SocketAddr, variable: &'static str) -> Result<TcpListener, StartError> {
    listen(address).map_err(|error| StartError::System { what: variable, error })
}

fn shard_config(config: &Config) -> ShardConfig {
    ShardConfig {
        node: config.common.node.as_str().into(),
        heartbeat_ms: config.heartbeat.as_millis() as u64,
        stall_ms: config.stall_timeout.as_millis() as u64,
        frame_rate: FrameRate { per_second: config.frames_per_second },
    }
}

fn feed_config(config: &Config) -> FeedConfig {
    FeedConfig {
        ring: RingLimits { events: config.ring_events as usize, bytes: config.ring_bytes },
        ring_budget: Budget::new(config.ring_budget_bytes),
        replay_budget: Budget::new(config.replay_budget_bytes),
        head_watch: config.head_watch,
        create_tenants: config.common.tenants == Tenants::Auto,
    }
}

fn bus_config(config: &Config) -> BusConfig {
    let mode = match config.common.redis_mode {
        RedisMode::Standalone => BusMode::Standalone,
        RedisMode::Sentinel => BusMode::Sentinel,
        RedisMode::Cluster => BusMode::Cluster,
    };
    BusConfig::new(config.common.redis_url.expose(), mode, &config.common.redis_prefix)
}

fn database_fault(error: LogError) -> StartError {
    ConfigError::new("DATABASE_URL", error.to_string(), "a Postgres URL").into()
}

fn redis_fault(error: BusError) -> StartError {
    ConfigError::new("REDIS_URL", error.to_string(), "a Redis URL that fits CARILLON_REDIS_MODE").into()
}
