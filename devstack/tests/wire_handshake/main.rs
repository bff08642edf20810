//! Who comes in at a gateway, who does not, and what are they told?
//!
//! One stack with four gateways: `PLAIN` has the defaults and a previous secret; `STRICT` knows its origins, audience,
//! issuer and tenants and takes no token in a URL; `NARROW` has room for few; `SCEPTIC` trusts another proxy.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod limits;
mod origins;
mod requests;
mod tenants;
mod tokens;

use std::sync::Arc;

use carillon_devstack::stack::{Stack, StackConfig};
use wire::{Shared, variables};

const PLAIN: usize = 0;
const STRICT: usize = 1;
const NARROW: usize = 2;
const SCEPTIC: usize = 3;

const PREVIOUS_SECRET: &str = "the secret of last year, 32 bytes long";
const AUDIENCE: &str = "carillon";
const ISSUER: &str = "https://id.example";

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            // Logged in detail: no token may be found in it.
            let config = StackConfig { gateways: 1, ..StackConfig::default() }
                .gateway_var("CARILLON_LOG", "debug")
                .gateway_var("CARILLON_JWT_SECRET_PREVIOUS", PREVIOUS_SECRET);
            let mut stack = Stack::start(config).await.unwrap();
            let strict = variables(&[
                ("CARILLON_QUERY_TOKEN", "off"),
                ("CARILLON_ALLOWED_ORIGINS", "https://app.example.com, http://localhost:3000"),
                ("CARILLON_JWT_AUDIENCE", AUDIENCE),
                ("CARILLON_JWT_ISSUER", ISSUER),
                ("CARILLON_TENANTS", "registered"),
            ]);
            let narrow = variables(&[
                ("CARILLON_TRUSTED_PROXIES", "127.0.0.1/32"),
                ("CARILLON_MAX_CONNECTIONS", "4"),
                ("CARILLON_MAX_CONNECTIONS_PER_IP", "2"),
                ("CARILLON_MAX_CONNECTIONS_PER_USER", "2"),
            ]);
            let sceptic = variables(&[
                ("CARILLON_TRUSTED_PROXIES", "10.0.0.0/8"),
                ("CARILLON_MAX_CONNECTIONS_PER_IP", "2"),
            ]);
            for env in [strict, narrow, sceptic] {
                stack.add_gateway(&env).await.unwrap();
            }
            stack
        })
        .await
}
