//! One tenant sends its request bodies byte by byte, others send theirs with a bad key: does anybody else notice?

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use carillon_devstack::client::post::Post;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::faults::alone;
use crate::figures::{Figures, assert_unhurt};
use crate::wire::raw::{Raw, http};
use crate::wire::{PATIENCE, claims, publisher, token};

/// Slow bodies of one tenant at a time. Each used to count as the largest a body may be: 64 of them, and nobody else had room.
const SLOW: usize = 300;

/// Sends a request's head and then its body, a byte each second; the status it is answered with in the end.
async fn drips(to: SocketAddr, head: String) -> u16 {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    loop {
        let answered = tokio::time::timeout(Duration::from_secs(1), socket.read_exact(&mut status)).await;
        match answered {
            Ok(Ok(_)) => return String::from_utf8_lossy(&status[9..]).parse().unwrap(),
            Ok(Err(_)) => return 0,
            Err(_) => {
                let _ = socket.write_all(b"1\r\n \r\n").await;
            }
        }
    }
}

/// The same; whoever finds no turn to be looked up among so many, which a busy machine has not for all of them at once, comes again.
async fn comes_in_and_drips(to: SocketAddr, head: String) -> u16 {
    loop {
        match drips(to, head.clone()).await {
            503 => tokio::time::sleep(Duration::from_secs(1)).await,
            status => return status,
        }
    }
}

fn head(bearer: &str, length: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\n{length}\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_of_one_tenant_slow_down_nobody_else() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let to = stack.publisher(0).addr();
    let (innocent, post) = (publisher(&stack), Post::new("innocent", "wire.test", json!({})).tenant_wide());
    let publish = async || innocent.publish(&post, None).await.map(drop).map_err(|error| error.to_string());
    publish().await.unwrap();
    let compare = async || {
        let mut without = Figures::of(60, &publish).await;
        let hostile = token(&stack, &claims("hostile", "mallory").caps(["publish"]));
        let mut slow = JoinSet::new();
        for n in 0..SLOW {
            let length = if n % 2 == 0 { "Transfer-Encoding: chunked" } else { "Content-Length: 1000000" };
            slow.spawn(comes_in_and_drips(to, head(&hostile, length)));
        }
        let mut with = Figures::default();
        for _ in 0..3 {
            with.join(Figures::of(60, &publish).await);
        }
        let statuses = slow.join_all().await;
        without.join(Figures::of(60, &publish).await);
        assert!(statuses.iter().all(|status| *status == 408), "each had its ten seconds: {statuses:?}");
        let late = stack.publisher(0).metrics().await.unwrap();
        assert!(late.contains(r#"carillon_bodies_refused_total{reason="timeout"}"#), "{late}");
        (without, with)
    };
    assert_unhurt("slow bodies", compare).await;
}

/// Commands and forms of channels of one user that drip, a good many more than it may have on their way.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_of_one_user_at_a_gateway_are_noticed_by_nobody_else() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let to = stack.gateway(0).addr();
    let request = |tenant: &str, path: &str, rest: &str| {
        let bearer = token(&stack, &claims(tenant, "anna"));
        let kind = if path == "/v1/commands" { "json" } else { "x-www-form-urlencoded" };
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\
             Content-Type: application/{kind}\r\n{rest}"
        )
    };
    let asks = request("innocent", "/v1/poll", "Content-Length: 6\r\n\r\nwait=0");
    let ask = async || {
        let answer = http(to, asks.clone()).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    };
    ask().await.unwrap();
    let compare = async || {
        let mut without = Figures::of(40, &ask).await;
        let mut slow = JoinSet::new();
        for path in ["/v1/commands", "/v1/poll"].repeat(SLOW / 10) {
            let head = request("hostile", path, "Transfer-Encoding: chunked\r\n\r\n");
            slow.spawn(drips(to, head));
        }
        let with = Figures::of(80, &ask).await;
        let statuses = slow.join_all().await;
        without.join(Figures::of(40, &ask).await);
        let of = |status| statuses.iter().filter(|told| **told == status).count();
        assert_eq!((of(408), of(429)), (32, statuses.len() - 32), "{statuses:?}");
        (without, with)
    };
    assert_unhurt("slow bodies at a gateway", compare).await;
    assert!(stack.gateway(0).metric("carillon_client_bodies_refused_total").await.unwrap() >= 28.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_not_read_at_length() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let to = stack.publisher(0).addr();
    // A body that is there is read, so that the client sees the answer.
    let mut whole = Raw::connect(to).await;
    whole.send(head("crln_nobody_knows", "Content-Length: 500000")).await;
    whole.send(vec![b' '; 500_000]).await;
    assert_eq!(whole.answer().await.unwrap().status, 401);
    // One that never comes is not waited for.
    let began = Instant::now();
    let mut never = Raw::connect(to).await;
    never.send(head("crln_nobody_knows", "Content-Length: 500000")).await;
    assert_eq!(never.answer().await.unwrap().status, 401);
    assert!(never.until_gone(PATIENCE).await);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
