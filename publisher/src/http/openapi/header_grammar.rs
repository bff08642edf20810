//! Which texts does a header of binary mode take, as a pattern?
//!
//! Here, too, whatever a pattern matches is taken ([`super::grammar`]). A value is visible ASCII without `"` and `%`, and
//! percent-encoded UTF-8 with upper-case digits, as encoders write it. A client may quote and encode more than that.

use super::grammar::{ascii_channel, connection, tenant, time};
use carillon_protocol::event::Priority;
use carillon_protocol::limits;
use serde_json::{Value, json};

/// The keywords of the header of this name.
pub(super) fn of(name: &str) -> Option<Value> {
    let pattern = |pattern: String| json!({"type": "string", "pattern": pattern});
    let keywords = match name.strip_prefix("ce-")? {
        "specversion" => json!({"enum": ["1.0"]}),
        "id" => pattern(text(limits::EVENT_ID_BYTES)),
        "source" | "subject" | "dataschema" => pattern(text(limits::ATTRIBUTE_BYTES)),
        "type" => pattern(format!("^{PLAIN}{{1,{}}}$", limits::ATTRIBUTE_BYTES)),
        // Without a format: openapi-python-client leaves an operation out that has a date among its headers.
        "time" => pattern(time()),
        "tenant" => pattern(tenant()),
        "actor" => pattern(text(limits::USER_BYTES)),
        "latestkey" => pattern(text(limits::LATEST_KEY_BYTES)),
        "channels" => pattern(list(&channel(IN_COMMAS), &channel(IN_JSON))),
        "users" | "roles" => pattern(list(&user(FIRST_IN_COMMAS, IN_COMMAS), &user(IN_JSON, IN_JSON))),
        "except" => pattern(connection()),
        "tenantwide" => json!({"enum": ["true", "false"]}),
        "priority" => json!({"enum": Priority::ALL.map(Priority::as_str)}),
        _ => return None,
    };
    Some(keywords)
}

/// A character that stands for itself.
const PLAIN: &str = "[!#$&-~]";
/// The same where commas part names.
const IN_COMMAS: &str = r"[!#$&-+.-~-]";
/// The same where a name begins: `[` would begin the JSON of an array.
const FIRST_IN_COMMAS: &str = r"[!#$&-+.-Z\\\]^-~-]";
/// The same within a text of JSON.
const IN_JSON: &str = r"[ !#$&-\[\]-~]";

const NEXT: &str = "%[89AB][0-9A-F]";

/// An encoded character of two to four bytes that is neither white space nor a control character.
fn encoded() -> String {
    format!("%(?:C[3-9A-F]|D[0-9A-F]){NEXT}|%E[4-9A-CEF](?:{NEXT}){{2}}|%F0%[9AB][0-9A-F](?:{NEXT}){{2}}")
}

/// The same, or white space.
fn encoded_text() -> String {
    format!("%20|%C2%[AB][0-9A-F]|%E[123](?:{NEXT}){{2}}|{}", encoded())
}

fn text(bytes: usize) -> String {
    format!("^(?:{PLAIN}{{1,{bytes}}}|(?:{PLAIN}|{}){{1,{}}})$", encoded_text(), bytes / 4)
}

fn user(first: &str, next: &str) -> String {
    let (bytes, characters) = (limits::USER_BYTES - 1, limits::USER_BYTES / 4 - 1);
    let (begin, go_on) = (encoded(), encoded_text());
    format!("{first}{next}{{0,{bytes}}}|(?:{first}|{begin})(?:{next}|{go_on}){{0,{characters}}}")
}

fn channel(next: &str) -> String {
    format!("{}|(?:user|role):(?:{})", ascii_channel(), user(next, next))
}

/// Names with commas between them, or the JSON of an array; none at all is none.
fn list(name: &str, in_json: &str) -> String {
    format!(r#"^(?:(?:{name})(?:, ?(?:{name}))*|\["(?:{in_json})"(?:, ?"(?:{in_json})")*\])?$"#)
}

#[cfg(test)]
mod tests {
    use super::super::grammar::tests::matching;
    use super::*;
    use crate::event::binary::Attributes;
    use crate::event::request::read_binary;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    const NAMES: [&str; 15] = [
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-time",
        "ce-subject",
        "ce-dataschema",
        "ce-tenant",
        "ce-actor",
        "ce-priority",
        "ce-except",
        "ce-channels",
        "ce-users",
        "ce-roles",
        "ce-latestkey",
    ];

    /// What validation finds fault with.
    fn refused<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let header = |(name, value): (&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = headers.into_iter().map(header).collect();
        match Attributes::of(&headers) {
            Err(faults) => faults.into_iter().map(|fault| format!("{fault:?}")).collect(),
            Ok(attributes) => {
                read_binary(b"", &attributes).err().into_iter().map(|fault| format!("{fault:?}")).collect()
            }
        }
    }

    fn one(name: &str) -> BoxedStrategy<String> {
        let keywords = of(name).unwrap();
        match keywords["pattern"].as_str() {
            Some(_) if name == "ce-time" => Just("2026-03-01T09:30:00Z".to_owned()).boxed(),
            Some(pattern) => matching(pattern).boxed(),
            None => {
                let values = keywords["enum"].as_array().unwrap().clone();
                let values: Vec<String> = values.iter().map(|value| value.as_str().unwrap().into()).collect();
                proptest::sample::select(values).boxed()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_the_headers_patterns_match_is_taken(values in NAMES.map(one).to_vec()) {
            let headers = NAMES.iter().copied().zip(values.iter().map(String::as_str));
            let wide = ("ce-tenantwide", "true");
            prop_assert_eq!(refused(headers.chain([wide])), Vec::<String>::new());
        }
    }

    #[test]
    fn what_encoders_write_matches() {
        let matches = |name: &str, text: &str| {
            let keywords = of(name).unwrap();
            regex::Regex::new(keywords["pattern"].as_str().unwrap()).unwrap().is_match(text)
        };
        for (name, value) in [
            ("ce-subject", "Kova%C4%8D%20%F0%9F%98%80"),
            ("ce-type", "order.paid"),
            ("ce-channels", "order:17, contact:1,user:42"),
            ("ce-channels", r#"["order:17", "user:Smith, John"]"#),
            ("ce-users", "42"),
            ("ce-users", ""),
            ("ce-users", r#"["Smith, John","Kova%C4%8D"]"#),
        ] {
            assert!(matches(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("ce-subject", "50%"),
            ("ce-type", "a b"),
            ("ce-channels", "user:"),
            ("ce-channels", "[order:17]"),
            ("ce-users", r#"["42""#),
            ("ce-users", "[42"),
        ] {
            assert!(!matches(name, value), "{name}: {value}");
        }
    }
}
