//! Does a listener that has more to ask for than fits into a URL get the same with a form?

use std::time::Duration;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::SocketError;
use serde_json::json;
use uuid::Uuid;

use crate::plain::{Plain, request};
use crate::wire::raw::http;
use crate::wire::{block_on, claims, publish, token};
use crate::{PLAIN, events_to, listen, seqs, stack};

/// As many as a connection may have, beside `tenant` and `user:anna`.
fn contacts() -> Vec<String> {
    (0..998).map(|n| format!("contact:{}", Uuid::from_u128((1 << 100) + n))).collect()
}

#[test]
fn a_thousand_channels_fit_into_a_form_and_not_into_a_url() {
    block_on(async {
        let stack = stack().await;
        let (tenant, channels) = ("form", contacts());
        let anna = claims(tenant, "anna").channels(["contact:*"]);
        let last = channels.last().unwrap().clone();
        let head = publish(&stack, tenant, &["tenant"], json!({})).await;
        let by_url = listen(&stack, PLAIN, &anna).channels(channels);
        for refused in [by_url.stream().await.map(|_| ()), by_url.poll(None).await.map(|_| ())] {
            let refused = refused.unwrap_err();
            assert!(
                matches!(&refused, SocketError::Refused { status: 431, code, .. } if code == "head_too_large"),
                "{refused}"
            );
        }
        let by_form = by_url.posting();
        let mut stream = by_form.stream().await.unwrap();
        let welcome = stream.next_of("welcome", Duration::from_secs(20)).await.unwrap();
        assert_eq!(welcome.frame.channels().len(), 1_000);
        let seq = publish(&stack, tenant, &[last.as_str()], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut stream, seq).await), [seq]);
        // Whoever comes back has its cursor in the form, or, as a browser, in a header.
        let from = Cursor::new(head.seq, &head.epoch);
        let polled = by_form.clone().since(from.clone()).poll(None).await.unwrap();
        assert_eq!((polled.events.len(), polled.cursor.seq), (1, seq));
        let mut back = by_form;
        back.last_event_id = Some(format!("{}:{}", head.epoch, head.seq));
        assert_eq!(seqs(&events_to(&mut back.stream().await.unwrap(), seq).await), [seq]);
        // One more is too many, here as anywhere.
        back.channels.push("contact:one-more".into());
        let refused = back.stream().await.map(|_| ()).unwrap_err();
        assert!(
            matches!(&refused, SocketError::Refused { status: 400, code, .. } if code == "too_many_channels"),
            "{refused}"
        );
    });
}

#[test]
fn what_is_no_form_is_refused_by_name_and_never_read_for_nobody() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let good = token(&stack, &claims("form-refused", "anna").channels(["contact:*"]));
        let bearer = format!("Bearer {good}");
        let form = "application/x-www-form-urlencoded";
        // One byte more than 64 KiB.
        let large = format!("channels={}", "a,".repeat(32_764));
        for path in ["/v1/sse", "/v1/poll"] {
            for (query, kind, body, status, code) in [
                ("", "application/json", r#"{"channels":["contact:1"]}"#, 415, "unsupported_media_type"),
                ("", form, large.as_str(), 413, "body_too_large"),
                ("", form, "channels=lead:1", 403, "forbidden"),
                ("", form, "channels=a%20b", 400, "invalid_query"),
                ("?since=1", form, "since=1", 400, "invalid_query"),
                ("", form, "token=nonsense", 400, "invalid_query"),
                ("", form, "since=1&ticket=crlt_nonsense", 400, "invalid_query"),
            ] {
                let length = body.len().to_string();
                let headers =
                    [("Authorization", bearer.as_str()), ("Content-Type", kind), ("Content-Length", &length)];
                let sent = request("POST", &format!("{path}{query}"), &headers) + body;
                http(addr, sent).await.assert_problem(status, code);
            }
            // Without a token nobody waits for the body.
            let headers = [("Content-Type", form), ("Content-Length", "60000")];
            http(addr, request("POST", path, &headers)).await.assert_problem(401, "token_missing");
            // A part may stand in the URL, and nothing in the body.
            let headers = [("Authorization", bearer.as_str()), ("Content-Length", "0")];
            let mut plain = Plain::connect(addr).await;
            plain.send(&request("POST", &format!("{path}?channels=contact:1"), &headers)).await;
            let head = plain.head().await;
            assert!(head.starts_with("http/1.1 200 "), "{head}");
        }
    });
}
