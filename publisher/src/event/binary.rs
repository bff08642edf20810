//! Which CloudEvent does a request in binary mode hold?
//!
//! The attributes are headers (`ce-type`), the body is the data as it is (CloudEvents HTTP binding 1.0.2, section 3.1).
//! Such a request is written as the structured JSON that says the same and then read like any other, so an event in
//! either mode is one event. Nothing of it is read half: a request with any `ce-` header is in binary mode, whatever its
//! content type is, unless that says structured.

use super::fault::{Fault, FaultCode, Faults, Place};
use super::request::Unreadable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::BTreeMap;

const PREFIX: &str = "ce-";
/// What the body and its content type say, and no header may.
const OF_THE_BODY: [&str; 3] = ["data", "data_base64", "datacontenttype"];

/// Whether the attributes of an event are among the headers.
pub fn is_binary(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// The attributes of an event in binary mode.
#[derive(Debug)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Reads them; every fault is told.
    pub fn of(headers: &HeaderMap) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let mut all = BTreeMap::new();
        for name in headers.keys() {
            let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
            let mut fault = |code, detail: &str| {
                faults.add(Fault {
                    place: Place::Header(name.to_string().into()),
                    code,
                    detail: detail.into(),
                });
            };
            let mut values = headers.get_all(name).iter();
            let value = values.next().and_then(text);
            if OF_THE_BODY.contains(&attribute) {
                fault(FaultCode::Conflicting, "the body and its Content-Type say this");
            } else if values.next().is_some() {
                fault(FaultCode::DuplicateKey, "is given more than once");
            } else if let Some(value) = value {
                all.insert(attribute.to_owned(), value);
            } else {
                fault(FaultCode::Invalid, "must be UTF-8, percent-encoded where it is not visible ASCII");
            }
        }
        if let Some(media) = headers.get(header::CONTENT_TYPE) {
            all.insert("datacontenttype".to_owned(), String::from_utf8_lossy(media.as_bytes()).into_owned());
        }
        if faults.is_empty() { Ok(Self(all)) } else { Err(faults.into_vec()) }
    }

    /// The event as structured JSON. A body that its content type calls JSON must be JSON.
    pub fn with_data(&self, body: &[u8]) -> Result<String, Unreadable> {
        let mut json = String::with_capacity(body.len() + 256);
        let mut put = |name: &str, value: &str| {
            json.push(if json.is_empty() { '{' } else { ',' });
            json.push_str(&format!("{}:{value}", quoted(name)));
        };
        for (name, value) in &self.0 {
            put(name, &quoted(value));
        }
        let media = self.0.get("datacontenttype").map_or("", String::as_str).to_ascii_lowercase();
        match Data::of(&media, body)? {
            Data::Nothing => {}
            Data::Json(text) => put("data", text),
            Data::Text(text) => put("data", &quoted(text)),
            Data::Bytes => put("data_base64", &format!("\"{}\"", STANDARD.encode(body))),
        }
        if json.is_empty() {
            json.push('{');
        }
        json.push('}');
        Ok(json)
    }

    /// A fault in the structured form, at the header it came from.
    pub fn place(fault: Fault) -> Fault {
        let name = match &fault.place {
            Place::Pointer(pointer) => pointer.strip_prefix('/').filter(|name| is_attribute(name)),
            _ => None,
        };
        let place = name.map(|name| match name {
            "datacontenttype" => Place::Header("content-type".into()),
            name => Place::Header(format!("{PREFIX}{name}").into()),
        });
        Fault { place: place.unwrap_or(fault.place), ..fault }
    }
}

fn is_attribute(pointer: &str) -> bool {
    !pointer.contains('/') && !["data", "data_base64"].contains(&pointer)
}

/// How a body stands in JSON (CloudEvents JSON format 1.0.2, section 3.1).
enum Data<'a> {
    Nothing,
    Json(&'a str),
    Text(&'a str),
    Bytes,
}

impl<'a> Data<'a> {
    fn of(media: &str, body: &'a [u8]) -> Result<Self, Unreadable> {
        if body.is_empty() {
            return Ok(Self::Nothing);
        }
        let essence = media.split(';').next().unwrap_or_default().trim();
        let (kind, sub) = essence.split_once('/').unwrap_or_default();
        let is =
            |wanted: &str| sub == wanted || sub.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('+'));
        let text = std::str::from_utf8(body);
        if is("json") {
            let text = text.map_err(|_| Unreadable::NotJson("the body is not UTF-8".to_owned()))?;
            return serde_json::from_str::<IgnoredAny>(text)
                .map(|_| Self::Json(text))
                .map_err(|fault| Unreadable::NotJson(format!("the body is not JSON: {fault}")));
        }
        let is_text = (kind == "text" || is("xml")) && is_utf8(media);
        Ok(text.ok().filter(|_| is_text).map_or(Self::Bytes, Self::Text))
    }
}

/// Whether a media type says UTF-8, or nothing else.
pub fn is_utf8(media: &str) -> bool {
    media.split(';').skip(1).all(|parameter| match parameter.trim().split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|ours| charset.trim_matches('"').eq_ignore_ascii_case(ours)),
        _ => true,
    })
}

/// A header's text (section 3.1.3.2): quotes go, then one round of percent-encoding.
fn text(value: &HeaderValue) -> Option<String> {
    let raw = value.as_bytes();
    let unquoted: Cow<'_, [u8]> = match raw {
        [b'"', inner @ .., b'"'] => {
            let mut bytes = inner.iter().copied();
            let plain = std::iter::from_fn(|| {
                bytes.next().map(|b| if b == b'\\' { bytes.next().unwrap_or(b) } else { b })
            });
            Cow::Owned(plain.collect())
        }
        _ => Cow::Borrowed(raw),
    };
    percent_decode(&unquoted).decode_utf8().ok().map(Cow::into_owned)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn structured(pairs: &[(&'static str, &'static str)], body: &[u8]) -> String {
        Attributes::of(&headers(pairs)).unwrap().with_data(body).unwrap()
    }

    #[test]
    fn the_data_stands_as_its_media_type_says() {
        for (media, body, data) in [
            ("application/json", &b" {\"a\" : 1.0} "[..], r#","data": {"a" : 1.0} "#),
            ("Application/Vnd.Order+JSON; charset=utf-8", b"1e400", r#","data":1e400"#),
            ("text/json", b"[]", r#","data":[]"#),
            ("text/plain", b"{\"type\":\"x\"}", r#","data":"{\"type\":\"x\"}""#),
            ("text/plain; charset=latin1", b"caf\xe9", r#","data_base64":"Y2Fm6Q==""#),
            ("application/soap+xml", b"<a/>", r#","data":"<a/>""#),
            ("text/plain", b"\xff", r#","data_base64":"/w==""#),
            ("application/x-protobuf", b"\x01\x02\x03", r#","data_base64":"AQID""#),
            ("application/jsonx", b"{}", r#","data_base64":"e30=""#),
            ("application/json", b"", ""),
        ] {
            let json = structured(&[("ce-id", "1"), ("content-type", media)], body);
            let wanted = format!(r#"{{"datacontenttype":{},"id":"1"{data}}}"#, quoted(media));
            assert_eq!(json, wanted);
        }
        assert_eq!(structured(&[("ce-id", "1")], b"x"), r#"{"id":"1","data_base64":"eA=="}"#);
        assert_eq!(structured(&[], b"x"), r#"{"data_base64":"eA=="}"#);
        assert_eq!(structured(&[], b""), "{}");
        let json = Attributes::of(&headers(&[("ce-id", "1"), ("content-type", "application/json")])).unwrap();
        for bad in [&b"{"[..], b"1}", b"\xff", b"{},\"type\":\"x\""] {
            assert!(matches!(json.with_data(bad), Err(Unreadable::NotJson(_))));
        }
    }

    #[test]
    fn headers_are_unquoted_and_percent_decoded_once() {
        for (value, text) in [
            ("order.paid", "order.paid"),
            ("Kova%C4%8D", "Kovač"),
            ("Kovač", "Kovač"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("\"a \\\"b\\\" %2522\"", "a \"b\" %22"),
            ("50%", "50%"),
            ("\"", "\""),
        ] {
            assert_eq!(
                structured(&[("ce-subject", value)], b""),
                format!(r#"{{"subject":{}}}"#, quoted(text))
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_by_header() {
        let faults = Attributes::of(&headers(&[
            ("ce-data", "1"),
            ("ce-datacontenttype", "text/plain"),
            ("ce-id", "1"),
            ("ce-id", "2"),
            ("ce-subject", "%ff"),
        ]));
        let mut told: Vec<String> = faults
            .unwrap_err()
            .into_iter()
            .map(|fault| format!("{:?} {}", fault.place, fault.code.as_str()))
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                r#"Header("ce-data") conflicting"#,
                r#"Header("ce-datacontenttype") conflicting"#,
                r#"Header("ce-id") duplicate_key"#,
                r#"Header("ce-subject") invalid"#,
            ]
        );
        let at = |pointer: &str| Attributes::place(Fault::at(pointer, FaultCode::Invalid, "x")).place;
        assert_eq!(at("/type"), Place::Header("ce-type".into()));
        assert_eq!(at("/datacontenttype"), Place::Header("content-type".into()));
        for of_the_body in ["", "/data", "/data/type"] {
            assert_eq!(at(of_the_body), Place::Pointer(of_the_body.into()));
        }
    }
}
