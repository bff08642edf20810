//! What can be typed after `carillon-loadtest peer`?

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// `carillon-loadtest peer`
#[derive(Debug, Args)]
pub(crate) struct PeerArgs {
    /// Which frames the server speaks.
    #[arg(long, value_enum)]
    pub(crate) kind: Kind,
    /// Where subscribers connect, `ws://ADDRESS:PORT`.
    #[arg(long, value_name = "URL", value_parser = web_socket)]
    pub(crate) url: SocketAddr,
    /// Where events are handed in: one JSON object a line, or a NATS client port.
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "idle")]
    pub(crate) publish: Option<SocketAddr>,
    /// What subscribers of Carillon's Socket.IO say in `auth`.
    #[arg(long, required_if_eq("kind", "carillon-socketio"))]
    pub(crate) token: Option<String>,
    /// The process that holds the subscribers' sockets.
    #[arg(long)]
    pub(crate) pid: u32,
    /// Subscribed connections; with --idle more than one number, ascending, is weighed on the way: `1000,5000,15000`.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=19_000))]
    pub(crate) connections: Vec<u32>,
    /// Do not publish: weigh the process before the connections came and after they rested.
    #[arg(long)]
    pub(crate) idle: bool,
    /// Events for each second.
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// How long to publish, or with --idle to rest.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Bytes of one event, a JSON object.
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(80..=60_000))]
    pub(crate) bytes: u32,
    /// Longest time from the last event published to the last delivery.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) drain: u32,
}

/// The frames a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Socket.IO protocol 5 over WebSocket: socket.io, socketioxide.
    Socketio,
    /// The same spoken by Carillon: a token in `auth`, and what is known of an event after its data.
    CarillonSocketio,
    /// Every message is an event as it was published: the server of `peers/bun`.
    Bun,
    /// The NATS client protocol in binary messages.
    Nats,
}

fn web_socket(url: &str) -> Result<SocketAddr, String> {
    let address = url.strip_prefix("ws://").and_then(|rest| rest.trim_end_matches('/').parse().ok());
    address.ok_or_else(|| "must be ws://ADDRESS:PORT".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_web_socket_on_an_address_is_taken() {
        let taken = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(web_socket("ws://127.0.0.1:8080"), Ok(taken));
        assert_eq!(web_socket("ws://127.0.0.1:8080/"), Ok(taken));
        for bad in ["127.0.0.1:8080", "http://127.0.0.1:8080", "ws://host:80", "ws://127.0.0.1"] {
            assert!(web_socket(bad).is_err(), "{bad}");
        }
    }
}
