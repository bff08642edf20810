//! How is Redis spoken to? The only file that imports the client library.
//!
//! fred (10.1.0, 2025-02) has traps, each closed here or by the way we use it:
//!
//! - **Its reconnecting is off.** A fred client lives as long as its first connection; whatever goes wrong ends the
//!   [`Link`] and its user dials a new one. So nothing is replayed, no subscription is forgotten half-way, no router
//!   task is dead without our knowing ([`LinkEnd`]), and "confirmed" always means "on this connection".
//! - `subscribe()` resolves before it is even written, and its answer, good or bad, is thrown away; a refusal takes the
//!   answer slot of the next command, if one is under way, and every later answer is one off. So each batch goes out in
//!   one piece with a PING that has a token of its own: the token comes back only if everything before it was accepted.
//! - `ssubscribe()` with several channels gets several answers for one command, also shifting all later ones. So each
//!   channel has its own command, and the channel named in the answer is compared.
//! - When a cluster slot moves away Redis says so with a push that fred drops. So sharded subscriptions are audited by
//!   subscribing again, and any change of topology ends the link.
//! - Messages go through one broadcast channel of capacity 32 and `on_message` ends silently on the first lag. We ask
//!   for [`BACKLOG`] and read it in `drain.rs`, which reports lag.
//! - A frozen server is noticed only while nobody writes: every write moves fred's own deadline. PING with a deadline
//!   of ours decides (`pulse.rs`); fred's is kept as a second line.
//! - The router stands still while a socket takes no bytes: TCP_USER_TIMEOUT ends that.
//! - It logs in with an inline command (`HELLO 3 AUTH name password`), where a space ends a word and a quote begins one:
//!   so the name and the password are given to it as such a line allows ([`word`]). Sentinels get theirs in an array.
//! - One broken root certificate on the host fails its TLS set-up: the configuration is ours.

use super::BusError;
use super::config::{BusConfig, BusMode, CheckedUrl};
use super::health::{DownCause, Failure};
use crate::tls::Wanted;
use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, TcpConfig, TlsConfig, TlsConnector, UnresponsiveConfig,
};
use fred::types::{ClusterHash, ClusterStateChange, CustomCommand, Message, RespVersion, Value};
use futures_util::future::try_join_all;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::{JoinError, JoinHandle};

/// Messages fred may be ahead of our reader. Measured: 8,192 loses none at 0.9 M/s with a reader of its own thread.
const BACKLOG: usize = 16_384;
/// Commands that wait for fred's router; more are refused. Above everything our own windows let through.
const COMMANDS: usize = 4_096;
/// `SSUBSCRIBE` commands under way at once.
const SHARDED_WINDOW: usize = 64;

/// Makes connections to one configured Redis.
pub(super) struct Dialer {
    config: Config,
    connection: ConnectionConfig,
    patience: Duration,
    answer: Duration,
    sharded: bool,
}

/// Whether a link will be asked for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Subscribe,
    Publish,
}

impl Dialer {
    pub(super) fn new(bus: &BusConfig) -> Result<Self, BusError> {
        let CheckedUrl { plain, tls } = bus.check()?;
        // fred's own messages may quote parts of the URL: they are not passed on.
        let (parsed, form) = match bus.mode {
            BusMode::Standalone => {
                (Config::from_url_centralized(&plain), "redis://[[user:]password@]host[:port]")
            }
            BusMode::Sentinel => (
                Config::from_url_sentinel(&plain),
                "redis://[[user:]password@]host[:port]?sentinelServiceName=name[&sentinelUsername=…][&sentinelPassword=…][&node=host:port]",
            ),
            BusMode::Cluster => {
                (Config::from_url_clustered(&plain), "redis://[[user:]password@]host[:port][?node=host:port]")
            }
        };
        let mut config = parsed.map_err(|_| BusError::Config(format!("the redis url must be {form}")))?;
        config.username = config.username.as_deref().map(word);
        config.password = config.password.as_deref().map(word);
        config.version = RespVersion::RESP3;
        config.database = None;
        config.fail_fast = true;
        config.tls = if tls { Some(tls_config()?) } else { None };
        let timing = &bus.timing;
        let connection = ConnectionConfig {
            connection_timeout: timing.connect,
            internal_command_timeout: timing.login,
            max_command_attempts: 1,
            max_command_buffer_len: COMMANDS,
            disable_cluster_health_check: true,
            reconnect_on_auth_error: true,
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(timing.answer + timing.ping),
                interval: (timing.answer / 3).max(Duration::from_millis(10)),
            },
            tcp: TcpConfig {
                nodelay: Some(true),
                user_timeout: Some(timing.answer + timing.ping),
                ..TcpConfig::default()
            },
            ..ConnectionConfig::default()
        };
        let sharded = bus.mode == BusMode::Cluster;
        let patience = timing.connect + timing.login;
        Ok(Self { config, connection, patience, answer: timing.answer, sharded })
    }

    /// Whether subscriptions are sharded, that is, whether Redis is a cluster.
    pub(super) fn sharded(&self) -> bool {
        self.sharded
    }

    /// Connects and logs in. Must be called on the runtime that shall drive the connection, a `current_thread` one.
    pub(super) async fn dial(&self, purpose: Purpose) -> Result<(Link, LinkEnd), Failure> {
        let performance = PerformanceConfig {
            // A PING or PUBLISH that is answered later than this is of no use to anybody.
            default_command_timeout: self.answer * 2,
            // Each of fred's eight event channels gets this size, so only who reads pays for it.
            broadcast_channel_capacity: if purpose == Purpose::Subscribe { BACKLOG } else { 32 },
            ..PerformanceConfig::default()
        };
        let client = Client::new(self.config.clone(), Some(performance), Some(self.connection.clone()), None);
        // Not `init()`: were its future dropped half-way, the router would go on without an owner.
        let mut router = Router(client.connect());
        tokio::select! {
            biased;
            ended = &mut router.0 => return Err(ended_with(ended, DownCause::Unreachable)),
            result = client.wait_for_connect() => {
                result.map_err(|error| failure(&error, DownCause::Unreachable))?;
            }
            () = tokio::time::sleep(self.patience) => {
                return Err(Failure::new(DownCause::Unreachable, "no connection in time"));
            }
        }
        let topology = client.cluster_change_rx();
        let link = Link { client, sharded: self.sharded, tokens: Arc::default() };
        Ok((link, LinkEnd { router, topology }))
    }
}

/// A text as one word of an inline command (sdssplitargs in Redis's sds.c).
fn word(text: &str) -> String {
    let mut word = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            c if c.is_ascii_control() => word.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => word.push(c),
        }
    }
    word.push('"');
    word
}

/// fred's task for one client. Aborting it closes the sockets.
struct Router(JoinHandle<Result<(), Error>>);

impl Drop for Router {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Owns the connection of a [`Link`]: dropping it closes the sockets and fails what is under way.
pub(super) struct LinkEnd {
    router: Router,
    topology: broadcast::Receiver<Vec<ClusterStateChange>>,
}

impl LinkEnd {
    /// Resolves when the link cannot be used any more.
    pub(super) async fn wait(&mut self) -> Failure {
        tokio::select! {
            ended = &mut self.router.0 => ended_with(ended, DownCause::Closed),
            // That this receiver lags or ends means the same to us: make a new link.
            _ = self.topology.recv() => Failure::new(DownCause::Moved, "the cluster's topology changed"),
        }
    }
}

/// Commands on one connection (to a cluster: one connection for each node), from its making to its first trouble.
#[derive(Clone)]
pub(super) struct Link {
    client: Client,
    sharded: bool,
    /// Numbers PINGs, so that an answer can be told from another command's.
    tokens: Arc<AtomicU64>,
}

/// A PUBLISH under way.
pub(super) type Publishing = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

/// Why a PUBLISH failed.
#[derive(Debug)]
pub(super) enum PublishError {
    /// Redis said no; the connection is fine.
    Refused(String),
    /// Nobody knows whether Redis got it; the connection is not to be trusted.
    Lost(Failure),
}

impl Link {
    /// Messages received from now on. Take it before subscribing.
    pub(super) fn messages(&self) -> Messages {
        Messages(self.client.message_rx())
    }

    /// Subscribes; resolves when Redis has confirmed every channel on this connection.
    pub(super) async fn subscribe(&self, channels: Vec<String>) -> Result<(), Failure> {
        if self.sharded {
            for window in channels.chunks(SHARDED_WINDOW) {
                try_join_all(window.iter().map(|channel| self.subscribe_sharded(channel))).await?;
            }
            return Ok(());
        }
        // In one piece: were the refusal of a SUBSCRIBE read before the PING is under way, it would be thrown away and
        // the PING answered as if all were well (seen in one run of two).
        let lost = |error: Error| failure(&error, DownCause::Closed);
        let (both, token) = (self.client.pipeline(), self.token());
        both.subscribe(channels).await.map_err(lost)?;
        let () = both.ping(Some(token.clone())).await.map_err(lost)?;
        let answer: Value = both.last().await.map_err(lost)?;
        if answer.as_str().as_deref() == Some(&token) { Ok(()) } else { Err(out_of_step()) }
    }

    async fn subscribe_sharded(&self, channel: &str) -> Result<(), Failure> {
        let command = CustomCommand::new_static("SSUBSCRIBE", ClusterHash::FirstKey, false);
        let answer: Result<Value, Error> = self.client.custom(command, vec![channel.to_owned()]).await;
        let answer = answer.map_err(|error| failure(&error, DownCause::Closed))?;
        let confirmed = matches!(&answer, Value::Array(parts)
            if matches!(&parts[..], [kind, name, ..]
                if kind.as_str().as_deref() == Some("ssubscribe") && name.as_str().as_deref() == Some(channel)));
        if confirmed { Ok(()) } else { Err(out_of_step()) }
    }

    /// Unsubscribes. Nothing is confirmed: a message that still comes does no harm.
    pub(super) async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), Failure> {
        let lost = |error: Error| failure(&error, DownCause::Closed);
        if !self.sharded {
            return self.client.unsubscribe(channels).await.map_err(lost);
        }
        for channel in channels {
            self.client.sunsubscribe(channel).await.map_err(lost)?;
        }
        Ok(())
    }

    /// Asks every node for a sign of life.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        let nodes = self.client.active_connections();
        if !self.sharded || nodes.is_empty() {
            return self.ping_one(&self.client).await;
        }
        let pings = nodes.into_iter().map(|node| async move {
            let client = self.client.with_cluster_node(node);
            self.ping_one(&client).await
        });
        try_join_all(pings).await.map(drop)
    }

    async fn ping_one<C: ClientLike>(&self, client: &C) -> Result<(), Failure> {
        let token = self.token();
        let answer: Result<Value, Error> = client.ping(Some(token.clone())).await;
        let answer = answer.map_err(|error| failure(&error, DownCause::Closed))?;
        if answer.as_str().as_deref() == Some(&token) { Ok(()) } else { Err(out_of_step()) }
    }

    fn token(&self) -> String {
        format!("crln-{}", self.tokens.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a field of a hash and reads all of it.
    pub(super) async fn exchange(
        &self,
        key: &str,
        field: &str,
        value: String,
    ) -> Result<HashMap<String, String>, Failure> {
        let lost = |error: Error| failure(&error, DownCause::Closed);
        let set = CustomCommand::new_static("HSET", ClusterHash::FirstKey, false);
        let _: Value = self.client.custom(set, vec![key, field, &value]).await.map_err(lost)?;
        self.fields(key).await
    }

    /// Reads all of a small hash.
    pub(super) async fn fields(&self, key: &str) -> Result<HashMap<String, String>, Failure> {
        let get = CustomCommand::new_static("HGETALL", ClusterHash::FirstKey, false);
        self.client.custom(get, vec![key]).await.map_err(|error| failure(&error, DownCause::Closed))
    }

    /// Removes fields of a hash.
    pub(super) async fn forget(&self, key: &str, fields: Vec<String>) -> Result<(), Failure> {
        let delete = CustomCommand::new_static("HDEL", ClusterHash::FirstKey, false);
        let arguments: Vec<String> = std::iter::once(key.to_owned()).chain(fields).collect();
        let answer: Result<Value, Error> = self.client.custom(delete, arguments).await;
        answer.map(drop).map_err(|error| failure(&error, DownCause::Closed))
    }

    /// Carries out commands on keys of one slot, all or none; `key` is one of them. Answers the numbers they answered.
    pub(super) async fn transaction(
        &self,
        key: &str,
        commands: Vec<(&'static str, Vec<Word>)>,
    ) -> Result<Vec<Option<i64>>, Failure> {
        let all = std::iter::once(("MULTI", Vec::new())).chain(commands).chain([("EXEC", Vec::new())]);
        match self.commands(key, all.collect()).await?.pop() {
            Some(Value::Array(answers)) => Ok(answers.iter().map(Value::as_i64).collect()),
            _ => Err(Failure::new(DownCause::Refused, "redis did not carry out a transaction")),
        }
    }

    /// Sends commands on keys of one slot in one piece; fails with the first that does.
    async fn commands(
        &self,
        key: &str,
        commands: Vec<(&'static str, Vec<Word>)>,
    ) -> Result<Vec<Value>, Failure> {
        let (pipeline, lost) = (self.client.pipeline(), |error: Error| failure(&error, DownCause::Closed));
        let slot = ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()));
        for (name, words) in commands {
            let words: Vec<Value> = words.into_iter().map(|Word(value)| value).collect();
            let _: Value = pipeline
                .custom(CustomCommand::new_static(name, slot.clone(), false), words)
                .await
                .map_err(lost)?;
        }
        let answers: Vec<Result<Value, Error>> = pipeline.try_all().await;
        answers.into_iter().collect::<Result<_, _>>().map_err(lost)
    }

    /// Whether PUBLISH is SPUBLISH here.
    pub(super) fn is_sharded(&self) -> bool {
        self.sharded
    }

    /// All of a hash. For small ones.
    pub(super) async fn hash(&self, key: &str) -> Result<HashMap<String, String>, Failure> {
        let get = CustomCommand::new_static("HGETALL", ClusterHash::FirstKey, false);
        self.client.custom(get, vec![key]).await.map_err(|error| failure(&error, DownCause::Closed))
    }

    /// A field of a hash.
    pub(super) async fn field(&self, key: &str, field: &str) -> Result<Option<String>, Failure> {
        let get = CustomCommand::new_static("HGET", ClusterHash::FirstKey, false);
        self.client.custom(get, vec![key, field]).await.map_err(|error| failure(&error, DownCause::Closed))
    }

    /// About so many fields of a hash, those that match, and where it goes on: at `0` it is over.
    pub(super) async fn page(
        &self,
        key: &str,
        cursor: &str,
        count: usize,
        pattern: Option<&str>,
    ) -> Result<(String, Vec<(String, String)>), Failure> {
        let scan = CustomCommand::new_static("HSCAN", ClusterHash::FirstKey, false);
        let count = count.to_string();
        let matching = pattern.into_iter().flat_map(|pattern| ["MATCH", pattern]);
        let words: Vec<&str> = [key, cursor, "COUNT", &count].into_iter().chain(matching).collect();
        let answer: Result<(String, Vec<String>), Error> = self.client.custom(scan, words).await;
        let (next, flat) = answer.map_err(|error| failure(&error, DownCause::Closed))?;
        let mut flat = flat.into_iter();
        let pairs = std::iter::from_fn(|| Some((flat.next()?, flat.next()?)));
        Ok((next, pairs.collect()))
    }

    /// Sends a PUBLISH. It is in fred's queue, behind all earlier ones, when this returns; the result comes later.
    pub(super) async fn publish(&self, channel: String, payload: Bytes) -> Publishing {
        let (client, sharded) = (self.client.clone(), self.sharded);
        let mut publishing: Publishing = Box::pin(async move {
            // How many subscribers got it means nothing: on a cluster or with replicas it is not the whole number.
            let payload = Value::Bytes(payload);
            let result: Result<Value, Error> = if sharded {
                client.spublish(channel, payload).await
            } else {
                client.publish(channel, payload).await
            };
            result.map(drop).map_err(|error| match failure(&error, DownCause::Closed) {
                Failure { cause: DownCause::Refused, detail } => PublishError::Refused(detail),
                lost => PublishError::Lost(lost),
            })
        });
        // The first poll puts the command into the queue: polled here, the order of calls is the order on the wire.
        let first = std::future::poll_fn(|context| Poll::Ready(publishing.as_mut().poll(context))).await;
        match first {
            Poll::Ready(result) => Box::pin(std::future::ready(result)),
            Poll::Pending => publishing,
        }
    }
}

/// A word of a command.
pub(super) struct Word(Value);

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Bytes> for Word {
    fn from(bytes: Bytes) -> Self {
        Self(Value::Bytes(bytes))
    }
}

/// The messages of one link.
pub(super) struct Messages(broadcast::Receiver<Message>);

/// What comes out of [`Messages`].
pub(super) enum Received {
    Message(Incoming),
    /// This many were lost because we read too slowly.
    Lagged(u64),
    /// The link is gone and everything it brought was read.
    End,
}

impl Messages {
    /// The next message. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Received {
        match self.0.recv().await {
            Ok(message) => Received::Message(Incoming(message)),
            Err(broadcast::error::RecvError::Lagged(count)) => Received::Lagged(count),
            Err(broadcast::error::RecvError::Closed) => Received::End,
        }
    }

    /// The next message that is already here; `End` when there is none.
    pub(super) fn next_now(&mut self) -> Received {
        match self.0.try_recv() {
            Ok(message) => Received::Message(Incoming(message)),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Received::Lagged(count),
            Err(_) => Received::End,
        }
    }
}

/// One message as it came.
pub(super) struct Incoming(Message);

impl Incoming {
    pub(super) fn channel(&self) -> &str {
        &self.0.channel
    }

    /// fred makes a string of whatever happens to be UTF-8; to us it is bytes either way, without a copy.
    pub(super) fn into_payload(self) -> Bytes {
        match self.0.value {
            Value::Bytes(bytes) => bytes,
            Value::String(text) => text.into_inner(),
            other => Bytes::from(other.into_string().unwrap_or_default()),
        }
    }
}

fn ended_with(ended: Result<Result<(), Error>, JoinError>, otherwise: DownCause) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::new(otherwise, "the connection was closed"),
        Ok(Err(error)) => failure(&error, otherwise),
        Err(error) => Failure::new(otherwise, format!("the connection's task failed: {error}")),
    }
}

/// An answer belongs to another command: one was refused, and fred counts answers.
fn out_of_step() -> Failure {
    Failure::new(DownCause::Refused, "redis refused a subscription")
}

/// What an error means to us; `otherwise` when it is about the connection as such.
fn failure(error: &Error, otherwise: DownCause) -> Failure {
    let cause = match error.kind() {
        ErrorKind::Auth | ErrorKind::InvalidCommand | ErrorKind::InvalidArgument => DownCause::Refused,
        ErrorKind::Timeout => DownCause::Silent,
        ErrorKind::Cluster => DownCause::Moved,
        // An error answer that fred does not know, such as NOPERM, comes as Unknown with its text.
        ErrorKind::Unknown if error.details().starts_with("NOPERM") => DownCause::Refused,
        _ => otherwise,
    };
    Failure::new(cause, error.details())
}

fn tls_config() -> Result<TlsConfig, BusError> {
    let config = Wanted::strict().client().map_err(|error| BusError::Config(format!("TLS: {error}")))?;
    Ok(TlsConnector::from(config).into())
}
