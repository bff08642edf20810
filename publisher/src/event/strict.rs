//! Is this request body JSON without surprises: valid, no member twice, no bottomless nesting?
//!
//! Parsers disagree about repeated members (first wins, last wins), so a body with one means different things to
//! different readers of the log. It is refused before anything else looks at it.

use super::fault::{Fault, FaultCode, Faults, element, member};
use carillon_protocol::limits;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// Objects up to this size are searched for repeated names one by one; larger ones get a hash set.
const SMALL_OBJECT: usize = 16;

/// Checks the syntax of `text` and collects what valid JSON may still not contain.
///
/// `depth` is how many levels of arrays and objects are allowed. The error is serde_json's own: it carries line
/// and column of the first character that is not JSON.
pub(super) fn check(text: &str, depth: usize, faults: &mut Faults) -> Result<(), serde_json::Error> {
    let mut found = Faults::default();
    if let Err(error) = walk(text, depth, &mut found) {
        // serde_json makes a float of a number it looks at, and there are numbers that no float holds (RFC 8259, section
        // 6, sets no bounds). Values that are only passed over may have any.
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| error)?;
        found = Faults::default();
        walk(&without_numbers(text), depth, &mut found)?;
    }
    faults.append(found);
    Ok(())
}

/// The same JSON with every number of more than one digit as a zero and white space.
fn without_numbers(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'-' | b'0'..=b'9' => {
                bytes[at] = b'0';
                let is_part = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                while bytes.get(at + 1).is_some_and(is_part) {
                    at += 1;
                    bytes[at] = b' ';
                }
            }
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn walk(text: &str, depth: usize, faults: &mut Faults) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut walk = Walk { path: Vec::new(), depth, faults };
    Value { walk: &mut walk }.deserialize(&mut reader)?;
    reader.end()
}

/// How deep a request body may go: an array of events has one level more than one event.
pub(super) fn allowed_depth(text: &str) -> usize {
    let array = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[');
    limits::JSON_DEPTH + usize::from(array)
}

struct Walk<'de, 'f> {
    path: Vec<Step<'de>>,
    depth: usize,
    faults: &'f mut Faults,
}

enum Step<'de> {
    Name(Cow<'de, str>),
    Index(usize),
}

impl Walk<'_, '_> {
    fn fault(&mut self, code: FaultCode, detail: impl Into<String>) {
        let pointer = self.path.iter().fold(String::new(), |parent, step| match step {
            Step::Name(name) => member(&parent, name),
            Step::Index(index) => element(&parent, *index),
        });
        self.faults.add(Fault::at(pointer, code, detail));
    }

    /// Whether one more array or object may be opened here; records the fault when not.
    fn may_open(&mut self) -> bool {
        let open = self.path.len() < self.depth;
        if !open {
            self.fault(FaultCode::TooDeep, format!("nested deeper than {} levels", limits::JSON_DEPTH));
        }
        open
    }
}

struct Value<'w, 'de, 'f> {
    walk: &'w mut Walk<'de, 'f>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, 'de, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if !self.walk.may_open() {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut index = 0;
        loop {
            self.walk.path.push(Step::Index(index));
            let more = elements.next_element_seed(Value { walk: self.walk })?.is_some();
            self.walk.path.pop();
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if !self.walk.may_open() {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut names = Names::default();
        while let Some(Name(name)) = members.next_key()? {
            self.walk.path.push(Step::Name(name.clone()));
            if !names.insert(name) {
                self.walk.fault(FaultCode::DuplicateKey, "is given twice in one object");
            }
            members.next_value_seed(Value { walk: self.walk })?;
            self.walk.path.pop();
        }
        Ok(())
    }
}

#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    /// Whether `name` is new.
    fn insert(&mut self, name: Cow<'de, str>) -> bool {
        if self.few.len() < SMALL_OBJECT {
            let new = !self.few.contains(&name);
            self.few.push(name);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(self.few.iter().cloned());
        }
        self.many.insert(name)
    }
}

/// A member's name, borrowed from the body unless it holds escapes.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::fault::Place;

    fn faults(text: &str) -> Vec<(String, FaultCode)> {
        let mut faults = Faults::default();
        check(text, allowed_depth(text), &mut faults).unwrap();
        let place = |fault: Fault| match fault.place {
            Place::Pointer(pointer) => (pointer, fault.code),
            other => panic!("{other:?}"),
        };
        faults.into_vec().into_iter().map(place).collect()
    }

    #[test]
    fn repeated_members_are_found_at_any_depth_and_in_any_spelling() {
        assert_eq!(faults(r#"{"a":1,"b":{"a":2}}"#), []);
        assert_eq!(faults(r#"{"a":1,"\u0061":2}"#), [("/a".into(), FaultCode::DuplicateKey)]);
        assert_eq!(
            faults(r#"[{"data":{"x/y":[0,{"k":1,"k":2}]}}]"#),
            [("/0/data/x~1y/1/k".into(), FaultCode::DuplicateKey)]
        );
        let many: Vec<String> = (0..40).map(|n| format!("\"k{n}\":0")).collect();
        assert_eq!(faults(&format!("{{{}}}", many.join(","))), []);
        let repeated = format!("{{{},\"k3\":1,\"k30\":1}}", many.join(","));
        assert_eq!(
            faults(&repeated),
            [("/k3".into(), FaultCode::DuplicateKey), ("/k30".into(), FaultCode::DuplicateKey)]
        );
    }

    #[test]
    fn an_event_may_be_64_levels_deep_alone_or_in_an_array() {
        let event =
            |levels: usize| format!("{{\"data\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert_eq!(faults(&event(64)), []);
        assert_eq!(faults(&format!(" [{}]", event(64))), []);
        assert_eq!(faults(&event(65))[0].1, FaultCode::TooDeep);
        assert_eq!(faults(&format!("[{}]", event(65)))[0].1, FaultCode::TooDeep);
        assert_eq!(faults(&event(100_000))[0].1, FaultCode::TooDeep, "and no stack overflows");
    }

    #[test]
    fn numbers_of_any_size_are_json() {
        let long = "9".repeat(400);
        for number in ["1e400", "-1E+400", "1e-400", "0.5e9999999999", &long, &format!("-{long}.{long}")] {
            assert_eq!(faults(&format!(r#"{{"a":{number},"b":["1e5\"",{number}]}}"#)), [], "{number}");
            assert_eq!(
                faults(&format!(r#"{{"a":{number},"b":{{"c":1,"c":{number}}}}}"#)),
                [("/b/c".into(), FaultCode::DuplicateKey)],
                "what is wrong beside it is found once"
            );
        }
        for bad in ["1e", "-", "01e400", "1e400x", "[1e400", "{\"a\":1e400,\"b\":\"\\ud800\"}"] {
            assert!(check(bad, 64, &mut Faults::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_json_is_told_with_line_and_column() {
        let fault = |text: &str| check(text, 64, &mut Faults::default()).unwrap_err();
        let error = fault("{\n  \"type\": oops\n}");
        assert_eq!((error.line(), error.column()), (2, 11));
        for bad in ["", "{", "{\"a\":1,}", "[1 2]", "nul", "{} {}", "\"\\ud800\"", "{'a':1}", "\u{feff}{}"] {
            assert!(check(bad, 64, &mut Faults::default()).is_err(), "{bad}");
        }
    }
}
