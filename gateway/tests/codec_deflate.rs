//! Is permessage-deflate what RFC 7692 says, in both directions, and can a client do harm with it?
//!
//! The reference is raw deflate by the library itself, one fresh state for each message: what is checked is everything
//! around it (tails, fragments, cuts, limits, states that are used again).

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod codec_client;

use carillon_gateway::ws::{Decoder, Deflater, Flow, Inflater, Opcode, Violation, window};
use codec_client::{Message, Outcome, decode, decode_with, frame};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMIT: usize = 64 * 1024;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// First byte of a whole compressed text frame, and of one with more to come.
const TEXT: u8 = 0xc1;
const TEXT_BEGINS: u8 = 0x41;
const BINARY: u8 = 0xc2;

/// "Hello" in the ways of RFC 7692 section 7.2.3.
const HELLO: [&[u8]; 4] = [
    &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
    // A block without compression.
    &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
    // A final block.
    &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
    // Two blocks.
    &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
];

/// A compressor's next message, without the tail of its flush.
fn next(state: &mut Compress, message: &[u8]) -> Vec<u8> {
    let before = state.total_out();
    let mut out = vec![0; message.len() + message.len() / 8 + 64];
    state.compress(message, &mut out, FlushCompress::Sync).unwrap();
    out.truncate((state.total_out() - before) as usize);
    out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

fn deflated(message: &[u8], level: u32) -> Vec<u8> {
    next(&mut Compress::new(Compression::new(level), false), message)
}

/// What a client makes of a compressed frame of the server.
fn inflated(frame: &[u8]) -> Vec<u8> {
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let input = [&frame[head..], &[0, 0, 0xff, 0xff]].concat();
    let mut message = Vec::with_capacity(1 << 20);
    let mut state = Decompress::new(false);
    state.decompress_vec(&input, &mut message, FlushDecompress::Sync).unwrap();
    assert_eq!(state.total_in() as usize, input.len());
    message
}

/// One frame on a connection with compression.
fn one(first: u8, payload: &[u8]) -> Result<Vec<Message>, Violation> {
    let bytes = frame(first, payload, KEY);
    let whole = decode_with(Some(&mut Inflater::new()), &bytes, [], LIMIT);
    assert_eq!(decode_with(Some(&mut Inflater::new()), &bytes, 1..bytes.len(), LIMIT), whole);
    whole.end.map(|()| whole.messages)
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    for payload in HELLO {
        assert_eq!(one(TEXT, payload), Ok(vec![text("Hello")]), "{payload:x?}");
    }
    assert_eq!(one(TEXT, &[0]), Ok(vec![text("")]), "an empty message");
    assert_eq!(one(TEXT, &HELLO[2][..7]), Ok(vec![text("Hello")]), "ends with its final block");
    assert_eq!(one(0x81, b"Hello"), Ok(vec![text("Hello")]), "uncompressed all the same");

    let fragments = [frame(TEXT_BEGINS, &HELLO[0][..3], KEY), frame(0x80, &HELLO[0][3..], KEY)].concat();
    let outcome = decode_with(Some(&mut Inflater::new()), &fragments, [], LIMIT);
    assert_eq!(outcome, Outcome { messages: vec![text("Hello")], end: Ok(()), idle: true });
}

#[test]
fn rsv1_stands_on_the_first_frame_of_a_message_if_that_was_agreed() {
    assert_eq!(decode(&frame(TEXT, HELLO[0], KEY), [], LIMIT).end, Err(Violation::ReservedBits));
    for control in [0xc8, 0xc9, 0xca] {
        assert_eq!(one(control, b""), Err(Violation::ReservedBits), "{control:x}");
    }
    for rsv in [0xe1, 0xd1, 0xf1, 0xa1, 0x91] {
        assert_eq!(one(rsv, HELLO[0]), Err(Violation::ReservedBits), "{rsv:x}");
    }
    let marked_twice = [frame(TEXT_BEGINS, &HELLO[0][..3], KEY), frame(0xc0, &HELLO[0][3..], KEY)].concat();
    let outcome = decode_with(Some(&mut Inflater::new()), &marked_twice, [], LIMIT);
    assert_eq!(outcome, Outcome { messages: vec![], end: Err(Violation::ReservedBits), idle: true });
}

#[test]
fn data_that_is_cut_or_not_deflate_is_refused() {
    for end in 1..HELLO[0].len() {
        assert_eq!(one(TEXT, &HELLO[0][..end]), Err(Violation::BadDeflate), "the first {end} bytes");
    }
    let long = deflated("žluťoučký kůň ".repeat(100).as_bytes(), 6);
    for end in 0..long.len() {
        assert_eq!(one(TEXT, &long[..end]), Err(Violation::BadDeflate), "the first {end} bytes");
    }
    for bad in [&b""[..], b"\xff", b"\x07", b"Hello", &[0xff; 100]] {
        assert_eq!(one(BINARY, bad), Err(Violation::BadDeflate), "{bad:x?}");
    }
    assert_eq!(Violation::BadDeflate.rfc_close_code(), 1007);
}

#[test]
fn text_is_checked_after_inflation() {
    for bad in [&b"\xff"[..], b"ok \xed\xa0\x80", b"cut \xe2\x82"] {
        assert_eq!(one(TEXT, &deflated(bad, 6)), Err(Violation::InvalidUtf8), "{bad:x?}");
        assert_eq!(one(BINARY, &deflated(bad, 6)), Ok(vec![Message::Binary(bad.to_vec())]));
    }
    // Compressed bytes are no text, even where the message is.
    let message = "x".repeat(300);
    let payload = deflated(message.as_bytes(), 6);
    assert!(std::str::from_utf8(&payload).is_err(), "or this proves nothing");
    assert_eq!(one(TEXT, &payload), Ok(vec![text(&message)]));
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let bomb = deflated(&vec![0; 1 << 20], 9);
    assert!(bomb.len() < 2048, "{} bytes", bomb.len());
    assert_eq!(one(BINARY, &bomb), Err(Violation::TooBig));
    for len in [LIMIT - 1, LIMIT] {
        assert_eq!(one(BINARY, &deflated(&vec![0; len], 9)), Ok(vec![Message::Binary(vec![0; len])]));
    }
    assert_eq!(one(BINARY, &deflated(&vec![0; LIMIT + 1], 9)), Err(Violation::TooBig), "one byte over");

    // In fragments, and once more with the same state: the refusal leaves nothing behind.
    let mut inflater = Inflater::new();
    let (a, b) = bomb.split_at(500);
    let bytes = [frame(0x42, a, KEY), frame(0x80, b, KEY)].concat();
    let refused = Outcome { messages: vec![], end: Err(Violation::TooBig), idle: true };
    assert_eq!(decode_with(Some(&mut inflater), &bytes, [], LIMIT), refused);
    let good = frame(TEXT, HELLO[0], KEY);
    assert_eq!(decode_with(Some(&mut inflater), &good, [], LIMIT).messages, [text("Hello")]);
    // A smaller limit holds though the state's buffer has grown beyond it.
    let four_k = frame(BINARY, &deflated(&[0; 4096], 6), KEY);
    assert_eq!(decode_with(Some(&mut inflater), &four_k, [], 4095).end, Err(Violation::TooBig));
    assert_eq!(
        decode_with(Some(&mut inflater), &four_k, [], 4096).messages,
        [Message::Binary(vec![0; 4096])]
    );
}

#[test]
fn compressed_bytes_are_bounded_before_inflation() {
    let head = [&[BINARY, 0xff][..], &(LIMIT as u64 + 1).to_be_bytes()].concat();
    let outcome = decode_with(Some(&mut Inflater::new()), &head, [], LIMIT);
    assert_eq!(outcome.end, Err(Violation::TooBig), "the head is enough");
}

#[test]
fn nothing_of_an_earlier_message_can_be_reached() {
    // A client that keeps its window between messages, against what was agreed.
    let secret = "a secret of another client, of another tenant";
    let mut keeps = Compress::new(Compression::new(9), false);
    let (first, second) = (next(&mut keeps, secret.as_bytes()), next(&mut keeps, secret.as_bytes()));
    assert!(second.len() < first.len() / 2, "it points back into the first");
    let mut inflater = Inflater::new();
    let feed = |inflater: &mut Inflater, payload: &[u8]| {
        decode_with(Some(inflater), &frame(TEXT, payload, KEY), [], LIMIT)
    };
    assert_eq!(feed(&mut inflater, &first).messages, [text(secret)]);
    assert_eq!(feed(&mut inflater, &second).end, Err(Violation::BadDeflate));
    assert_eq!(feed(&mut inflater, &first).messages, [text(secret)], "the state is good for the next");
}

#[test]
fn a_client_that_keeps_its_context_is_read_with_its_window_and_no_other() {
    // As Netty compresses: one stream for all messages of a connection, 250 KB in all; what is new in each has little in common.
    let mut state = Compress::new(Compression::new(6), false);
    let mut dice = 1_u64;
    let mut number = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        dice >> 33
    };
    let messages: Vec<String> = (0..250)
        .map(|n| {
            format!(
                r#"{{"type":"subscribe","id":{n},"channels":["contact:{}"]}}"#,
                (0..100).map(|_| number().to_string()).collect::<String>()
            )
        })
        .chain(["x".repeat(60_000), "the end".into()])
        .collect();
    let mut inflater = Inflater::new();
    let mut decoder = Decoder::with_window();
    let mut plain = 0;
    let mut held = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        // Another client's message in between, with the same state.
        assert_eq!(
            decode_with(Some(&mut inflater), &frame(TEXT, HELLO[0], KEY), [], LIMIT).messages,
            [text("Hello")]
        );
        let mut bytes = frame(TEXT, &next(&mut state, message.as_bytes()), KEY);
        let mut seen: Vec<Message> = Vec::new();
        // Whole, and cut in two.
        let cut = if n % 2 == 0 { bytes.len() } else { bytes.len() / 2 };
        let (one, other) = bytes.split_at_mut(cut);
        for part in [one, other] {
            let used = decoder.feed(part, LIMIT, Some(&mut inflater), &mut |incoming| {
                seen.push(incoming.into());
                Flow::Continue
            });
            assert_eq!(used, Ok(part.len()), "message {n}");
        }
        assert_eq!(seen, [text(message)]);
        plain += message.len();
        held.push(decoder.window_bytes());
        assert!(decoder.is_idle() && held[n] <= window::MOST.min(plain * 3 / 2), "{} bytes held", held[n]);
    }
    assert!(held[0] < 4_096 && plain > 250_000, "it grows with what is sent");
    // An uncompressed message changes nothing, and a close frame frees it.
    let mut rest =
        [frame(0x81, b"plain", KEY), frame(TEXT, &next(&mut state, b"the end"), KEY), frame(0x88, b"", KEY)]
            .concat();
    let mut seen = Vec::new();
    decoder
        .feed(&mut rest, LIMIT, Some(&mut inflater), &mut |incoming| {
            seen.push(Message::from(incoming));
            Flow::Continue
        })
        .unwrap();
    assert_eq!(seen, [text("plain"), text("the end"), Message::Close(None)]);
    assert_eq!(decoder.window_bytes(), 0);
}

#[test]
fn blocks_behind_a_final_block_may_refer_to_what_was_before_it() {
    // "Hello" ends its deflate stream; a second stream in the same message, and one in the next, refer back to it.
    let with = |dictionary: &[u8]| {
        let mut state = Compress::new(Compression::new(9), false);
        state.set_dictionary(dictionary).unwrap();
        next(&mut state, b"Hello, Hello again")
    };
    let (within, later) = (with(b"Hello"), with(b"HelloHello, Hello again"));
    let bytes = [frame(TEXT, &[&HELLO[2][..7], &within].concat(), KEY), frame(TEXT, &later, KEY)].concat();
    let mut decoder = Decoder::with_window();
    let mut seen = Vec::new();
    let mut input = bytes.clone();
    decoder
        .feed(&mut input, LIMIT, Some(&mut Inflater::new()), &mut |incoming| {
            seen.push(Message::from(incoming));
            Flow::Continue
        })
        .unwrap();
    assert_eq!(seen, [text("HelloHello, Hello again"), text("Hello, Hello again")]);
    assert_eq!(decode_with(Some(&mut Inflater::new()), &bytes, [], LIMIT).end, Err(Violation::BadDeflate));
}

#[test]
fn a_message_has_sixteen_final_blocks_at_most() {
    // Empty final blocks in front of "Hello": each ends a deflate stream, and the next begins one with the window.
    const EMPTY: [u8; 2] = [0x03, 0x00];
    let read = |mut decoder: Decoder, payload: &[u8]| {
        let mut seen = Vec::new();
        let mut input = frame(TEXT, payload, KEY);
        let end = decoder.feed(&mut input, LIMIT, Some(&mut Inflater::new()), &mut |incoming| {
            seen.push(Message::from(incoming));
            Flow::Continue
        });
        end.map(|_| seen)
    };
    for decoder in [Decoder::with_window, Decoder::default] {
        let behind = |blocks: usize, last: &[u8]| read(decoder(), &[&EMPTY.repeat(blocks), last].concat());
        // The last form ends with a final block of its own.
        for (most, last) in [(16, HELLO[0]), (15, HELLO[2]), (15, &HELLO[2][..7])] {
            assert_eq!(behind(most, last), Ok(vec![text("Hello")]), "{most} before {last:x?}");
            for more in [most + 1, 30_000] {
                assert_eq!(behind(more, last), Err(Violation::BadDeflate), "{more} before {last:x?}");
            }
        }
    }
}

#[test]
fn a_frame_depends_on_its_message_alone() {
    let mut deflater = Deflater::new();
    let event = r#"{"type":"event","seq":7,"data":{"name":"name","name2":"name","name3":"name"}}"#.repeat(20);
    let first = deflater.frame(Opcode::Text, event.as_bytes()).unwrap();
    deflater.frame(Opcode::Binary, &[7; 100_000]).unwrap();
    assert_eq!(deflater.frame(Opcode::Text, event.as_bytes()).unwrap(), first);
    assert_eq!((first[0], first[1]), (TEXT, first.len() as u8 - 2));
    assert_eq!(inflated(&first), event.as_bytes());
    assert_eq!(deflater.frame(Opcode::Binary, &[7; 1000]).unwrap()[0], BINARY);
}

#[test]
fn what_compression_does_not_shorten_is_left_alone() {
    let mut deflater = Deflater::new();
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..5000).map(|_| noise()).collect();
    for payload in [&b""[..], b"a", b"ab", b"abcdefgh", &noise] {
        assert_eq!(deflater.frame(Opcode::Binary, payload), None, "{} bytes", payload.len());
    }
}

/// Messages from one repeated word to noise.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        ("\\PC{1,30}", 1..60_usize).prop_map(|(text, times)| text.repeat(times).into_bytes()),
        (any::<u8>(), 0..LIMIT).prop_map(|(byte, len)| vec![byte; len]),
        vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..3000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_survive_compression_fragments_and_cuts(
        messages in vec((message(), 0..10_u32, vec(any::<Index>(), 0..4), any::<bool>()), 1..4),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (message, level, fragments, ping) in messages {
            let payload = deflated(&message, level);
            let mut at = 0;
            let mut first = 0x42;
            let mut ends: Vec<usize> = fragments.iter().map(|end| end.index(payload.len() + 1)).collect();
            ends.sort_unstable();
            for end in ends {
                bytes.extend(frame(first, &payload[at..end], KEY));
                (at, first) = (end, 0);
                if ping {
                    bytes.extend(frame(0x89, b"between", KEY));
                    expected.push(Message::Ping(b"between".to_vec()));
                }
            }
            bytes.extend(frame(first | 0x80, &payload[at..], KEY));
            expected.push(Message::Binary(message));
        }
        let mut positions: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        positions.sort_unstable();
        // Level 0 and noise become a little longer by compression.
        let limit = LIMIT + 100;
        let expected = Outcome { messages: expected, end: Ok(()), idle: true };
        let mut inflater = Inflater::new();
        prop_assert_eq!(&decode_with(Some(&mut inflater), &bytes, [], limit), &expected);
        prop_assert_eq!(&decode_with(Some(&mut inflater), &bytes, positions, limit), &expected);
        prop_assert_eq!(&decode_with(Some(&mut inflater), &bytes, 1..bytes.len(), limit), &expected);
    }

    #[test]
    fn the_reference_reads_what_we_compress(messages in vec(message(), 1..4)) {
        let mut deflater = Deflater::new();
        for message in messages {
            if let Some(frame) = deflater.frame(Opcode::Binary, &message) {
                let head = if message.len() < 126 { 2 } else if message.len() < 65_536 { 4 } else { 10 };
                prop_assert!(frame.len() < head + message.len(), "shorter than the plain frame");
                prop_assert_eq!(inflated(&frame), message);
            } else {
                prop_assert!(deflated(&message, 6).len() >= message.len(), "it would have been shorter");
            }
        }
    }

    #[test]
    fn garbage_is_read_the_same_however_it_is_cut(
        start in message(), garbage in vec(any::<u8>(), 0..400), keep in any::<Index>(), limit in 0..5000_usize,
    ) {
        let good = deflated(&start, 6);
        let payload = [&good[..keep.index(good.len() + 1)], &garbage].concat();
        let bytes = frame(BINARY, &payload, KEY);
        let mut inflater = Inflater::new();
        let whole = decode_with(Some(&mut inflater), &bytes, [], limit);
        for message in &whole.messages {
            prop_assert!(matches!(message, Message::Binary(bytes) if bytes.len() <= limit));
        }
        prop_assert_eq!(&decode_with(Some(&mut inflater), &bytes, 1..bytes.len(), limit), &whole);
    }
}
