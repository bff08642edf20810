//! Does the decoder do what RFC 6455 says, case by case?
//!
//! The sections follow those of the Autobahn test suite (1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes,
//! 5 fragmentation, 6 UTF-8, 7 closing); the cases are written or generated here. Every case is decoded in one
//! piece, byte by byte, and in pieces of several sizes, always with the same outcome.

mod codec_client;

use carillon_gateway::ws::{Violation, max_fragments};
use codec_client::{Message, Outcome, decode, frame};

const LIMIT: usize = 1 << 17;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

/// Decodes the frames, cut in many ways, and expects these messages and this end.
#[track_caller]
fn case(frames: &[Vec<u8>], messages: &[Message], end: Result<(), Violation>) {
    let bytes = frames.concat();
    let whole = decode(&bytes, [], LIMIT);
    assert_eq!(whole.messages, messages);
    assert_eq!(whole.end, end);
    // Long streams are not cut at every byte: their interesting borders are near the head and at odd offsets.
    let sizes: &[usize] = if bytes.len() > 5_000 { &[997, 4096] } else { &[1, 2, 3, 7, 64] };
    for &size in sizes {
        assert_eq!(decode(&bytes, (size..bytes.len()).step_by(size), LIMIT), whole, "in pieces of {size}");
    }
    for cut in 1..bytes.len().min(20) {
        assert_eq!(decode(&bytes, [cut], LIMIT), whole, "cut at {cut}");
    }
}

#[track_caller]
fn accepts(frames: &[Vec<u8>], messages: &[Message]) {
    case(frames, messages, Ok(()));
    assert!(decode(&frames.concat(), [], LIMIT).idle);
}

#[track_caller]
fn refuses(frames: &[Vec<u8>], violation: Violation) {
    case(frames, &[], Err(violation));
}

#[test]
fn section_1_frames_of_every_size_class_arrive_whole() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, LIMIT] {
        let letters: String = ('a'..='z').cycle().take(len).collect();
        accepts(&[frame(FIN | TEXT, letters.as_bytes(), KEY)], &[text(&letters)]);
        let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
        accepts(&[frame(FIN | BINARY, &bytes, KEY)], &[Message::Binary(bytes)]);
    }
}

#[test]
fn section_1_a_length_has_one_form_and_a_limit() {
    let head = |second: u8, length: &[u8]| vec![[&[FIN | BINARY, second][..], length, &KEY].concat()];
    refuses(&head(0xfe, &125_u16.to_be_bytes()), Violation::BadLength);
    refuses(&head(0xfe, &0_u16.to_be_bytes()), Violation::BadLength);
    refuses(&head(0xff, &0xffff_u64.to_be_bytes()), Violation::BadLength);
    refuses(&head(0xff, &(1_u64 << 63 | 65_536).to_be_bytes()), Violation::BadLength);
    refuses(&head(0xff, &(LIMIT as u64 + 1).to_be_bytes()), Violation::TooBig);
    refuses(&head(0xff, &(u64::MAX >> 1).to_be_bytes()), Violation::TooBig);
    refuses(&[vec![FIN | TEXT, 5], b"hello".to_vec()], Violation::Unmasked);
    refuses(&[vec![FIN | PING, 0]], Violation::Unmasked);
}

#[test]
fn section_2_pings_and_pongs_carry_up_to_125_bytes() {
    for payload in [&b""[..], b"hello", &[0, 0xff, 0xfe, 0xfd], &[0xfe; 125]] {
        accepts(&[frame(FIN | PING, payload, KEY)], &[Message::Ping(payload.to_vec())]);
        accepts(&[frame(FIN | PONG, payload, KEY)], &[Message::Pong(payload.to_vec())]);
    }
    for opcode in [PING, PONG, CLOSE] {
        refuses(&[frame(FIN | opcode, &[0; 126], KEY)], Violation::ControlTooLong);
    }
    let ten: Vec<Vec<u8>> = (0..10).map(|i| frame(FIN | PING, &[i], KEY)).collect();
    accepts(&ten, &(0..10).map(|i| Message::Ping(vec![i])).collect::<Vec<_>>());
}

#[test]
fn section_3_reserved_bits_are_refused_on_every_frame() {
    for bits in 1..8_u8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let bad = frame(FIN | bits << 4 | opcode, b"", KEY);
            refuses(std::slice::from_ref(&bad), Violation::ReservedBits);
            case(&[frame(FIN | TEXT, b"before", KEY), bad], &[text("before")], Err(Violation::ReservedBits));
        }
    }
}

#[test]
fn section_4_unknown_opcodes_are_refused() {
    for opcode in (3..8).chain(11..16) {
        for payload in [&b""[..], b"payload"] {
            refuses(&[frame(FIN | opcode, payload, KEY)], Violation::UnknownOpcode);
            refuses(&[frame(opcode, payload, KEY)], Violation::UnknownOpcode);
        }
    }
}

#[test]
fn section_5_fragments_make_one_message() {
    let start = || frame(TEXT, b"frag", KEY);
    let end = || frame(FIN, b"ments", KEY);
    let whole = text("fragments");
    accepts(&[start(), end()], std::slice::from_ref(&whole));
    accepts(&[start(), frame(0, b"", KEY), end()], std::slice::from_ref(&whole));
    accepts(&[frame(TEXT, b"", KEY), frame(0, b"", KEY), frame(FIN, b"", KEY)], &[text("")]);
    accepts(
        &[frame(BINARY, &[0xff], KEY), frame(FIN, &[0xfe], [9; 4])],
        &[Message::Binary(vec![0xff, 0xfe])],
    );
    accepts(
        &[start(), frame(FIN | PING, b"p", KEY), frame(FIN | PONG, b"q", KEY), end(), start(), end()],
        &[Message::Ping(b"p".to_vec()), Message::Pong(b"q".to_vec()), whole.clone(), whole],
    );
    case(
        &[start(), frame(FIN | CLOSE, &1000_u16.to_be_bytes(), KEY), end()],
        &[Message::Close(Some((1000, String::new())))],
        Ok(()),
    );
}

#[test]
fn section_5_fragments_out_of_order_are_refused() {
    refuses(&[frame(FIN, b"end", KEY)], Violation::ContinuationWithoutStart);
    refuses(&[frame(0, b"middle", KEY)], Violation::ContinuationWithoutStart);
    let start = || frame(TEXT, b"start", KEY);
    case(
        &[start(), frame(FIN, b"", KEY), frame(FIN, b"", KEY)],
        &[text("start")],
        Err(Violation::ContinuationWithoutStart),
    );
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        refuses(&[start(), frame(first, b"other", KEY)], Violation::InterruptedMessage);
    }
    for opcode in [PING, PONG, CLOSE] {
        refuses(&[frame(opcode, b"", KEY)], Violation::FragmentedControl);
        refuses(&[start(), frame(opcode, b"", KEY)], Violation::FragmentedControl);
    }
}

#[test]
fn section_5_fragments_are_bounded_in_bytes_and_in_number() {
    let most = max_fragments(LIMIT);
    let mut frames = vec![frame(TEXT, b"", KEY)];
    frames.resize(most - 1, frame(0, b"", KEY));
    accepts(&[frames.clone(), vec![frame(FIN, b"", KEY)]].concat(), &[text("")]);
    frames.resize(most, frame(0, b"", KEY));
    refuses(&[frames, vec![frame(FIN, b"", KEY)]].concat(), Violation::TooManyFragments);

    // Cut between head and payload, a fragment still counts once.
    let mut letters = vec![frame(TEXT, b"x", KEY)];
    letters.resize(most - 1, frame(0, b"x", KEY));
    let bytes = [letters, vec![frame(FIN, b"x", KEY)]].concat().concat();
    assert_eq!(decode(&bytes, 1..bytes.len(), LIMIT).messages, [text(&"x".repeat(most))]);

    let half = frame(BINARY, &vec![0; LIMIT / 2], KEY);
    let rest = |len| frame(FIN, &vec![0; len], KEY);
    accepts(&[half.clone(), rest(LIMIT / 2)], &[Message::Binary(vec![0; LIMIT])]);
    // The head is enough to refuse the second half: none of its payload has come.
    refuses(&[half, rest(LIMIT / 2 + 1)[..10].to_vec()], Violation::TooBig);
}

/// Byte sequences that are no UTF-8, and how many of their bytes prove it.
const INVALID: &[(&[u8], usize)] = &[
    (&[0x80], 1),                               // a continuation byte alone
    (&[0xbf, 0xbf], 1),                         //
    (&[0xff], 1),                               // bytes that never occur
    (&[0xfe], 1),                               //
    (&[0xc0, 0x80], 1),                         // overlong NUL
    (&[0xc1, 0xbf], 1),                         // overlong DEL
    (&[0xe0, 0x80, 0xaf], 2),                   // overlong slash, three bytes
    (&[0xe0, 0x9f, 0xbf], 2),                   // overlong U+07FF
    (&[0xf0, 0x80, 0x80, 0xaf], 2),             // overlong slash, four bytes
    (&[0xf0, 0x8f, 0xbf, 0xbf], 2),             // overlong U+FFFF
    (&[0xed, 0xa0, 0x80], 2),                   // first high surrogate, U+D800
    (&[0xed, 0xaf, 0xbf], 2),                   // last high surrogate
    (&[0xed, 0xb0, 0x80], 2),                   // first low surrogate
    (&[0xed, 0xbf, 0xbf], 2),                   // last low surrogate, U+DFFF
    (&[0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80], 2), // a surrogate pair (CESU-8)
    (&[0xf4, 0x90, 0x80, 0x80], 2),             // U+110000
    (&[0xf5, 0x80, 0x80, 0x80], 1),             // above every plane
    (&[0xf8, 0x88, 0x80, 0x80, 0x80], 1),       // five bytes
    (&[0xfc, 0x84, 0x80, 0x80, 0x80, 0x80], 1), // six bytes
    (&[0xc3, 0x28], 2),                         // a lead without its continuation
    (&[0xe2, 0x82, 0x28], 3),                   //
    (&[0xf0, 0x9f, 0x94, 0x28], 4),             //
];

#[test]
fn section_6_every_character_passes_wherever_it_is_cut() {
    let edges = "\0 \u{7f}\u{80}\u{7ff}\u{800}\u{fff}\u{1000}\u{cfff}\u{d7ff}\u{e000}\u{fffd}\u{feff}\u{fffe}\u{ffff}\u{10000}\u{1ffff}\u{10fffe}\u{10ffff}κόσμε 🔔";
    accepts(&[frame(FIN | TEXT, edges.as_bytes(), KEY)], &[text(edges)]);
    for cut in 0..=edges.len() {
        let (a, b) = edges.as_bytes().split_at(cut);
        accepts(&[frame(TEXT, a, KEY), frame(FIN, b, [1, 2, 3, 4])], &[text(edges)]);
    }
    let each: Vec<Vec<u8>> = edges.bytes().map(|byte| frame(0, &[byte], KEY)).collect();
    accepts(&[vec![frame(TEXT, b"", KEY)], each, vec![frame(FIN, b"", KEY)]].concat(), &[text(edges)]);
}

#[test]
fn section_6_bad_utf8_is_refused_at_the_byte_that_proves_it() {
    for (bad, proof) in INVALID {
        assert!(std::str::from_utf8(bad).is_err());
        let payload = ["ž ok ".as_bytes(), bad, b" more"].concat();
        refuses(&[frame(FIN | TEXT, &payload, KEY)], Violation::InvalidUtf8);
        for cut in 0..=payload.len() {
            let (a, b) = payload.split_at(cut);
            refuses(&[frame(TEXT, a, KEY), frame(FIN, b, KEY)], Violation::InvalidUtf8);
        }
        accepts(&[frame(FIN | BINARY, bad, KEY)], &[Message::Binary(bad.to_vec())]);

        // Neither the frame nor the message has ended when the proof arrives.
        let up_to = |n: usize| {
            let bytes = frame(TEXT, &payload, KEY);
            decode(&bytes[..6 + "ž ok ".len() + n], [], LIMIT).end
        };
        assert_eq!(up_to(*proof), Err(Violation::InvalidUtf8), "{bad:x?}");
        assert_eq!(up_to(proof - 1), Ok(()), "{bad:x?}");
    }
}

#[test]
fn section_6_a_message_must_not_end_within_a_character() {
    for cut in [&b"\xc5"[..], b"\xe2\x82", b"\xf0\x9f\x94", b"\xf0"] {
        refuses(&[frame(FIN | TEXT, cut, KEY)], Violation::InvalidUtf8);
        refuses(&[frame(TEXT, cut, KEY), frame(FIN, b"", KEY)], Violation::InvalidUtf8);
        refuses(&[frame(TEXT, b"", KEY), frame(FIN, cut, KEY)], Violation::InvalidUtf8);
        case(&[frame(TEXT, cut, KEY)], &[], Ok(()));
    }
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat(), KEY)
}

#[test]
fn section_7_close_codes_are_those_that_may_travel() {
    for code in 0..=u16::MAX {
        let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let bytes = close(code, b"bye");
        let Outcome { messages, end, idle } = decode(&bytes, [], LIMIT);
        if allowed {
            assert_eq!((messages, end), (vec![Message::Close(Some((code, "bye".into())))], Ok(())), "{code}");
        } else {
            assert_eq!((messages, end), (vec![], Err(Violation::BadCloseCode)), "{code}");
        }
        assert!(idle);
    }
    for code in [1000, 1003, 1007, 1011, 1014, 3000, 4999] {
        accepts(&[close(code, b"")], &[Message::Close(Some((code, String::new())))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        refuses(&[close(code, b"")], Violation::BadCloseCode);
    }
}

#[test]
fn section_7_close_payloads_are_checked() {
    accepts(&[frame(FIN | CLOSE, b"", KEY)], &[Message::Close(None)]);
    refuses(&[frame(FIN | CLOSE, &[3], KEY)], Violation::BadClosePayload);
    let longest = "ž".repeat(61) + "!";
    accepts(&[close(1000, longest.as_bytes())], &[Message::Close(Some((1000, longest.clone())))]);
    for (bad, _) in INVALID {
        refuses(&[close(1000, bad)], Violation::InvalidUtf8);
    }
}

#[test]
fn section_7_what_follows_a_close_is_ignored() {
    let bye = [Message::Close(Some((1000, "bye".into())))];
    let late =
        [frame(FIN | TEXT, b"late", KEY), frame(FIN | PING, b"", KEY), close(1001, b""), vec![0xff; 40]];
    for junk in late {
        accepts(&[close(1000, b"bye"), junk], &bye);
    }
}

#[test]
fn violations_have_the_close_code_of_the_rfc() {
    use Violation as V;
    for (violation, code) in [
        (V::ReservedBits, 1002),
        (V::UnknownOpcode, 1002),
        (V::Unmasked, 1002),
        (V::BadLength, 1002),
        (V::FragmentedControl, 1002),
        (V::ControlTooLong, 1002),
        (V::ContinuationWithoutStart, 1002),
        (V::InterruptedMessage, 1002),
        (V::BadClosePayload, 1002),
        (V::BadCloseCode, 1002),
        (V::InvalidUtf8, 1007),
        (V::BadDeflate, 1007),
        (V::TooBig, 1009),
        (V::TooManyFragments, 1009),
    ] {
        assert_eq!(violation.rfc_close_code(), code, "{violation}");
        assert!(violation.reason().len() <= 123 && violation.to_string() == violation.reason());
    }
}
