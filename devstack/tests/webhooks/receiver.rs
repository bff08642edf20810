//! An endpoint of a tenant: answers as the test wants, and remembers every message in the order in which it came.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Answer = Box<dyn Fn(&Message) -> Reply + Send + Sync>;

/// What the endpoint does with a message.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with this status, these header lines and this body.
    Status(u16, &'static str, &'static str),
    /// Answers 200, after so long.
    #[allow(dead_code, reason = "only the tests of escalations use it")]
    Late(Duration),
    /// Says nothing for a long time.
    Silence,
    /// Answers 200, and then sends this again and again, with this pause between.
    Endless(&'static str, Duration),
}

pub(crate) const OK: Reply = Reply::Status(200, "", "thanks");

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) at: Instant,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().filter(|(own, _)| own == name).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "one line of {name}: {:?}", self.headers);
        &found[0].1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn seq(&self) -> u64 {
        self.json()["seq"].as_u64().unwrap()
    }
}

/// A running endpoint.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Answer>,
    messages: Mutex<Vec<Message>>,
}

impl Receiver {
    /// Answers so from now on.
    pub(crate) async fn start(answer: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/hook", listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared { answer: Mutex::new(Box::new(answer)), messages: Mutex::default() });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, serving.clone()));
            }
        });
        Self { url, shared }
    }

    /// Changes its mind.
    pub(crate) fn answers(&self, answer: impl Fn(&Message) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.shared.messages.lock().unwrap().clone()
    }

    /// Numbers of the events, in the order in which they came.
    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.messages().iter().map(Message::seq).collect()
    }

    /// The same, each where it came first.
    pub(crate) fn first_seqs(&self) -> Vec<u64> {
        let mut known = std::collections::BTreeSet::new();
        self.seqs().into_iter().filter(|seq| known.insert(*seq)).collect()
    }
}

/// Keeps the connection, as servers do.
async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(message) = read(&mut socket, &mut buffer).await {
        let reply = (shared.answer.lock().unwrap())(&message);
        shared.messages.lock().unwrap().push(message);
        match reply {
            Reply::Status(status, headers, body) => {
                let length = body.len();
                let text = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
                if socket.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Late(after) => {
                tokio::time::sleep(after).await;
                if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    return;
                }
            }
            Reply::Silence => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
            Reply::Endless(piece, pause) => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while socket.write_all(piece.as_bytes()).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return;
            }
        }
    }
}

async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Message> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
    let headers: Vec<(String, String)> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    while buffer.len() < end + length {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(Message { at: Instant::now(), body, headers })
}
