//! Where does a running stack listen, and with which keys?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Addresses and keys of a running stack: what `carillon up --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackInfo {
    /// The one URL that serves everything (load balancer), `http://127.0.0.1:PORT`.
    pub lb: String,
    /// Each gateway's own URL.
    pub gateways: Vec<String>,
    /// The (first) publisher's own URL.
    pub publisher: String,
    /// Ops URLs (`/readyz`, `/metrics`): gateways in order, then publishers.
    pub ops: Vec<String>,
    /// Superuser's URL of the private Postgres.
    pub database_url: String,
    /// URL of the private Redis (of its first node for a cluster).
    pub redis_url: String,
    /// The shared secret that signs user tokens (HS256).
    pub jwt_secret: String,
    /// An API key for all tenants with the scopes publish, read and admin.
    pub api_key: String,
    /// Where the example pages are (`up --examples`), `http://127.0.0.1:PORT/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<String>,
    /// Process ids by name: `postgres`, `redis`, `publisher`, `gateway-1`, …, `haproxy`.
    pub pids: BTreeMap<String, u32>,
}

impl StackInfo {
    /// The WebSocket address behind the load balancer.
    pub fn ws_url(&self) -> String {
        ws_url(&self.lb)
    }
}

/// The WebSocket address of a service or load balancer with this HTTP URL.
pub fn ws_url(http_url: &str) -> String {
    format!("{}/v1/ws", http_url.replacen("http", "ws", 1))
}
