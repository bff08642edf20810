//! How many events does a body hold, told without parsing it?
//!
//! Parsing 500 events takes milliseconds. Whoever has no room for that many is refused after a look at the brackets.

/// The number of elements of an array of objects; 1 of anything else. Of what is no JSON it is any number.
pub fn elements(body: &[u8]) -> usize {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return 1;
    }
    let (mut depth, mut objects) = (0_usize, 0_usize);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                objects += usize::from(*byte == b'{' && depth == 1);
                depth += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    objects
}

/// Goes behind the quote that ends a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_no_array_is_one_event() {
        for body in [&br#"{"data":[{},{}]}"#[..], b"", b" 7", b"\"[{}]\""] {
            assert_eq!(elements(body), 1, "{body:?}");
        }
        assert_eq!(elements(b" [ ]"), 0);
        assert_eq!(elements(br#"[{"a":"}]\"[{"},{"b":{}}]"#), 2);
    }

    #[test]
    fn no_text_is_too_broken_to_be_counted() {
        for body in [&b"]]}}"[..], b"[\"", b"[\"\\", b"[{{{{", b"\xff\xfe["] {
            assert!(elements(body) <= body.len().max(1));
        }
    }

    proptest! {
        #[test]
        fn an_array_of_objects_has_as_many_as_a_parser_finds(texts in prop::collection::vec(".*", 0..20)) {
            let events: Vec<_> = texts.iter().map(|text| json!({"type": text, "data": [text, {text.as_str(): {}}]})).collect();
            prop_assert_eq!(elements(serde_json::to_string(&events).unwrap().as_bytes()), events.len());
        }
    }
}
