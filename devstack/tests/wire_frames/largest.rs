//! Does every frame fit into what `welcome` tells of the largest (`limits.frame_bytes`)?

use serde_json::{Value, json};

use crate::wire::raw::{Raw, Seen};
use crate::wire::{block_on, claims, token};
use crate::{PLAIN, stack};

/// The largest message a client may send.
const CLIENT_BYTES: usize = 64 * 1024;

/// The next text frame: its length and what it says.
async fn frame(raw: &mut Raw) -> (usize, Value) {
    loop {
        match raw.seen().await {
            Seen::Text(text) => return (text.len(), serde_json::from_str(&text).unwrap()),
            Seen::Ping(_) | Seen::Pong(_) => {}
            end => panic!("{end:?}"),
        }
    }
}

/// Channels that fill a client's frame, with names of this namespace.
fn channels(namespace: &str, beside: usize) -> Vec<String> {
    let name = |n: usize| format!("{namespace}:{n:0>58}");
    (0..(CLIENT_BYTES - beside) / (name(0).len() + 3)).map(name).collect()
}

#[test]
fn answers_to_the_largest_frames_of_a_client_fit_the_limit() {
    block_on(async {
        let stack = stack().await;
        let roles = (0..40).map(|n| format!("role-{n:0>100}"));
        let anna = claims("largest", "anna").channels(["room:*"]).roles(roles);
        let token = token(&stack, &anna);
        let mut raw = Raw::upgrade(stack.gateway(PLAIN).addr(), "/v1/ws", &[]).await.unwrap();
        let rooms = channels("room", token.len() + 100);
        assert!(rooms.len() > 850, "{} channels", rooms.len());
        let auth = json!({"type": "auth", "token": token, "channels": rooms}).to_string();
        assert!((CLIENT_BYTES - 200..=CLIENT_BYTES).contains(&auth.len()), "{}", auth.len());
        raw.text(&auth).await;
        let (length, welcome) = frame(&mut raw).await;
        assert_eq!(welcome["channels"].as_array().unwrap().len(), rooms.len() + 42, "{welcome}");
        let most = welcome["limits"]["frame_bytes"].as_u64().unwrap() as usize;
        let mut lengths = vec![length];
        let pong = json!({"type": "ping", "id": "i", "data": "x".repeat(CLIENT_BYTES - 50)});
        let forbidden = json!({"type": "subscribe", "id": "i", "channels": channels("secret", 60)});
        let left = json!({"type": "unsubscribe", "id": "i", "channels": rooms});
        for (asked, answer) in [(pong, "pong"), (forbidden, "error"), (left, "ok")] {
            let text = asked.to_string();
            assert!(text.len() <= CLIENT_BYTES, "{}", text.len());
            raw.text(&text).await;
            let (length, told) = frame(&mut raw).await;
            assert_eq!(told["type"], answer, "{}", &text[..80]);
            lengths.push(length);
        }
        assert!(lengths.iter().all(|length| (CLIENT_BYTES - 8_000..=most).contains(length)), "{lengths:?}");
    });
}
