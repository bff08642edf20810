//! Does a client that speaks the compact form get what all others get?

use super::*;
use crate::event::event_frame;
use crate::limits;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn body(id: &str, source: &str, kind: &str, time: &str, rest: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let (id, source, kind, time) = (quoted(id), quoted(source), quoted(kind), quoted(time));
    format!(r#"{{"specversion":"1.0","id":{id},"source":{source},"type":{kind},"time":{time}{rest}}}"#)
}

/// A gateway and a client of it.
#[derive(Default)]
struct Pair {
    names: Names,
    told: u16,
    known: BTreeMap<u8, String>,
}

impl Pair {
    /// What the gateway writes, and what the client makes of it.
    fn pass(&mut self, seq: u64, channels: &[Channel], body: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let Compact { json, needs, names } = compact(Seq(seq), channels, body.as_bytes(), &mut self.names)?;
        let wire = if needs & !self.told != 0 {
            self.told |= needs;
            telling(&json, &names)
        } else {
            json
        };
        let plain = plain(&wire, &mut self.known).expect("a compact frame is understood");
        Some((wire, plain))
    }
}

/// Compact frames of one connection, each with the plain one it stands for. The client library reads them, too.
const FRAMES: &str = include_str!("../../assets/compact-frames.txt");

#[test]
fn the_compact_form_is_frozen() {
    let mut pair = Pair::default();
    let lines: Vec<&str> = FRAMES.lines().collect();
    assert_eq!(lines.len(), 12);
    for lines in lines.chunks(2) {
        let event: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        let body = lines[1].split_once(",\"event\":").unwrap().1.strip_suffix('}').unwrap();
        let channels =
            event["channels"].as_array().unwrap().iter().map(|name| channel(name.as_str().unwrap()));
        let channels: Vec<Channel> = channels.collect();
        let seq = event["seq"].as_u64().unwrap();
        let (wire, plain) = pair.pass(seq, &channels, body).unwrap();
        assert_eq!(String::from_utf8(wire).unwrap(), lines[0]);
        assert_eq!(String::from_utf8(plain).unwrap(), lines[1]);
        assert_eq!(event_frame(Seq(seq), &channels, body.as_bytes(), None), lines[1].as_bytes());
    }
}

#[test]
fn an_event_with_200_bytes_of_data_takes_at_most_270_on_the_wire() {
    let mut pair = Pair::default();
    let data = format!(r#"{{"stamp":123456789,"filling":"{}"}}"#, "x".repeat(200 - 32));
    assert_eq!(data.len(), 200);
    let id = "019ad42b-a25a-7abc-8def-0123456789ab";
    let body = body(id, "api", "order.created", "2025-11-30T09:50:20.762456Z", &format!(r#","data":{data}"#));
    pair.pass(1, &[Channel::tenant()], &body).unwrap();
    let (wire, plain) = pair.pass(123_456, &[Channel::tenant()], &body).unwrap();
    // A WebSocket message of this length has four bytes before it.
    let (wire, plain) = (wire.len() + 4, plain.len() + 4);
    assert!(wire <= 270 && plain > 380, "{wire} of {plain}");
}

#[test]
fn what_is_not_as_a_publisher_writes_it_stays_plain() {
    let mut names = Names::default();
    for body in [
        "{}",
        "x",
        r#"{"id":"1","data":{}}"#,
        r#"{"specversion":"1.1","id":"1","source":"s","type":"t","time":"x"}"#,
        r#"{"specversion":"1.0", "id":"1","source":"s","type":"t","time":"x"}"#,
        r#"{"specversion":"1.0","id":1,"source":"s","type":"t","time":"x"}"#,
        r#"{"specversion":"1.0","id":"1","type":"t","source":"s","time":"x"}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"x","data":1,"more":2}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"x","a\"b":2}"#,
    ] {
        assert_eq!(compact(Seq(1), &[Channel::tenant()], body.as_bytes(), &mut names), None, "{body}");
    }
    let first = body("1", "s", "t", "x", "");
    let first = compact(Seq(1), &[], first.as_bytes(), &mut names).unwrap();
    assert_eq!(first.names, r#""0":["t","s"]"#, "what stayed plain has taken no number");
    let mut known = BTreeMap::new();
    for frame in [r#"{"type":"heartbeat","seq":7}"#, r#"{"type":"welcome","seq":7,"channels":[]}"#, "[]"] {
        assert_eq!(plain(frame.as_bytes(), &mut known), None);
    }
}

#[test]
fn the_largest_frame_that_tells_names_is_within_the_contracts_bound() {
    let role = format!("role:{}", "\"".repeat(limits::USER_BYTES));
    let mut channels = vec![channel(&role); limits::CHANNELS_PER_EVENT - 7];
    channels.extend((0..7).map(|n| channel(&format!("{n:0>120}"))));
    let (source, kind, time) = ("s".repeat(50), "t".repeat(64), "2026-11-30T10:00:00Z");
    let start = body("i", &source, &kind, time, "");
    let filling = "x".repeat(limits::EVENT_BYTES - start.len() - 10);
    let body = body("i", &source, &kind, time, &format!(r#","data":"{filling}""#));
    let (wire, _) = Pair::default().pass(u64::MAX, &channels, &body).unwrap();
    assert!(wire.starts_with(b"{\"n\":{\"0\":[") && wire.len() > limits::EVENT_BYTES);
    assert!(wire.len() <= limits::SERVER_FRAME_BYTES, "{}", wire.len());
}

/// A reader is told no name of what is not for it.
#[test]
fn i5_a_reader_is_told_only_names_that_its_events_use() {
    let mut pair = Pair::default();
    let secret = body("1", "payroll", "salary.changed", "2026-11-30T10:00:00Z", "");
    compact(Seq(1), &[channel("user:bob")], secret.as_bytes(), &mut pair.names).unwrap();
    let open = body("2", "api", "note", "2026-11-30T10:00:00Z", "");
    let (wire, _) = pair.pass(2, &[Channel::tenant()], &open).unwrap();
    assert!(wire.starts_with(br#"{"n":{"2":["note","api"],"3":"tenant"},"s":2,"#));
}

#[test]
fn times_that_cannot_be_written_the_same_again_stay_texts() {
    for text in [
        "1970-01-01T00:00:00Z",
        "2024-02-29T23:59:59.000001Z",
        "2100-03-01T12:00:00.5Z",
        "2255-01-01T00:00:00Z",
    ] {
        let micros = members::micros(&format!("\"{text}\"")).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(members::time(micros), text);
    }
    for text in [
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.10Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59Z",
        "1969-12-31T23:59:59Z",
        "2026-1-01T00:00:00Z",
        "",
        "yesterday",
        "+026-01-01T00:00:00Z",
    ] {
        assert_eq!(members::micros(&format!("\"{text}\"")), None, "{text}");
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-z.0-9é\u{1f600}\"\\\\/<>& ]{1,20}"
}

fn id() -> impl Strategy<Value = String> {
    let spelled = |number: u128| members::spelled(&number.to_be_bytes());
    prop_oneof![
        text(),
        any::<u128>().prop_map(spelled),
        (0u64..1 << 48, any::<u128>()).prop_map(move |(ms, other)| {
            spelled(u128::from(ms) << 80 | 7 << 76 | other & ((1 << 76) - 1))
        }),
        any::<u128>().prop_map(move |number| spelled(number).to_uppercase()),
    ]
}

fn moment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0i64..9_007_199_254_740_991).prop_map(members::time),
        1 => (0i64..253_402_300_800).prop_map(|seconds| members::time(seconds * 1_000_000)),
        1 => "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z",
    ]
}

fn rest() -> impl Strategy<Value = String> {
    let data = prop_oneof![
        Just(String::new()),
        Just(r#","data":null"#.to_owned()),
        Just(r#","data":{"price":1.10,"n":-0,"e":1E5,"x":[[],{}]}"#.to_owned()),
        text().prop_map(|text| format!(",\"data\":{}", serde_json::to_string(&text).unwrap())),
        Just(r#","data_base64":"AAEC""#.to_owned()),
    ];
    let others = proptest::collection::btree_map("[s-z0-9]{1,3}", text(), 0..3);
    (others, data).prop_map(|(others, data)| {
        let others =
            others.iter().map(|(name, text)| format!(",\"{name}\":{}", serde_json::to_string(text).unwrap()));
        others.collect::<String>() + &data
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However many names there are, and whenever a client comes: what it makes of compact frames is byte for byte what others get.
    #[test]
    fn compact_frames_become_the_plain_ones_again(
        events in proptest::collection::vec(
            (id(), 0..12u8, 0..2u8, moment(), rest(), proptest::collection::vec(0..12u8, 1..4), prop::bool::weighted(0.1)), 1..40),
    ) {
        let mut pair = Pair::default();
        for (seq, (id, kind, source, time, rest, channels, comes_anew)) in events.iter().enumerate() {
            if *comes_anew {
                (pair.told, pair.known) = (0, BTreeMap::new());
            }
            let channels: Vec<Channel> = channels.iter().map(|n| channel(&format!("user:{n}\"é"))).collect();
            let body = body(id, &format!("s{source}"), &format!("order.\"{kind}"), time, rest);
            let (_, plain) = pair.pass(seq as u64 + 1, &channels, &body).expect("a publisher writes so");
            prop_assert_eq!(
                String::from_utf8(plain).unwrap(),
                String::from_utf8(event_frame(Seq(seq as u64 + 1), &channels, body.as_bytes(), None)).unwrap()
            );
        }
    }
}
