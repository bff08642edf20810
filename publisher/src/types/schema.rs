//! Which data breaks a type's schema, and where?

use super::schema_check;
use crate::event::fault::{LISTED_FAULTS, member};
use crate::event::{Fault, FaultCode, Faults};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// Most memory that one regular expression may take, in bytes.
const REGEX_BYTES: usize = 64 * 1024;
/// Longest text about one fault.
const DETAIL_CHARS: usize = 200;

/// A schema that was read, ready to check data.
#[derive(Debug)]
pub(super) struct Schema(Validator);

impl Schema {
    /// Reads a schema that stands at `at`, or says everything that is wrong with it.
    pub(super) fn read(schema: &Value, at: &str, faults: &mut Faults) -> Option<Self> {
        let before = faults.len();
        schema_check::check(schema, at, faults);
        if faults.len() > before {
            return None;
        }
        // What names the schema changes nothing about it, and nothing is looked up by it.
        let mut schema = schema.clone();
        if let Value::Object(keywords) = &mut schema {
            keywords.remove("$id");
            keywords.remove("$schema");
        }
        let patterns = PatternOptions::regex().size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .with_pattern_options(patterns)
            .offline();
        match options.build(&schema) {
            Ok(validator) => Some(Self(validator)),
            Err(error) => {
                let pointer = format!("{at}{}", error.instance_path().as_str());
                faults.add(Fault::at(pointer, FaultCode::Invalid, short(&error.to_string())));
                None
            }
        }
    }

    /// Adds what of the data breaks the schema; `at` points to the data.
    pub(super) fn check(&self, data: &Value, at: &str, faults: &mut Faults) {
        if self.0.is_valid(data) {
            return;
        }
        for error in self.0.iter_errors(data).take(LISTED_FAULTS) {
            let place = format!("{at}{}", error.instance_path().as_str());
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    let detail = "is required by the schema of the event's type";
                    faults.add(Fault::at(member(&place, name), FaultCode::Schema, detail));
                }
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    for name in unexpected.iter().take(LISTED_FAULTS) {
                        let detail = "is not known to the schema of the event's type";
                        faults.add(Fault::at(member(&place, name), FaultCode::Schema, detail));
                    }
                }
                _ => {
                    // What was sent is not repeated.
                    let detail = short(&error.masked_with("it").to_string());
                    faults.add(Fault::at(place, FaultCode::Schema, detail));
                }
            }
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema_check::FORMATS;
    use super::*;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn faults_of(schema: &Value) -> Vec<(String, FaultCode)> {
        let mut faults = Faults::default();
        let read = Schema::read(schema, "/schema", &mut faults).is_some();
        assert_eq!(read, faults.is_empty());
        listed(faults)
    }

    #[test]
    fn a_schema_has_a_bounded_number_of_regular_expressions() {
        let schema = |count: usize| {
            let properties = (0..count - 1).map(|n| (format!("p{n}"), json!({"pattern": "^[a-z]+$"})));
            json!({"properties": properties.collect::<serde_json::Map<_, _>>(), "patternProperties": {"^x": {}}})
        };
        assert_eq!(faults_of(&schema(20)), []);
        assert_eq!(faults_of(&schema(21)), [("/schema".to_owned(), FaultCode::TooLarge)]);
    }

    fn listed(faults: Faults) -> Vec<(String, FaultCode)> {
        let place = |fault: Fault| match fault.place {
            crate::event::Place::Pointer(pointer) => (pointer, fault.code),
            other => panic!("{other:?}"),
        };
        faults.into_vec().into_iter().map(place).collect()
    }

    fn breaks(schema: Value, data: Value) -> Vec<String> {
        let mut faults = Faults::default();
        let schema = Schema::read(&schema, "/schema", &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        schema.unwrap().check(&data, "/data", &mut faults);
        listed(faults)
            .into_iter()
            .map(|(pointer, code)| {
                assert_eq!(code, FaultCode::Schema);
                pointer
            })
            .collect()
    }

    #[test]
    fn a_publisher_is_told_each_place_that_breaks_the_schema() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/order",
            "type": "object",
            "properties": {
                "total": {"type": "number", "minimum": 0},
                "email": {"type": "string", "format": "email"},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            },
            "required": ["total", "a/b"],
            "additionalProperties": false,
            "$defs": {"line": {"type": "object", "properties": {"sku": {"pattern": "^[A-Z]{3}$"}}, "required": ["sku"]}},
        });
        assert!(breaks(schema.clone(), json!({"total": 1, "lines": []})).contains(&"/data/a~1b".to_owned()));
        let data = json!({"total": -1, "email": "x", "lines": [{"sku": "ABC"}, {"sku": "abc"}, {}], "x": 1});
        let mut found = breaks(schema, data);
        found.sort();
        let expected =
            ["/data/a~1b", "/data/email", "/data/lines/1/sku", "/data/lines/2/sku", "/data/total", "/data/x"];
        assert_eq!(found, expected);
    }

    #[test]
    fn formats_are_asserted_each_of_them() {
        let wrong = |format: &str| match format {
            "json-pointer" | "relative-json-pointer" => "a~",
            "uri-template" => "{",
            "regex" => "(",
            "uri-reference" => "\\",
            _ => "no such thing, 1 2",
        };
        for format in FORMATS {
            assert_eq!(breaks(json!({"format": format}), json!(wrong(format))), ["/data"], "{format}");
        }
        assert_eq!(
            faults_of(&json!({"format": "iso-date"})),
            [("/schema/format".into(), FaultCode::Invalid)]
        );
    }

    #[test]
    fn what_would_not_be_checked_or_would_be_fetched_is_refused_with_its_place() {
        let cases = [
            (json!({"requierd": ["a"]}), "/schema/requierd", FaultCode::UnknownField),
            (
                json!({"properties": {"a/b": {"typ": "x"}}}),
                "/schema/properties/a~1b/typ",
                FaultCode::UnknownField,
            ),
            (
                json!({"unevaluatedProperties": false}),
                "/schema/unevaluatedProperties",
                FaultCode::UnknownField,
            ),
            (json!({"dependencies": {}}), "/schema/dependencies", FaultCode::UnknownField),
            (json!({"$ref": "https://example.com/a"}), "/schema/$ref", FaultCode::Invalid),
            (json!({"$ref": "file:///etc/passwd"}), "/schema/$ref", FaultCode::Invalid),
            (json!({"$ref": "#"}), "/schema/$ref", FaultCode::Invalid),
            (json!({"$ref": "#/properties/a", "properties": {"a": {}}}), "/schema/$ref", FaultCode::Invalid),
            (
                json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
                "/schema/$schema",
                FaultCode::Invalid,
            ),
            (json!({"items": {"$defs": {}}}), "/schema/items/$defs", FaultCode::Invalid),
            (json!({"type": "text"}), "/schema/type", FaultCode::Invalid),
            (json!({"minLength": "1"}), "/schema/minLength", FaultCode::Invalid),
            (json!({"properties": []}), "/schema/properties", FaultCode::Invalid),
            (json!({"pattern": "("}), "/schema/pattern", FaultCode::Invalid),
            (json!({"pattern": "(a)\\1"}), "/schema/pattern", FaultCode::Invalid),
            (json!({"pattern": "(?=a)"}), "/schema/pattern", FaultCode::Invalid),
            (json!({"pattern": "a{1000}{1000}"}), "/schema/pattern", FaultCode::Invalid),
            (json!({"pattern": "a".repeat(600)}), "/schema/pattern", FaultCode::TooLong),
            (json!({"patternProperties": {"(": {}}}), "/schema/patternProperties", FaultCode::Invalid),
            (json!({"not": 1}), "/schema/not", FaultCode::WrongType),
            (json!([]), "/schema", FaultCode::WrongType),
            (json!({"const": "x".repeat(40_000)}), "/schema", FaultCode::TooLarge),
        ];
        for (schema, pointer, code) in cases {
            let found = faults_of(&schema);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0.starts_with(pointer) && found[0].1 == code, "{schema}: {found:?}");
        }
        assert!(faults_of(&json!(true)).is_empty());
    }

    #[test]
    fn a_schema_that_would_make_endless_work_is_refused() {
        let round =
            json!({"$defs": {"a": {"properties": {"x": {"$ref": "#/$defs/b"}}}, "b": {"$ref": "#/$defs/a"}}});
        assert_eq!(faults_of(&round), [("/schema/$defs/b/$ref".into(), FaultCode::Invalid)]);
        // Each definition refers twice to the next one: 2^40.
        let mut defs = serde_json::Map::new();
        for n in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(format!("d{n}"), json!({"allOf": [next, next]}));
        }
        defs.insert("d40".into(), json!({"type": "string"}));
        let begun = Instant::now();
        let found = faults_of(&json!({"$ref": "#/$defs/d0", "$defs": defs}));
        assert!(found.iter().all(|(_, code)| *code == FaultCode::TooLarge) && !found.is_empty(), "{found:?}");
        let mut nested = json!({"type": "string"});
        for _ in 0..8 {
            nested = json!({"anyOf": [nested, {"type": "number"}]});
        }
        assert_eq!(faults_of(&nested), [("/schema".into(), FaultCode::TooLarge)]);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn data_of_the_largest_event_is_checked_in_bounded_time() {
        let rows: Vec<Value> = (0..5_000).map(|n| json!({"k": n})).collect();
        let schema = json!({"type": "array", "uniqueItems": true, "items": {"oneOf": [
            {"required": ["a"]}, {"required": ["b"]}, {"anyOf": [{"required": ["c"]}, {"required": ["k"]}]}]}});
        let begun = Instant::now();
        assert!(breaks(schema, Value::Array(rows)).is_empty());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
