//! What comes to a tenant's webhook?

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::history::Delivered;

/// Longest message that is read.
const MOST: usize = 256 * 1024;

/// One message in so many is refused for a moment; it comes again.
const REFUSES: usize = 61;

/// What came to it.
#[derive(Debug, Default)]
struct Came {
    /// Numbers of all messages that were answered with success.
    answered: BTreeSet<u64>,
    /// Those that it remembers, in the order in which they came.
    taken: Vec<Delivered>,
}

/// An endpoint, listening. It ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    /// Where messages are sent to.
    pub url: String,
    came: Arc<Mutex<Came>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Begins to listen. With `forgets` the message with this number is answered and not remembered, each time: an
    /// endpoint that never got it looks the same.
    pub async fn start(forgets: Option<u64>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let came: Arc<Mutex<Came>> = Arc::default();
        let shared = Arc::clone(&came);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&shared), forgets));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { url, came, task })
    }

    /// Everything that was taken, in the order in which it came.
    pub fn taken(&self) -> Vec<Delivered> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).taken.clone()
    }

    /// How many different events were answered with success, also those that it forgets.
    pub fn answered(&self) -> usize {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).answered.len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream, came: Arc<Mutex<Came>>, forgets: Option<u64>) {
    let mut buffer = Vec::new();
    let mut count = 0;
    while let Some(body) = next(&mut socket, &mut buffer).await {
        count += 1;
        if count % REFUSES == 0 {
            let later = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
            if socket.write_all(later).await.is_err() {
                return;
            }
            continue;
        }
        if let Some(message) = read(&body) {
            let mut came = came.lock().unwrap_or_else(PoisonError::into_inner);
            came.answered.insert(message.seq);
            if Some(message.seq) != forgets {
                came.taken.push(message);
            }
        }
        if socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
            return;
        }
    }
}

fn read(body: &[u8]) -> Option<Delivered> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    Some(Delivered { tenant: text("tenant")?, seq: json["seq"].as_u64()?, id: text("id")? })
}

/// The body of the next request.
async fn next(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > MOST || socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.filter(|length| *length <= MOST)?;
    while buffer.len() < end + length {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(body)
}
