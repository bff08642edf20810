//! Does an event stream show what a WebSocket shows, and go on where it was left?

use std::time::{Duration, Instant};

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::{EventStream, Message, Messages};
use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::token::{Claims, now};
use serde_json::{Value, json};

use crate::faults::probe::sample;
use crate::plain::{Plain, request};
use crate::wire::{self, PATIENCE, assert_unlogged, block_on, claims, client, is_ascending, publish, token};
use crate::{BEATING, PLAIN, events_to, listen, seqs, stack};

/// A welcome without what differs from connection to connection.
fn alike(mut welcome: Value) -> Value {
    for own in ["connection", "node", "expires_in", "heartbeat_ms"] {
        assert!(!welcome[own].take().is_null(), "{own} is there");
    }
    welcome
}

/// The stream opens with a welcome.
async fn welcomed(stream: &mut EventStream) -> Message {
    let hello = stream.next(PATIENCE).await.unwrap();
    assert!(hello.frame.is("welcome"), "{hello:?}");
    hello
}

#[test]
fn i2_an_event_stream_shows_the_frames_of_a_websocket_in_their_order() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("same", "anna").roles(["staff"]).channels(["contact:*"]);
        let channels = ["contact:1", "contact:2"];
        publish(&stack, "same", &["tenant"], json!({})).await;
        let wanted = client(&stack, stack.gateway(PLAIN), &anna).channels(channels);
        let mut socket = Socket::connect(&wanted).await.unwrap();
        let welcome = socket.next_frame(PATIENCE).await.unwrap();
        let mut streams = Vec::new();
        for gateway in [PLAIN, BEATING] {
            let mut stream = listen(&stack, gateway, &anna).channels(channels).stream().await.unwrap();
            assert_eq!(stream.header("content-type"), Some("text/event-stream"));
            assert_eq!(stream.header("cache-control"), Some("no-store, no-transform"));
            assert_eq!(stream.header("x-accel-buffering"), Some("no"));
            let hello = welcomed(&mut stream).await;
            let (epoch, seq) = (welcome.epoch().unwrap(), welcome.seq().unwrap());
            assert_eq!(hello.id, Some(format!("{epoch}:{seq}")));
            assert_eq!(alike(hello.frame.0), alike(welcome.0.clone()));
            streams.push(stream);
        }
        let ways: [&[&str]; 7] = [
            &["tenant"],
            &["contact:1"],
            &["contact:1", "contact:2", "tenant"],
            &["contact:3"],
            &["user:anna"],
            &["role:staff", "user:anna"],
            &["role:admin", "user:bob"],
        ];
        let text = "two\nlines, \u{2028}, \"quotes\", ünï and data: {}\r\n\n";
        for n in 0..35 {
            publish(&stack, "same", ways[n % ways.len()], json!({"n": n, "text": text})).await;
        }
        let last = publish(&stack, "same", &["contact:2"], json!({})).await;
        let seen = wire::events_to(&mut socket, last.seq).await;
        assert_eq!(seen.len(), 26, "five of seven, and the last");
        for stream in &mut streams {
            let events = events_to(stream, last.seq).await;
            assert!(is_ascending(&seqs(&events)));
            for (event, frame) in events.iter().zip(&seen) {
                assert_eq!(&event.frame, frame);
                assert_eq!(event.id, Some(format!("{}:{}", last.epoch, frame.seq().unwrap())));
            }
            assert_eq!(events.len(), seen.len());
        }
        assert!(sample(stack.gateway(PLAIN), r#"carillon_fallback_requests_total{kind="sse"}"#).await >= 1.0);
        socket.close().await;
    });
}

#[test]
fn i5_tenants_with_the_same_names_share_no_event() {
    block_on(async {
        let stack = stack().await;
        let mila = |tenant: &str| claims(tenant, "mila").roles(["staff"]).channels(["contact:*"]);
        let tenants = ["ours-sse", "theirs-sse"];
        let mut streams = Vec::new();
        let mut begin = Vec::new();
        for tenant in tenants {
            begin.push(publish(&stack, tenant, &["tenant"], json!({"mark": tenant})).await);
            let mut stream =
                listen(&stack, PLAIN, &mila(tenant)).channels(["contact:1"]).stream().await.unwrap();
            welcomed(&mut stream).await;
            streams.push(stream);
        }
        let mut last = Vec::new();
        for n in 0..20 {
            for (tenant, channel) in [(tenants[0], "contact:1"), (tenants[1], "user:mila")] {
                let ack = publish(&stack, tenant, &[channel], json!({"mark": tenant, "n": n})).await;
                last.retain(|(other, _)| *other != tenant);
                last.push((tenant, ack));
            }
        }
        for ((tenant, ack), mut stream) in last.iter().zip(streams) {
            let events = events_to(&mut stream, ack.seq).await;
            assert_eq!(events.len(), 20);
            let wanted = listen(&stack, PLAIN, &mila(tenant)).channels(["contact:1"]);
            let polled = wanted.since(Cursor::new(0, &ack.epoch)).poll(None).await.unwrap();
            assert_eq!(polled.events.len(), 21);
            let frames = events.iter().map(|message| &message.frame).chain(&polled.events);
            for frame in frames {
                assert_eq!(frame.event()["data"]["mark"], **tenant, "{frame:?}");
            }
        }
        // Another tenant's epoch is only a wrong one; another tenant's name is not ours to say.
        let mut ours = listen(&stack, PLAIN, &mila(tenants[0]));
        ours.last_event_id = Some(format!("{}:0", begin[1].epoch));
        let mut stream = ours.stream().await.unwrap();
        welcomed(&mut stream).await;
        let reset = stream.next(PATIENCE).await.unwrap();
        assert_eq!((reset.frame.kind(), reset.frame.seq()), ("reset", Some(last[0].1.seq)));
        ours.tenant = Some(tenants[1].into());
        for error in [ours.stream().await.unwrap_err(), ours.poll(None).await.unwrap_err()] {
            let SocketError::Refused { status: 403, code, .. } = &error else { panic!("{error}") };
            assert_eq!(code, "tenant_forbidden");
        }
    });
}

#[test]
fn i3_last_event_id_resumes_and_wins_over_the_url() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("resumes", "anna");
        let mut last = publish(&stack, "resumes", &["tenant"], json!({})).await;
        // More than a ring has: the beginning comes from the log.
        for n in 1..100 {
            last = publish(&stack, "resumes", &["tenant"], json!({"n": n})).await;
        }
        let epoch = &last.epoch;
        for (id, since, first) in [
            (Some(format!("{epoch}:0")), None, 1),
            (Some(format!("{epoch}:12")), None, 13),
            (Some(format!("{epoch}:98")), Some(5), 99),
            (Some(String::new()), Some(5), 6),
            (None, Some(70), 71),
        ] {
            for gateway in [PLAIN, BEATING] {
                let mut wanted = listen(&stack, gateway, &anna);
                wanted.last_event_id.clone_from(&id);
                wanted.since = since.map(|seq| Cursor { seq, epoch: None });
                let mut stream = wanted.stream().await.unwrap();
                let hello = welcomed(&mut stream).await;
                assert_eq!(hello.frame.text("resumed"), Some("replay"));
                assert_eq!(
                    hello.id,
                    Some(format!("{epoch}:{}", first - 1)),
                    "nothing is skipped by a loss here"
                );
                let events = events_to(&mut stream, 100).await;
                assert_eq!(seqs(&events), Vec::from_iter(first..=100), "{id:?} {since:?}");
            }
        }
        // The twin: who comes back without a cursor misses what was meanwhile.
        let mut stream = listen(&stack, PLAIN, &anna).stream().await.unwrap();
        let hello = welcomed(&mut stream).await;
        assert_eq!((hello.frame.text("resumed"), hello.frame.seq()), (Some("live"), Some(100)));
        let next = publish(&stack, "resumes", &["tenant"], json!({})).await;
        assert_eq!(seqs(&events_to(&mut stream, next.seq).await), [101]);
    });
}

/// Polyfills and clients that cannot set a header name it in the URL, each in its own way.
#[test]
fn i3_the_id_of_the_last_message_resumes_from_the_url_too() {
    block_on(async {
        let stack = stack().await;
        let bearer = format!("Bearer {}", token(&stack, &claims("in-the-url", "anna")));
        let mut last = publish(&stack, "in-the-url", &["tenant"], json!({})).await;
        for _ in 0..4 {
            last = publish(&stack, "in-the-url", &["tenant"], json!({})).await;
        }
        let headers = [("Authorization", bearer.as_str())];
        for name in ["lastEventId", "Last-Event-ID", "last_event_id", "evs_last_event_id"] {
            let path = format!("/v1/sse?evs_preamble&padding=5&since=1&{name}={}%3A3", last.epoch);
            let mut plain = Plain::connect(stack.gateway(PLAIN).addr()).await;
            plain.send(&request("GET", &path, &headers)).await;
            assert!(plain.head().await.starts_with("http/1.1 200 "), "{name}");
            assert_eq!(plain.message().await.frame.text("resumed"), Some("replay"), "{name}");
            assert_eq!(plain.message().await.frame.seq(), Some(4), "{name}");
            assert_eq!(plain.message().await.frame.seq(), Some(5), "{name}");
        }
    });
}

/// In chunks a cache has no reason to hold the beginning back until more has come; HTTP/1.0 knows none.
#[test]
fn an_event_stream_comes_in_chunks_where_http_has_them() {
    block_on(async {
        let stack = stack().await;
        let bearer = format!("Bearer {}", token(&stack, &claims("chunks", "anna")));
        let headers = [("Authorization", bearer.as_str())];
        let mut plain = Plain::connect(stack.gateway(PLAIN).addr()).await;
        plain.send(&request("GET", "/v1/sse", &headers)).await;
        let head = plain.head().await;
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        let mut old = Plain::connect(stack.gateway(PLAIN).addr()).await;
        old.send(&request("GET", "/v1/sse", &headers).replace("HTTP/1.1", "HTTP/1.0")).await;
        let head = old.head().await;
        assert!(head.contains("content-type: text/event-stream") && !head.contains("chunked"), "{head}");
        let mut bare = Messages::default();
        let ack = publish(&stack, "chunks", &["tenant"], json!({"text": "x".repeat(20_000)})).await;
        for wanted in ["welcome", "event"] {
            let chunk = plain.chunk().await;
            assert!(chunk.ends_with(b"\n\n"), "a message is a chunk");
            let own = loop {
                match bare.next() {
                    Some(message) => break message.unwrap(),
                    None => bare.feed(&old.some(8 * 1024).await.expect("more of the stream")),
                }
            };
            assert_eq!(own.frame.kind(), wanted);
            let mut messages = Messages::default();
            messages.feed(&chunk);
            let message = messages.next().unwrap().unwrap();
            assert_eq!((message.frame.kind(), &message.id), (wanted, &own.id));
            if wanted == "event" {
                assert_eq!(message.frame, own.frame);
                assert_eq!(message.frame.seq(), Some(ack.seq));
            }
        }
    });
}

#[test]
fn i4_a_cursor_of_another_life_is_reset() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("reset-sse", "anna");
        publish(&stack, "reset-sse", &["tenant"], json!({})).await;
        let head = publish(&stack, "reset-sse", &["tenant"], json!({})).await;
        for id in ["elsewhere:1".to_owned(), format!("{}:{}", head.epoch, head.seq + 1)] {
            let mut wanted = listen(&stack, PLAIN, &anna);
            wanted.last_event_id = Some(id.clone());
            let mut stream = wanted.stream().await.unwrap();
            assert_eq!(welcomed(&mut stream).await.frame.text("resumed"), Some("reset"), "{id}");
            let reset = stream.next(PATIENCE).await.unwrap();
            assert_eq!((reset.frame.kind(), reset.frame.text("reason")), ("reset", Some("epoch_changed")));
            assert_eq!(reset.id, Some(format!("{}:{}", head.epoch, head.seq)));
            assert_eq!(reset.frame.epoch(), Some(head.epoch.as_str()));
        }
    });
}

#[test]
fn a_quiet_event_stream_has_a_heartbeat_with_its_cursor() {
    block_on(async {
        let stack = stack().await;
        let before = publish(&stack, "quiet-sse", &["tenant"], json!({})).await;
        let begun = Instant::now();
        let mut stream = listen(&stack, BEATING, &claims("quiet-sse", "anna")).stream().await.unwrap();
        assert_eq!(welcomed(&mut stream).await.frame.number("heartbeat_ms"), Some(300));
        for _ in 0..4 {
            let beat = stream.next(PATIENCE).await.unwrap();
            assert_eq!(beat.frame.0, json!({"type": "heartbeat", "seq": before.seq}));
            assert_eq!(beat.id, Some(format!("{}:{}", before.epoch, before.seq)));
        }
        assert!(begun.elapsed() >= Duration::from_millis(4 * 300 - 100), "{:?}", begun.elapsed());
        // What is not for it moves its cursor all the same: who comes back does not search there again.
        let other = publish(&stack, "quiet-sse", &["user:bob"], json!({})).await;
        let moved = async {
            loop {
                let beat = stream.next(PATIENCE).await.unwrap();
                assert!(beat.frame.is("heartbeat"), "{beat:?}");
                if beat.id == Some(format!("{}:{}", other.epoch, other.seq)) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, moved).await.unwrap();
    });
}

#[test]
fn a_token_that_expires_ends_the_stream_with_a_word() {
    block_on(async {
        let stack = stack().await;
        let brief = Claims::new("brief-sse", "anna", now(), 6);
        let wanted = listen(&stack, PLAIN, &brief);
        let mut stream = wanted.stream().await.unwrap();
        let hello = welcomed(&mut stream).await;
        assert!(hello.frame.number("expires_in") <= Some(6));
        let warning = stream.next(PATIENCE).await.unwrap();
        assert!(warning.frame.is("expiring") && warning.frame.number("in_ms") <= Some(3_000), "{warning:?}");
        let end = stream.next(PATIENCE).await.unwrap();
        assert_eq!((end.frame.kind(), end.frame.code()), ("error", Some("unauthenticated")), "{end:?}");
        assert_eq!(end.id, None, "an end is no place to go on from");
        assert!(matches!(stream.next(PATIENCE).await, Err(SocketError::Lost(_))), "nothing follows");
        let Err(SocketError::Refused { status: 401, code, .. }) = wanted.stream().await else { panic!() };
        assert_eq!(code, "token_expired");
    });
}

#[test]
fn a_token_in_the_url_opens_a_stream_and_is_not_logged() {
    block_on(async {
        let stack = stack().await;
        let token = wire::token(&stack, &claims("url-sse", "anna"));
        for path in ["sse", "poll"] {
            let url = format!("{}/v1/{path}?token={token}", stack.gateway(PLAIN).url());
            let answer =
                reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        let secret = token.rsplit('.').next().unwrap().to_owned();
        assert_unlogged(&stack, &[token, secret]);
    });
}
