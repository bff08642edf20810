//! How do the wire tests get a running system and talk to it?
//!
//! All tests of a file share one stack: the first starts it, the last that lets go of it ends it.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod raw;
pub(crate) mod witness;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use carillon_devstack::client::frame::{Frame, Welcome};
use carillon_devstack::client::ledger::Ack;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{Service, Stack};
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// For what happens at once on an idle machine; ours may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on the runtime that all tests of a file share, as they share a stack.
pub(crate) fn block_on<F: Future>(test: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
    RUNTIME.block_on(test)
}

/// The stack of a test file.
pub(crate) struct Shared(Mutex<Weak<Stack>>);

impl Shared {
    pub(crate) const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// The running stack; started if nobody has it.
    pub(crate) async fn stack<F: Future<Output = Stack>>(&self, start: impl FnOnce() -> F) -> Arc<Stack> {
        let mut shared = self.0.lock().await;
        if let Some(stack) = shared.upgrade() {
            return stack;
        }
        let stack = Arc::new(start().await);
        *shared = Arc::downgrade(&stack);
        stack
    }
}

/// The HTTP client of all tests of a file that run on [`block_on`]: making one for a request takes a busy machine longer than the
/// request, and hundreds made at once keep connections waiting for their requests until the server gives them up. Each request has a
/// connection of its own all the same: a server may have been killed meanwhile.
pub(crate) fn http() -> &'static reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap());
    &HTTP
}

/// How many error frames a gateway has counted under this code.
pub(crate) async fn frames_refused(gateway: &Service, code: &str) -> f64 {
    let name = format!(r#"carillon_frames_refused_total{{code="{code}"}} "#);
    let text = gateway.metrics().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(&name)).and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Gateway variables.
pub(crate) fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A user of a tenant, for an hour.
pub(crate) fn claims(tenant: &str, user: &str) -> Claims {
    Claims::new(tenant, user, now(), 3_600)
}

/// A signed token with any claims at all.
pub(crate) fn sign(claims: &Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

/// The stack's own token for these claims.
pub(crate) fn token(stack: &Stack, claims: &Claims) -> String {
    claims.sign(stack.jwt_secret()).unwrap()
}

/// A plain client of this gateway.
pub(crate) fn client(stack: &Stack, gateway: &Service, claims: &Claims) -> Connect {
    let mut connect = Connect::new(gateway.ws_url(), token(stack, claims));
    connect.patience = PATIENCE;
    connect
}

/// An open connection and its welcome.
pub(crate) async fn open(stack: &Stack, gateway: &Service, claims: &Claims) -> (Socket, Welcome) {
    Socket::open(&client(stack, gateway, claims)).await.unwrap()
}

/// Opens a connection that was here before, again and again until the gateway has something after its cursor.
///
/// A gateway hears of an event after whoever published it has the answer. Until then a cursor before the event is at the head, the
/// welcome says `live`, and the event comes as a live one.
pub(crate) async fn open_behind(connect: &Connect) -> (Socket, Welcome) {
    let reached = wait::until("the gateway having what comes after the cursor", PATIENCE, || async {
        let (socket, welcome) = Socket::open(connect).await.unwrap();
        if welcome.resumed != "live" {
            return Some((socket, welcome));
        }
        socket.close().await;
        None
    });
    reached.await.unwrap()
}

/// A publisher for every tenant.
pub(crate) fn publisher(stack: &Stack) -> Publisher {
    Publisher::new(&stack.publisher(0).url(), stack.api_key()).unwrap()
}

/// Publishes one event to these channels.
pub(crate) async fn publish(stack: &Stack, tenant: &str, channels: &[&str], data: Value) -> Ack {
    let mut post = Post::new(tenant, "wire.test", data);
    post.channels = channels.iter().map(|channel| (*channel).to_owned()).collect();
    publisher(stack).publish(&post, None).await.unwrap()
}

/// Sends a request and returns its answer.
pub(crate) async fn ask(socket: &mut Socket, request: Value) -> Frame {
    socket.ask(&request, PATIENCE).await.unwrap().0
}

/// The events that arrive up to the one with this seq, which must come.
pub(crate) async fn events_to(socket: &mut Socket, seq: u64) -> Vec<Frame> {
    let mut events = Vec::new();
    loop {
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        let last = !event.is_history() && event.seq() == Some(seq);
        events.push(event);
        if last {
            return events;
        }
    }
}

/// What arrived, by seq.
pub(crate) fn seqs(events: &[Frame]) -> Vec<u64> {
    events.iter().filter_map(Frame::seq).collect()
}

pub(crate) fn is_ascending(seqs: &[u64]) -> bool {
    seqs.windows(2).all(|pair| pair[0] < pair[1])
}

/// Channel names as a set, to compare without an order.
pub(crate) fn set<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect()
}

/// Waits until a gateway has exactly this many connections.
pub(crate) async fn connections_become(gateway: &Service, wanted: f64) {
    let what = format!("{} having {wanted} connections", gateway.name());
    let reached = wait::until(what, PATIENCE, || async {
        let open = gateway.metric("carillon_connections").await?;
        (open == wanted).then_some(())
    });
    if let Err(timeout) = reached.await {
        panic!("{timeout}; it has {:?}", gateway.metric("carillon_connections").await);
    }
}

/// A gateway still serves: somebody comes in, asks, and gets an event.
pub(crate) async fn assert_serves(stack: &Stack, gateway: &Service) {
    let tenant = "after-all";
    let (mut socket, _) = open(stack, gateway, &claims(tenant, "visitor")).await;
    let pong = ask(&mut socket, json!({"type": "ping", "id": "still there?"})).await;
    assert!(pong.is("pong"), "{pong:?}");
    // It reads all the time: at a gateway that pings often it is given up soon.
    let publishing = publish(stack, tenant, &["tenant"], json!({}));
    tokio::pin!(publishing);
    let (mut published, mut seen) = (None, BTreeSet::new());
    while published.is_none_or(|seq| !seen.contains(&seq)) {
        tokio::select! {
            ack = &mut publishing, if published.is_none() => published = Some(ack.seq),
            event = socket.next_of("event", PATIENCE) => seen.extend(event.unwrap().seq()),
        }
    }
    socket.close().await;
}

/// None of these secrets stands in any log file of the run.
pub(crate) fn assert_unlogged(stack: &Stack, secrets: &[String]) {
    let mut files = 0;
    for file in std::fs::read_dir(stack.folder().join("log")).unwrap() {
        let path = file.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        files += 1;
        for secret in secrets {
            assert!(!text.contains(secret.as_str()), "{} holds {secret}", path.display());
        }
    }
    assert!(files >= 4, "Postgres, Redis, publisher and gateways write logs");
}
