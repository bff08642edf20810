//! Texts that are well framed and yet no frame of the contract, or an attack on whoever parses them.

use crate::wire::raw::{Raw, Seen};
use crate::wire::{block_on, claims, token};
use crate::{TEXTS, stack, undisturbed};

/// What a text is answered with.
enum Answer {
    Error(&'static str),
    /// It is harmless.
    Fine(&'static str),
}
use Answer::{Error, Fine};

fn texts() -> Vec<(String, Answer)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let nested = deep("[", "]");
    let objects = deep("{\"a\":", "}").replace(":}", ":1}");
    let huge = "9".repeat(5_000);
    vec![
        (nested.clone(), Error("invalid_")),
        ("[".repeat(60_000), Error("invalid_")),
        ("{\"a\":".repeat(10_000), Error("invalid_")),
        (objects.clone(), Error("invalid_")),
        (format!(r#"{{"type":{nested},"id":1}}"#), Error("invalid_frame")),
        (format!(r#"{{"type":"ping","id":{nested}}}"#), Error("invalid_frame")),
        (format!(r#"{{"type":"subscribe","channels":{nested},"id":1}}"#), Error("invalid_frame")),
        (format!(r#"{{"type":"subscribe","data":{objects},"id":1}}"#), Error("invalid_frame")),
        (format!(r#"{{"type":"ping","data":{nested}}}"#), Fine("pong")),
        (format!(r#"{{"type":"ping","unknown":{objects}}}"#), Fine("pong")),
        (format!(r#"{{"type":"subscribe","channel":"a","history":{huge},"id":1}}"#), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"a","history":1e400,"id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"a","history":1e2,"id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"a","since":-0.5,"id":1}"#.into(), Error("invalid_frame")),
        (
            r#"{"type":"subscribe","channel":"a","since":18446744073709551616,"id":1}"#.into(),
            Error("invalid_frame"),
        ),
        (r#"{"type":"subscribe","channel":"a","since":NaN,"id":1}"#.into(), Error("invalid_json")),
        (r#"{"type":"ping","type":"subscribe"}"#.into(), Error("invalid_frame")),
        (r#"{"type":"ping","id":1,"id":2}"#.into(), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"a","channel":"b","id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"ping","unknown":1,"unknown":2}"#.into(), Fine("pong")),
        ("{\"type\":\"ping\u{0}\"}".into(), Error("invalid_json")),
        ("\u{0}".into(), Error("invalid_json")),
        (r#"{"type":"ping\u0000"}"#.into(), Error("unknown_type")),
        (r#"{"type":"subscribe","channel":"a\u0000b","id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"user:\u0000","id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"\ud800"}"#.into(), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"\udc00x","id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"subscribe","channel":"user:\ud800\ud800","id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"auth","token":"\ud83d","id":1}"#.into(), Error("invalid_frame")),
        (r#"{"type":"auth","token":"\u0000.\u0000.\u0000","id":1}"#.into(), Error("token_malformed")),
        (format!(r#"{{"type":"auth","token":"{}","id":1}}"#, "a.".repeat(30_000)), Error("token_malformed")),
        (r#"{"type":"pi\u006eg"}"#.into(), Fine("pong")),
        (format!("{}{{\"type\":\"ping\"}}{}", " ".repeat(30_000), "\n\t\r ".repeat(5_000)), Fine("pong")),
    ]
}

#[test]
fn i6_i10_every_hostile_text_gets_its_error_and_costs_nobody_else_anything() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(TEXTS).addr();
        let token = token(&stack, &claims("rude", "mallory").channels(["*"]));
        undisturbed(&stack, TEXTS, async {
            // All on one connection: it stays, and every answer belongs to its text.
            let mut raw = Raw::member(addr, &token).await;
            for (text, expected) in texts() {
                let start: String = text.chars().take(70).collect();
                assert!(raw.text(&text).await);
                let Seen::Text(answer) = raw.seen().await else { panic!("{start}: no answer") };
                match expected {
                    Error(code) => {
                        assert!(answer.contains(&format!(r#""code":"{code}"#)), "{start}: {answer}");
                        assert!(answer.len() < 500, "an error does not repeat what it refuses: {answer}");
                    }
                    Fine(kind) => {
                        assert!(answer.starts_with(&format!(r#"{{"type":"{kind}""#)), "{start}: {answer}")
                    }
                }
            }
            raw.text(r#"{"type":"ping","id":"last"}"#).await;
            assert_eq!(raw.json().await["id"], "last");
        })
        .await;
    });
}
