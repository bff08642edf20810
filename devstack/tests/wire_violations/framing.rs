//! Frames that are none (RFC 6455 section 5), each on a socket of its own.

use std::net::SocketAddr;

use futures_util::future::join_all;

use crate::wire::raw::{BINARY, CLOSE, ENDS, GOES_ON, PING, PONG, Raw, Seen, TEXT, TEXT_BEGINS, frame, head};
use crate::wire::{block_on, claims, token};
use crate::{FRAMING, stack, undisturbed};

const PROTOCOL_ERROR: u16 = 4400;
const TOO_BIG: u16 = 1009;
const BYE: u16 = 1000;

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

/// A head with a length in a form that is not the shortest, or not allowed at all.
fn odd_length(first: u8, length: &[u8]) -> Vec<u8> {
    [&[first], length, &[0; 4]].concat()
}

fn fragments(count: usize) -> Vec<u8> {
    let goes_on = frame(GOES_ON, b"");
    [frame(TEXT_BEGINS, b""), goes_on.repeat(count - 1)].concat()
}

fn cases() -> Vec<(&'static str, Vec<u8>, u16)> {
    let text = frame(TEXT, br#"{"type":"ping"}"#);
    vec![
        ("no mask", unmasked(TEXT, br#"{"type":"ping"}"#), PROTOCOL_ERROR),
        ("a ping without a mask", unmasked(PING, b""), PROTOCOL_ERROR),
        ("a farewell without a mask", unmasked(CLOSE, &[3, 232]), PROTOCOL_ERROR),
        ("RSV1, the bit of compression nobody agreed on", frame(0xc1, b"{}"), PROTOCOL_ERROR),
        ("RSV2", frame(0xa1, b"{}"), PROTOCOL_ERROR),
        ("RSV3", frame(0x91, b"{}"), PROTOCOL_ERROR),
        ("RSV1 on a ping", frame(0xc9, b""), PROTOCOL_ERROR),
        ("opcode 3", frame(0x83, b"{}"), PROTOCOL_ERROR),
        ("opcode 7", frame(0x87, b"{}"), PROTOCOL_ERROR),
        ("opcode 11", frame(0x8b, b""), PROTOCOL_ERROR),
        ("opcode 15", frame(0x8f, b""), PROTOCOL_ERROR),
        ("a ping in fragments", frame(0x09, b""), PROTOCOL_ERROR),
        ("a farewell in fragments", frame(0x08, b""), PROTOCOL_ERROR),
        ("a ping of 126 bytes", frame(PING, &[b'x'; 126]), PROTOCOL_ERROR),
        ("a pong of 64 KiB", frame(PONG, &vec![b'x'; 65_536]), PROTOCOL_ERROR),
        ("a farewell of 126 bytes", frame(CLOSE, &[b'x'; 126]), PROTOCOL_ERROR),
        ("a continuation of nothing", frame(ENDS, b"{}"), PROTOCOL_ERROR),
        ("a continuation after a whole message", [text, frame(GOES_ON, b"{}")].concat(), PROTOCOL_ERROR),
        (
            "a message within a message",
            [frame(TEXT_BEGINS, b"{"), frame(TEXT, b"{}")].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "a binary one within a text",
            [frame(TEXT_BEGINS, b"{"), frame(BINARY, b"")].concat(),
            PROTOCOL_ERROR,
        ),
        ("UTF-8 with a byte that cannot be", frame(TEXT, b"{\"type\":\"p\xffng\"}"), PROTOCOL_ERROR),
        ("UTF-8 in an overlong form", frame(TEXT, b"\xc0\xaf"), PROTOCOL_ERROR),
        ("a surrogate in UTF-8", frame(TEXT, b"\xed\xa0\x80"), PROTOCOL_ERROR),
        ("UTF-8 that ends too early", frame(TEXT, b"\xf0\x9f\x94"), PROTOCOL_ERROR),
        (
            "bad UTF-8 at once in a fragment",
            [frame(TEXT_BEGINS, b"\"\xf0"), frame(GOES_ON, b"\x28")].concat(),
            PROTOCOL_ERROR,
        ),
        ("a length of 125 in two bytes", odd_length(TEXT, &[0xfe, 0, 125]), PROTOCOL_ERROR),
        ("a length of 5 in eight bytes", odd_length(TEXT, &[0xff, 0, 0, 0, 0, 0, 0, 0, 5]), PROTOCOL_ERROR),
        ("a length with the top bit", odd_length(TEXT, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), PROTOCOL_ERROR),
        ("a farewell of one byte", frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
        ("farewell with 1005", frame(CLOSE, &1005u16.to_be_bytes()), PROTOCOL_ERROR),
        ("farewell with 999", frame(CLOSE, &999u16.to_be_bytes()), PROTOCOL_ERROR),
        ("farewell with 5000", frame(CLOSE, &5000u16.to_be_bytes()), PROTOCOL_ERROR),
        ("a farewell that is not UTF-8", frame(CLOSE, b"\x03\xe8\xff"), PROTOCOL_ERROR),
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), PROTOCOL_ERROR),
        ("one byte too many, only promised", head(TEXT, 65_537), TOO_BIG),
        ("four gigabytes, only promised", head(BINARY, 1 << 32), TOO_BIG),
        ("all there is, only promised", head(TEXT, u64::MAX >> 1), TOO_BIG),
        (
            "too much in the second fragment, only promised",
            [frame(TEXT_BEGINS, &vec![b'x'; 65_000]), head(GOES_ON, 537)].concat(),
            TOO_BIG,
        ),
        ("100,000 empty fragments", fragments(100_000), TOO_BIG),
        ("a farewell", frame(CLOSE, &1000u16.to_be_bytes()), BYE),
        ("a farewell without a code", frame(CLOSE, b""), BYE),
        ("a farewell with a code of one's own", frame(CLOSE, b"\x0f\xa0tired"), BYE),
    ]
}

/// Sends the bytes, in one piece or one by one, and reads the end.
async fn breach(addr: SocketAddr, token: &str, what: &str, pieces: impl Iterator<Item = &[u8]>, code: u16) {
    let mut raw = Raw::member(addr, token).await;
    for piece in pieces {
        raw.send(piece).await;
    }
    let (seen, reason) = raw.closed().await;
    assert_eq!(seen, code, "{what}: {reason}");
    raw.nothing_follows().await;
}

async fn misbehave(addr: SocketAddr, token: String) {
    let cases = cases();
    let whole = cases
        .iter()
        .map(|(what, bytes, code)| breach(addr, &token, what, std::iter::once(bytes.as_slice()), *code));
    join_all(whole).await;
    let short = cases.iter().filter(|(_, bytes, _)| bytes.len() < 40);
    let cut = short.map(|(what, bytes, code)| breach(addr, &token, what, bytes.chunks(1), *code));
    join_all(cut).await;
    // In the handshake's own packet, before the welcome.
    let mut raw = Raw::connect(addr).await;
    let bearer = format!("Bearer {token}");
    let hello = crate::wire::raw::handshake("/v1/ws", &[("Authorization", &bearer)]);
    raw.send([hello.into_bytes(), unmasked(TEXT, b"{}")].concat()).await;
    assert_eq!(raw.answer().await.unwrap().status, 101);
    assert_eq!(raw.closed().await.0, PROTOCOL_ERROR);
}

/// What the RFC allows, however unusual, is served.
async fn behave_oddly(addr: SocketAddr, token: String) {
    let mut raw = Raw::member(addr, &token).await;
    let ping = r#"{"type":"ping","id":"é🔔"}"#.as_bytes();
    raw.send(frame(TEXT_BEGINS, &ping[..1])).await;
    for byte in &ping[1..ping.len() - 1] {
        raw.send([frame(GOES_ON, &[*byte]), frame(PING, b"within")].concat()).await;
    }
    raw.send(frame(ENDS, &ping[ping.len() - 1..])).await;
    let mut pongs = 0;
    let answer = loop {
        match raw.seen().await {
            Seen::Pong(payload) => {
                assert_eq!(payload, b"within");
                pongs += 1;
            }
            Seen::Text(text) if text.contains("\"event\"") => {}
            Seen::Text(text) => break text,
            other => panic!("{other:?}"),
        }
    };
    assert!(answer.contains("é🔔") && pongs == ping.len() - 2, "{pongs}: {answer}");
    // The largest message, the longest control frame, and pongs nobody asked for.
    let padding = 65_536 - r#"{"type":"ping","id":1,"pad":""}"#.len();
    raw.text(&format!(r#"{{"type":"ping","id":1,"pad":"{}"}}"#, "x".repeat(padding))).await;
    assert_eq!(raw.json().await["type"], "pong");
    raw.frame(PONG, [b'x'; 125]).await;
    raw.frame(PING, [b'x'; 125]).await;
    assert_eq!(raw.seen().await, Seen::Pong(vec![b'x'; 125]));
    raw.frame(BINARY, br#"{"type":"ping"}"#).await;
    let error = raw.json().await;
    assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"invalid_frame".into()), "{error}");
    raw.frame(BINARY, vec![0xff; 60_000]).await;
    assert_eq!(raw.json().await["code"], "invalid_frame");
}

#[test]
fn i6_i10_every_breach_of_framing_has_its_code_and_costs_nobody_else_anything() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(FRAMING);
        let token = token(&stack, &claims("rude", "mallory"));
        let addr = gateway.addr();
        undisturbed(&stack, FRAMING, async {
            tokio::join!(misbehave(addr, token.clone()), behave_oddly(addr, token.clone()));
        })
        .await;
        let counted = gateway.metric("carillon_protocol_violations_total").await.unwrap();
        assert!(counted >= cases().len() as f64 - 3.0, "each is counted: {counted}");
    });
}
