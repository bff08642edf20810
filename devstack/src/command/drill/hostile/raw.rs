//! How does the hostile side speak HTTP and WebSocket, byte by byte?

use super::address::connect;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Counts what the hostile side was answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<BTreeMap<String, u64>>>);

impl Answers {
    pub(super) fn note(&self, answer: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(answer.into()).or_default() += 1;
    }

    /// `201: 40, 503 overloaded: 7`
    pub(super) fn text(&self) -> String {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().map(|(answer, count)| format!("{answer}: {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// The head of a request without a body of its own.
pub(super) fn head(method: &str, path: &str, bearer: &str, more: &str) -> String {
    let authorization =
        if bearer.is_empty() { String::new() } else { format!("Authorization: Bearer {bearer}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nHost: drill\r\n{authorization}{more}\r\n")
}

/// What makes a request a WebSocket handshake.
pub(super) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Sends a request over a new connection and reads the whole answer; notes status and code.
pub(super) async fn ask(to: SocketAddr, request: &[u8], answers: &Answers) -> io::Result<()> {
    let mut stream = connect(to, None).await?;
    stream.write_all(request).await?;
    let answer = read_answer(&mut stream).await?;
    answers.note(answer);
    Ok(())
}

/// Status and code of the next answer on a connection, whose body is read, too.
pub(super) async fn read_answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let n = stream.read(&mut piece).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..n]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    loop {
        let body = &bytes[end..];
        let whole = match length {
            Some(length) => body.len() >= length,
            None => !chunked || body.ends_with(b"0\r\n\r\n"),
        };
        if whole {
            break;
        }
        let n = stream.read(&mut piece).await?;
        if n == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..n]);
    }
    let status = head.split(' ').nth(1).unwrap_or("?").to_owned();
    let body: serde_json::Value = serde_json::from_slice(&bytes[end..]).unwrap_or_default();
    Ok(match body["code"].as_str() {
        Some(code) => format!("{status} {code}"),
        None => status,
    })
}

/// A text frame as a client sends it, masked with zeros.
pub(super) fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}
