//! What do the members of a JSON document say that an administrator or a person sends, and what is wrong with them?
//!
//! Members are taken out one by one; what is left at the end was not expected. Null counts as not given.

use crate::event::fault::member;
use crate::event::{Fault, FaultCode, Faults};
use serde_json::{Map, Value};

/// The members of one object.
pub(crate) struct Members {
    at: String,
    fields: Map<String, Value>,
}

impl Members {
    /// The members of `value`, which `at` points to; anything but an object is a fault.
    pub(crate) fn of(value: Value, at: impl Into<String>, what: &str, faults: &mut Faults) -> Option<Self> {
        let at = at.into();
        match value {
            Value::Object(fields) => Some(Self { at, fields }),
            _ => {
                faults.add(Fault::at(at, FaultCode::WrongType, format!("must be an object: {what}")));
                None
            }
        }
    }

    /// A pointer to the member `name`.
    pub(crate) fn pointer(&self, name: &str) -> String {
        member(&self.at, name)
    }

    /// Takes a member out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str, faults: &mut Faults) -> Option<bool> {
        let value = self.take(name)?;
        if value.is_boolean() {
            return value.as_bool();
        }
        faults.add(Fault::at(self.pointer(name), FaultCode::WrongType, "must be true or false"));
        None
    }

    /// A text of at most so many bytes.
    pub(crate) fn text(&mut self, name: &str, most: usize, faults: &mut Faults) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.len() <= most => Some(text),
            Value::String(_) => {
                let detail = format!("must be at most {most} bytes of UTF-8");
                faults.add(Fault::at(self.pointer(name), FaultCode::TooLong, detail));
                None
            }
            _ => {
                faults.add(Fault::at(self.pointer(name), FaultCode::WrongType, "must be a string"));
                None
            }
        }
    }

    /// The members of an object.
    pub(crate) fn object(&mut self, name: &str, what: &str, faults: &mut Faults) -> Option<Self> {
        let value = self.take(name)?;
        Self::of(value, self.pointer(name), what, faults)
    }

    /// All members by name, each with a pointer to it, where the names are the sender's own.
    pub(crate) fn named(self) -> impl Iterator<Item = (String, String, Value)> {
        let at = self.at;
        self.fields.into_iter().map(move |(name, value)| (member(&at, &name), name, value))
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// What is left is not known.
    pub(crate) fn end(self, known: &str, faults: &mut Faults) {
        for name in self.fields.keys() {
            let short: String = name.chars().take(64).collect();
            let detail = format!("is not known here; known are {known}");
            faults.add(Fault::at(member(&self.at, &short), FaultCode::UnknownField, detail));
        }
    }
}
