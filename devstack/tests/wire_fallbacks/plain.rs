//! How does a test hold one TCP connection in its hands, byte by byte?

use std::net::SocketAddr;

use carillon_devstack::client::listen::{Message, Messages};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::wire::PATIENCE;

/// A request without a body.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// An HTTP connection of which nothing is lost between one answer and the next.
pub(crate) struct Plain {
    stream: TcpStream,
    bytes: Vec<u8>,
    messages: Messages,
}

impl Plain {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpSocket::new_v4().unwrap(), addr).await
    }

    /// With kernel buffers so small that a gateway soon feels what is not read.
    pub(crate) async fn narrow(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self::over(socket, addr).await
    }

    async fn over(socket: TcpSocket, addr: SocketAddr) -> Self {
        let stream = socket.connect(addr).await.unwrap();
        Self { stream, bytes: Vec::new(), messages: Messages::default() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next answer's head, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.bytes.drain(..at + 4).collect();
                return String::from_utf8(head).unwrap().to_lowercase();
            }
            assert!(self.more().await > 0, "the connection ends within a head: {:?}", self.bytes);
        }
    }

    /// So many bytes of a body.
    pub(crate) async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.bytes.len() < length {
            assert!(self.more().await > 0, "the connection ends within a body");
        }
        self.bytes.drain(..length).collect()
    }

    /// The next chunk of an answer that comes in chunks; the last one is empty.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let at = loop {
            match self.bytes.windows(2).position(|two| two == b"\r\n") {
                Some(at) => break at,
                None => assert!(self.more().await > 0, "the connection ends before the last chunk"),
            }
        };
        let head = String::from_utf8(self.body(at + 2).await).unwrap();
        let length = usize::from_str_radix(head.trim_end(), 16).unwrap();
        let mut chunk = self.body(length + 2).await;
        assert!(chunk.ends_with(b"\r\n"), "{chunk:?}");
        chunk.truncate(length);
        chunk
    }

    /// The next message of an event stream; each is a chunk.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            let chunk = self.chunk().await;
            assert!(!chunk.is_empty(), "the event stream ends");
            self.messages.feed(&chunk);
            if let Some(message) = self.messages.next() {
                return message.unwrap();
            }
        }
    }

    /// Reads at most so many bytes; none at the end.
    pub(crate) async fn some(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.bytes.is_empty() && self.more().await == 0 {
            return None;
        }
        let length = self.bytes.len().min(most);
        Some(self.bytes.drain(..length).collect())
    }

    async fn more(&mut self) -> usize {
        let mut part = [0; 8 * 1024];
        let length = timeout(PATIENCE, self.stream.read(&mut part)).await.expect("more, or the end, in time");
        // A connection that is reset has ended, too.
        let length = length.unwrap_or(0);
        self.bytes.extend_from_slice(&part[..length]);
        length
    }
}

/// The `content-length` of a head.
pub(crate) fn length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.map_or(0, |value| value.trim().parse().unwrap())
}
