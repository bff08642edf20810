//! What does a tenant say about one type of events?
//!
//! As JSON, in the database as on the API. What is read from a request is strict: everything wrong with it is told with a pointer.
//! What is read from the database may have been written by a newer release: fields that this one does not know are passed over.

use super::audience::{self, TypeAudience};
use super::locale;
use super::schema::Schema;
use super::template;
use crate::event::{Fault, FaultCode, Faults};
use crate::members::Members;
use carillon_backplane::log::TypeSays;
use carillon_protocol::event::Priority;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest template of a title, in bytes.
pub const TITLE_BYTES: usize = 2 * 1024;
/// Longest template of a body, in bytes.
pub const BODY_BYTES: usize = 16 * 1024;
/// Most languages of a type.
pub const LOCALES: usize = 32;

/// What is said about a type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// What a notice of this type says where its language is not among `locales`.
    #[serde(flatten)]
    pub texts: Texts,
    /// What it says in a language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<String, Texts>,
    /// The priority of events that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Nobody can switch it off.
    #[serde(default)]
    pub mandatory: bool,
    /// By which means people get it who have said nothing about it.
    #[serde(default, skip_serializing_if = "Means::is_empty")]
    pub defaults: Means,
    /// Whom notices go to that name nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<TypeAudience>,
    /// What events' data must be like: JSON Schema 2020-12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// The templates of a language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// More of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// By which means somebody gets what they get; what is left out is as a wider setting says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// It is in the inbox and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<bool>,
    /// A page shows it as it happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toast: Option<bool>,
    /// The browser shows it on the desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<bool>,
    /// It goes on to the tenant's webhooks for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<bool>,
}

impl Means {
    /// The names on the wire.
    pub const KNOWN: &'static str = "inbox, toast, desktop and webhooks";

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads them from a request.
    pub(crate) fn read(mut members: Members, faults: &mut Faults) -> Self {
        let mut flag = |name| members.flag(name, faults);
        let means = Self {
            inbox: flag("inbox"),
            toast: flag("toast"),
            desktop: flag("desktop"),
            webhooks: flag("webhooks"),
        };
        members.end(Self::KNOWN, faults);
        means
    }
}

impl Texts {
    fn read(members: &mut Members, faults: &mut Faults) -> Self {
        let mut text = |name: &str, most| {
            let text = members.text(name, most, faults)?;
            if let Err(fault) = template::check(&text) {
                faults.add(Fault::at(members.pointer(name), FaultCode::Template, fault.detail));
            } else if text.contains('\0') {
                faults.add(Fault::at(
                    members.pointer(name),
                    FaultCode::Invalid,
                    "must not hold a zero character",
                ));
            }
            Some(text)
        };
        Self { title: text("title", TITLE_BYTES), body: text("body", BODY_BYTES) }
    }

    fn is_empty(&self) -> bool {
        self.title.is_none() && self.body.is_none()
    }
}

impl Definition {
    /// What it says about inboxes; none: nothing. The same stands in the database (`carillon.inbox_default`).
    pub fn inbox(&self) -> Option<TypeSays> {
        match (self.mandatory, self.defaults.inbox) {
            (true, Some(false)) => Some(TypeSays::Never),
            (true, _) => Some(TypeSays::Always),
            (false, Some(true)) => Some(TypeSays::On),
            (false, Some(false)) => Some(TypeSays::Off),
            (false, None) => None,
        }
    }

    /// Reads what a request says about a type, or says everything that is wrong with it.
    pub fn read(body: Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let known = "title, body, locales, priority, mandatory, defaults, audience and schema";
        let read = Members::of(body, "", "an event type", &mut faults).map(|mut members| {
            let texts = Texts::read(&mut members, &mut faults);
            let locales = members.object("locales", "texts by language", &mut faults);
            let defaults = members.object("defaults", Means::KNOWN, &mut faults);
            let definition = Self {
                texts,
                locales: locales.map(|named| read_locales(named, &mut faults)).unwrap_or_default(),
                priority: read_priority(&mut members, &mut faults),
                mandatory: members.flag("mandatory", &mut faults).unwrap_or(false),
                defaults: defaults.map(|means| Means::read(means, &mut faults)).unwrap_or_default(),
                audience: members
                    .object("audience", audience::KNOWN, &mut faults)
                    .map(|named| TypeAudience::read(named, "/audience", &mut faults)),
                schema: members.take("schema"),
            };
            if let Some(schema) = &definition.schema {
                Schema::read(schema, "/schema", &mut faults);
            }
            if definition.texts.title.is_none()
                && (definition.texts.body.is_some() || !definition.locales.is_empty())
            {
                let detail = "is required beside body and locales: whoever reads another language gets it";
                faults.add(Fault::at("/title", FaultCode::Required, detail));
            }
            members.end(known, &mut faults);
            definition
        });
        match read {
            Some(definition) if faults.is_empty() => Ok(definition),
            _ => Err(faults.into_vec()),
        }
    }
}

fn read_priority(members: &mut Members, faults: &mut Faults) -> Option<Priority> {
    let text = members.text("priority", 16, faults)?;
    let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    if known.is_none() {
        let detail = "must be one of low, normal, high, urgent and critical";
        faults.add(Fault::at(members.pointer("priority"), FaultCode::Invalid, detail));
    }
    known
}

fn read_locales(named: Members, faults: &mut Faults) -> BTreeMap<String, Texts> {
    let mut locales = BTreeMap::new();
    if named.len() > LOCALES {
        let detail = format!("must be at most {LOCALES} languages");
        faults.add(Fault::at("/locales", FaultCode::TooMany, detail));
        return locales;
    }
    for (at, name, value) in named.named() {
        let Some(tag) = locale::canonical(&name) else {
            faults.add(Fault::at(at, FaultCode::Invalid, format!("must be {}", locale::ALLOWED)));
            continue;
        };
        let Some(mut members) = Members::of(value, at.clone(), "title and body", faults) else { continue };
        let texts = Texts::read(&mut members, faults);
        members.end("title and body", faults);
        if texts.is_empty() {
            faults.add(Fault::at(at.clone(), FaultCode::Required, "must have a title or a body"));
        }
        if locales.insert(tag, texts).is_some() {
            faults.add(Fault::at(at, FaultCode::Conflicting, "is the same language as another one"));
        }
    }
    locales
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(body: Value) -> Vec<(String, FaultCode)> {
        let place = |fault: Fault| match fault.place {
            crate::event::Place::Pointer(pointer) => (pointer, fault.code),
            other => panic!("{other:?}"),
        };
        Definition::read(body).unwrap_err().into_iter().map(place).collect()
    }

    #[test]
    fn what_was_set_is_what_is_stored_and_read_again() {
        let body = json!({
            "title": "Order {{ id }}", "body": "{{ total }} paid",
            "locales": {"DE": {"title": "Bestellung {{ id }}"}, "de-ch": {"body": "{{ total }} bezahlt"}},
            "priority": "high", "mandatory": true, "defaults": {"toast": false, "desktop": null},
            "audience": {"tenant": false, "roles": ["clerk"]}, "schema": {"type": "object"},
        });
        let read = Definition::read(body).unwrap();
        let stored = serde_json::to_value(&read).unwrap();
        let expected = json!({
            "title": "Order {{ id }}", "body": "{{ total }} paid",
            "locales": {"de": {"title": "Bestellung {{ id }}"}, "de-CH": {"body": "{{ total }} bezahlt"}},
            "priority": "high", "mandatory": true, "defaults": {"toast": false},
            "audience": {"roles": ["clerk"]}, "schema": {"type": "object"},
        });
        assert_eq!(stored, expected);
        assert_eq!(serde_json::from_value::<Definition>(stored).unwrap(), read);
        assert_eq!(
            serde_json::to_value(Definition::read(json!({})).unwrap()).unwrap(),
            json!({"mandatory": false})
        );
    }

    #[test]
    fn everything_wrong_with_a_type_is_told_with_its_place() {
        let mut found = faults(json!({
            "title": 1, "body": "{{ n", "locales": {"deutsch": {}, "de": {"titel": "x"}, "DE": {"title": "x"}},
            "priority": "highest", "mandatory": "yes", "defaults": {"email": true, "inbox": 1},
            "schema": {"typ": "object"}, "colour": "red", "audience": {"roles": [7]},
        }));
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("/audience/roles/0", FaultCode::WrongType),
            ("/body", FaultCode::Template),
            ("/colour", FaultCode::UnknownField),
            ("/defaults/email", FaultCode::UnknownField),
            ("/defaults/inbox", FaultCode::WrongType),
            ("/locales/de", FaultCode::Required),
            ("/locales/de", FaultCode::Conflicting),
            ("/locales/de/titel", FaultCode::UnknownField),
            ("/locales/deutsch", FaultCode::Invalid),
            ("/mandatory", FaultCode::WrongType),
            ("/priority", FaultCode::Invalid),
            ("/schema/typ", FaultCode::UnknownField),
            ("/title", FaultCode::Required),
            ("/title", FaultCode::WrongType),
        ];
        let mut found: Vec<(&str, FaultCode)> = found.iter().map(|(at, code)| (at.as_str(), *code)).collect();
        found.sort_by_key(|(at, code)| (*at, code.as_str()));
        let mut expected = expected.to_vec();
        expected.sort_by_key(|(at, code)| (*at, code.as_str()));
        assert_eq!(found, expected);
    }
}
