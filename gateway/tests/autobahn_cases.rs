//! Does an echo server made of the codec pass the cases of the Autobahn test suite, wherever the suite itself cannot
//! run?
//!
//! `autobahn_cases/table.txt` holds the cases, with the suite's numbers, in a notation of its own that is explained
//! there; `script.rs` reads it; `peer.rs` is the client: it words the frames and reads the answers, compressed ones
//! with a deflate library and no more window than was agreed on. Every case is sent whole and chopped, down to single
//! bytes. The suite itself runs in `make conformance`.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

#[path = "autobahn_cases/peer.rs"]
mod peer;
#[path = "autobahn_cases/script.rs"]
mod script;
#[path = "../examples/echo/session.rs"]
mod session;

use carillon_gateway::ws::Deflate;
use carillon_gateway::ws::handshake::check;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use peer::{Answer, closing, frame, window_bits};
use script::{Case, Expected, Wanted};
use session::{Session, Then};
use std::collections::BTreeMap;

const TABLE: &str = include_str!("autobahn_cases/table.txt");

/// Larger than any message of the table.
const LIMIT: usize = 1 << 20;

/// Sizes of the pieces in which the stream arrives; whole besides.
const CHOPS: [usize; 3] = [1, 64, 997];

/// Longer streams are not sent byte by byte, but in the larger chops.
const LONG: usize = 70_000;

#[test]
fn the_suites_cases_pass_whole_and_chopped() {
    let cases = script::read(TABLE);
    let faults: Vec<String> = cases.iter().filter_map(|case| run(case).err()).collect();
    assert!(faults.is_empty(), "{} of {} cases fail:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn no_case_is_missing() {
    let mut sections: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for case in script::read(TABLE) {
        let section = case.id.split('.').next().unwrap().parse().unwrap();
        let ids = sections.entry(section).or_default();
        // A case may take several rows.
        if ids.last() != Some(&case.id) {
            assert!(!ids.contains(&case.id), "case {} stands twice", case.id);
            ids.push(case.id);
        }
    }
    let counts: Vec<(u32, usize)> = sections.iter().map(|(section, ids)| (*section, ids.len())).collect();
    let suite = [
        (1, 16),
        (2, 11),
        (3, 7),
        (4, 10),
        (5, 20),
        (6, 145),
        (7, 37),
        (9, 54),
        (10, 1),
        (12, 90),
        (13, 126),
    ];
    assert_eq!(counts, suite, "as many as the suite's release 0.8.2 has in each section");
}

#[test]
fn a_wrong_expectation_is_found() {
    for (wrong, fault) in [
        ("1.0 | text='a' | text='b'", "text"),
        ("1.0 | text='a' | binary='a'", "binary"),
        ("1.0 | text='a' |", "text"),
        ("1.0 | ping='a' | pong='a' pong='a'", "pong"),
        ("1.0 | text='a' | echo~z", "compressed"),
        ("1.0 | text=xff | echo", "1007"),
        ("1.0 | op3 | close=u1007+any", "1002"),
        ("1.0 | close=u1000+'x' | close=u1000+'y'", "1000"),
        ("offer permessage-deflate -> permessage-deflate", "agreed"),
        ("offer permessage-deflate; server_max_window_bits=9 -> none", "agreed"),
    ] {
        let row =
            if wrong.starts_with("offer") { format!("{wrong}\n1.0 | text='a' | echo") } else { wrong.into() };
        let cases = script::read(&row);
        assert_eq!(cases.len(), 1, "{wrong}");
        let found = run(&cases[0]).expect_err(wrong);
        assert!(found.contains(fault), "{wrong}: {found}");
    }
}

/// Runs a case in every chopping; the first fault found.
fn run(case: &Case) -> Result<(), String> {
    let agreed = handshake(case)?;
    let mut bytes = case.bytes.clone();
    let mut expected = case.expected.clone();
    // A connection that is still open is then closed in order.
    if !expected.iter().any(|one| matches!(one.wanted, Wanted::Close { .. })) {
        bytes.extend(frame(0x88, &1000_u16.to_be_bytes()));
        expected.push(Expected::close(1000, Some(Vec::new())));
    }
    let sizes = CHOPS.into_iter().filter(|chop| *chop > 1 || bytes.len() <= LONG);
    for chop in sizes.chain([bytes.len()]) {
        let (sent, then) = converse(agreed, &bytes, chop);
        let window = agreed.map(|_| window_bits(&case.agreed));
        let answers = peer::read(&sent, window).map_err(|fault| format!("case {}: {fault}", case.id))?;
        compare(&answers, &expected)
            .map_err(|fault| format!("case {} in chops of {chop}: {fault}", case.id))?;
        if then != Then::Closed {
            return Err(format!("case {} in chops of {chop}: still open behind a close frame", case.id));
        }
    }
    Ok(())
}

/// Lets the server judge the case's offer of extensions.
fn handshake(case: &Case) -> Result<Option<Deflate>, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    if !case.offer.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, case.offer.parse().unwrap());
    }
    let upgrade = check(&Method::GET, Version::HTTP_11, &headers, true).unwrap();
    let response = upgrade.response::<()>();
    let agreed =
        response.headers().get(header::SEC_WEBSOCKET_EXTENSIONS).map(|value| value.to_str().unwrap());
    if agreed.unwrap_or_default() != case.agreed {
        return Err(format!("case {}: agreed on {agreed:?}, not on {:?}", case.id, case.agreed));
    }
    Ok(upgrade.deflate)
}

/// What the server sends for these bytes, and whether it closed.
fn converse(deflate: Option<Deflate>, bytes: &[u8], chop: usize) -> (Vec<u8>, Then) {
    let mut session = Session::new(deflate, LIMIT);
    let mut sent = Vec::new();
    for piece in bytes.chunks(chop.max(1)) {
        if session.take_in(&mut piece.to_vec(), &mut sent) == Then::Closed {
            return (sent, Then::Closed);
        }
    }
    (sent, Then::Open)
}

fn compare(answers: &[Answer], expected: &[Expected]) -> Result<(), String> {
    for at in 0..answers.len().max(expected.len()) {
        let (answer, one) = (answers.get(at), expected.get(at));
        let right = match (answer, one) {
            (Some(answer), Some(one)) => {
                one.compressed.is_none_or(|compressed| compressed == answer.compressed)
                    && matches(answer, &one.wanted)
            }
            _ => false,
        };
        if !right {
            let one = one.map_or("nothing".into(), ToString::to_string);
            let answer = answer.map_or("nothing".into(), ToString::to_string);
            return Err(format!("answer {} should be {one}, is {answer}", at + 1));
        }
    }
    Ok(())
}

fn matches(answer: &Answer, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Frame { opcode, payload } => (answer.opcode, &answer.payload) == (*opcode, payload),
        Wanted::Close { code, reason } => closing(answer).is_some_and(|(sent, because)| {
            sent == *code && reason.as_ref().is_none_or(|reason| reason.as_slice() == because)
        }),
    }
}
