//! What may a tenant's JSON Schema say?
//!
//! The draft is 2020-12, and only keywords that are checked are taken: a misspelt one would check nothing in silence. References go
//! to the schema's own `$defs` and never round in a circle, so that how much work a schema makes is known when it is saved.

use crate::event::fault::{element, member};
use crate::event::{Fault, FaultCode, Faults};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The draft that schemas are of; `$schema` may name it.
pub(super) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Largest schema, in bytes of JSON.
pub const SCHEMA_BYTES: usize = 32 * 1024;
/// Most schemas that a schema consists of, each counted as often as it is referred to.
const PARTS: usize = 1_000;
/// Deepest nesting, references included.
const DEPTH: usize = 32;
/// Deepest nesting of `anyOf`, `oneOf`, `not` and `if`: what is tried may be tried twice, to say what is wrong.
const CHOICES: usize = 6;
/// Most regular expressions of a schema, each counted as often as it is referred to: each takes memory for as long as the schema is used.
const PATTERNS: usize = 20;
/// Longest regular expression, in bytes.
const PATTERN_BYTES: usize = 512;

/// Keywords whose value is no schema and is checked by the library.
const PLAIN: [&str; 20] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "pattern",
];
/// Keywords that say something to readers.
const NOTES: [&str; 8] =
    ["title", "description", "$comment", "default", "deprecated", "readOnly", "writeOnly", "examples"];
const ONE: [&str; 8] =
    ["not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
const CHOOSING: [&str; 6] = ["anyOf", "oneOf", "not", "if", "then", "else"];
/// Formats that are asserted.
pub(super) const FORMATS: [&str; 16] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];
const REFERENCE: &str = "#/$defs/";

/// How much a schema is, with all that it refers to.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    parts: usize,
    depth: usize,
    choices: usize,
    patterns: usize,
}

/// Adds what is wrong with a schema that stands at `at`; nothing: the library may be asked to read it.
pub(super) fn check(schema: &Value, at: &str, faults: &mut Faults) {
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES {
        let detail = format!("has {bytes} bytes of JSON; at most {SCHEMA_BYTES} are allowed");
        faults.add(Fault::at(at, FaultCode::TooLarge, detail));
        return;
    }
    let defs = schema.get("$defs").and_then(Value::as_object);
    let mut walk = Walk { defs, at, known: HashMap::new(), faults };
    walk.definitions();
    let size = walk.schema(schema, at, true);
    let bounds = [
        (size.parts, PARTS, "schemas, each counted as often as it is referred to"),
        (size.depth, DEPTH, "levels"),
        (size.choices, CHOICES, "levels of anyOf, oneOf, not and if within each other"),
        (size.patterns, PATTERNS, "regular expressions"),
    ];
    for (found, most, what) in bounds {
        if found > most {
            faults.add(Fault::at(at, FaultCode::TooLarge, format!("has more than {most} {what}")));
        }
    }
}

struct Walk<'a, 'f> {
    defs: Option<&'a Map<String, Value>>,
    at: &'a str,
    /// Sizes of definitions; none: it is being measured.
    known: HashMap<&'a str, Option<Size>>,
    faults: &'f mut Faults,
}

impl<'a> Walk<'a, '_> {
    fn definitions(&mut self) {
        for name in self.defs.into_iter().flat_map(Map::keys) {
            self.definition(name);
        }
    }

    /// The size of a definition; none where it refers to itself.
    fn definition(&mut self, name: &'a str) -> Option<Size> {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let schema = self.defs.and_then(|defs| defs.get(name))?;
        self.known.insert(name, None);
        let at = member(&member(self.at, "$defs"), name);
        let size = self.schema(schema, &at, false);
        self.known.insert(name, Some(size));
        Some(size)
    }

    fn schema(&mut self, schema: &'a Value, at: &str, is_root: bool) -> Size {
        let mut size = Size { parts: 1, depth: 1, ..Size::default() };
        let pattern = Size { patterns: 1, ..Size::default() };
        let keywords = match schema {
            Value::Bool(_) => return size,
            Value::Object(keywords) => keywords,
            _ => {
                self.faults.add(Fault::at(
                    at,
                    FaultCode::WrongType,
                    "must be an object or a boolean: a schema",
                ));
                return size;
            }
        };
        // A hostile one is counted no further; what it has is bounded by its bytes.
        for (keyword, value) in keywords {
            let here = member(at, keyword);
            let choice = usize::from(CHOOSING.contains(&keyword.as_str()));
            let mut add = |part: Size| {
                size.parts = size.parts.saturating_add(part.parts).min(PARTS + 1);
                size.depth = size.depth.max(part.depth.saturating_add(1)).min(DEPTH + 1);
                size.choices = size.choices.max(part.choices.saturating_add(choice)).min(CHOICES + 1);
                size.patterns = size.patterns.saturating_add(part.patterns).min(PATTERNS + 1);
            };
            match (keyword.as_str(), value) {
                ("$ref", Value::String(target)) => add(self.reference(target, &here)),
                (name, value) if ONE.contains(&name) => add(self.schema(value, &here, false)),
                (name, Value::Array(parts)) if LIST.contains(&name) => {
                    for (index, part) in parts.iter().enumerate() {
                        add(self.schema(part, &element(&here, index), false));
                    }
                }
                (name, Value::Object(parts)) if NAMED.contains(&name) => {
                    for (property, part) in parts {
                        if name == "patternProperties" {
                            self.pattern(property, &member(&here, property));
                            add(pattern);
                        }
                        add(self.schema(part, &member(&here, property), false));
                    }
                }
                ("format", Value::String(format)) => self.format(format, &here),
                ("pattern", Value::String(text)) => {
                    self.pattern(text, &here);
                    add(pattern);
                }
                // The library says what is wrong with the value.
                (name, _) if LIST.contains(&name) || NAMED.contains(&name) => {}
                (name, _) if PLAIN.contains(&name) || NOTES.contains(&name) => {}
                ("$ref" | "format", _) => {
                    self.faults.add(Fault::at(here, FaultCode::WrongType, "must be a string"));
                }
                ("$schema", value) if is_root => {
                    if value.as_str().is_none_or(|named| named.trim_end_matches('#') != DRAFT) {
                        let detail = format!("must be {DRAFT}, or left out");
                        self.faults.add(Fault::at(here, FaultCode::Invalid, detail));
                    }
                }
                ("$id", Value::String(_)) if is_root => {}
                ("$defs", Value::Object(_)) if is_root => {}
                ("$defs" | "$id" | "$schema", _) => {
                    let detail =
                        "stands only at the root of a schema, $id as a string and $defs as an object";
                    self.faults.add(Fault::at(here, FaultCode::Invalid, detail));
                }
                (_, _) => {
                    let detail = "is no keyword that is checked here; docs/PROTOCOL.md lists them";
                    self.faults.add(Fault::at(here, FaultCode::UnknownField, detail));
                }
            }
        }
        size
    }

    fn reference(&mut self, target: &str, at: &str) -> Size {
        let one = Size { parts: 1, depth: 1, ..Size::default() };
        let named = target.strip_prefix(REFERENCE).filter(|name| !name.contains(['/', '~', '%']));
        let found = named.and_then(|name| self.defs.and_then(|defs| defs.get_key_value(name)));
        let Some((name, _)) = found else {
            let detail = "must be #/$defs/ and the name of one of this schema's $defs, without / ~ or %; nothing is fetched";
            self.faults.add(Fault::at(at, FaultCode::Invalid, detail));
            return one;
        };
        match self.definition(name) {
            Some(size) => size,
            None => {
                let detail = "leads back to itself: references in a circle are not taken";
                self.faults.add(Fault::at(at, FaultCode::Invalid, detail));
                one
            }
        }
    }

    fn format(&mut self, format: &str, at: &str) {
        if !FORMATS.contains(&format) {
            let detail = format!("is no format that is checked here; known are {}", FORMATS.join(", "));
            self.faults.add(Fault::at(at, FaultCode::Invalid, detail));
        }
    }

    fn pattern(&mut self, pattern: &str, at: &str) {
        if pattern.len() > PATTERN_BYTES {
            let detail = format!("must be at most {PATTERN_BYTES} bytes");
            self.faults.add(Fault::at(at, FaultCode::TooLong, detail));
        }
    }
}
