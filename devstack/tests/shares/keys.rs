//! One address guesses API keys, or brings one key on a thousand connections: is another's first connection served?
//!
//! The hostile come from 127.0.0.2, the innocent from 127.0.0.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use carillon_devstack::stack::{KeyTenant, Service, Stack, StackConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::faults::probe::{sample, sample_reaches, sql};
use crate::faults::{PATIENCE, alone};
use crate::figures::Figures;

/// Between two guesses over one connection.
const PAUSE: Duration = Duration::from_millis(500);
/// Guesses that one address has under way: more than an address may have waiting.
const GUESSES: usize = 700;
/// First connections that are measured, without and with the hostile one.
const FIRST: usize = 20;

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

/// Guesses without end.
fn guess(to: SocketAddr, request: impl Fn(usize) -> String + Send + Sync + 'static) -> JoinSet<()> {
    let (request, number) = (Arc::new(request), Arc::new(AtomicUsize::new(0)));
    let mut guesses = JoinSet::new();
    for _ in 0..GUESSES {
        let (request, number) = (request.clone(), number.clone());
        guesses.spawn(async move {
            loop {
                let _ = ask(2, to, &request(1 + number.fetch_add(1, Ordering::Relaxed))).await;
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
        let mut keys = Vec::new();
        for _ in 0..2 * FIRST {
            keys.push(key(&stack).await);
        }
        let (to, next) = (service.addr(), AtomicUsize::new(0));
        let first = async || {
            let key = &keys[next.fetch_add(1, Ordering::Relaxed)];
            match ask(1, to, &request(service, key)).await {
                Some(status) if status == "200" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        };
        let without = Figures::of(FIRST, &first).await;
        let form = request(service, "crln_guessN_secret");
        let _hostile = guess(to, move |n| form.replace("guessN", &format!("guess{n}")));
        let refused = r#"carillon_api_key_lookups_total{source="refused"}"#;
        sample_reaches(service, refused, GUESSES as f64).await;
        let with = Figures::of(FIRST, &first).await;
        with.assert_unhurt(&format!("guesses, {}", service.name()), &without);
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
