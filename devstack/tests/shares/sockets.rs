//! Sockets that say nothing, say not who they are, or do not read: whom do they keep out?
//!
//! The hostile come from 127.0.0.2 and others, the innocent from 127.0.0.1.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::faults::alone;
use crate::figures::{Figures, assert_unhurt, assert_unhurt_in_turns, in_turns};
use crate::wire::raw::{Raw, TEXT, frame, handshake, http};
use crate::wire::{PATIENCE, Shared, assert_serves, block_on, claims, token};

/// Places of the gateway; one in twenty may be held by who has no token.
const PLACES: usize = 200;
/// More silent sockets than either service lets anybody have.
const SILENT: usize = 3_000;
/// They are opened a hundred at a time, 4,000 a second: the machine that is looked at opens them, too.
const AT_ONCE: usize = 100;
const PACE: Duration = Duration::from_millis(25);
/// How long an address waits at the most that holds all sockets without authentication itself, and what a busy machine adds.
const OWN_ADDRESS: Duration = Duration::from_secs(1 + 1);

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            let config = StackConfig { gateways: 1, ..StackConfig::default() };
            Stack::start(config.gateway_var("CARILLON_MAX_CONNECTIONS", PLACES)).await.unwrap()
        })
        .await
}

/// A connection from 127.0.0.`host`.
async fn from(host: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0)))?;
    socket.connect(to).await
}

/// Opens silent sockets from one address without end, `SILENT` at a time.
fn silence(host: u8, to: SocketAddr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut held, mut next) = (VecDeque::new(), tokio::time::interval(PACE));
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            for _ in 0..AT_ONCE {
                // Its own limits are its own matter: descriptors, ports.
                if let Ok(socket) = from(host, to).await {
                    held.push_back(socket);
                }
            }
            held.drain(..held.len().saturating_sub(SILENT));
        }
    })
}

/// A new connection that wants this request answered, with anything but a refusal for want of room.
async fn asks(to: SocketAddr, request: String) -> Result<(), String> {
    let answer = async {
        let mut socket = from(1, to).await.ok()?;
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut begin = [0; 12];
        socket.read_exact(&mut begin).await.ok()?;
        Some(begin)
    };
    let answered = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
    match answered {
        Some(begin) if begin.starts_with(b"HTTP/1.1 ") && !begin.ends_with(b"503") => Ok(()),
        other => Err(format!("{:?}", other.map(|begin| String::from_utf8_lossy(&begin).into_owned()))),
    }
}

/// How long an answer of an ops port may take on a busy machine. One that was kept out answered after ten seconds or more.
const SOON: Duration = Duration::from_secs(5);

/// The ops port answers all that it is asked, soon.
async fn assert_ops_answer(service: &Service) {
    let to: SocketAddr = service.ops_url().trim_start_matches("http://").parse().unwrap();
    for path in ["/livez", "/readyz", "/metrics"] {
        let began = Instant::now();
        let answer = http(to, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{} {path}", service.name());
        assert!(began.elapsed() < SOON, "{} {path}: {:?}", service.name(), began.elapsed());
    }
}

async fn closed(service: &Service, port: &str, reason: &str) -> f64 {
    let name = format!(r#"carillon_sockets_closed_total{{port="{port}",reason="{reason}"}} "#);
    let text = service.metrics().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(&name)).and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn silent_sockets_of_one_address_keep_nobody_out() {
    block_on(async {
        let _alone = alone().await;
        let stack = stack().await;
        for (service, path) in [(stack.gateway(0), "/v1/poll"), (stack.publisher(0), "/openapi.json")] {
            let to = service.addr();
            let running = RefCell::new(None::<JoinHandle<()>>);
            let hostile = async |on| {
                if on {
                    let before = closed(service, "public", "evicted").await;
                    running.replace(Some(silence(2, to)));
                    let given_up = wait::until("silent sockets being given up", PATIENCE, || async {
                        (closed(service, "public", "evicted").await >= before + SILENT as f64).then_some(())
                    });
                    return given_up.await.unwrap();
                }
                assert_ops_answer(service).await;
                let silent = running.take().unwrap();
                silent.abort();
                // Its sockets end with it.
                let _ = silent.await;
            };
            let measure = async || Figures::of(70, async || asks(to, get(path)).await).await;
            let what = format!("silent sockets, {}", service.name());
            assert_unhurt_in_turns(&what, measure, hostile).await;
        }
        assert_serves(&stack, stack.gateway(0)).await;
    });
}

#[test]
fn silent_sockets_of_the_innocents_own_address_keep_it_out_for_a_moment_only() {
    block_on(async {
        let _alone = alone().await;
        let stack = stack().await;
        for (service, path) in [(stack.gateway(0), "/v1/poll"), (stack.publisher(0), "/openapi.json")] {
            let to = service.addr();
            let mut held = Vec::new();
            for _ in 0..SILENT {
                held.push(from(1, to).await.unwrap());
            }
            let began = Instant::now();
            asks(to, get(path)).await.unwrap();
            assert!(began.elapsed() < OWN_ADDRESS, "{}: {:?}", service.name(), began.elapsed());
        }
    });
}

#[test]
fn sockets_without_a_token_do_not_lock_a_node() {
    block_on(async {
        let _alone = alone().await;
        let stack = stack().await;
        let gateway = stack.gateway(0);
        let anna = token(&stack, &claims("shares", "anna"));
        let bearer = format!("Bearer {anna}");
        let come = async || {
            let came = Raw::upgrade(gateway.addr(), "/v1/ws", &[("Authorization", &bearer)]).await;
            came.map(drop).map_err(|answer| format!("{answer:?}"))
        };
        let compare = async || {
            let mut without = Figures::of(60, &come).await;
            let (mut held, mut refused) = (Vec::new(), 0);
            for n in 0..PLACES + 10 {
                let mut socket = from(2 + (n % 2) as u8, gateway.addr()).await.unwrap();
                socket.write_all(handshake("/v1/ws", &[]).as_bytes()).await.unwrap();
                let mut head = vec![0; 2_048];
                let length = socket.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                if head.starts_with("HTTP/1.1 101") {
                    held.push(socket);
                } else {
                    assert!(
                        head.starts_with("HTTP/1.1 429") && head.contains("too_many_unauthenticated"),
                        "{head}"
                    );
                    assert!(head.contains("retry-after: 5"), "{head}");
                    // Of those who are refused nothing stays.
                    assert!(head.contains("connection: close"), "{head}");
                    let end = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await;
                    assert!(end.is_ok(), "the gateway ends it");
                    refused += 1;
                }
            }
            assert!(
                (1..=PLACES / 20).contains(&held.len()) && refused >= PLACES - 10,
                "{} came in",
                held.len()
            );
            let with = Figures::of(120, &come).await;
            // And one that brings its token with the first frame finds room beside the hostile.
            let mut first_frame = Raw::upgrade(gateway.addr(), "/v1/ws", &[]).await.unwrap();
            first_frame
                .send(frame(TEXT, json!({"type": "auth", "token": anna}).to_string().as_bytes()))
                .await;
            assert_eq!(first_frame.json().await["type"], "welcome");
            assert_ops_answer(gateway).await;
            drop(held);
            without.join(Figures::of(60, &come).await);
            (without, with)
        };
        assert_unhurt("sockets without a token", compare).await;
    });
}

/// Asks without end and reads nothing; how long it took until the service had enough of that.
async fn never_reads(to: SocketAddr, request: String) -> Duration {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut socket = socket.connect(to).await.unwrap();
    let many = request.repeat(100);
    let mut last_taken = Instant::now();
    loop {
        match tokio::time::timeout(PATIENCE, socket.write(many.as_bytes())).await {
            Ok(Ok(_)) => last_taken = Instant::now(),
            Ok(Err(_)) => return last_taken.elapsed(),
            Err(_) => panic!("it is still there after {PATIENCE:?}"),
        }
    }
}

#[test]
fn whoever_asks_and_never_reads_is_gone_within_the_deadline() {
    block_on(async {
        let _alone = alone().await;
        let stack = stack().await;
        let services = [(stack.gateway(0), "/v1/nothing"), (stack.publisher(0), "/openapi.json")];
        let all = services.map(|(service, path)| async move {
            let to = service.addr();
            let compare = async || {
                let before = closed(service, "public", "stalled").await;
                let mut without = Figures::of(50, async || asks(to, get(path)).await).await;
                let hostile = tokio::spawn(never_reads(to, get(path)));
                let with = Figures::of(100, async || asks(to, get(path)).await).await;
                let took = hostile.await.unwrap();
                assert!(took < Duration::from_secs(20), "{}: {took:?}", service.name());
                assert!(closed(service, "public", "stalled").await > before, "{}", service.name());
                without.join(Figures::of(50, async || asks(to, get(path)).await).await);
                (without, with)
            };
            assert_unhurt(&format!("never reads, {}", service.name()), compare).await;
        });
        futures_util::future::join_all(all).await;
    });
}

#[test]
fn the_ops_port_answers_beside_its_own_silent_sockets() {
    block_on(async {
        let _alone = alone().await;
        let stack = stack().await;
        for service in [stack.gateway(0), stack.publisher(0)] {
            let to: SocketAddr = service.ops_url().trim_start_matches("http://").parse().unwrap();
            let running = RefCell::new(None::<JoinHandle<()>>);
            let hostile = async |on| {
                if on {
                    let before = closed(service, "ops", "evicted").await;
                    running.replace(Some(silence(2, to)));
                    let given_up = wait::until("silent sockets being given up", PATIENCE, || async {
                        (closed(service, "ops", "evicted").await >= before + SILENT as f64).then_some(())
                    });
                    return given_up.await.unwrap();
                }
                assert_ops_answer(service).await;
                let silent = running.take().unwrap();
                silent.abort();
                // Its sockets end with it.
                let _ = silent.await;
            };
            let ask = async || {
                for path in ["/livez", "/readyz", "/metrics"] {
                    asks(to, get(path)).await?;
                }
                Ok(())
            };
            let (alone, with) = in_turns(async || Figures::of(20, ask).await, hostile).await;
            let what = format!("ops port, {}", service.name());
            // Its figures; what a probe must have is an answer in time.
            let _ = with.hurt(&what, &alone);
            let refused = [&alone.refused[..], &with.refused[..]].concat();
            assert!(refused.is_empty(), "{what}: {refused:?}");
            assert!(with.percent(99) < SOON, "{what}: {:?}", with.percent(99));
            // Requests that never end are no better than silence.
            let mut held = Vec::new();
            for _ in 0..500 {
                let mut socket = from(2, to).await.unwrap();
                // A broken pipe tells that it was given up already.
                let _ = socket.write_all(b"GET /livez HT").await;
                held.push(socket);
            }
            assert_ops_answer(service).await;
        }
    });
}
