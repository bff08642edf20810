//! How does a client talk that does not keep to the rules?
//!
//! Plain TCP, HTTP written by hand, and WebSocket frames of any shape.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::PATIENCE;

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
/// The first frame of a text message that goes on.
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const GOES_ON: u8 = 0x00;
pub(crate) const ENDS: u8 = 0x80;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn problem(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The problem's code; empty when the answer is none.
    pub(crate) fn code(&self) -> String {
        self.problem()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A problem document as the contract has it.
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.problem();
        assert_eq!(problem["status"], status);
        assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{self:?}");
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
    }
}

/// What a gateway sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The stream ended or broke.
    Gone,
}

/// A TCP connection, and a WebSocket once it was upgraded.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// The text of a handshake.
pub(crate) fn handshake(path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!(
        "GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// Sends a request and reads its answer.
pub(crate) async fn http(addr: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::connect(addr).await;
    raw.send(&request).await;
    raw.answer().await.unwrap_or_else(|| panic!("no answer to {:?}", start_of(request.as_ref())))
}

/// A handshake with a token that is expected to be refused.
pub(crate) async fn refused(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    http(addr, handshake(path, headers)).await
}

fn start_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned()
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// A connection whose kernel buffers hold little, so that a gateway soon feels what it does not read.
    pub(crate) async fn narrow(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket.set_send_buffer_size(8 * 1024).unwrap();
        Self { stream: socket.connect(addr).await.unwrap(), buffer: Vec::new() }
    }

    /// Connects and upgrades, or says what was answered instead.
    pub(crate) async fn upgrade(
        addr: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Answer> {
        let mut raw = Self::connect(addr).await;
        raw.send(handshake(path, headers)).await;
        let answer = raw.answer().await.expect("the gateway answers a whole handshake");
        if answer.status == 101 { Ok(raw) } else { Err(answer) }
    }

    /// Connects, upgrades with this token, and reads the welcome.
    pub(crate) async fn member(addr: SocketAddr, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let mut raw = Self::upgrade(addr, "/v1/ws", &[("Authorization", &bearer)]).await.unwrap();
        let welcome = raw.json().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        raw
    }

    /// Writes; false when the other side takes no more.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
        matches!(written, Ok(Ok(())))
    }

    /// Writes one frame.
    pub(crate) async fn frame(&mut self, first: u8, payload: impl AsRef<[u8]>) -> bool {
        self.send(frame(first, payload.as_ref())).await
    }

    pub(crate) async fn text(&mut self, text: &str) -> bool {
        self.frame(TEXT, text).await
    }

    /// The next answer; none when the connection ends without one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let deadline = Instant::now() + PATIENCE;
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more(deadline).await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while status != 101 && self.buffer.len() < length && self.read_more(deadline).await {}
        if status != 101 {
            let length = length.min(self.buffer.len());
            answer.body = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
            self.buffer.drain(..length);
        }
        Some(answer)
    }

    /// The next frame.
    pub(crate) async fn seen(&mut self) -> Seen {
        self.seen_within(PATIENCE).await.expect("a frame, or the end, arrives in time")
    }

    /// The next frame; none when nothing comes in time.
    pub(crate) async fn seen_within(&mut self, patience: Duration) -> Option<Seen> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some((seen, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Some(seen);
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(0) | Err(_)) => return Some(Seen::Gone),
                Ok(Ok(_)) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next text frame as JSON; pings and pongs are passed over.
    pub(crate) async fn json(&mut self) -> Value {
        loop {
            match self.seen().await {
                Seen::Text(text) => return serde_json::from_str(&text).unwrap(),
                Seen::Ping(_) | Seen::Pong(_) => {}
                end => panic!("expected a text frame, got {end:?}"),
            }
        }
    }

    /// Reads until the gateway closes. Without a close frame the code is 1006.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.seen().await {
                Seen::Close(code, reason) => return (code, reason),
                Seen::Gone => return (1006, String::new()),
                _ => {}
            }
        }
    }

    /// The gateway has closed: nothing may follow, and the socket ends.
    pub(crate) async fn nothing_follows(&mut self) {
        let after = self.seen().await;
        assert_eq!(after, Seen::Gone, "nothing follows a close frame");
    }

    /// Reads until the stream ends; whatever comes is thrown away.
    pub(crate) async fn until_gone(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.read_more(deadline).await {
            self.buffer.clear();
        }
        Instant::now() < deadline
    }

    /// Cuts the connection with a TCP reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    async fn read_more(&mut self, deadline: Instant) -> bool {
        matches!(timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await, Ok(Ok(1..)))
    }
}

/// A masked client frame with its shortest length.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64);
    let from = bytes.len();
    bytes.extend_from_slice(payload);
    bytes[from..].iter_mut().zip(KEY.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    bytes
}

/// The head of a masked client frame that promises `length` bytes.
pub(crate) fn head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&KEY);
    bytes
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Reads a server frame: whole, unmasked, never a fragment.
fn parse(bytes: &[u8]) -> Option<(Seen, usize)> {
    let [first, second, ..] = *bytes else { return None };
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, from) = match second {
        126 => (u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let end = from + usize::try_from(length).unwrap();
    let payload = bytes.get(from..end)?;
    let seen = match first {
        TEXT => Seen::Text(String::from_utf8(payload.to_vec()).unwrap()),
        PING => Seen::Ping(payload.to_vec()),
        PONG => Seen::Pong(payload.to_vec()),
        CLOSE => match payload {
            [high, low, reason @ ..] => {
                let reason = String::from_utf8(reason.to_vec()).unwrap();
                Seen::Close(u16::from_be_bytes([*high, *low]), reason)
            }
            _ => Seen::Close(1005, String::new()),
        },
        other => panic!("a server frame begins with {other:#x}"),
    };
    Some((seen, end))
}
