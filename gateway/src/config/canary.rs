//! How is the canary configured?

use carillon_platform::env::{Absent, Checked, ConfigError, Declared, Env, Kind, Millis, Url, Var};
use carillon_platform::listen::reachable;
use carillon_platform::roundtrip::{RoundTripConfig, TOKEN, token_source};
use carillon_protocol::TenantId;
use std::net::SocketAddr;
use std::time::Duration;
use uuid::Uuid;

const PUBLISH_URL: Var<Url> = Var {
    name: "CARILLON_CANARY_PUBLISH_URL",
    absent: Absent::Optional("no canary"),
    kind: Url(&["http", "https"]),
    what: "base URL of the publisher, as applications reach it; a canary then publishes and receives all the time",
};
const SOCKET_URL: Var<Url> = Var {
    name: "CARILLON_CANARY_SOCKET_URL",
    absent: Absent::Optional("this node's CARILLON_LISTEN"),
    kind: Url(&["ws", "wss"]),
    what: "where the canary connects, without a query: the path that users take",
};
const TENANT: Var<Checked> = Var {
    name: "CARILLON_CANARY_TENANT",
    absent: Absent::Default("carillon-canary"),
    kind: Checked { allowed: "a tenant's name", valid: |text| TenantId::new(text).is_ok() },
    what: "tenant of the canaries of all nodes; nobody else's",
};
const INTERVAL_MS: Var<Millis> = Var {
    name: "CARILLON_CANARY_INTERVAL_MS",
    absent: Absent::Default("5000"),
    kind: Millis { min: 100, max: 600_000 },
    what: "how often the canary publishes",
};

/// The canary's variables.
pub(super) const VARIABLES: &[&dyn Declared] = &[&PUBLISH_URL, &SOCKET_URL, &TOKEN, &TENANT, &INTERVAL_MS];

/// How a canary lives.
#[derive(Clone)]
pub struct CanaryConfig {
    /// Where and as whom.
    pub round_trip: RoundTripConfig,
    /// How often.
    pub interval: Duration,
}

/// Reads and checks it. None when no publisher is named.
pub(super) fn read(env: &Env, listen: SocketAddr) -> Result<Option<CanaryConfig>, ConfigError> {
    let interval = env.get(&INTERVAL_MS)?;
    let (socket, tenant) = (env.optional(&SOCKET_URL)?, env.get(&TENANT)?);
    env.optional(&TOKEN)?;
    let Some(publish) = env.optional(&PUBLISH_URL)? else { return Ok(None) };
    let tenant = TenantId::new(tenant).map_err(|_| TENANT.error("is no tenant's name"))?;
    let token = token_source(env, &tenant)?;
    let socket = match socket {
        Some(url) => url,
        None => own_socket(listen)?,
    };
    // Its own channel: whatever is missing there is missing.
    let channel = format!("canary:{}", Uuid::new_v4().simple());
    Ok(Some(CanaryConfig {
        round_trip: RoundTripConfig { publish, socket, tenant, channel, token },
        interval,
    }))
}

fn own_socket(listen: SocketAddr) -> Result<<Url as Kind>::Value, ConfigError> {
    SOCKET_URL
        .kind
        .parse(&format!("ws://{}/v1/ws", reachable(listen)))
        .map_err(|fault| SOCKET_URL.error(fault))
}
