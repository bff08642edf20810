//! One address guesses API keys, or brings one key on a thousand connections: is another's first connection served?
//!
//! The hostile come from 127.0.0.2, the innocent from 127.0.0.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use carillon_devstack::stack::{KeyTenant, Service, Stack, StackConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::faults::probe::{client, sample, sample_reaches, sql};
use crate::faults::{PATIENCE, alone};
use crate::figures::{Figures, Switch, assert_unhurt_in_turns};

/// Between two guesses over one connection.
const PAUSE: Duration = Duration::from_millis(500);
/// Guesses that one address has under way: more than an address may have waiting.
const GUESSES: usize = 700;
/// First connections that are measured in a turn, without and with the hostile one.
const FIRST: usize = 10;

/// Keys to guess that take the database 20 ms each, so that guesses wait however fast it is.
const SLOW: &str = "INSERT INTO carillon.api_keys (id, hash, tenant_id, scopes)
        SELECT 'guess' || n, decode(repeat('00', 32), 'hex'), 'shares', '{read}' FROM generate_series(1, 100000) n;
    CREATE POLICY slow ON carillon.api_keys AS RESTRICTIVE FOR SELECT TO carillon_gateway, carillon_publisher
        USING (id NOT LIKE 'guess%' OR pg_sleep(0.02)::text IS NOT NULL)";

async fn key(stack: &Stack) -> String {
    stack.create_api_key(KeyTenant::One("shares"), &["read"]).await.unwrap()
}

/// What brings a key to a service, and needs nothing but that it is believed.
fn request(service: &Service, key: &str) -> String {
    let path = if service.name().starts_with("gateway") { "/v1/poll" } else { "/v1/events?limit=1" };
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n")
}

/// The status of the answer over a connection of its own from 127.0.0.`host`.
async fn ask(host: u8, to: SocketAddr, request: &str) -> Option<String> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).ok()?;
    let mut socket: TcpStream = socket.connect(to).await.ok()?;
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.ok()?.ok()?;
    answer.get(9..12).map(str::to_owned)
}

/// So many keys that nobody has used.
async fn unused_keys(stack: &Stack) -> Vec<String> {
    // Of a tenant of their own: the other one has more than it may be given.
    let url = format!("{}/v1/api-keys?tenant=innocent", stack.publisher(0).url());
    let mut keys = Vec::new();
    for _ in 0..FIRST {
        let request = client().post(&url).bearer_auth(stack.api_key()).json(&json!({"scopes": ["read"]}));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        keys.push(answer["key"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
    }
    keys
}

/// Guesses until it is over, and rests when it is told to.
fn guess(
    switch: &Arc<Switch>,
    to: SocketAddr,
    request: impl Fn(usize) -> String + Send + Sync + 'static,
) -> JoinSet<()> {
    let (request, number) = (Arc::new(request), Arc::new(AtomicUsize::new(0)));
    let mut guesses = JoinSet::new();
    for _ in 0..GUESSES {
        let (switch, request, number) = (switch.clone(), request.clone(), number.clone());
        guesses.spawn(async move {
            while let Some(under_way) = switch.next().await {
                let _ = ask(2, to, &request(1 + number.fetch_add(1, Ordering::Relaxed))).await;
                drop(under_way);
                // The machine that is looked at makes the guesses, too.
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    guesses
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_api_keys_is_noticed_by_nobody_else() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    sql(&stack, SLOW).await;
    for service in [stack.gateway(0), stack.publisher(0)] {
        let to = service.addr();
        let measure = async || {
            let (keys, next) = (unused_keys(&stack).await, AtomicUsize::new(0));
            let first = async || {
                let key = &keys[next.fetch_add(1, Ordering::Relaxed)];
                match ask(1, to, &request(service, key)).await {
                    Some(status) if status == "200" => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            };
            Figures::of(FIRST, &first).await
        };
        let (switch, form) = (Arc::new(Switch::new()), request(service, "crln_guessN_secret"));
        let hostile_ones = guess(&switch, to, move |n| form.replace("guessN", &format!("guess{n}")));
        let hostile = async |on: bool| {
            let refused = r#"carillon_api_key_lookups_total{source="refused"}"#;
            let before = sample(service, refused).await;
            switch.turn(on).await;
            if on {
                sample_reaches(service, refused, before + GUESSES as f64).await;
            }
        };
        assert_unhurt_in_turns(&format!("guesses, {}", service.name()), measure, hostile).await;
        switch.end();
        hostile_ones.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_of_one_key_are_one_look_up() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    for service in [stack.gateway(0), stack.publisher(0)] {
        let (to, busy, other) = (service.addr(), key(&stack).await, key(&stack).await);
        let asked = || sample(service, r#"carillon_api_key_lookups_total{source="database"}"#);
        let before = asked().await;
        let mut all = JoinSet::new();
        for _ in 0..1_000 {
            let request = request(service, &busy);
            all.spawn(async move { ask(2, to, &request).await });
        }
        let first = ask(1, to, &request(service, &other)).await;
        assert_eq!(first.as_deref(), Some("200"), "{}: another's first connection", service.name());
        let answers = all.join_all().await;
        // What a key may read at a time has a share of its own on a publisher; that it was believed is the point.
        let believed = |status: &Option<String>| matches!(status.as_deref(), Some("200" | "429"));
        let strange: Vec<_> = answers.iter().filter(|answer| !believed(answer)).collect();
        assert!(strange.is_empty(), "{}: {} of 1,000: {:?}", service.name(), strange.len(), strange[0]);
        assert_eq!(asked().await - before, 2.0, "{}", service.name());
    }
}
