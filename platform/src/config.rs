//! Which settings do both services share?
//!
//! A service declares its own two addresses with [`listen`] and [`ops_listen`] (their defaults differ), lists them
//! before [`SHARED`] in its table of variables, and reads everything with [`Common::read`].

use crate::auth::{self, AuthConfig};
use crate::env::{
    Absent, Checked, ConfigError, Count, Declared, Env, OneOf, Secret, SecretUrl, SecretUrlOfServers, Socket,
    Var,
};
use crate::outbound::{self, OutboundConfig};
use crate::telemetry::{self, LogConfig};
use std::net::SocketAddr;

/// Longest node name, in bytes.
const NODE_BYTES: usize = 64;

/// `CARILLON_LISTEN` with a service's default.
pub const fn listen(default: &'static str) -> Var<Socket> {
    Var {
        name: "CARILLON_LISTEN",
        absent: Absent::Default(default),
        kind: Socket,
        what: "public address: where clients and publishers connect",
    }
}

/// `CARILLON_OPS_LISTEN` with a service's default.
pub const fn ops_listen(default: &'static str) -> Var<Socket> {
    Var {
        name: "CARILLON_OPS_LISTEN",
        absent: Absent::Default(default),
        kind: Socket,
        what: "address of /livez, /readyz and /metrics; keep it away from the public",
    }
}

/// This process's name in logs, in `welcome` and among the nodes.
pub const NODE: Var<Checked> = Var {
    name: "CARILLON_NODE",
    absent: Absent::Optional("host name and process id"),
    kind: Checked { allowed: "1-64 characters of A-Z, a-z, 0-9, _, . and -", valid: is_node },
    what: "name of this process, unique among all nodes",
};

/// Where the log is.
pub const DATABASE_URL: Var<SecretUrlOfServers> = Var {
    name: "DATABASE_URL",
    absent: Absent::Required,
    kind: SecretUrlOfServers(&["postgres", "postgresql"]),
    what: "the Postgres database that holds the log; `sslmode` and `sslrootcert` mean what they mean to psql (docs/OPERATIONS.md, TLS)",
};

/// Where the fast path is.
pub const REDIS_URL: Var<SecretUrl> = Var {
    name: "REDIS_URL",
    absent: Absent::Required,
    kind: SecretUrl(&["redis", "rediss", "valkey", "valkeys"]),
    what: "the Redis or Valkey server, sentinel or cluster node that carries the fast path; rediss and valkeys use TLS, verified with the system's authorities or those of SSL_CERT_FILE",
};

/// How Redis is run.
pub const REDIS_MODE: Var<OneOf<RedisMode>> = Var {
    name: "CARILLON_REDIS_MODE",
    absent: Absent::Default("standalone"),
    kind: OneOf(&[
        ("standalone", RedisMode::Standalone),
        ("sentinel", RedisMode::Sentinel),
        ("cluster", RedisMode::Cluster),
    ]),
    what: "how Redis is run; cluster uses sharded pub/sub (Redis 7 or newer)",
};

/// What our Redis channels begin with.
pub const REDIS_PREFIX: Var<Checked> = Var {
    name: "CARILLON_REDIS_PREFIX",
    absent: Absent::Default("carillon"),
    kind: Checked {
        allowed: "1-32 characters of a-z, 0-9 and -",
        valid: |text| {
            (1..=32).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        },
    },
    what: "first part of every Redis channel; installations that share a Redis need different ones",
};

/// Whether tenants must be registered beforehand.
pub const TENANTS: Var<OneOf<Tenants>> = Var {
    name: "CARILLON_TENANTS",
    absent: Absent::Default("auto"),
    kind: OneOf(&[("auto", Tenants::Auto), ("registered", Tenants::Registered)]),
    what: "auto: a tenant exists from its first use by a valid token or key; registered: only tenants known before",
};

/// How many tenants have series of their own.
pub const TENANT_METRICS: Var<Count> = Var {
    name: "CARILLON_TENANT_METRICS",
    absent: Absent::Default("50"),
    kind: Count { min: 0, max: 10_000 },
    what: "tenants with series of their own on /metrics/tenants; all others are summed as OTHER",
};

/// The variables of [`Common`] beside the two addresses, for tables and for [`Env::unknown`].
pub const SHARED: &[&dyn Declared] = &[
    &NODE,
    &DATABASE_URL,
    &REDIS_URL,
    &REDIS_MODE,
    &REDIS_PREFIX,
    &TENANTS,
    &TENANT_METRICS,
    &auth::config::SECRET,
    &auth::config::SECRET_PREVIOUS,
    &auth::config::PUBLIC_KEY_FILE,
    &auth::config::JWKS_URL,
    &auth::config::AUDIENCE,
    &auth::config::ISSUER,
    &auth::config::CLOCK_SKEW,
    &telemetry::LOG,
    &telemetry::LOG_FORMAT,
    &telemetry::TRACE_ENDPOINT,
    &telemetry::TRACE_SAMPLES,
    &outbound::config::ALLOW,
    &outbound::config::HTTP,
    &outbound::config::PORTS,
];

/// How Redis is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisMode {
    /// One server.
    Standalone,
    /// One primary, found through sentinels.
    Sentinel,
    /// A cluster; the fast path uses sharded pub/sub.
    Cluster,
}

/// When a tenant exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenants {
    /// From its first use by a valid token or key.
    Auto,
    /// When it was registered beforehand.
    Registered,
}

/// The settings both services share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The public address.
    pub listen: SocketAddr,
    /// The address of probes and metrics.
    pub ops_listen: SocketAddr,
    /// This process's name.
    pub node: String,
    /// Where the log is.
    pub database_url: Secret,
    /// Where the fast path is.
    pub redis_url: Secret,
    /// How Redis is run.
    pub redis_mode: RedisMode,
    /// What our Redis channels begin with.
    pub redis_prefix: String,
    /// When a tenant exists.
    pub tenants: Tenants,
    /// Tenants with series of their own.
    pub tenant_metrics: usize,
    /// What makes a user token valid.
    pub auth: AuthConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where spans go; none: nowhere.
    pub trace_endpoint: Option<reqwest::Url>,
    /// Requests of a thousand that are traced.
    pub trace_samples: u32,
    /// What tenants' URLs may be and lead to.
    pub outbound: OutboundConfig,
}

impl Common {
    /// Reads and checks all of it; the first fault ends it.
    pub fn read(env: &Env, listen: &Var<Socket>, ops_listen: &Var<Socket>) -> Result<Self, ConfigError> {
        let common = Self {
            listen: env.get(listen)?,
            ops_listen: env.get(ops_listen)?,
            node: env.optional(&NODE)?.unwrap_or_else(default_node),
            database_url: env.get(&DATABASE_URL)?,
            redis_url: env.get(&REDIS_URL)?,
            redis_mode: env.get(&REDIS_MODE)?,
            redis_prefix: env.get(&REDIS_PREFIX)?,
            tenants: env.get(&TENANTS)?,
            tenant_metrics: env.get(&TENANT_METRICS)? as usize,
            auth: AuthConfig::read(env)?,
            log: LogConfig::read(env)?,
            trace_endpoint: env.optional(&telemetry::TRACE_ENDPOINT)?,
            trace_samples: env.get(&telemetry::TRACE_SAMPLES)?,
            outbound: OutboundConfig::read(env)?,
        };
        // Port 0 is "any free port": two of them never collide.
        if common.listen == common.ops_listen && common.listen.port() != 0 {
            return Err(ops_listen.error("is the public address, too"));
        }
        Ok(common)
    }
}

fn is_node(text: &str) -> bool {
    (1..=NODE_BYTES).contains(&text.len()) && text.bytes().all(is_node_byte)
}

fn is_node_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')
}

/// `<host>-<pid>`: unique on a host by the pid, among containers (where the pid is always 1) by the host name.
pub fn default_node() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    node_name(&host, std::process::id())
}

fn node_name(host: &str, pid: u32) -> String {
    let pid = pid.to_string();
    let room = NODE_BYTES - 1 - pid.len();
    let legal = |c: char| if c.is_ascii() && is_node_byte(c as u8) { c } else { '-' };
    let host: String = host.chars().map(legal).take(room).collect();
    format!("{}-{pid}", if host.is_empty() { "node" } else { &host })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTEN: Var<Socket> = listen("0.0.0.0:8080");
    const OPS_LISTEN: Var<Socket> = ops_listen("0.0.0.0:9080");
    const LEAST: [(&str, &str); 3] = [
        ("DATABASE_URL", "postgres://localhost/carillon"),
        ("REDIS_URL", "redis://localhost"),
        ("CARILLON_JWT_SECRET", "0123456789abcdef"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Common, ConfigError> {
        let pairs = LEAST.iter().chain(more).copied();
        Common::read(&Env::of(pairs), &LISTEN, &OPS_LISTEN)
    }

    #[test]
    fn two_urls_and_a_key_are_enough() {
        let common = read(&[]).unwrap();
        assert_eq!(common.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(common.redis_prefix, "carillon");
        assert_eq!((common.redis_mode, common.tenants), (RedisMode::Standalone, Tenants::Auto));
        assert!(is_node(&common.node), "{}", common.node);
    }

    #[test]
    fn each_wrong_value_names_its_variable() {
        for (name, bad) in [
            ("DATABASE_URL", "localhost"),
            ("REDIS_URL", "http://localhost"),
            ("CARILLON_LISTEN", "8080"),
            ("CARILLON_OPS_LISTEN", "0.0.0.0:8080"),
            ("CARILLON_NODE", "a b"),
            ("CARILLON_REDIS_MODE", "Cluster"),
            ("CARILLON_REDIS_PREFIX", "a:b"),
            ("CARILLON_TENANTS", "all"),
            ("CARILLON_JWT_SECRET", "short"),
            ("CARILLON_JWKS_URL", "file:///etc/passwd"),
            ("CARILLON_JWT_AUDIENCE", ""),
            ("CARILLON_LOG", "info,=x=y"),
            ("CARILLON_LOG_FORMAT", "xml"),
            ("CARILLON_WEBHOOK_ALLOW", "10.0.0.0/33"),
            ("CARILLON_WEBHOOK_HTTP", "yes"),
            ("CARILLON_WEBHOOK_PORTS", "0"),
        ] {
            let error = read(&[(name, bad)]).err().unwrap_or_else(|| panic!("{name}={bad} was accepted"));
            assert_eq!(error.variable, name);
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn every_default_is_allowed() {
        for var in [&LISTEN as &dyn Declared, &OPS_LISTEN].iter().chain(SHARED) {
            if let Absent::Default(text) = var.absent() {
                var.check(text).unwrap();
            }
        }
    }

    #[test]
    fn what_debug_prints_holds_no_secret() {
        let printed = format!("{:?}", read(&[("REDIS_URL", "redis://:hunter2@h")]).unwrap());
        assert!(!printed.contains("hunter2") && !printed.contains("0123456789abcdef"), "{printed}");
    }

    #[test]
    fn a_node_name_is_made_of_any_host_name() {
        assert_eq!(node_name("web-1.example", 7), "web-1.example-7");
        assert_eq!(node_name("", 7), "node-7");
        assert_eq!(node_name("häuschen", 7), "h-uschen-7");
        assert!(is_node(&node_name(&"x".repeat(300), u32::MAX)));
    }
}
