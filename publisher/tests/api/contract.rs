//! Is every answer that a test gets as `/openapi.json` says that it is?
//!
//! A generated client refuses what its document does not know: a null where a text was promised, a member that is missing, a status that
//! is not named. So each answer that any test of this folder gets is compared, and no test has to ask for it.

use http::{Method, StatusCode};
use jsonschema::Validator;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The document, and what was already made of it.
pub(crate) struct Contract {
    document: Value,
    validators: Mutex<HashMap<String, Validator>>,
}

impl Contract {
    pub(crate) fn new(document: Value) -> Self {
        Self { document, validators: Mutex::default() }
    }

    /// Fails unless the answer is one of those that its operation has. `answer` is none where it is no JSON that can be read here.
    pub(crate) fn check(
        &self,
        (method, path): (&Method, &str),
        status: StatusCode,
        media: &str,
        answer: Option<&Value>,
    ) {
        let asked = percent_decode_str(path.split('?').next().unwrap_or_default()).decode_utf8_lossy();
        let Some((template, operation)) = self.operation(method, &asked) else { return };
        // `POST /v1/events` takes every form, and the document gives each form a path of its own with one answer.
        if template == "/v1/events" && *method == Method::POST && answer.is_some_and(Value::is_array) {
            return;
        }
        // A rule may have the name of the path where rules are tried; it is read there when nothing is asked about anybody.
        if template == "/v1/channel-rules/test" && !path.contains("user=") {
            return;
        }
        let name = format!("{method} {template} {}", status.as_u16());
        let response = &operation["responses"][status.as_str()];
        assert!(response.is_object(), "{name} is in no document: {answer:?}");
        let schema = &response["content"][media]["schema"];
        let Some(answer) = answer.filter(|_| media.ends_with("json")) else { return };
        assert!(schema.is_object(), "{name} has no {media}");
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry(format!("{name} {media}")).or_insert_with(|| self.validator(schema));
        let mut faults: Vec<String> = validator
            .iter_errors(answer)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        self.unnamed(schema, answer, &mut faults);
        assert!(faults.is_empty(), "{name} answers otherwise than /openapi.json says: {faults:#?}\n{answer}");
    }

    /// Members that the document does not name.
    fn unnamed(&self, schema: &Value, answer: &Value, faults: &mut Vec<String>) {
        let mut shapes = Vec::new();
        self.shapes(schema, &mut shapes);
        match answer {
            Value::Array(elements) => {
                let items = shapes.iter().find_map(|shape| shape.get("items"));
                elements
                    .iter()
                    .for_each(|element| self.unnamed(items.unwrap_or(&Value::Null), element, faults));
            }
            Value::Object(members) => {
                let is_open =
                    |shape: &&Value| shape.get("additionalProperties").is_some_and(|other| *other != false);
                if shapes.iter().any(is_open) || shapes.iter().all(|shape| shape.get("properties").is_none())
                {
                    return;
                }
                for (name, member) in members {
                    match shapes.iter().find_map(|shape| shape["properties"].get(name)) {
                        Some(schema) => self.unnamed(schema, member, faults),
                        None => faults.push(format!("{name} is not named")),
                    }
                }
            }
            _ => {}
        }
    }

    /// The shapes that a schema is put together from.
    fn shapes<'a>(&'a self, schema: &'a Value, found: &mut Vec<&'a Value>) {
        if let Some(named) = schema["$ref"].as_str() {
            self.shapes(self.document.pointer(named.trim_start_matches('#')).unwrap(), found);
        }
        for together in ["allOf", "oneOf", "anyOf"] {
            schema[together].as_array().into_iter().flatten().for_each(|part| self.shapes(part, found));
        }
        found.push(schema);
    }

    fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({"allOf": [schema], "components": self.document["components"]});
        jsonschema::draft202012::new(&whole).unwrap()
    }

    /// The operation of a path: a path that is written out goes before one with parameters.
    fn operation(&self, method: &Method, path: &str) -> Option<(&str, &Value)> {
        let method = method.as_str().to_lowercase();
        let fits = |template: &str| {
            let (mut wanted, mut found) = (template.split('/'), path.split('/'));
            loop {
                match (wanted.next(), found.next()) {
                    (None, None) => return true,
                    (Some(wanted), Some(found)) if wanted == found => {}
                    (Some(wanted), Some(found)) if wanted.starts_with('{') && !found.is_empty() => {}
                    _ => return false,
                }
            }
        };
        let paths = self.document["paths"].as_object()?.iter();
        let (template, operations) = paths
            .filter(|(template, _)| fits(template))
            .min_by_key(|(template, _)| template.matches('{').count())?;
        operations.get(&method).map(|operation| (template.as_str(), operation))
    }
}
