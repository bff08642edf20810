//! What does this field of the request say, and if it says nothing useful, what is wrong with it?
//!
//! Fields are taken out one by one; what is left at the end was not expected.

use super::fault::{Fault, FaultCode, Faults, element, member};
use super::rfc3339::{self, Moment};
use super::strict::Name;
use carillon_protocol::event::Priority;
use carillon_protocol::ident::{InvalidName, plain_text};
use carillon_protocol::json::{self, JsonFault};
use carillon_protocol::limits;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of one JSON object, in order, each value as the publisher's own bytes.
pub(super) struct Fields<'a> {
    at: &'a str,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// The members of `object`, which `at` points to; anything but an object is a fault.
    pub(super) fn of(object: &'a RawValue, at: &'a str, faults: &mut Faults) -> Option<Self> {
        if !object.get().starts_with('{') {
            faults.add(Fault::at(at, FaultCode::WrongType, "must be an object: an event"));
            return None;
        }
        match serde_json::from_str::<Members<'a>>(object.get()) {
            Ok(Members(members)) => Some(Self { at, members }),
            Err(error) => {
                // The body passed the strict reading, so this cannot happen; if it does it is a fault, not a panic.
                faults.add(Fault::at(at, FaultCode::WrongType, error.to_string()));
                None
            }
        }
    }

    /// A pointer to the member `name`.
    pub(super) fn pointer(&self, name: &str) -> String {
        member(self.at, name)
    }

    /// A pointer to the object itself.
    pub(super) fn here(&self) -> &'a str {
        self.at
    }

    /// Takes a member out; `null` counts as not given.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.members.iter().position(|(have, _)| have == name)?;
        let (_, value) = self.members.remove(index);
        (value.get() != "null").then_some(value)
    }

    /// Whether a member is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(have, value)| have == name && value.get() != "null")
    }

    /// Whether a member is there and null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.members.iter().any(|(have, value)| have == name && value.get() == "null")
    }

    /// What was not taken.
    pub(super) fn rest(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        self.members
    }

    /// Reads a member that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        faults: &mut Faults,
        read: impl FnOnce(&mut Self, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            faults.add(Fault::at(self.pointer(name), FaultCode::Required, "is required"));
        }
        read(self, faults)
    }

    /// Whether a member is a JSON string.
    pub(super) fn is_string(&self, name: &str) -> bool {
        self.members.iter().any(|(have, value)| have == name && value.get().starts_with('"'))
    }

    /// A text that a name's grammar takes.
    pub(super) fn named<T>(
        &mut self,
        name: &str,
        new: impl Fn(&str) -> Result<T, InvalidName>,
        faults: &mut Faults,
    ) -> Option<T> {
        let value = self.take(name)?;
        read_name(value, &self.pointer(name), new, faults)
    }

    /// A text of 1 to [`limits::ATTRIBUTE_BYTES`] bytes without control characters, and without white space when
    /// `one_word`.
    pub(super) fn attribute(&mut self, name: &str, one_word: bool, faults: &mut Faults) -> Option<String> {
        let value = self.take(name)?;
        let pointer = self.pointer(name);
        let text = read_text(value, &pointer, faults)?;
        if text.len() > limits::ATTRIBUTE_BYTES {
            let detail = format!("must be at most {} bytes of UTF-8", limits::ATTRIBUTE_BYTES);
            faults.add(Fault::at(pointer, FaultCode::TooLong, detail));
            return None;
        }
        let valid =
            plain_text(&text, limits::ATTRIBUTE_BYTES) && !(one_word && text.contains(char::is_whitespace));
        if !valid {
            let what = if one_word { "white space or control characters" } else { "control characters" };
            let detail = format!("must be 1-{} bytes of UTF-8 without {what}", limits::ATTRIBUTE_BYTES);
            faults.add(Fault::at(pointer, FaultCode::Invalid, detail));
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str, faults: &mut Faults) -> Option<bool> {
        let value = self.take(name)?;
        match value.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                faults.add(Fault::at(self.pointer(name), FaultCode::WrongType, "must be true or false"));
                None
            }
        }
    }

    /// A moment.
    pub(super) fn time(&mut self, name: &str, faults: &mut Faults) -> Option<Moment> {
        let value = self.take(name)?;
        let pointer = self.pointer(name);
        let text = read_text(value, &pointer, faults)?;
        let moment = rfc3339::parse(&text);
        if moment.is_none() {
            faults.add(Fault::at(pointer, FaultCode::Invalid, format!("must be {}", rfc3339::ALLOWED)));
        }
        moment
    }

    /// An array of names. At most `most` elements are looked at; more are one fault.
    pub(super) fn names<T>(
        &mut self,
        name: &str,
        most: usize,
        new: impl Fn(&str) -> Result<T, InvalidName>,
        faults: &mut Faults,
    ) -> Vec<T> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let pointer = self.pointer(name);
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            faults.add(Fault::at(pointer, FaultCode::WrongType, "must be an array of strings"));
            return Vec::new();
        };
        if elements.len() > most {
            faults.add(Fault::at(pointer, FaultCode::TooMany, format!("must have at most {most} elements")));
            return Vec::new();
        }
        let read =
            |(index, value): (usize, &&RawValue)| read_name(value, &element(&pointer, index), &new, faults);
        elements.iter().enumerate().filter_map(read).collect()
    }
}

/// A JSON string's text, or the fault that it is something else.
pub(super) fn read_text(value: &RawValue, pointer: &str, faults: &mut Faults) -> Option<String> {
    let text = serde_json::from_str::<String>(value.get()).ok();
    if text.is_none() {
        faults.add(Fault::at(pointer, FaultCode::WrongType, "must be a string"));
    }
    text
}

/// A JSON string that a name's grammar takes, or the fault.
fn read_name<T>(
    value: &RawValue,
    pointer: &str,
    new: impl Fn(&str) -> Result<T, InvalidName>,
    faults: &mut Faults,
) -> Option<T> {
    let text = read_text(value, pointer, faults)?;
    match new(&text) {
        Ok(name) => Some(name),
        Err(fault) => {
            faults.add(Fault::at(pointer, FaultCode::Invalid, format!("must be {}", fault.allowed)));
            None
        }
    }
}

/// The grammar of `priority`.
pub(super) fn read_priority(text: &str) -> Result<Priority, InvalidName> {
    let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    known.ok_or(InvalidName { what: "priority", allowed: "one of low, normal, high, urgent and critical" })
}

/// The value without white space, when it is fit for the log.
pub(super) fn compact(value: &RawValue, pointer: &str, faults: &mut Faults) -> Option<String> {
    match json::compact(value.get()) {
        Ok(json) => Some(json),
        Err(fault) => {
            let code = match fault {
                JsonFault::TooDeep => FaultCode::TooDeep,
                JsonFault::LoneSurrogate => FaultCode::Invalid,
            };
            faults.add(Fault::at(pointer, code, fault.to_string()));
            None
        }
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object).map(Self)
    }
}
