//! What does the installation allow beyond the public network?
//!
//! Nothing by default: `https` on port 443, to public addresses.

use crate::env::{Absent, Cidr, Cidrs, ConfigError, Count, Env, Kind, List, ON_OFF, OneOf, Var};

/// Which networks are opened.
pub const ALLOW: Var<Cidrs> = Var {
    name: "CARILLON_WEBHOOK_ALLOW",
    absent: Absent::Optional("none: public addresses only"),
    kind: Cidrs,
    what: "networks that tenants' URLs may lead to although they are not public, such as the one where your application runs; everything there that answers HTTP can be reached by whoever administers a tenant",
};
/// Whether HTTP without TLS is allowed.
pub const HTTP: Var<OneOf<bool>> = Var {
    name: "CARILLON_WEBHOOK_HTTP",
    absent: Absent::Default("off"),
    kind: ON_OFF,
    what: "whether tenants' URLs may be http; for development, and inside a network that nobody else listens on",
};
/// Which ports may be named.
pub const PORTS: Var<PortsKind> = Var {
    name: "CARILLON_WEBHOOK_PORTS",
    absent: Absent::Optional("443, and 80 where http is allowed"),
    kind: PortsKind,
    what: "further ports that tenants' URLs may name",
};

/// Ports, as they are written.
#[derive(Debug, Clone, Copy)]
pub struct PortsKind;

/// Ports that may be named beside the usual ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// All of them.
    Any,
    /// These.
    These(Vec<u16>),
}

impl Ports {
    /// Whether this one may be named.
    pub fn allow(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::These(ports) => ports.contains(&port),
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Kind for PortsKind {
    type Value = Ports;

    fn parse(&self, text: &str) -> Result<Ports, String> {
        if text == "any" {
            return Ok(Ports::Any);
        }
        let ports = List(Count { min: 1, max: u16::MAX.into() }).parse(text)?;
        Ok(Ports::These(ports.into_iter().filter_map(|port| u16::try_from(port).ok()).collect()))
    }

    fn allowed(&self) -> String {
        "any, or a comma-separated list of ports, 1 to 65535".to_owned()
    }
}

/// What tenants' URLs may be and lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundConfig {
    /// Networks beside the public one.
    pub opened: Vec<Cidr>,
    /// Whether `http` is allowed.
    pub http: bool,
    /// Ports beside the usual ones.
    pub ports: Ports,
}

impl OutboundConfig {
    /// Reads and checks all of it; the first fault ends it.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            opened: env.optional(&ALLOW)?.unwrap_or_default(),
            http: env.get(&HTTP)?,
            ports: env.optional(&PORTS)?.unwrap_or_default(),
        })
    }
}
