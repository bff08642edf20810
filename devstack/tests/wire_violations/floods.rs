//! Too much of what is allowed.

use std::net::SocketAddr;
use std::time::Duration;

use crate::wire::raw::{BINARY, GOES_ON, PING, PONG, Raw, Seen, TEXT, TEXT_BEGINS, frame, handshake};
use crate::wire::{PATIENCE, block_on, claims, frames_refused, token};
use crate::{DEAF, FLOODS, stack, undisturbed};

const TOO_MANY: u16 = 4429;

async fn flood(addr: SocketAddr, token: &str, what: &str, one: Vec<u8>) {
    let mut raw = Raw::member(addr, token).await;
    let many = one.repeat(400.max(1_000_000 / one.len()));
    // The gateway stops listening some time: whether all was taken does not matter.
    let sent = tokio::time::timeout(PATIENCE, raw.send(&many)).await;
    let (code, _) = raw.closed().await;
    // Whoever is still writing when the socket ends may get a reset before the close frame could be read.
    let reset_while_writing = code == 1006 && !matches!(sent, Ok(true));
    assert!(code == TOO_MANY || reset_while_writing, "{what}: {code}");
}

#[test]
fn i6_i10_a_flood_of_any_frames_ends_with_4429() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(FLOODS);
        let addr = gateway.addr();
        let token = token(&stack, &claims("rude", "mallory").channels(["*"]));
        undisturbed(&stack, FLOODS, async {
            for (what, one) in [
                ("pings of the contract", frame(TEXT, br#"{"type":"ping","id":1}"#)),
                ("garbage", frame(TEXT, b"x")),
                ("empty texts", frame(TEXT, b"")),
                ("binary messages", frame(BINARY, b"x")),
                ("subscriptions", frame(TEXT, br#"{"type":"subscribe","channel":"a:1","history":1000}"#)),
                ("tokens", frame(TEXT, br#"{"type":"auth","token":"a.b.c"}"#)),
                ("large texts", frame(TEXT, &vec![b' '; 10_000])),
                ("WebSocket pings", frame(PING, &[b'x'; 125])),
                ("pongs nobody asked for", frame(PONG, b"")),
            ] {
                flood(addr, &token, what, one).await;
            }
            // Nor before the token.
            let mut raw = Raw::upgrade(addr, "/v1/ws", &[]).await.unwrap();
            raw.send(frame(PING, b"").repeat(5_000)).await;
            assert_eq!(raw.closed().await.0, TOO_MANY);
            let mut raw = Raw::upgrade(addr, "/v1/ws", &[]).await.unwrap();
            let auth = serde_json::json!({"type": "auth", "token": token}).to_string();
            raw.send([frame(TEXT, auth.as_bytes()), frame(TEXT, b"{}").repeat(5_000)].concat()).await;
            // The token is good, but its welcome may not come after the farewell.
            while !matches!(raw.seen().await, Seen::Close(TOO_MANY, _)) {}
            raw.nothing_follows().await;
        })
        .await;
        let closed = gateway.metrics().await.unwrap();
        assert!(closed.contains("carillon_connections_closed_total{reason=\"too_many\"}"), "{closed}");
    });
}

#[test]
fn i6_i10_whoever_asks_and_never_reads_waits_and_costs_no_more_than_its_answers() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(DEAF).addr();
        let token = token(&stack, &claims("rude", "mallory").channels(["*"]));
        // Large answers to few questions: the gateway stops reading questions when answers pile up.
        let mut raw = Raw::narrow(addr).await;
        let bearer = format!("Bearer {token}");
        raw.send(handshake("/v1/ws", &[("Authorization", &bearer)])).await;
        assert_eq!(raw.answer().await.unwrap().status, 101);
        let text = format!(r#"{{"type":"ping","data":"{}"}}"#, "x".repeat(60_000));
        let question = frame(TEXT, text.as_bytes());
        let mut asked = 0;
        while asked < 240 {
            match tokio::time::timeout(Duration::from_secs(2), raw.send(&question)).await {
                Ok(true) => asked += 1,
                _ => break,
            }
        }
        assert!(asked < 240, "14 MB of answers are not kept for anybody");
        drop(raw);

        // Half a message for ever is allowed: it is bounded and costs only itself.
        let mut raw = Raw::member(addr, &token).await;
        raw.send(frame(TEXT_BEGINS, &vec![b' '; 30_000])).await;
        for _ in 0..100 {
            raw.send(frame(GOES_ON, b" ")).await;
        }
        raw.send(frame(PING, b"still here")).await;
        assert_eq!(raw.seen().await, Seen::Pong(b"still here".to_vec()));
    });
}

#[test]
fn i10_channels_are_paid_for_and_whoever_joins_a_thousand_once_can() {
    block_on(async {
        let stack = stack().await;
        let token = token(&stack, &claims("many", "mira").channels(["*"]));
        let before = frames_refused(stack.gateway(FLOODS), "too_many_channel_changes").await;
        let mut raw = Raw::member(stack.gateway(FLOODS).addr(), &token).await;
        let names: Vec<String> = (0..990).map(|n| format!("contact:{n}")).collect();
        let mut ask = async |id: u64, kind: &str| {
            let request = serde_json::json!({"type": kind, "id": id, "channels": names});
            raw.text(&request.to_string()).await;
            let answer = raw.json().await;
            assert_eq!(answer["id"], id);
            (answer["type"].as_str().unwrap().to_owned(), answer["code"].as_str().map(str::to_owned))
        };
        let ok = || ("ok".to_owned(), None);
        let began = std::time::Instant::now();
        // A client that comes back joins everything it had, and one that changes its mind leaves it again.
        assert_eq!(ask(1, "subscribe").await, ok());
        assert_eq!(ask(2, "unsubscribe").await, ok());
        // Again and again is refused by name, and nothing else is.
        let mut refused = 0;
        for id in 3..30 {
            let (kind, code) = ask(id, if id % 2 == 1 { "subscribe" } else { "unsubscribe" }).await;
            if kind == "error" {
                assert_eq!(code.as_deref(), Some("too_many_requests"));
                refused += 1;
            }
        }
        // 990 channels cost what 99 frames do. One may send 250 at once, of which these two took 198, and 50 come back each second.
        let most = (52.0 + 50.0 * began.elapsed().as_secs_f64()) / 99.0;
        assert!(f64::from(27 - refused) <= most, "{refused} of 27 were refused, at most {most} may pass");
        let counted = frames_refused(stack.gateway(FLOODS), "too_many_channel_changes").await - before;
        assert!(counted >= f64::from(refused), "{counted} of {refused}");
        assert_eq!(frames_refused(stack.gateway(FLOODS), "too_many_requests").await, 0.0);
        raw.text(r#"{"type":"ping","id":30}"#).await;
        assert_eq!(raw.json().await["type"], "pong");
    });
}
