//! How are requests answered that are no handshake, a bad one, or an attack?

use std::time::{Duration, Instant};

use carillon_devstack::client::socket::Socket;

use tokio::io::AsyncWriteExt;

use crate::wire::raw::{Answer, Raw, handshake, http, refused};
use crate::wire::{PATIENCE, assert_serves, block_on, claims, client, token};
use crate::{PLAIN, stack};

/// Of a request's head, URL included.
const HEAD_BYTES: usize = 32 * 1024;

#[test]
fn what_is_no_handshake_gets_the_status_that_says_so() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let whole = handshake("/v1/ws", &[]);
        let without = |name: &str| -> String {
            whole.split_inclusive("\r\n").filter(|line| !line.starts_with(&format!("{name}:"))).collect()
        };
        let with = |from: &str, to: &str| whole.replace(from, to);
        for (request, status, code) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(), 404, "not_found"),
            (with("/v1/ws ", "/v1/ws/ "), 404, "not_found"),
            (with("/v1/ws ", "/v2/ws "), 404, "not_found"),
            (with("/v1/ws ", "/v1/events "), 404, "not_found"),
            ("GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n".into(), 426, "upgrade_required"),
            (
                "POST /v1/ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".into(),
                405,
                "method_not_allowed",
            ),
            ("OPTIONS /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n".into(), 405, "method_not_allowed"),
            (with("GET ", "DELETE "), 405, "method_not_allowed"),
            (without("Upgrade"), 426, "upgrade_required"),
            (without("Connection"), 426, "upgrade_required"),
            (with("Upgrade: websocket", "Upgrade: h2c"), 426, "upgrade_required"),
            (without("Sec-WebSocket-Version"), 426, "websocket_version"),
            (with("Version: 13", "Version: 8"), 426, "websocket_version"),
            (without("Sec-WebSocket-Key"), 400, "websocket_key"),
            (with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400, "websocket_key"),
            (with("dGhlIHNhbXBsZSBub25jZQ==", "!!!"), 400, "websocket_key"),
            (with("Host: gateway", "Host: gateway\r\nHost: other"), 400, "invalid_header"),
            (with("Host: gateway", "Host: gateway\r\nContent-Length: 5"), 400, "body_not_allowed"),
            (with("Host: gateway", "Host: gateway\r\nTransfer-Encoding: chunked"), 400, "body_not_allowed"),
        ] {
            let answer = http(addr, &request).await;
            answer.assert_problem(status, code);
            match status {
                405 => assert_eq!(answer.header("allow"), Some("GET")),
                426 => {
                    assert_eq!(answer.header("upgrade"), Some("websocket"));
                    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
                }
                _ => {}
            }
        }
        let answer = http(addr, with("HTTP/1.1", "HTTP/1.0")).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    });
}

#[test]
fn each_bad_query_parameter_is_400_and_named() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let bearer = format!("Bearer {}", token(&stack, &claims("acme", "anna").channels(["*"])));
        let many: Vec<String> = (0..1_001).map(|n| format!("c:{n}")).collect();
        for (query, name) in [
            ("since=-1", "since"),
            ("since=", "since"),
            ("since=1.5", "since"),
            ("since=0x10", "since"),
            ("since=18446744073709551616", "since"),
            ("since=1&since=2", "since"),
            ("epoch=a%20b", "epoch"),
            ("epoch=", "epoch"),
            (&format!("epoch={}", "e".repeat(33)), "epoch"),
            ("device=a%2Fb", "device"),
            ("device=%00", "device"),
            (&format!("device={}", "d".repeat(65)), "device"),
            ("tenant=Acme", "tenant"),
            ("tenant=", "tenant"),
            ("tenant=acme%00", "tenant"),
            ("tenant=acme&tenant=acme", "tenant"),
            ("channels=a%20b", "channels"),
            ("channels=ok,b%C3%A4d", "channels"),
            (&format!("channels={}", "c".repeat(129)), "channels"),
            (&format!("channels={}", many.join(",")), "channels"),
            ("channels=%FF%FE", "channels"),
        ] {
            let answer = refused(addr, &format!("/v1/ws?{query}"), &[("Authorization", &bearer)]).await;
            answer.assert_problem(400, "invalid_query");
            let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(&format!("{name}:")), "{}: {detail}", &query[..query.len().min(60)]);
        }
        // What others append to a URL is none of our business.
        let path = "/v1/ws?utm_source=x&_=1&channels=&since=0&device=d-1";
        assert!(Raw::upgrade(addr, path, &[("Authorization", &bearer)]).await.is_ok());
    });
}

#[test]
fn a_channel_the_token_does_not_allow_is_403_and_named() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let anna = claims("acme", "anna").roles(["staff"]).channels(["contact:*"]);
        let bearer = format!("Bearer {}", token(&stack, &anna));
        let path = "/v1/ws?channels=contact:1,lead:2,user:anna,user:bob,role:staff,role:admin,tenant";
        let answer = refused(addr, path, &[("Authorization", &bearer)]).await;
        answer.assert_problem(403, "forbidden");
        assert_eq!(answer.problem()["channels"], serde_json::json!(["lead:2", "user:bob", "role:admin"]));

        let wanted =
            client(&stack, stack.gateway(PLAIN), &anna).channels(["contact:1", "tenant", "contact:1"]);
        let (socket, welcome) = Socket::open(&wanted).await.unwrap();
        assert_eq!(welcome.channels, ["tenant", "user:anna", "role:staff", "contact:1"]);
        socket.close().await;
    });
}

#[test]
fn i10_oversized_heads_are_refused_and_the_next_is_served() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        let long = "x".repeat(100 * 1024);
        let many: String = (0..1_000).map(|n| format!("X-Header-{n}: {n}\r\n")).collect();
        let endless = format!("GET /v1/ws HTTP/1.1\r\nHost: x\r\n{}", "X-A: b\r\n".repeat(20_000));
        for bomb in [
            handshake("/v1/ws", &[("X-Long", &long)]),
            handshake("/v1/ws", &[("Authorization", &format!("Bearer {long}"))]),
            handshake("/v1/ws", &[("Sec-WebSocket-Protocol", &format!("bearer.{long}"))]),
            handshake(&format!("/v1/ws?token={long}"), &[]),
            handshake(&format!("/{long}"), &[]),
            handshake("/v1/ws", &[]).replace("\r\n\r\n", &format!("\r\n{many}\r\n")),
            endless,
            long.clone(),
            "\0\r\n\r\n".into(),
            "GET /v1/ws\r\n\r\n".into(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        ] {
            let mut raw = Raw::connect(gateway.addr()).await;
            raw.send(&bomb).await;
            // The connection may be reset before its answer is read: what counts is that it ends unserved.
            if let Some(answer) = raw.answer().await {
                assert!((400..500).contains(&answer.status), "{answer:?}");
            }
            assert!(raw.until_gone(PATIENCE).await, "a connection with a bad head is closed");
        }
        assert_serves(&stack, gateway).await;
    });
}

#[test]
fn i10_whoever_sends_a_head_byte_by_byte_is_cut_off_while_others_are_served() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        let begun = Instant::now();
        let mut slow = Vec::new();
        // The last is whole, and answered; then nothing more comes.
        for beginning in [
            "",
            "G",
            "GET /v1/ws HTT",
            "GET /v1/ws HTTP/1.1\r\nHost: x\r\nX-Slow: a",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            for _ in 0..25 {
                let mut raw = Raw::connect(gateway.addr()).await;
                raw.send(beginning).await;
                slow.push(tokio::spawn(async move { raw.until_gone(PATIENCE).await }));
            }
        }
        // One drips on: every byte is a sign of life, but the head has a deadline of its own.
        let mut dripping = Raw::connect(gateway.addr()).await;
        let drip = tokio::spawn(async move {
            dripping.send("GET /v1/ws HTTP/1.1\r\nX-Drip: ").await;
            while begun.elapsed() < PATIENCE {
                if !dripping.send("x").await
                    || dripping.seen_within(Duration::from_millis(250)).await.is_some()
                {
                    return true;
                }
            }
            false
        });
        for _ in 0..3 {
            assert_serves(&stack, gateway).await;
        }
        for one in slow {
            assert!(one.await.unwrap(), "a partial head is not waited for");
        }
        assert!(drip.await.unwrap(), "nor one that grows by a byte now and then");
        assert_serves(&stack, gateway).await;
    });
}

#[test]
fn i10_a_body_that_never_comes_holds_nothing_up() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        let mut raw = Raw::connect(gateway.addr()).await;
        raw.send("POST /v1/ws HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin").await;
        raw.answer().await.unwrap().assert_problem(405, "method_not_allowed");
        assert!(raw.until_gone(PATIENCE).await, "the connection ends with its answer");
    });
}

/// A request whose head has so many bytes, all of them but the last few in one header or in the URL.
fn head_of(bytes: usize, path: &str, in_url: bool) -> String {
    let form = |fill: &str| match in_url {
        true => format!("GET {path}?fill={fill} HTTP/1.1\r\nHost: x\r\n\r\n"),
        false => format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Fill: {fill}\r\n\r\n"),
    };
    form(&"x".repeat(bytes - form("").len()))
}

/// Sends a head in pieces, as a slow network brings it; what is refused meanwhile may not be sent to its end.
async fn in_pieces(addr: std::net::SocketAddr, head: &str) -> Answer {
    let mut raw = Raw::connect(addr).await;
    for piece in head.as_bytes().chunks(5_000) {
        if raw.stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    raw.answer().await.expect("an answer")
}

#[test]
fn a_head_may_have_32_kib_and_not_one_byte_more_at_both_services() {
    block_on(async {
        let stack = stack().await;
        for (addr, path) in
            [(stack.gateway(PLAIN).addr(), "/v1/ws"), (stack.publisher(0).addr(), "/v1/events")]
        {
            // What a head within the bound is refused for instead: it is no WebSocket's, it has no credentials.
            let within =
                if path == "/v1/ws" { (426, "upgrade_required") } else { (401, "credentials_missing") };
            for in_url in [false, true] {
                let (most, more) = (head_of(HEAD_BYTES, path, in_url), head_of(HEAD_BYTES + 1, path, in_url));
                http(addr, &most).await.assert_problem(within.0, within.1);
                in_pieces(addr, &most).await.assert_problem(within.0, within.1);
                for refused in [http(addr, &more).await, in_pieces(addr, &more).await] {
                    refused.assert_problem(431, "head_too_large");
                    assert_eq!(refused.header("connection"), Some("close"));
                }
                for bytes in [48_000, 70_000, 250_000] {
                    let head = head_of(bytes, path, in_url);
                    http(addr, &head).await.assert_problem(431, "head_too_large");
                    // One that never ends, too.
                    http(addr, &head[..bytes - 4]).await.assert_problem(431, "head_too_large");
                }
            }
            let fields = |count: usize| {
                let fields: String = (1..count).map(|n| format!("X-{n}: y\r\n")).collect();
                format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
            };
            let hosts = format!("GET {path} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
            http(addr, hosts).await.assert_problem(400, "invalid_header");
            http(addr, fields(100)).await.assert_problem(within.0, within.1);
            http(addr, fields(101)).await.assert_problem(431, "head_too_large");
        }
    });
}
