//! How is a gateway configured?
//!
//! From the environment alone, read once, checked before anything is bound.

mod canary;

pub use canary::CanaryConfig;

use crate::socketio::namespaces::{Named, Namespaces};
use carillon_platform::config::{self, Common};
use carillon_platform::env::{
    Absent, Bytes, Cidr, Cidrs, ConfigError, Count, Declared, Env, Ip, Millis, ON_OFF, OneOf, Socket, Url,
    Var,
};
use carillon_platform::origin::{self, OriginPolicy};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const LISTEN: Var<Socket> = config::listen("0.0.0.0:8080");
const OPS_LISTEN: Var<Socket> = config::ops_listen("0.0.0.0:9080");

const PROXY_LISTEN: Var<Socket> = Var {
    name: "CARILLON_PROXY_LISTEN",
    absent: Absent::Optional("none"),
    kind: Socket,
    what: "a second public address, for balancers of CARILLON_TRUSTED_PROXIES that begin with a PROXY protocol header (version 1 or 2)",
};
const QUERY_TOKEN: Var<OneOf<bool>> = Var {
    name: "CARILLON_QUERY_TOKEN",
    absent: Absent::Default("on"),
    kind: ON_OFF,
    what: "whether a token may stand in the URL (?token=), where proxies may log it",
};
const COMPRESSION: Var<OneOf<bool>> = Var {
    name: "CARILLON_COMPRESSION",
    absent: Absent::Default("on"),
    kind: ON_OFF,
    what: "whether events are compressed for WebSocket clients that offer it, once for all of them",
};
const SOCKETIO: Var<OneOf<bool>> = Var {
    name: "CARILLON_SOCKETIO",
    absent: Absent::Default("off"),
    kind: ON_OFF,
    what: "whether clients of Socket.IO (3.x and 4.x) are let in, at /socket.io/",
};
const SOCKETIO_NAMESPACES: Var<Namespaces> = Var {
    name: "CARILLON_SOCKETIO_NAMESPACES",
    absent: Absent::Optional("none: only /"),
    kind: Namespaces,
    what: "namespaces of Socket.IO beside /, and what the channels of their rooms begin with",
};
const PEER_ADDRESS: Var<Ip> = Var {
    name: "CARILLON_PEER_ADDRESS",
    absent: Absent::Optional("that of CARILLON_LISTEN, if it is one that other hosts reach; else none"),
    kind: Ip,
    what: "where other gateways reach this one, at the port of CARILLON_LISTEN: clients of Socket.IO that poll may ask any node",
};
const TRUSTED_PROXIES: Var<Cidrs> = Var {
    name: "CARILLON_TRUSTED_PROXIES",
    absent: Absent::Optional("none: X-Forwarded-For is ignored"),
    kind: Cidrs,
    what: "load balancers whose X-Forwarded-For or Forwarded tells a client's address",
};
const MAX_CONNECTIONS: Var<Count> = Var {
    name: "CARILLON_MAX_CONNECTIONS",
    absent: Absent::Optional("what the descriptor limit allows"),
    kind: Count { min: 1, max: 10_000_000 },
    what: "most connections on this node; the start is refused when descriptors do not suffice",
};
const MAX_PER_IP: Var<Count> = Var {
    name: "CARILLON_MAX_CONNECTIONS_PER_IP",
    absent: Absent::Default("0"),
    kind: Count { min: 0, max: 10_000_000 },
    what: "most connections from one address (IPv6: a /64) on this node; 0 is no limit",
};
const MAX_PER_USER: Var<Count> = Var {
    name: "CARILLON_MAX_CONNECTIONS_PER_USER",
    absent: Absent::Default("0"),
    kind: Count { min: 0, max: 10_000_000 },
    what: "most connections of one person on this node; 0 is no limit",
};
const FRAMES_PER_SECOND: Var<Count> = Var {
    name: "CARILLON_FRAMES_PER_SECOND",
    absent: Absent::Default("50"),
    kind: Count { min: 1, max: 100_000 },
    what: "frames a client may send each second, sustained; five times as many in a burst",
};
const HEARTBEAT_MS: Var<Millis> = Var {
    name: "CARILLON_HEARTBEAT_MS",
    absent: Absent::Default("25000"),
    kind: Millis { min: 100, max: 600_000 },
    what: "longest silence towards a client; keep it well below every idle time-out on the way",
};
const STALL_TIMEOUT_MS: Var<Millis> = Var {
    name: "CARILLON_STALL_TIMEOUT_MS",
    absent: Absent::Default("120000"),
    kind: Millis { min: 500, max: 86_400_000 },
    what: "how long a client may read nothing while events wait for it",
};
const RING_EVENTS: Var<Count> = Var {
    name: "CARILLON_RING_EVENTS",
    absent: Absent::Default("1024"),
    kind: Count { min: 1, max: 1_000_000 },
    what: "recent events of a tenant kept in memory",
};
const RING_BYTES: Var<Bytes> = Var {
    name: "CARILLON_RING_BYTES",
    absent: Absent::Default("1MiB"),
    kind: Bytes { min: 1024, max: 1 << 32 },
    what: "most bytes of them",
};
const RING_BUDGET_BYTES: Var<Bytes> = Var {
    name: "CARILLON_RING_BUDGET_BYTES",
    absent: Absent::Default("256MiB"),
    kind: Bytes { min: 64 * 1024, max: 1 << 40 },
    what: "memory of the rings of all tenants; above it the largest let their oldest events go, to be read from the log",
};
const REPLAY_BUDGET_BYTES: Var<Bytes> = Var {
    name: "CARILLON_REPLAY_BUDGET_BYTES",
    absent: Absent::Default("64MiB"),
    kind: Bytes { min: 1024 * 1024, max: 1 << 40 },
    what: "memory of events on their way from the log to returning or slow clients; above it further reads wait",
};
const HEAD_WATCH_MS: Var<Millis> = Var {
    name: "CARILLON_HEAD_WATCH_MS",
    absent: Absent::Default("1000"),
    kind: Millis { min: 50, max: 60_000 },
    what: "how often the heads of all tenants, and the versions of their rules and revocations, are compared with the database; at least every 200 ms while Redis is away. What Redis loses on its way to a node is found so late",
};
const DRAIN_DELAY_MS: Var<Millis> = Var {
    name: "CARILLON_DRAIN_DELAY_MS",
    absent: Absent::Default("2000"),
    kind: Millis { min: 0, max: 600_000 },
    what: "how long a stopping node is known to be unready before the first connection is told to go; longer than balancers need to notice",
};
const DRAIN_MS: Var<Millis> = Var {
    name: "CARILLON_DRAIN_MS",
    absent: Absent::Default("60000"),
    kind: Millis { min: 0, max: 3_600_000 },
    what: "over how long the connections of a stopping node are told to go, at least 50 a second; what is left five seconds later is closed",
};
const DRAIN_RATE: Var<Count> = Var {
    name: "CARILLON_DRAIN_RATE",
    absent: Absent::Default("500"),
    kind: Count { min: 1, max: 1_000_000 },
    what: "most connections told to go in a second, whatever the window",
};
const REBALANCE: Var<OneOf<bool>> = Var {
    name: "CARILLON_REBALANCE",
    absent: Absent::Default("off"),
    kind: ON_OFF,
    what: "whether a node with more than 1.2 times the mean of all nodes sends connections away, down to 1.05 times",
};
const REBALANCE_PERCENT: Var<Count> = Var {
    name: "CARILLON_REBALANCE_PERCENT",
    absent: Absent::Default("10"),
    kind: Count { min: 1, max: 1_000 },
    what: "most of its connections a node sends away for that, percent a minute",
};
const HANDSHAKES_PER_SECOND: Var<Count> = Var {
    name: "CARILLON_HANDSHAKES_PER_SECOND",
    absent: Absent::Default("0"),
    kind: Count { min: 0, max: 1_000_000 },
    what: "most new connections a second, sustained; twice as many in a burst; 0 is no limit",
};

const SESSIONS: Var<OneOf<bool>> = Var {
    name: "CARILLON_SESSIONS",
    absent: Absent::Default("on"),
    kind: ON_OFF,
    what: "whether it is stored who is connected and who was; off: GET /v1/connections knows nothing of this node",
};
const SESSION_ADDRESSES: Var<OneOf<bool>> = Var {
    name: "CARILLON_SESSION_ADDRESSES",
    absent: Absent::Default("off"),
    kind: ON_OFF,
    what: "whether it is stored from which address (IPv6: /64) somebody is connected",
};

const PUBLISHER_URL: Var<Url> = Var {
    name: "CARILLON_PUBLISHER_URL",
    absent: Absent::Optional("none: what clients publish into the log is unavailable"),
    kind: Url(&["http", "https"]),
    what: "base URL of the publishers, by which gateways have stored what clients publish; of a balancer where there are several",
};

/// The gateway's own variables but the canary's.
const VARIABLES: &[&dyn Declared] = &[
    &LISTEN,
    &OPS_LISTEN,
    &PROXY_LISTEN,
    &origin::ALLOWED,
    &QUERY_TOKEN,
    &COMPRESSION,
    &SOCKETIO,
    &SOCKETIO_NAMESPACES,
    &PEER_ADDRESS,
    &TRUSTED_PROXIES,
    &MAX_CONNECTIONS,
    &MAX_PER_IP,
    &MAX_PER_USER,
    &FRAMES_PER_SECOND,
    &HEARTBEAT_MS,
    &STALL_TIMEOUT_MS,
    &RING_EVENTS,
    &RING_BYTES,
    &RING_BUDGET_BYTES,
    &REPLAY_BUDGET_BYTES,
    &HEAD_WATCH_MS,
    &DRAIN_DELAY_MS,
    &DRAIN_MS,
    &DRAIN_RATE,
    &REBALANCE,
    &REBALANCE_PERCENT,
    &HANDSHAKES_PER_SECOND,
    &SESSIONS,
    &SESSION_ADDRESSES,
    &PUBLISHER_URL,
];

/// Every variable, those shared with the publisher included.
pub fn variables() -> Vec<&'static dyn Declared> {
    [VARIABLES, canary::VARIABLES, config::SHARED].concat()
}

/// A gateway's settings.
pub struct Config {
    /// What both services share.
    pub common: Common,
    /// Where balancers connect that send a PROXY protocol header.
    pub proxy_listen: Option<SocketAddr>,
    /// Whose pages may connect.
    pub origins: OriginPolicy,
    /// Whether a token may stand in the URL.
    pub query_token: bool,
    /// Whether permessage-deflate is agreed to.
    pub compression: bool,
    /// Whether clients of Socket.IO are let in.
    pub socketio: bool,
    /// Their namespaces beside the main one.
    pub namespaces: Vec<Named>,
    /// Where other gateways reach this one.
    pub peer: Option<IpAddr>,
    /// Whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Most connections; none: what descriptors allow.
    pub max_connections: Option<u32>,
    /// Most connections from one address; 0 is no limit.
    pub max_per_ip: u32,
    /// Most connections of one person; 0 is no limit.
    pub max_per_user: u32,
    /// Frames a client may send each second.
    pub frames_per_second: u32,
    /// Longest silence towards a client.
    pub heartbeat: Duration,
    /// How long a client may read nothing.
    pub stall_timeout: Duration,
    /// Events in a ring.
    pub ring_events: u32,
    /// Bytes in a ring.
    pub ring_bytes: usize,
    /// Bytes of all rings.
    pub ring_budget_bytes: usize,
    /// Bytes of all replays.
    pub replay_budget_bytes: usize,
    /// How often heads are compared.
    pub head_watch: Duration,
    /// From unready to the first one told to go.
    pub drain_delay: Duration,
    /// Over how long a stopping node empties.
    pub drain: Duration,
    /// Most told to go in a second.
    pub drain_rate: u32,
    /// Percent of its connections a node sheds in a minute to be in balance; none: it does not.
    pub rebalance_percent: Option<u32>,
    /// New connections a second; 0 is no limit.
    pub handshakes_per_second: u32,
    /// Whether it is stored who is connected.
    pub sessions: bool,
    /// Whether it is stored from where.
    pub session_addresses: bool,
    /// Where what clients publish is stored.
    pub publisher: Option<carillon_platform::forward::Url>,
    /// Who publishes and receives all the time to measure what users feel.
    pub canary: Option<CanaryConfig>,
}

impl Config {
    /// The variable that limits connections, for errors about descriptors.
    pub const MAX_CONNECTIONS: &'static str = MAX_CONNECTIONS.name;

    /// Reads and checks all of it; the first fault ends it.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        let common = Common::read(env, &LISTEN, &OPS_LISTEN)?;
        Ok(Self {
            canary: canary::read(env, common.listen)?,
            common,
            proxy_listen: env.optional(&PROXY_LISTEN)?,
            origins: env.get(&origin::ALLOWED)?,
            query_token: env.get(&QUERY_TOKEN)?,
            compression: env.get(&COMPRESSION)?,
            socketio: env.get(&SOCKETIO)?,
            namespaces: env.optional(&SOCKETIO_NAMESPACES)?.unwrap_or_default(),
            peer: env.optional(&PEER_ADDRESS)?,
            trusted_proxies: env.optional(&TRUSTED_PROXIES)?.unwrap_or_default(),
            max_connections: env.optional(&MAX_CONNECTIONS)?,
            max_per_ip: env.get(&MAX_PER_IP)?,
            max_per_user: env.get(&MAX_PER_USER)?,
            frames_per_second: env.get(&FRAMES_PER_SECOND)?,
            heartbeat: env.get(&HEARTBEAT_MS)?,
            stall_timeout: env.get(&STALL_TIMEOUT_MS)?,
            ring_events: env.get(&RING_EVENTS)?,
            ring_bytes: env.get(&RING_BYTES)?,
            ring_budget_bytes: env.get(&RING_BUDGET_BYTES)?,
            replay_budget_bytes: env.get(&REPLAY_BUDGET_BYTES)?,
            head_watch: env.get(&HEAD_WATCH_MS)?,
            drain_delay: env.get(&DRAIN_DELAY_MS)?,
            drain: env.get(&DRAIN_MS)?,
            drain_rate: env.get(&DRAIN_RATE)?,
            rebalance_percent: {
                let percent = env.get(&REBALANCE_PERCENT)?;
                env.get(&REBALANCE)?.then_some(percent)
            },
            handshakes_per_second: env.get(&HANDSHAKES_PER_SECOND)?,
            sessions: env.get(&SESSIONS)?,
            session_addresses: env.get(&SESSION_ADDRESSES)?,
            publisher: env.optional(&PUBLISHER_URL)?,
        })
    }
}

impl Config {
    /// Where other gateways reach this one, if they do.
    pub fn address_for_peers(&self) -> Option<String> {
        let listen = self.common.listen;
        // A loopback address is another host's own: only who says so means it.
        let of_listen = Some(listen.ip())
            .filter(|address| !address.is_unspecified() && !address.to_canonical().is_loopback());
        let address = self.peer.or(of_listen).filter(|_| self.socketio)?;
        Some(format!("http://{}/", SocketAddr::new(address, listen.port())))
    }
}

/// The ops address alone, for `healthcheck`.
pub fn ops_address(env: &Env) -> Result<std::net::SocketAddr, ConfigError> {
    env.get(&OPS_LISTEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 3] = [
        ("DATABASE_URL", "postgres://localhost/carillon"),
        ("REDIS_URL", "redis://localhost"),
        ("CARILLON_JWT_SECRET", "0123456789abcdef"),
    ];

    #[test]
    fn every_default_is_allowed_and_each_wrong_value_names_its_variable() {
        assert!(Config::read(&Env::of(LEAST)).is_ok());
        for var in VARIABLES.iter().chain(canary::VARIABLES) {
            let bad = Env::of(LEAST.into_iter().chain([(var.name(), "\u{1}?")]));
            assert_eq!(Config::read(&bad).err().map(|error| error.variable), Some(var.name()));
        }
    }
}
