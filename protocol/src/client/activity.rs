//! What does somebody say that they did?

use crate::json::compact;
use crate::limits::{ACTIVITY_BYTES, ACTIVITY_NAME_BYTES};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An `activity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// What: 1–64 of `[A-Za-z0-9_.:/-]`.
    pub name: Box<str>,
    /// More about it: a compact JSON object.
    pub data: Box<str>,
}

#[derive(Deserialize, Default)]
struct Fields<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Reads an `activity`. In frames of older systems both fields stand in `data`.
pub(super) fn read(text: &str) -> Result<Activity, String> {
    let fields = |text| serde_json::from_str::<Fields<'_>>(text).map_err(|error| error.to_string());
    let mut said = fields(text)?;
    if said.name.is_none()
        && let Some(inner) = super::object(said.data)
    {
        said = fields(inner)?;
    }
    let name = said.name.ok_or("name is missing")?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:/-".contains(&b);
    if !(1..=ACTIVITY_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_plain) {
        return Err(format!("name must be 1-{ACTIVITY_NAME_BYTES} of A-Z, a-z, 0-9 and _.:/-"));
    }
    let data = match said.data.map(RawValue::get).filter(|raw| *raw != "null") {
        None => "{}".to_owned(),
        Some(raw) if raw.starts_with('{') => compact(raw).map_err(|fault| format!("data: {fault}"))?,
        Some(_) => return Err("data must be an object".into()),
    };
    if data.len() > ACTIVITY_BYTES {
        return Err(format!("data must be at most {ACTIVITY_BYTES} bytes of JSON, and has {}", data.len()));
    }
    if data.contains("\\u0000") {
        return Err("data must not contain \\u0000".into());
    }
    Ok(Activity { name: name.into(), data: data.into() })
}

#[cfg(test)]
mod tests {
    use super::super::{Request, parse};

    #[test]
    fn an_activity_in_every_form() {
        for (text, name, data) in [
            (
                r#"{"type":"activity","name":"page.opened","data":{ "path" : "/a" }}"#,
                "page.opened",
                r#"{"path":"/a"}"#,
            ),
            (r#"{"type":"ACTIVITY","data":{"name":"click","data":{"x":1}}}"#, "click", r#"{"x":1}"#),
            (r#"{"type":"activity","name":"click"}"#, "click", "{}"),
            (r#"{"type":"activity","name":"a:b/c-d_e","data":null}"#, "a:b/c-d_e", "{}"),
            (r#"{"type":"activity","name":"x","data":{"name":"y"}}"#, "x", r#"{"name":"y"}"#),
        ] {
            let Request::Activity(activity) = parse(text).unwrap().request else { panic!("{text}") };
            assert_eq!((&*activity.name, &*activity.data), (name, data), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!(r#"{{"type":"activity","id":1,"name":"{}"}}"#, "n".repeat(65));
        let large =
            format!(r#"{{"type":"activity","id":1,"name":"n","data":{{"a":"{}"}}}}"#, "x".repeat(4_096));
        for (bad, word) in [
            (r#"{"type":"activity","id":1}"#, "name is missing"),
            (r#"{"type":"activity","id":1,"name":""}"#, "1-64"),
            (r#"{"type":"activity","id":1,"name":"a b"}"#, "1-64"),
            (r#"{"type":"activity","id":1,"name":7}"#, "string"),
            (r#"{"type":"activity","id":1,"name":"a","data":[1]}"#, "object"),
            (&long, "1-64"),
            (&large, "4096"),
        ] {
            let fault = parse(bad).unwrap_err();
            assert_eq!((fault.code, fault.id.as_deref()), ("invalid_frame", Some("1")), "{bad}");
            assert!(fault.message.contains(word), "{bad}: {}", fault.message);
        }
    }
}
