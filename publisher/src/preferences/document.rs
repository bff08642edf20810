//! What does somebody say about what they want to get, and when?
//!
//! As JSON, in the database as on the API. What is read from a request is strict; of what is read from the database, fields that this
//! release does not know are passed over. What is left out says nothing: a wider setting does.

use super::quiet::{DAYS, Range, minute};
use super::zone::Zone;
use crate::event::fault::element;
use crate::event::{Fault, FaultCode, Faults};
use crate::members::Members;
use crate::types::{Means, locale};
use carillon_protocol::TypePattern;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most patterns of types.
pub const PATTERNS: usize = 100;
/// Most ranges of quiet hours.
pub const RANGES: usize = 32;
const TIME: &str = "must be a time of day, 00:00 to 24:00";

/// What is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// By type of event: exact, or a beginning and a `*`.
    #[serde(default)]
    pub types: BTreeMap<String, Means>,
    /// When it is quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// It is quiet until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub do_not_disturb_until: Option<Timestamp>,
    /// In which language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// When it is quiet. What is left out is as a wider setting says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// The IANA zone by whose clocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// In which parts of a week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<Range>>,
}

/// Whose document a request sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A person's.
    Person,
    /// What holds in a tenant for whoever has said nothing.
    Tenant,
}

impl Document {
    /// Reads a request, or says everything that is wrong with it.
    pub fn read(body: Value, of: Of) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let faults_ref = &mut faults;
        let read = Members::of(body, "", "preferences", faults_ref).map(|mut members| {
            let types = members.object("types", "means by type of event", faults_ref);
            let hours = members.object("quiet_hours", "zone and ranges", faults_ref);
            let (is_person, mut known) = (of == Of::Person, "types, quiet_hours and locale");
            let mut until = None;
            if is_person {
                known = "types, quiet_hours, do_not_disturb_until and locale";
                until = moment(&mut members, "do_not_disturb_until", faults_ref);
            }
            let document = Self {
                types: types.map(|types| read_types(types, faults_ref)).unwrap_or_default(),
                quiet_hours: hours.map(|hours| read_hours(hours, faults_ref)),
                do_not_disturb_until: until,
                locale: read_locale(&mut members, faults_ref),
            };
            members.end(known, faults_ref);
            document
        });
        match read {
            Some(document) if faults.is_empty() => Ok(document),
            _ => Err(faults.into_vec()),
        }
    }

    /// What is stored. What cannot be read says nothing: somebody rather gets too much than nothing at all.
    pub fn stored(json: Option<&str>) -> Self {
        let Some(json) = json else { return Self::default() };
        serde_json::from_str(json).unwrap_or_else(|error| {
            tracing::warn!(%error, "stored preferences cannot be read");
            Self::default()
        })
    }
}

fn moment(members: &mut Members, name: &str, faults: &mut Faults) -> Option<Timestamp> {
    let text = members.text(name, 64, faults)?;
    let read: Option<Timestamp> = text.parse().ok();
    if read.is_none() {
        let detail = "must be an RFC 3339 time, such as 2027-01-15T08:00:00Z";
        faults.add(Fault::at(members.pointer(name), FaultCode::Invalid, detail));
    }
    read
}

fn read_locale(members: &mut Members, faults: &mut Faults) -> Option<String> {
    let text = members.text("locale", 256, faults)?;
    let read = locale::canonical(&text);
    if read.is_none() {
        let detail = format!("must be {}", locale::ALLOWED);
        faults.add(Fault::at(members.pointer("locale"), FaultCode::Invalid, detail));
    }
    read
}

fn read_types(types: Members, faults: &mut Faults) -> BTreeMap<String, Means> {
    let mut read = BTreeMap::new();
    if types.len() > PATTERNS {
        let detail = format!("must be at most {PATTERNS} patterns");
        faults.add(Fault::at("/types", FaultCode::TooMany, detail));
        return read;
    }
    for (at, pattern, value) in types.named() {
        if TypePattern::new(&pattern).is_err() || pattern.contains('\0') {
            let detail = "must be the type of an event, or the beginning of one and a *";
            faults.add(Fault::at(at, FaultCode::Invalid, detail));
            continue;
        }
        if let Some(members) = Members::of(value, at, Means::KNOWN, faults) {
            read.insert(pattern, Means::read(members, faults));
        }
    }
    read
}

fn read_hours(mut hours: Members, faults: &mut Faults) -> QuietHours {
    let zone = hours.text("zone", 256, faults).and_then(|name| {
        let found = Zone::named(&name).map(|zone| zone.name().to_owned());
        if found.is_none() {
            let detail = "must be the name of an IANA time zone, such as Europe/Berlin";
            faults.add(Fault::at(hours.pointer("zone"), FaultCode::Invalid, detail));
        }
        found
    });
    let at = hours.pointer("ranges");
    let ranges = match hours.take("ranges") {
        None => None,
        Some(Value::Array(ranges)) if ranges.len() <= RANGES => {
            let ranges = ranges.into_iter().enumerate();
            Some(ranges.filter_map(|(index, range)| read_range(range, element(&at, index), faults)).collect())
        }
        Some(Value::Array(_)) => {
            faults.add(Fault::at(at, FaultCode::TooMany, format!("must be at most {RANGES} ranges")));
            None
        }
        Some(_) => {
            faults.add(Fault::at(at, FaultCode::WrongType, "must be an array of ranges"));
            None
        }
    };
    hours.end("zone and ranges", faults);
    QuietHours { zone, ranges }
}

fn read_range(range: Value, at: String, faults: &mut Faults) -> Option<Range> {
    let mut members = Members::of(range, at.clone(), "days, from and to", faults)?;
    let days = read_days(&mut members, faults);
    let mut time = |name: &str, last: u16| {
        let place = members.pointer(name);
        let Some(value) = members.take(name) else {
            faults.add(Fault::at(place, FaultCode::Required, "is required"));
            return None;
        };
        let text = value.as_str().filter(|text| minute(text).is_some_and(|minute| minute <= last));
        if text.is_none() {
            faults.add(Fault::at(place, FaultCode::Invalid, TIME));
        }
        text.map(str::to_owned)
    };
    let (from, to) = (time("from", super::quiet::DAY - 1), time("to", super::quiet::DAY));
    members.end("days, from and to", faults);
    let range = Range { days: days?, from: from?, to: to? };
    if range.from == range.to {
        let detail = "from and to are the same; a whole day is 00:00 to 24:00";
        faults.add(Fault::at(at, FaultCode::Conflicting, detail));
    }
    Some(range)
}

/// Days in the order of the week, each once.
fn read_days(members: &mut Members, faults: &mut Faults) -> Option<Vec<String>> {
    let at = members.pointer("days");
    let Some(value) = members.take("days") else {
        faults.add(Fault::at(at, FaultCode::Required, "is required"));
        return None;
    };
    let named: Option<Vec<&str>> =
        value.as_array().map(|days| days.iter().filter_map(Value::as_str).collect());
    let is_right = |days: &Vec<&str>| {
        !days.is_empty()
            && Some(days.len()) == value.as_array().map(Vec::len)
            && days.len() <= DAYS.len()
            && days.iter().all(|day| DAYS.contains(day))
    };
    let Some(named) = named.filter(is_right) else {
        let detail = format!("must be an array of days, at least one: {}", DAYS.join(", "));
        faults.add(Fault::at(at, FaultCode::Invalid, detail));
        return None;
    };
    Some(DAYS.iter().filter(|day| named.contains(day)).map(|day| (*day).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(body: Value, of: Of) -> Vec<(String, &'static str)> {
        let place = |fault: Fault| match fault.place {
            crate::event::Place::Pointer(pointer) => (pointer, fault.code.as_str()),
            other => panic!("{other:?}"),
        };
        let mut found: Vec<_> = Document::read(body, of).unwrap_err().into_iter().map(place).collect();
        found.sort();
        found
    }

    #[test]
    fn what_was_set_is_what_is_stored_and_read_again() {
        let body = json!({
            "types": {"order.*": {"toast": false, "inbox": null}, "order.paid": {"toast": true}},
            "quiet_hours": {"zone": "europe/berlin", "ranges": [{"days": ["sun", "mon", "mon"], "from": "22:00", "to": "07:00"}]},
            "do_not_disturb_until": "2027-01-15T08:00:00+01:00", "locale": "DE-ch",
        });
        let read = Document::read(body, Of::Person).unwrap();
        let stored = serde_json::to_string(&read).unwrap();
        let expected = json!({
            "types": {"order.*": {"toast": false}, "order.paid": {"toast": true}},
            "quiet_hours": {"zone": "Europe/Berlin", "ranges": [{"days": ["mon", "sun"], "from": "22:00", "to": "07:00"}]},
            "do_not_disturb_until": "2027-01-15T07:00:00Z", "locale": "de-CH",
        });
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), expected);
        assert_eq!(Document::stored(Some(&stored)), read);
        assert_eq!(Document::stored(None), Document::default());
        assert_eq!(Document::stored(Some("[")), Document::default());
        assert_eq!(Document::read(json!({}), Of::Tenant), Ok(Document::default()));
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let found = faults(
            json!({
                "types": {"a b": {}, "a.*": {"email": true, "toast": 1}, "*x": 1},
                "quiet_hours": {"zone": "localtime", "ranges": [
                    {"days": [], "from": "24:00", "to": "7:00"}, {"days": ["mon"], "from": "22:00", "to": "22:00"},
                    {"from": "22:00", "to": "23:00", "tz": "UTC"}, 5, {"days": ["monday"], "from": 1}]},
                "do_not_disturb_until": "tomorrow", "locale": "german", "colour": 1,
            }),
            Of::Person,
        );
        let expected = [
            ("/colour", "unknown_field"),
            ("/do_not_disturb_until", "invalid"),
            ("/locale", "invalid"),
            ("/quiet_hours/ranges/0/days", "invalid"),
            ("/quiet_hours/ranges/0/from", "invalid"),
            ("/quiet_hours/ranges/0/to", "invalid"),
            ("/quiet_hours/ranges/1", "conflicting"),
            ("/quiet_hours/ranges/2/days", "required"),
            ("/quiet_hours/ranges/2/tz", "unknown_field"),
            ("/quiet_hours/ranges/3", "wrong_type"),
            ("/quiet_hours/ranges/4/days", "invalid"),
            ("/quiet_hours/ranges/4/from", "invalid"),
            ("/quiet_hours/ranges/4/to", "required"),
            ("/quiet_hours/zone", "invalid"),
            ("/types/*x", "invalid"),
            ("/types/a b", "invalid"),
            ("/types/a.*/email", "unknown_field"),
            ("/types/a.*/toast", "wrong_type"),
        ];
        assert_eq!(found, expected.map(|(at, code)| (at.to_owned(), code)));
        let tenants = faults(json!({"do_not_disturb_until": "2027-01-15T08:00:00Z"}), Of::Tenant);
        assert_eq!(tenants, [("/do_not_disturb_until".to_owned(), "unknown_field")]);
        let many: serde_json::Map<String, Value> = (0..101).map(|n| (format!("t{n}"), json!({}))).collect();
        assert_eq!(faults(json!({"types": many}), Of::Person), [("/types".to_owned(), "too_many")]);
        assert_eq!(faults(json!([]), Of::Person), [(String::new(), "wrong_type")]);
    }
}
