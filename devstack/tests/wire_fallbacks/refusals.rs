//! Who is refused an event stream or a poll, and with which status and code?

use carillon_devstack::token::{Claims, now};

use crate::plain::{Plain, length, request};
use crate::wire::raw::http;
use crate::wire::{block_on, claims, connections_become, token};
use crate::{PLAIN, SITE, STRICT, listen, stack};

const PATHS: [&str; 2] = ["/v1/sse", "/v1/poll"];

#[test]
fn each_refusal_has_its_status_and_its_code() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let bearer = |claims: &Claims| format!("Bearer {}", token(&stack, claims));
        let good = bearer(&claims("acme", "anna").channels(["contact:*"]));
        let expired = bearer(&Claims::new("acme", "anna", now() - 100, 10));
        for path in PATHS {
            for (query, authorization, status, code) in [
                ("", None, 401, "token_missing"),
                ("", Some("Basic YW5uYTpzZWNyZXQ="), 401, "token_missing"),
                ("", Some("Bearer nonsense"), 401, "token_malformed"),
                ("", Some(expired.as_str()), 401, "token_expired"),
                ("token=nonsense", None, 401, "token_malformed"),
                ("channels=contact:1,lead:2", Some(good.as_str()), 403, "forbidden"),
                ("channels=user:bob", Some(&good), 403, "forbidden"),
                ("tenant=other", Some(&good), 403, "tenant_forbidden"),
                ("channels=a%20b", Some(&good), 400, "invalid_query"),
                ("since=x", Some(&good), 400, "invalid_query"),
                ("since=1&since=2", Some(&good), 400, "invalid_query"),
                ("since=1&epoch=a%20b", Some(&good), 400, "invalid_query"),
            ] {
                let headers = authorization.map(|value| ("Authorization", value));
                let path = format!("{path}?{query}");
                let answer = http(addr, request("GET", &path, headers.as_slice())).await;
                answer.assert_problem(status, code);
                assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{answer:?}");
            }
            let named = format!("{path}?channels=contact:1,lead:2,lead:3");
            let answer = http(addr, request("GET", &named, &[("Authorization", &good)])).await;
            assert_eq!(answer.problem()["channels"], serde_json::json!(["lead:2", "lead:3"]));
            let below = http(addr, request("GET", &format!("{path}/"), &[("Authorization", &good)])).await;
            below.assert_problem(404, "not_found");
        }
        for wait in ["51", "-1", "1.5", "x", ""] {
            let path = format!("/v1/poll?since=0&wait={wait}");
            let answer = http(addr, request("GET", &path, &[("Authorization", &good)])).await;
            answer.assert_problem(400, "invalid_query");
            assert!(answer.problem()["detail"].as_str().unwrap().starts_with("wait:"), "{answer:?}");
        }
        for id in ["42", "e1", ":4", "e1:", "e1:x", "e1:-1", "a b:4", "e1:18446744073709551616", "é:1"] {
            let headers = [("Authorization", good.as_str()), ("Last-Event-ID", id)];
            let answer = http(addr, request("GET", "/v1/sse", &headers)).await;
            answer.assert_problem(400, "invalid_last_event_id");
        }
    });
}

#[test]
fn other_methods_than_get_and_post_are_405() {
    block_on(async {
        let stack = stack().await;
        let bearer = format!("Bearer {}", token(&stack, &claims("acme", "anna")));
        for path in PATHS {
            for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
                let headers = [("Authorization", bearer.as_str()), ("Content-Length", "0")];
                let mut plain = Plain::connect(stack.gateway(PLAIN).addr()).await;
                plain.send(&request(method, path, &headers)).await;
                let head = plain.head().await;
                assert!(head.starts_with("http/1.1 405 "), "{method} {path}: {head}");
                assert!(head.contains("\r\nallow: get, post\r\n"), "{method} {path}: {head}");
                // An answer to HEAD has no body, and the connection can be used again.
                let body = if method == "HEAD" { Vec::new() } else { plain.body(length(&head)).await };
                assert_eq!(body.is_empty(), method == "HEAD");
                plain.send(&request("GET", path, &[])).await;
                assert!(plain.head().await.starts_with("http/1.1 401 "), "after {method} {path}");
            }
        }
    });
}

#[test]
fn a_strict_gateway_is_strict_with_listeners_too() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(STRICT);
        let anna = claims("strict", "anna");
        let good = token(&stack, &anna);
        let bearer = format!("Bearer {good}");
        for path in PATHS {
            let answer = http(gateway.addr(), request("GET", &format!("{path}?token={good}"), &[])).await;
            answer.assert_problem(401, "token_malformed");
            for origin in ["https://evil.example", "null", "http://app.example.com"] {
                let headers = [("Authorization", bearer.as_str()), ("Origin", origin)];
                let answer = http(gateway.addr(), request("GET", path, &headers)).await;
                answer.assert_problem(403, "origin_not_allowed");
                assert_eq!(
                    answer.header("access-control-allow-origin"),
                    None,
                    "{origin} may not even read it"
                );
            }
        }
        let wanted = listen(&stack, STRICT, &anna);
        let streams = [wanted.stream().await.unwrap(), wanted.stream().await.unwrap()];
        for path in PATHS {
            let headers = [("Authorization", bearer.as_str()), ("Origin", SITE)];
            let answer = http(gateway.addr(), request("GET", path, &headers)).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(SITE), "a page may know why");
            if path == "/v1/sse" {
                // What passes is no reason for an EventSource to give up, and any status but 200 is one.
                assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
                let (retry, data) = answer.body.split_once("\ndata: ").unwrap();
                let retry: u32 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
                let frame: serde_json::Value =
                    serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
                assert!((5_000..=7_000).contains(&retry), "{answer:?}");
                assert_eq!(
                    (&frame["type"], &frame["code"]),
                    (&"error".into(), &"too_many_connections".into())
                );
            } else {
                answer.assert_problem(429, "too_many_connections");
                assert!(answer.header("retry-after").is_some());
            }
        }
        drop(streams);
        connections_become(gateway, 0.0).await;
        // A poll gives its place back with its answer, so that one after the other comes in.
        for _ in 0..10 {
            wanted.poll(None).await.unwrap();
            connections_become(gateway, 0.0).await;
        }
    });
}
