//! How does a gateway start, run and stop?

use crate::admission::{Admission, ConnectionLimits};
use crate::authorize::Authorizer;
use crate::bridge;
use crate::budget::Budget;
use crate::canary;
use crate::config::Config;
use crate::edge::handshake::Edge;
use crate::edge::listener::{self, Way};
use crate::edge::{Bodies, Elsewhere, Replies, Sessions, Windows};
use crate::fate;
use crate::fleet::{card_writer, learn_database};
use crate::leave::operator::Wishes;
use crate::leave::{self, LeaveConfig, Leaver};
use crate::limits::Limits;
use crate::live::{self, LiveBus, Rates};
use crate::metrics::{OF_TENANTS, metrics as counted};
use crate::presence::{PresenceTask, Surroundings};
use crate::records::{Keeping, RecordWriter, Records};
use crate::relay::{Relay, Relays};
use crate::serving::Serving;
use crate::shard::{self, FrameRate, ShardConfig, Shards, StuckCursors, ToShard};
use crate::socketio::namespaces;
use crate::stream::backlog::Backlog;
use crate::stream::feed::{Feed, FeedConfig, Incoming, Streams};
use crate::stream::ring::RingLimits;
use crate::told;
use carillon_backplane::api_key;
use carillon_backplane::bus::{
    self, BusConfig, BusError, BusMode, Listener, NodeState, Nodes, PresenceStore,
};
use carillon_backplane::log::{self, GatewayRun, Log, LogConfig, LogError, Role};
use carillon_platform::ask::Asker;
use carillon_platform::auth::Verifier;
use carillon_platform::config::{RedisMode, Tenants};
use carillon_platform::descriptors;
use carillon_platform::env::ConfigError;
use carillon_platform::listen::listen;
use carillon_platform::ops::{self, Readiness, State, TenantMetrics};
use carillon_platform::outbound::{CallFault, Outbound};
use carillon_platform::shutdown::Signals;
use carillon_platform::sockets::{Places, SocketLimits};
use carillon_platform::supervisor;
use carillon_platform::telemetry::{MetricsHandle, TenantBoard, Traces};
use carillon_protocol::connection::Incarnation;
use carillon_protocol::presence::Origin;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Descriptors that are not clients' sockets: the ops port's, the database's, Redis's, files.
const OTHER_DESCRIPTORS: u64 = 256;
/// Descriptors of a client that polls beside its place: its half of the pair, its requests, and those that this node passes on for another's.
const OF_A_POLL: usize = 6;
/// Requests that one client has under way: a poll, and what it says.
const REQUESTS: usize = 2;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable has a wrong value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({variable}): {error}")]
    Listen {
        /// Which variable names it.
        variable: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Tenants' applications cannot be called at all.
    #[error("the client for tenants' URLs cannot be made: {0}")]
    Outbound(#[from] CallFault),
    /// The system refused something.
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
    serving: Serving,
    shards: Shards,
    nodes: Nodes,
    live: LiveBus,
    writer: RecordWriter,
    wishes: Wishes,
    traces: Traces,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    /// The shards are told to end; what ends after them does so rightly.
    stopping: CancellationToken,
    leave: LeaveConfig,
}

impl Node {
    /// Binds both ports and starts everything. Neither Postgres nor Redis needs to be there yet.
    pub async fn start(config: Config, metrics: MetricsHandle) -> Result<Self, StartError> {
        let (limits, socket_limits, polling) = connection_limits(&config)?;
        counted().max_connections.set(limits.node as f64);
        let verifier = Verifier::new(config.common.auth.clone())?;
        let public = bind(config.common.listen, "CARILLON_LISTEN")?;
        let announced = config.proxy_listen.map(|at| bind(at, "CARILLON_PROXY_LISTEN")).transpose()?;
        let private = bind(config.common.ops_listen, "CARILLON_OPS_LISTEN")?;
        let log = Log::connect(LogConfig {
            url: config.common.database_url.expose().to_owned(),
            role: Role::Gateway,
        })
        .map_err(database_fault)?;
        let relay = Arc::new(Relay::new(config.publisher.as_ref(), log.clone())?);
        bus::describe_metrics();
        log::describe_metrics();
        api_key::describe_metrics();
        let (fast_path, batches) = Listener::connect(&bus_config(&config)).map_err(redis_fault)?;
        let live =
            LiveBus::connect(&bus_config(&config), live::origin(&config.common.node)).map_err(redis_fault)?;
        if let Err(error) = verifier.load_keys(SystemTime::now()).await {
            tracing::warn!(%error, "the identity provider's keys are not there yet");
        }

        let common = &config.common;
        let traces = Traces::start(
            common.trace_endpoint.clone(),
            common.trace_samples,
            "carillon-gateway",
            &common.node,
        )
        .map_err(|error| StartError::System { what: "traces", error: io::Error::other(error) })?;
        let run = Arc::new(Incarnation { node: common.node.as_str().into(), number: fastrand::u32(..) });
        let (request, requests) = mpsc::unbounded_channel();
        let (happen, happened) = mpsc::unbounded_channel();
        // As many as the runtime has workers: what the machine has, or TOKIO_WORKER_THREADS in a container without a limit.
        let cores = tokio::runtime::Handle::current().metrics().num_workers().clamp(1, 64);
        let me = Origin { node: config.common.node.as_str().into(), incarnation: fastrand::u64(1..) };
        let incarnation = me.incarnation;
        let store = PresenceStore::connect(&bus_config(&config)).map_err(redis_fault)?;
        let (usage_store, run_name) = (store.limits(), me.to_string());
        let recovery = store.recovery();
        let (tenant_limits, limit_task) = Limits::new(Some(store.limits()), me.to_string());
        let records = records(&config, incarnation);
        let of_shards = shard_config(&config, run.clone(), &traces, &records, tenant_limits.clone(), cores);
        let (shards, threads) = shard::start(cores, &of_shards, &request, &live, &happen)
            .map_err(|error| StartError::System { what: "shards", error })?;
        let stop = CancellationToken::new();
        let stopping = CancellationToken::new();
        let run_of_edge = run.clone();
        let mut feed_config = feed_config(&config, run, &live, tenant_limits.clone());
        let backlog = Backlog::new(log.clone(), feed_config.replay_budget.clone());
        let bus_health = fast_path.health_changes();
        let around = Surroundings { me, store, bus: bus_health, shards: shards.clone() };
        let (presence, presence_inbox) = PresenceTask::new(around, happened);
        feed_config.presence = Some(presence_inbox);
        let (feed, streams) = Feed::new(feed_config, log.clone(), fast_path, shards.clone());
        let serving = Serving::default();
        let database = learn_database(log.clone());
        let card = card_writer(
            config.common.node.clone(),
            serving.clone(),
            shards.clone(),
            streams.clone(),
            database,
            incarnation,
            config.address_for_peers(),
        );
        let nodes = Nodes::join(&bus_config(&config), card).map_err(redis_fault)?;
        let leave = leave_config(&config);
        let wishes = Wishes::listen().map_err(|error| StartError::System { what: "signals", error })?;
        tokio::spawn(log::watch_pool(log.clone()));
        let writer = RecordWriter::start(records, log.clone(), shards.clone());
        let asker = Asker::new(Outbound::new(config.common.outbound.clone())?);
        let authorizer = Authorizer::new(verifier, streams.clone(), log.clone(), asker, tenant_limits);
        namespaces::set(config.namespaces);
        let elsewhere = Elsewhere::new(incarnation, nodes.fleet(), config.heartbeat, polling * REQUESTS)
            .map_err(|error| StartError::System { what: "peers", error: io::Error::other(error) })?;
        let edge = Arc::new(Edge {
            origins: config.origins,
            query_token: config.query_token,
            compression: config.compression,
            socketio: config.socketio,
            sessions: Sessions::new(polling),
            elsewhere,
            run: run_of_edge,
            trusted_proxies: config.trusted_proxies,
            admission: Admission::new(limits),
            authorizer: authorizer.clone(),
            replies: Replies::default(),
            bodies: Bodies::default(),
            windows: Windows::default(),
            shards: shards.clone(),
            serving: serving.clone(),
            user_timeout: config.stall_timeout + Duration::from_secs(5),
            commands: Rates::default(),
            command_rate: config.frames_per_second,
        });
        fate::spawn("feed", stopping.clone(), feed.run(batches, stop.clone()));
        fate::spawn("keys", stopping.clone(), authorizer.watch_keys(shards.clone(), stop.clone()));
        fate::spawn(
            "bridge",
            stopping.clone(),
            bridge::run(requests, shards.clone(), authorizer, backlog, relay, recovery),
        );
        let telling = told::run(usage_store, run_name, streams.clone(), stop.clone());
        fate::spawn("usage", stopping.clone(), telling);
        fate::spawn("limits", stopping.clone(), limit_task.run(nodes.fleet(), stop.clone()));
        fate::spawn("presence", stopping.clone(), presence.run(nodes.fleet(), stop.clone()));
        tracing::info!(node = config.common.node, listen = %config.common.listen, ops = %config.common.ops_listen, shards = cores, "gateway started");
        let readiness = {
            let serving = serving.clone();
            let streams = streams.clone();
            move || std::future::ready(readiness(&serving, &streams, &log))
        };
        let tenants = tenant_metrics(config.common.tenant_metrics, streams.clone());
        tokio::spawn(supervisor::tell_when_ready(readiness.clone()));
        tokio::spawn(ops::serve(private, metrics, tenants, readiness, axum::Router::new(), stop.clone()));
        let places = Places::new("public", socket_limits);
        if let Some(announced) = announced {
            let (places, edge) = (places.clone(), edge.clone());
            let work = listener::serve(announced, Way::Announced, places, edge, stop.clone());
            fate::spawn("listener", stopping.clone(), work);
        }
        let work = listener::serve(public, Way::Direct, places, edge, stop.clone());
        fate::spawn("listener", stopping.clone(), work);
        if let Some(config) = config.canary {
            tokio::spawn(canary::run(config, serving.clone()));
        }
        let leaver = Leaver::new(leave, shards.clone(), serving.clone(), nodes.fleet());
        fate::spawn("leaver", stopping.clone(), leaver.run());
        tokio::spawn(leave::report(serving.clone(), nodes.fleet()));
        Ok(Self { serving, shards, nodes, live, writer, wishes, traces, threads, stop, stopping, leave })
    }

    /// Runs until asked to stop, then has every connection leave (I8): new ones get 503, the others are told to go, paced,
    /// and closed with a code that says resume. A second signal cuts it short.
    pub async fn run(mut self, signals: &mut Signals) {
        let signal = loop {
            tokio::select! {
                signal = signals.next() => break signal,
                state = self.wishes.next() => {
                    tracing::info!(?state, connections = self.shards.load(), "an operator's wish");
                    self.serving.set(state);
                }
            }
        };
        tracing::info!(signal, connections = self.shards.load(), "draining");
        supervisor::tell_stopping();
        self.serving.set(NodeState::Draining);
        tokio::select! {
            () = leave::emptied(&self.shards, self.leave) => {}
            _ = signals.next() => {}
        }
        self.stopping.cancel();
        self.shards.send_all(|| ToShard::Stop);
        for thread in self.threads {
            // A panic would have ended the process.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        // Its last words: that those who typed here do not any more.
        self.live.close().await;
        self.writer.close().await;
        self.nodes.leave().await;
        let _ = tokio::task::spawn_blocking(move || self.traces.stop()).await;
        self.stop.cancel();
        tracing::info!("stopped");
    }
}

/// A gateway that loses Redis or Postgres still serves those who are connected, so it is degraded, not unready: taking
/// all nodes out of the balancer at once would make it worse. One that never reached Postgres serves nobody: unready, so
/// that a rollout with a wrong URL or without the schema ends at its first node.
fn readiness(serving: &Serving, streams: &Streams, log: &Log) -> Readiness {
    let mut readiness = Readiness::ready();
    let known = streams.log_health();
    if let Some((state, code, detail)) = log_fault(known.ever, known.fault.as_ref()) {
        readiness = readiness.because(state, code, detail);
    }
    if let Some(fault) = log.exhausted() {
        let detail = format!("resumes, histories or new tenants get nothing: {fault}");
        readiness = readiness.because(State::Degraded, "database_exhausted", detail);
    }
    if streams.bus_is_down() {
        readiness = readiness.because(
            State::Degraded,
            "redis",
            "Redis cannot be reached: events come from the log, later",
        );
    }
    match serving.state() {
        NodeState::Serving => readiness,
        NodeState::Evacuating => {
            readiness.because(State::Unready, "evacuating", "an operator has the node emptied")
        }
        NodeState::Draining => readiness.because(State::Unready, "draining", "the node is stopping"),
    }
}

/// What is the matter with the log, if anything: `ever` says whether it has answered this node at all.
fn log_fault(ever: bool, fault: Option<&LogError>) -> Option<(State, &'static str, String)> {
    Some(match (ever, fault) {
        (true, None) => return None,
        (false, None) => {
            (State::Unready, "starting", "Postgres has not answered: it has not been asked yet".into())
        }
        // Nobody who comes in could be served, on no node: somebody has to change something between here and Postgres.
        (_, Some(fault @ LogError::Session(_))) => (State::Unready, "database_session", fault.to_string()),
        (true, Some(LogError::Unwritable(why, detail))) => {
            (State::Degraded, why.code(), format!("{why}: resumes and new tenants wait ({detail})"))
        }
        (false, Some(LogError::Unwritable(why, detail))) => {
            (State::Unready, why.code(), format!("Postgres has not answered: {why} ({detail})"))
        }
        (true, Some(fault)) => {
            let detail = format!("Postgres cannot be reached: resumes and new tenants wait ({fault})");
            (State::Degraded, "database", detail)
        }
        (false, Some(fault)) => (State::Unready, "starting", format!("Postgres has not answered: {fault}")),
    })
}

/// The text of `/metrics/tenants`.
fn tenant_metrics(places: usize, streams: Streams) -> TenantMetrics {
    let board = Arc::new(Mutex::new(TenantBoard::new(OF_TENANTS, places)));
    Arc::new(move || {
        let (board, streams) = (board.clone(), streams.clone());
        Box::pin(async move {
            let usage = streams.usage().await;
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            board.read(usage);
            board.render()
        })
    })
}

/// The limits of connections and of sockets, and how many clients of Socket.IO may poll.
fn connection_limits(config: &Config) -> Result<(ConnectionLimits, SocketLimits, usize), StartError> {
    let descriptors =
        descriptors::raise().map_err(|error| StartError::System { what: "RLIMIT_NOFILE", error })?;
    if let Some(wanted) = config.max_connections {
        descriptors::require(Config::MAX_CONNECTIONS, u64::from(wanted) + OTHER_DESCRIPTORS, descriptors)?;
    }
    let possible = descriptors.saturating_sub(OTHER_DESCRIPTORS) as usize;
    let wanted = config.max_connections.map(|wanted| wanted as usize);
    let polling = if config.socketio { most_polling(possible, wanted) } else { 0 };
    let (node, sockets) = SocketLimits::divide(possible.saturating_sub(polling * OF_A_POLL), wanted);
    let limits = ConnectionLimits {
        node,
        per_second: config.handshakes_per_second,
        per_address: config.max_per_ip as usize,
        per_user: config.max_per_user as usize,
    };
    Ok((limits, sockets, polling))
}

/// How many may poll: each costs descriptors beside its place.
fn most_polling(possible: usize, wanted: Option<usize>) -> usize {
    let share = wanted.map_or(possible / 24, |wanted| possible.saturating_sub(wanted) / (OF_A_POLL + 1));
    share.min(wanted.map_or(share, |wanted| wanted / 4)).max(16)
}

fn bind(address: std::net::SocketAddr, variable: &'static str) -> Result<TcpListener, StartError> {
    listen(address).map_err(|error| StartError::Listen { variable, address, error })
}

/// What is stored about clients.
fn records(config: &Config, incarnation: u64) -> Records {
    let run = GatewayRun { node: config.common.node.clone(), number: incarnation };
    let keeping = config.sessions.then(|| Arc::new(Keeping::new(run, config.session_addresses)));
    Records { keeping, ..Records::default() }
}

fn shard_config(
    config: &Config,
    run: Arc<Incarnation>,
    traces: &Traces,
    records: &Records,
    limits: Limits,
    shards: usize,
) -> ShardConfig {
    ShardConfig {
        run,
        heartbeat_ms: config.heartbeat.as_millis() as u64,
        stall_ms: config.stall_timeout.as_millis() as u64,
        shards,
        frame_rate: FrameRate { per_second: config.frames_per_second },
        traces: traces.clone(),
        stuck: StuckCursors::default(),
        rates: Rates::default(),
        limits,
        relays: Relays::default(),
        records: records.clone(),
    }
}

fn leave_config(config: &Config) -> LeaveConfig {
    LeaveConfig {
        delay: config.drain_delay,
        window: config.drain,
        most_per_second: config.drain_rate,
        rebalance_percent: config.rebalance_percent,
    }
}

fn feed_config(config: &Config, run: Arc<Incarnation>, live: &LiveBus, limits: Limits) -> FeedConfig {
    FeedConfig {
        run,
        ring: RingLimits { events: config.ring_events as usize, bytes: config.ring_bytes },
        ring_budget: Budget::new(config.ring_budget_bytes),
        replay_budget: Budget::new(config.replay_budget_bytes),
        live: Incoming { origin: live.origin.clone(), budget: live.budget.clone() },
        head_watch: config.head_watch,
        create_tenants: config.common.tenants == Tenants::Auto,
        limits,
        presence: None,
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
