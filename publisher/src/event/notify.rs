//! What does an event say to people's inboxes?
//!
//! `notify` is an object; in a CloudEvent, whose attributes are texts, also the JSON of one. Every fault is told with its place.

use super::escalate;
use super::fault::{Fault, FaultCode, Faults, member};
use super::fields::{Fields, compact, read_priority, read_text};
use carillon_protocol::Notice;
use carillon_protocol::ident::plain_text;
use carillon_protocol::notice::{ACTION_BYTES, BODY_CHARS, DATA_BYTES, GROUP_BYTES, NOTIFY, TITLE_CHARS};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a notice may say.
const KNOWN: &str =
    "title, body, template, vars, action, group, priority, requires_ack, expires_at, data and escalate";
/// Longest name of a type whose templates are used, in bytes.
const TEMPLATE_BYTES: usize = 256;
/// What a link may not begin with: a page that shows it would run it.
const RUN_BY_PAGES: [&str; 3] = ["javascript:", "data:", "vbscript:"];

/// What an event says to people's inboxes, as its publisher wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The notice; its title is empty where its text is left to a type.
    pub notice: Notice,
    /// How its text is filled.
    pub fill: Option<Fill>,
}

/// How a notice's text is filled by an event type's templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// By those of this type; none: by those of the event's own.
    pub template: Option<String>,
    /// With these variables, an object; none: with the event's data alone.
    pub vars: Option<Value>,
    /// Where the notice's members stand in the event: `/notify`, or nothing.
    pub place: &'static str,
}

/// Takes the notice out of an event, if it has one.
pub(super) fn take(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Notify> {
    let pointer = fields.pointer(NOTIFY);
    let object = fields.take(NOTIFY)?;
    read(object, &pointer, faults)
}

/// The same of a CloudEvent: a text may stand for the object. Its faults have places within it.
pub(super) fn take_text(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Notify> {
    if !fields.is_string(NOTIFY) {
        return take(fields, faults);
    }
    let pointer = fields.pointer(NOTIFY);
    let text = read_text(fields.take(NOTIFY)?, &pointer, faults)?;
    let before = faults.len();
    // A text within the body was not read as strictly as the body.
    let object = super::strict::check(&text, carillon_protocol::limits::JSON_DEPTH, faults)
        .ok()
        .and_then(|()| serde_json::from_str::<&RawValue>(&text).ok());
    match object {
        Some(object) if faults.len() == before => read(object, &pointer, faults),
        Some(_) => None,
        None => {
            faults.add(Fault::at(
                pointer,
                FaultCode::Invalid,
                "must be an object, or a text that is its JSON",
            ));
            None
        }
    }
}

/// Reads a notice that stands alone, JSON; its faults have places as in its event.
pub fn read_alone(json: &str) -> Result<Notify, Vec<Fault>> {
    let mut faults = Faults::default();
    let object = serde_json::from_str::<&RawValue>(json).ok();
    match object.and_then(|object| read(object, "/notify", &mut faults)) {
        Some(notify) if faults.is_empty() => Ok(notify),
        _ if faults.is_empty() => Err(vec![Fault::at("/notify", FaultCode::Invalid, "must be JSON")]),
        _ => Err(faults.into_vec()),
    }
}

/// Reads the members of a notice from an object that may have others, which stay. `place`: where it stands in its event.
pub(super) fn members(fields: &mut Fields<'_>, place: &'static str, faults: &mut Faults) -> Option<Notify> {
    let is_written = fields.has("title") || fields.has("body");
    let title = match is_written {
        true => fields.required("title", faults, |fields, faults| {
            text(fields, "title", Lines::One(TITLE_CHARS), faults)
        }),
        false => Some(String::new()),
    };
    let fill = fill(fields, is_written, place, faults);
    let body = text(fields, "body", Lines::Many(BODY_CHARS), faults);
    let action = action(fields, faults);
    let group = name(fields, "group", GROUP_BYTES, faults);
    let priority = fields.named("priority", read_priority, faults);
    let requires_ack = fields.flag("requires_ack", faults);
    let (escalate, requires_ack) = escalate::read(fields, requires_ack, faults);
    let expires_at = fields.time("expires_at", faults).map(|time| time.to_string());
    let data = data(fields, faults);
    let locales = BTreeMap::new();
    let notice = Notice {
        title: title?,
        body,
        action,
        group,
        priority,
        requires_ack,
        expires_at,
        data,
        escalate,
        locales,
    };
    Some(Notify { notice, fill })
}

/// A text that is written out is not filled.
fn fill(fields: &mut Fields<'_>, is_written: bool, place: &'static str, faults: &mut Faults) -> Option<Fill> {
    if is_written {
        for name in ["template", "vars"] {
            if fields.take(name).is_some() {
                let detail = "is for notices without title and body, which the templates of a type fill";
                faults.add(Fault::at(fields.pointer(name), FaultCode::Conflicting, detail));
            }
        }
        return None;
    }
    let template = name(fields, "template", TEMPLATE_BYTES, faults);
    let vars = vars(fields, faults);
    Some(Fill { template, vars, place })
}

fn vars(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Value> {
    let value = fields.take("vars")?;
    let pointer = fields.pointer("vars");
    let json = compact(value, &pointer, faults)?;
    let fault = if json.len() > DATA_BYTES {
        (FaultCode::TooLarge, format!("must have at most {DATA_BYTES} bytes of JSON"))
    } else {
        match serde_json::from_str::<Value>(&json) {
            Ok(vars) if vars.is_object() => return Some(vars),
            _ => (FaultCode::WrongType, "must be an object: variables".to_owned()),
        }
    };
    faults.add(Fault::at(pointer, fault.0, fault.1));
    None
}

fn read(object: &RawValue, pointer: &str, faults: &mut Faults) -> Option<Notify> {
    if !object.get().starts_with('{') {
        faults.add(Fault::at(pointer, FaultCode::WrongType, "must be an object: a notice"));
        return None;
    }
    let mut fields = Fields::of(object, pointer, faults)?;
    let notice = members(&mut fields, "/notify", faults);
    for (name, _) in fields.rest() {
        let detail = format!("is not a field of a notice; known are {KNOWN}");
        faults.add(Fault::at(member(pointer, &name), FaultCode::UnknownField, detail));
    }
    notice
}

/// How much text, and whether it may have more than one line.
enum Lines {
    One(usize),
    Many(usize),
}

fn text(fields: &mut Fields<'_>, name: &str, lines: Lines, faults: &mut Faults) -> Option<String> {
    let value = fields.take(name)?;
    let pointer = fields.pointer(name);
    let text = read_text(value, &pointer, faults)?;
    let (most, is_one) = match lines {
        Lines::One(most) => (most, true),
        Lines::Many(most) => (most, false),
    };
    let is_odd = |c: char| c.is_control() && (is_one || !matches!(c, '\n' | '\t'));
    let fault = if text.trim().is_empty() {
        (FaultCode::Invalid, "must not be empty".to_owned())
    } else if text.chars().count() > most {
        (FaultCode::TooLong, format!("must have at most {most} characters"))
    } else if text.contains(is_odd) {
        let but = if is_one { "" } else { " but line feeds and tabs" };
        (FaultCode::Invalid, format!("must have no control characters{but}"))
    } else {
        return Some(text);
    };
    faults.add(Fault::at(pointer, fault.0, fault.1));
    None
}

fn name(fields: &mut Fields<'_>, name: &str, most: usize, faults: &mut Faults) -> Option<String> {
    let value = fields.take(name)?;
    let pointer = fields.pointer(name);
    let text = read_text(value, &pointer, faults)?;
    if plain_text(&text, most) {
        return Some(text);
    }
    let code = if text.len() > most { FaultCode::TooLong } else { FaultCode::Invalid };
    faults.add(Fault::at(
        pointer,
        code,
        format!("must be 1-{most} bytes of UTF-8 without control characters"),
    ));
    None
}

fn action(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<String> {
    let text = name(fields, "action", ACTION_BYTES, faults)?;
    let begins = text.trim_start().to_ascii_lowercase();
    if RUN_BY_PAGES.iter().any(|scheme| begins.starts_with(scheme)) {
        let detail = "must be a URL or a path that leads somewhere: pages would run this";
        faults.add(Fault::at(fields.pointer("action"), FaultCode::Invalid, detail));
        return None;
    }
    Some(text)
}

fn data(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<String> {
    let value = fields.take("data")?;
    let pointer = fields.pointer("data");
    let json = compact(value, &pointer, faults)?;
    if json.len() > DATA_BYTES {
        let detail = format!("must have at most {DATA_BYTES} bytes of JSON");
        faults.add(Fault::at(pointer, FaultCode::TooLarge, detail));
        return None;
    }
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(notify: &str) -> Result<Notify, Vec<(String, FaultCode)>> {
        let event = format!(r#"{{"notify":{notify}}}"#);
        let raw: &RawValue = serde_json::from_str(&event).unwrap();
        let mut faults = Faults::default();
        let mut fields = Fields::of(raw, "/3", &mut faults).unwrap();
        let notice = take_text(&mut fields, &mut faults);
        let told: Vec<_> = faults
            .into_vec()
            .into_iter()
            .map(|fault| match fault.place {
                super::super::Place::Pointer(pointer) => (pointer, fault.code),
                other => panic!("{other:?}"),
            })
            .collect();
        if told.is_empty() { Ok(notice.unwrap()) } else { Err(told) }
    }

    #[test]
    fn a_notice_is_read_whole_and_its_time_is_put_into_utc() {
        let notice = read(
            r#"{"title":"A","body":"b\nc","action":"/x?y=1","group":"g 1","priority":"high","requires_ack":true,"expires_at":"2027-01-01T01:00:00+01:00","data":{"n": 1.10}}"#,
        );
        let notice = notice.unwrap().notice;
        assert_eq!(notice.expires_at.as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!((notice.data.as_deref(), notice.requires_ack), (Some(r#"{"n":1.10}"#), true));
        let text = serde_json::Value::from(r#"{"title":"A"}"#).to_string();
        assert_eq!(read(&text).unwrap().notice.title, "A", "the JSON of one, as CloudEvents have it");
    }

    #[test]
    fn a_text_that_is_left_out_is_left_to_a_type() {
        let fill = |notify: &str| read(notify).unwrap().fill;
        assert_eq!(fill(r#"{"title":"A"}"#), None);
        assert_eq!(fill("{}"), Some(Fill { template: None, vars: None, place: "/notify" }));
        let named = fill(r#"{"template":"order.paid","vars":{"n":1},"priority":"high"}"#).unwrap();
        assert_eq!(
            (named.template.as_deref(), named.vars),
            (Some("order.paid"), Some(serde_json::json!({"n": 1})))
        );
    }

    #[test]
    fn whoever_is_told_that_nobody_took_note_has_asked_for_that() {
        let notice = |who: &str| {
            read(&format!(r#"{{"title":"A","escalate":[{{"after":"90s","to":"webhook:push"{who}}}]}}"#))
                .unwrap()
                .notice
        };
        let unacked = notice("");
        assert!(unacked.requires_ack);
        assert_eq!(
            unacked.json(),
            r#"{"title":"A","requires_ack":true,"escalate":[{"after":"90s","to":"webhook:push","who":"not_acked"}]}"#
        );
        assert!(!notice(r#","who":"not_delivered""#).requires_ack);
        assert_eq!(read(r#"{"title":"A","escalate":[]}"#).unwrap().notice.escalate, []);
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let at = |name: &str| format!("/3/notify/{name}");
        let long = "x".repeat(TITLE_CHARS + 1);
        for (notify, name, code) in [
            (r#"{"body":"b"}"#, "title", FaultCode::Required),
            (r#"{"title":7}"#, "title", FaultCode::WrongType),
            (r#"{"title":" "}"#, "title", FaultCode::Invalid),
            (r#"{"title":"a\nb"}"#, "title", FaultCode::Invalid),
            (&format!(r#"{{"title":"{long}"}}"#), "title", FaultCode::TooLong),
            (r#"{"title":"a","body":[]}"#, "body", FaultCode::WrongType),
            (r#"{"title":"a","action":" JavaScript:alert(1)"}"#, "action", FaultCode::Invalid),
            (r#"{"title":"a","group":""}"#, "group", FaultCode::Invalid),
            (r#"{"title":"a","priority":"hot"}"#, "priority", FaultCode::Invalid),
            (r#"{"title":"a","requires_ack":"yes"}"#, "requires_ack", FaultCode::WrongType),
            (r#"{"title":"a","expires_at":"tomorrow"}"#, "expires_at", FaultCode::Invalid),
            (r#"{"title":"a","titel":"b"}"#, "titel", FaultCode::UnknownField),
            (r#"{"title":"a","escalate":{}}"#, "escalate", FaultCode::WrongType),
            (r#"{"title":"a","escalate":[5]}"#, "escalate/0", FaultCode::WrongType),
            (r#"{"title":"a","escalate":[{},{},{},{},{},{}]}"#, "escalate", FaultCode::TooMany),
            (r#"{"title":"a","escalate":[{"to":"webhook:p"}]}"#, "escalate/0/after", FaultCode::Required),
            (r#"{"title":"a","escalate":[{"after":"5m"}]}"#, "escalate/0/to", FaultCode::Required),
            (
                r#"{"title":"a","escalate":[{"after":5,"to":"webhook:p"}]}"#,
                "escalate/0/after",
                FaultCode::WrongType,
            ),
            (
                r#"{"title":"a","escalate":[{"after":"0s","to":"webhook:p"}]}"#,
                "escalate/0/after",
                FaultCode::Invalid,
            ),
            (
                r#"{"title":"a","escalate":[{"after":"5m","to":"sms:1"}]}"#,
                "escalate/0/to",
                FaultCode::Invalid,
            ),
            (
                r#"{"title":"a","escalate":[{"after":"5m","to":"webhook:p","who":"all"}]}"#,
                "escalate/0/who",
                FaultCode::Invalid,
            ),
            (
                r#"{"title":"a","escalate":[{"after":"5m","to":"webhook:p","if":1}]}"#,
                "escalate/0/if",
                FaultCode::UnknownField,
            ),
            (
                r#"{"title":"a","requires_ack":false,"escalate":[{"after":"5m","to":"webhook:p"}]}"#,
                "escalate/0/who",
                FaultCode::Conflicting,
            ),
            (r#"{"title":"a","template":"t"}"#, "template", FaultCode::Conflicting),
            (r#"{"title":"a","vars":{}}"#, "vars", FaultCode::Conflicting),
            (r#"{"vars":[]}"#, "vars", FaultCode::WrongType),
            (r#"{"template":7}"#, "template", FaultCode::WrongType),
            (&format!(r#"{{"vars":{{"a":"{}"}}}}"#, "x".repeat(DATA_BYTES)), "vars", FaultCode::TooLarge),
            (&format!(r#"{{"title":"a","data":"{}"}}"#, "x".repeat(DATA_BYTES)), "data", FaultCode::TooLarge),
        ] {
            assert_eq!(read(notify), Err(vec![(at(name), code)]), "{notify}");
        }
        for (notify, code) in
            [("7", FaultCode::WrongType), (r#""x""#, FaultCode::Invalid), (r#""[]""#, FaultCode::WrongType)]
        {
            assert_eq!(read(notify), Err(vec![("/3/notify".into(), code)]), "{notify}");
        }
        let twice = serde_json::Value::from(r#"{"title":"A","title":"B"}"#).to_string();
        assert_eq!(read(&twice), Err(vec![("/title".into(), FaultCode::DuplicateKey)]));
    }
}
