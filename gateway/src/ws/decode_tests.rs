//! What does a decoder hold, and when does it let go?

use super::*;

/// A masked client frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [7, 77, 177, 250];
    let mut bytes = vec![first, 0x80 | payload.len() as u8];
    bytes.extend_from_slice(&key);
    bytes.extend_from_slice(payload);
    mask(&mut bytes[6..], key, 0);
    bytes
}

fn texts(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<String>, Violation> {
    let mut seen = Vec::new();
    decoder.feed(&mut bytes.to_vec(), 1000, None, &mut |incoming| {
        seen.push(format!("{incoming:?}"));
        Flow::Continue
    })?;
    Ok(seen)
}

#[test]
fn i7_a_decoder_at_rest_holds_nothing() {
    assert!(size_of::<Decoder>() <= 16, "{} bytes", size_of::<Decoder>());
    let mut decoder = Decoder::new();
    assert!(decoder.is_idle());
    let bytes = [frame(0x01, b"a"), frame(0x89, b"ping"), frame(0x80, b"b")].concat();
    for (i, byte) in bytes.iter().enumerate() {
        texts(&mut decoder, &[*byte]).unwrap();
        let last = i + 1 == bytes.len();
        assert_eq!(decoder.is_idle(), last, "after byte {i}");
        assert_eq!(decoder.held_bytes() == 0, last, "after byte {i}");
    }
    texts(&mut decoder, &frame(0x01, b"unfinished")).unwrap();
    assert!(!decoder.is_idle());
    assert_eq!(texts(&mut decoder, &frame(0xf1, b"")), Err(Violation::ReservedBits));
    assert!(decoder.is_idle(), "a violation frees what was held");
}

#[test]
fn what_is_held_grows_with_what_came_and_never_above_the_limit() {
    let limit = 60_000;
    let fixed = size_of::<Partial>();
    let mut decoder = Decoder::new();
    let mut feed = |bytes: &mut [u8]| {
        decoder.feed(bytes, limit, None, &mut |_| Flow::Continue).unwrap();
        decoder.held_bytes()
    };
    let promise = feed(&mut [0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0]);
    assert!(promise <= fixed, "a promise of 60,000 bytes costs {promise}");
    for sent in 1..30_000 {
        let held = feed(&mut [1]) - fixed;
        assert!(held < 2 * sent + 16, "{held} bytes are held for {sent}");
    }
    let held = feed(&mut [1; 29_000]);
    assert!(held <= limit + fixed, "{held}");
    assert_eq!(feed(&mut [1; 1001]), 0);
}

#[test]
fn text_that_comes_byte_by_byte_is_checked_once() {
    let mut decoder = Decoder::new();
    for byte in frame(0x01, "žluťoučký kůň 🔔".as_bytes()) {
        texts(&mut decoder, &[byte]).unwrap();
        let message = decoder.partial.as_ref().and_then(|partial| partial.message.as_ref());
        assert!(message.is_none_or(|m| m.data.len() - m.valid <= 3), "only a cut character waits");
    }
}

#[test]
fn stop_leaves_the_rest_untouched() {
    let first = frame(0x81, b"one");
    let second = frame(0x81, b"two");
    let mut bytes = [first.clone(), second.clone()].concat();
    let mut decoder = Decoder::new();
    let used = decoder.feed(&mut bytes, 10, None, &mut |_| Flow::Stop).unwrap();
    assert_eq!(used, first.len());
    assert_eq!(bytes[used..], second);
    assert_eq!(texts(&mut decoder, &bytes[used..]).unwrap(), [r#"Text("two")"#]);
}

#[test]
fn nothing_is_heard_after_a_close_or_a_violation() {
    let mut decoder = Decoder::new();
    let bytes = [frame(0x88, b"\x03\xe8bye"), frame(0x81, b"late"), vec![0xff; 9]].concat();
    assert_eq!(texts(&mut decoder, &bytes).unwrap(), [r#"Close(Some((1000, "bye")))"#]);
    assert_eq!(texts(&mut decoder, &frame(0x81, b"later")).unwrap(), [""; 0]);

    let mut decoder = Decoder::new();
    assert_eq!(texts(&mut decoder, &[0x81, 0x00]), Err(Violation::Unmasked));
    assert_eq!(texts(&mut decoder, &frame(0x81, b"later")).unwrap(), [""; 0]);
}
