//! A tenant's application: answers what it is asked as the test wants, and remembers every question.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Answer = Box<dyn Fn(&Value) -> Reply + Send + Sync>;

/// What the application does with a question.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with this body and status 200.
    Json(Value),
    /// Answers with these bytes.
    Raw(String),
    /// Says nothing.
    Silence,
}

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) body: Value,
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().filter(|(own, _)| own == name).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "one line of {name}: {:?}", self.headers);
        &found[0].1
    }
}

/// A running application.
pub(crate) struct Application {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Answer>,
    questions: Mutex<Vec<Asked>>,
    after: Mutex<Duration>,
    now: AtomicUsize,
    most: AtomicUsize,
}

pub(crate) fn yes(ttl: u64) -> Reply {
    Reply::Json(json!({"allow": true, "ttl": ttl}))
}

pub(crate) fn no() -> Reply {
    Reply::Json(json!({"allow": false}))
}

pub(crate) fn raw(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

impl Application {
    /// Answers so from now on.
    pub(crate) async fn start(answer: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/authorize", listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared {
            answer: Mutex::new(Box::new(answer)),
            questions: Mutex::default(),
            after: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, serving.clone()));
            }
        });
        Self { url, shared }
    }

    /// Changes its mind.
    pub(crate) fn says(&self, answer: impl Fn(&Value) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    /// Takes this long for an answer.
    pub(crate) fn takes(&self, after: Duration) {
        *self.shared.after.lock().unwrap() = after;
    }

    pub(crate) fn questions(&self) -> Vec<Asked> {
        self.shared.questions.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.shared.questions.lock().unwrap().len()
    }

    /// The most questions that were under way at a time.
    pub(crate) fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    let Some(asked) = read(&mut socket).await else { return };
    let body = asked.body.clone();
    shared.questions.lock().unwrap().push(asked);
    shared.most.fetch_max(shared.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    let after = *shared.after.lock().unwrap();
    tokio::time::sleep(after).await;
    let reply = (shared.answer.lock().unwrap())(&body);
    if matches!(reply, Reply::Silence) {
        // The question is under way until whoever asked gives up.
        let _ = socket.read_u8().await;
    }
    shared.now.fetch_sub(1, Ordering::SeqCst);
    let text = match reply {
        Reply::Json(body) => match raw("200 OK", "content-type: application/json\r\n", &body.to_string()) {
            Reply::Raw(text) => text,
            _ => return,
        },
        Reply::Raw(text) => text,
        Reply::Silence => return,
    };
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.shutdown().await;
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut buffer).await.ok()? == 0 {
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
        if socket.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked { body: serde_json::from_slice(&buffer[end..]).ok()?, headers })
}
