//! Is this JSON fit for the log, and what is its compact form?
//!
//! The log keeps the publisher's own bytes (numbers keep their digits, keys their order), only white space between
//! tokens goes. One line per event is what server-sent events and log tools need.

use crate::limits;

/// Why valid JSON is still refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Arrays and objects are nested too deeply.
    #[error("nested deeper than {} levels", limits::JSON_DEPTH)]
    TooDeep,
    /// A `\uD800`-`\uDFFF` escape without its other half: no UTF-8 text can hold it, so some clients cannot read it.
    #[error("contains half of a surrogate pair (\\uD800-\\uDFFF)")]
    LoneSurrogate,
}

/// Removes white space outside strings from `raw`, which must be one valid JSON value.
pub fn compact(raw: &str) -> Result<String, JsonFault> {
    let bytes = raw.as_bytes();
    let mut out = String::with_capacity(raw.len());
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at)?;
                out.push_str(&raw[at..end]);
                at = end;
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            other => {
                match other {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > limits::JSON_DEPTH {
                    return Err(JsonFault::TooDeep);
                }
                out.push(char::from(other));
            }
        }
        at += 1;
    }
    Ok(out)
}

/// The index after the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, JsonFault> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                at = match escape(bytes, at) {
                    Some(0xDC00..=0xDFFF) => return Err(JsonFault::LoneSurrogate),
                    Some(0xD800..=0xDBFF) => match escape(bytes, at + 6) {
                        Some(0xDC00..=0xDFFF) => at + 12,
                        _ => return Err(JsonFault::LoneSurrogate),
                    },
                    _ => at + 6,
                };
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Ok(bytes.len())
}

/// The code unit of the `\uXXXX` escape at `at`, if there is one.
fn escape(bytes: &[u8], at: usize) -> Option<u16> {
    let text = bytes.get(at..at + 6)?;
    let digits = text.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_goes_and_strings_stay() {
        let raw = " { \"a b\" : [ 1.000000000000000000001 , \"\\\" \\n\" ,\n null ] } ";
        assert_eq!(compact(raw).unwrap(), "{\"a b\":[1.000000000000000000001,\"\\\" \\n\",null]}");
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(compact(&nested(limits::JSON_DEPTH)).is_ok());
        assert_eq!(compact(&nested(limits::JSON_DEPTH + 1)), Err(JsonFault::TooDeep));
        assert!(compact(&format!("\"{}\"", "[".repeat(500))).is_ok());
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        assert!(compact(r#""\ud83d\ude00""#).is_ok());
        for bad in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\u0041""#] {
            assert_eq!(compact(bad), Err(JsonFault::LoneSurrogate), "{bad}");
        }
        assert!(compact(r#""\\ud83d""#).is_ok(), "an escaped backslash begins no escape");
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}|[\"\\\\ \n\t]{0,6}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::hash_map("[a-z\" ]{0,4}", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compacting_pretty_json_changes_no_value_and_equals_serde(value in value()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty).unwrap(), serde_json::to_string(&value).unwrap());
        }
    }
}
