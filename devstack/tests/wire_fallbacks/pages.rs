//! What may the page of another origin do, and what does HTTP/1.1 allow on one connection?

use carillon_devstack::client::frame::Cursor;
use serde_json::json;

use crate::plain::{Plain, length, request};
use crate::wire::raw::http;
use crate::wire::{assert_serves, block_on, claims, connections_become, publish, token};
use crate::{BEATING, PLAIN, SITE, STRICT, listen, stack};

#[test]
fn a_preflight_is_answered_for_the_origins_that_may_come_in() {
    block_on(async {
        let stack = stack().await;
        for (gateway, origin, allowed) in [
            (PLAIN, "https://any.example", true),
            (STRICT, SITE, true),
            (STRICT, "https://evil.example", false),
            (STRICT, "null", false),
        ] {
            for (path, method) in
                [("/v1/sse", "GET"), ("/v1/sse", "POST"), ("/v1/poll?since=1", "GET"), ("/v1/poll", "POST")]
            {
                let headers = [
                    ("Origin", origin),
                    ("Access-Control-Request-Method", method),
                    ("Access-Control-Request-Headers", "authorization,last-event-id,traceparent"),
                ];
                let answer = http(stack.gateway(gateway).addr(), request("OPTIONS", path, &headers)).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                let granted = answer.header("access-control-allow-origin");
                assert_eq!(granted, allowed.then_some(origin), "{answer:?}");
                assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST"));
                let names = answer.header("access-control-allow-headers").unwrap();
                assert_eq!(names, "authorization,last-event-id,traceparent", "what it asks for");
                assert!(answer.header("vary").is_some_and(|names| names.contains("origin")), "{answer:?}");
                assert_eq!(
                    answer.header("access-control-allow-credentials"),
                    None,
                    "cookies mean nothing here"
                );
            }
        }
    });
}

#[test]
fn a_page_of_an_allowed_origin_may_read_its_answers_and_its_refusals() {
    block_on(async {
        let stack = stack().await;
        let bearer = format!("Bearer {}", token(&stack, &claims("cors", "anna")));
        for path in ["/v1/sse", "/v1/poll"] {
            for (authorization, status) in [(bearer.as_str(), "200"), ("Bearer bad", "401")] {
                let mut plain = Plain::connect(stack.gateway(STRICT).addr()).await;
                let headers = [("Authorization", authorization), ("Origin", SITE)];
                plain.send(&request("GET", path, &headers)).await;
                let head = plain.head().await;
                assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
                assert!(head.contains(&format!("\r\naccess-control-allow-origin: {SITE}\r\n")), "{head}");
                assert!(
                    head.lines().any(|line| line.starts_with("vary:") && line.contains("origin")),
                    "{head}"
                );
            }
        }
        connections_become(stack.gateway(STRICT), 0.0).await;
    });
}

#[test]
fn a_connection_that_was_refused_before_can_become_an_event_stream() {
    block_on(async {
        let stack = stack().await;
        let bearer = format!("Bearer {}", token(&stack, &claims("kept", "anna")));
        let mut plain = Plain::connect(stack.gateway(PLAIN).addr()).await;
        for (path, status) in [("/v1/sse", "401"), ("/v1/poll", "401"), ("/nothing", "404")] {
            plain.send(&request("GET", path, &[])).await;
            let head = plain.head().await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
            plain.body(length(&head)).await;
        }
        plain.send(&request("GET", "/v1/sse", &[("Authorization", &bearer)])).await;
        let head = plain.head().await;
        assert!(head.starts_with("http/1.1 200 ok\r\n") && !head.contains("content-length"), "{head}");
        assert!(plain.message().await.frame.is("welcome"));
        let ack = publish(&stack, "kept", &["tenant"], json!({})).await;
        assert_eq!(plain.message().await.frame.seq(), Some(ack.seq));
    });
}

/// The request of a stream is the last of its connection: what a client sends after it is nobody's.
#[test]
fn whatever_follows_the_request_of_a_stream_does_no_harm() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(BEATING);
        let bearer = format!("Bearer {}", token(&stack, &claims("pipelined", "anna")));
        let headers = [("Authorization", bearer.as_str())];
        let stream = request("GET", "/v1/sse", &headers);
        let other = request("GET", "/v1/poll", &headers);
        let with_body = request("GET", "/v1/sse", &[headers[0], ("Content-Length", "5")]) + "hello";
        let unasked = request("GET", "/v1/sse", &[]);
        let big = "x".repeat(200_000);
        for (sent, refusals) in [
            (format!("{stream}{other}"), 0),
            (format!("{stream}{stream}{stream}"), 0),
            (format!("{stream}\0\u{1}garbage\r\n\r\n"), 0),
            (format!("{stream}{big}"), 0),
            (with_body, 0),
            // Answered in their order: refused, refused, let in.
            (format!("{unasked}{unasked}{stream}{unasked}"), 2),
        ] {
            let mut plain = Plain::connect(gateway.addr()).await;
            plain.send(&sent).await;
            for _ in 0..refusals {
                let head = plain.head().await;
                assert!(head.starts_with("http/1.1 401 "), "{head}");
                plain.body(length(&head)).await;
            }
            let head = plain.head().await;
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert!(plain.message().await.frame.is("welcome"));
            plain.send(&other).await;
            let ack = publish(&stack, "pipelined", &["tenant"], json!({})).await;
            loop {
                let message = plain.message().await;
                match message.frame.kind() {
                    "heartbeat" => {}
                    kind => break assert_eq!((kind, message.frame.seq()), ("event", Some(ack.seq))),
                }
            }
        }
        assert_serves(&stack, gateway).await;
        // A poll's answer is the last as well, and whole.
        let head = publish(&stack, "pipelined", &["tenant"], json!({})).await;
        let before = Cursor::new(head.seq - 1, &head.epoch);
        let heard =
            listen(&stack, BEATING, &claims("pipelined", "anna")).since(before).poll(None).await.unwrap();
        assert_eq!(heard.events.len(), 1, "from here on the gateway's head is the log's");
        let mut plain = Plain::connect(gateway.addr()).await;
        plain.send(&format!("{other}{other}")).await;
        assert!(plain.head().await.starts_with("http/1.1 200 "));
        let mut body = Vec::new();
        while let Some(part) = plain.some(8 * 1024).await {
            body.extend(part);
        }
        let polled = carillon_devstack::client::listen::Polled::read(&body).unwrap();
        assert_eq!(polled.cursor, Cursor::new(head.seq, &head.epoch));
        let again = listen(&stack, BEATING, &claims("pipelined", "anna")).poll(None).await.unwrap();
        assert_eq!(again, polled);
    });
}
