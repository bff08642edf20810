//! How does a connection of the load test come to be?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tungstenite::handshake::derive_accept_key;

use crate::target::Address;
use crate::wire::{Inbox, Kind, close_code};

/// Longest time from the first SYN to the `welcome`.
const PATIENCE: Duration = Duration::from_secs(30);
/// An upgrade answer is never longer.
const LONGEST_HEAD: usize = 16 * 1024;
/// The same for every handshake (the example of RFC 6455, section 1.3), so that a bare server may have its answer ready.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What answers it.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The header line of a client that wants compressed events (RFC 7692): every message stands by itself.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n";

/// How to get one connection.
#[derive(Debug, Clone)]
pub(crate) enum Dial {
    /// A gateway's WebSocket.
    Gateway {
        /// Which gateway.
        address: Address,
        /// The user token.
        token: String,
        /// Connect from 127.0.0.x; none lets the kernel choose.
        source: Option<u8>,
        /// Offer permessage-deflate and insist on it.
        compress: bool,
    },
    /// A plain socket of the bare writer, which wants to know the group.
    Bare {
        /// Its port on loopback.
        port: u16,
        /// Which events to get.
        group: u32,
    },
}

/// A connection that will get every event after `cursor`.
pub(crate) struct Opened {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// With the beginning of a frame, if one was read already.
    pub(crate) inbox: Inbox,
    /// The position its `welcome` named.
    pub(crate) cursor: u64,
    /// Frames that came right behind the `welcome`.
    pub(crate) early: Vec<(Kind, Vec<u8>)>,
}

impl Dial {
    /// Where to, for messages.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Gateway { address, .. } => address.authority.clone(),
            Self::Bare { port, .. } => format!("127.0.0.1:{port}"),
        }
    }

    /// Connects, upgrades and waits for the `welcome`.
    pub(crate) async fn open(&self) -> Result<Opened, String> {
        let opening = async {
            match self {
                Self::Gateway { address, token, source, compress } => {
                    let (source, compress) = (*source, *compress);
                    open_gateway(Visit { address, token, source, receive_buffer: None, compress }).await
                }
                Self::Bare { port, group } => open_bare(*port, *group).await,
            }
        };
        timeout(PATIENCE, opening).await.map_err(|_| format!("no welcome within {PATIENCE:?}"))?
    }
}

async fn open_bare(port: u16, group: u32) -> Result<Opened, String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(lost)?;
    stream.write_all(&group.to_be_bytes()).await.map_err(lost)?;
    Ok(Opened { stream, inbox: Inbox::default(), cursor: 0, early: Vec::new() })
}

async fn open_gateway(visit: Visit<'_>) -> Result<Opened, String> {
    let Arrived { stream, inbox, welcome, early } = visit.open(None).await?;
    Ok(Opened { stream, inbox, cursor: welcome.seq, early })
}

/// One handshake with a gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit<'a> {
    /// Which gateway.
    pub(crate) address: &'a Address,
    /// The user token.
    pub(crate) token: &'a str,
    /// Connect from 127.0.0.x; none lets the kernel choose.
    pub(crate) source: Option<u8>,
    /// Bytes of the kernel's receive buffer, fixed; none lets the kernel grow it as it likes.
    pub(crate) receive_buffer: Option<u32>,
    /// Offer permessage-deflate and insist on it.
    pub(crate) compress: bool,
}

/// A connection that was welcomed.
pub(crate) struct Arrived {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// With the beginning of a frame, if one was read already.
    pub(crate) inbox: Inbox,
    /// What it was told.
    pub(crate) welcome: Welcome,
    /// Frames that came right behind the `welcome`.
    pub(crate) early: Vec<(Kind, Vec<u8>)>,
}

/// The part of a `welcome` a load test needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Welcome {
    r#type: String,
    /// The connection's cursor: the head, or the given `since` when events will be replayed.
    pub(crate) seq: u64,
    /// The life of the log.
    pub(crate) epoch: String,
    /// `live`, `replay` or `reset`.
    pub(crate) resumed: String,
    /// The whole frame.
    #[serde(skip)]
    pub(crate) text: Vec<u8>,
}

impl Visit<'_> {
    /// Connects, upgrades and waits for the `welcome`. With a cursor it asks for everything after that.
    pub(crate) async fn open(&self, cursor: Option<(u64, &str)>) -> Result<Arrived, String> {
        let mut stream = self.connect().await?;
        let Address { authority, path } = self.address;
        let query = cursor.map(|(since, epoch)| format!("?since={since}&epoch={epoch}")).unwrap_or_default();
        let offer = if self.compress { OFFER } else { "" };
        let request = format!(
            "GET {path}{query} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}Authorization: Bearer {}\r\n\r\n",
            self.token
        );
        stream.write_all(request.as_bytes()).await.map_err(lost)?;
        let mut bytes = Vec::with_capacity(1024);
        let end = loop {
            if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
                return Err("the connection ended before the upgrade".into());
            }
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if bytes.len() > LONGEST_HEAD {
                return Err("the answer to the upgrade has no end".into());
            }
        };
        check_upgrade(&String::from_utf8_lossy(&bytes[..end]), KEY, self.compress)?;
        welcomed(stream, bytes.split_off(end), Inbox::new(self.compress)).await
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        let to = tokio::net::lookup_host(&self.address.authority).await.map_err(lost)?.next();
        let to = to.ok_or("the name has no address")?;
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(lost)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).map_err(lost)?;
        }
        if let Some(last) = self.source.filter(|_| to.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST)) {
            socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).map_err(lost)?;
        }
        let stream = socket.connect(to).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        Ok(stream)
    }
}

fn lost(error: std::io::Error) -> String {
    error.to_string()
}

/// Whether the answer is an upgrade that answers the key, and agrees to compression exactly when it was offered.
fn check_upgrade(head: &str, key: &str, compress: bool) -> Result<(), String> {
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    if !status.starts_with("HTTP/1.1 101") {
        return Err(format!("refused: {status}"));
    }
    let values = |wanted: &'static str| {
        headers.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let accept = values("sec-websocket-accept").next();
    if accept != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err("the upgrade does not answer our key".into());
    }
    let agreed: Vec<&str> = values("sec-websocket-extensions").collect();
    match (agreed.as_slice(), compress) {
        ([], false) => Ok(()),
        ([], true) => Err("the gateway does not agree to permessage-deflate".into()),
        ([extension], true) if keeps_no_context(extension) => Ok(()),
        _ => Err(format!("the gateway agrees to what was not offered: {}", agreed.join(", "))),
    }
}

/// Whether an answer to [`OFFER`] is permessage-deflate in which every message of the server stands by itself.
fn keeps_no_context(extension: &str) -> bool {
    let mut parts = extension.split(';').map(str::trim);
    let named = parts.next() == Some("permessage-deflate");
    let parameters: Vec<&str> = parts.collect();
    let known = ["server_no_context_takeover", "client_no_context_takeover"];
    named && parameters.contains(&known[0]) && parameters.iter().all(|parameter| known.contains(parameter))
}

async fn welcomed(mut stream: TcpStream, mut bytes: Vec<u8>, mut inbox: Inbox) -> Result<Arrived, String> {
    let mut frames: Vec<(Kind, Vec<u8>)> = Vec::new();
    while frames.is_empty() {
        inbox
            .feed(&bytes, |kind, payload| frames.push((kind, payload.to_vec())))
            .map_err(|fault| fault.to_string())?;
        bytes.clear();
        if frames.is_empty() && stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
            return Err("the connection ended before the welcome".into());
        }
    }
    let early = frames.split_off(1);
    match frames.pop() {
        Some((Kind::Text, text)) => match serde_json::from_slice::<Welcome>(&text) {
            Ok(welcome) if welcome.r#type == "welcome" => {
                Ok(Arrived { stream, inbox, welcome: Welcome { text, ..welcome }, early })
            }
            _ => Err("the first frame is no welcome".into()),
        },
        Some((Kind::Close, payload)) => {
            Err(format!("closed with {} before the welcome", close_code(&payload)))
        }
        _ => Err("the first frame is no welcome".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_must_answer_our_key() {
        let good = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        assert_eq!(check_upgrade(&good, KEY, false), Ok(()));
        assert!(check_upgrade(&good, "AAAAAAAAAAAAAAAAAAAAAA==", false).is_err());
        let refused = check_upgrade("HTTP/1.1 401 Unauthorized\r\n\r\n", KEY, false);
        assert_eq!(refused.unwrap_err(), "refused: HTTP/1.1 401 Unauthorized");
    }

    #[test]
    fn compression_is_agreed_to_exactly_when_it_was_offered() {
        let answer = |extensions: &str| {
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{extensions}\r\n")
        };
        let header = |value: &str| answer(&format!("sec-websocket-extensions: {value}\r\n"));
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(check_upgrade(&header(both), KEY, true), Ok(()));
        assert_eq!(
            check_upgrade(&header("permessage-deflate;server_no_context_takeover"), KEY, true),
            Ok(())
        );
        let silent = check_upgrade(&answer(""), KEY, true).unwrap_err();
        assert_eq!(silent, "the gateway does not agree to permessage-deflate");
        for strange in [
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            "x-other; server_no_context_takeover",
        ] {
            let refused = check_upgrade(&header(strange), KEY, true).unwrap_err();
            assert!(refused.ends_with(&format!("not offered: {strange}")), "{refused}");
        }
        assert!(check_upgrade(&header(both), KEY, false).is_err(), "nothing was offered");
    }
}
