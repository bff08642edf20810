//! What does an event in CloudEvents 1.0 JSON form say?
//!
//! Attributes Carillon does not know are extensions and stay in the event as they are. The attributes that say
//! where the event goes (`tenant`, `channels`, `users`, `roles`, `tenantwide`, `except`) are read and do not stay; `latestkey` and `notify` are
//! read and stay.

use super::draft::{Data, Draft};
use super::fault::{Fault, FaultCode, Faults, member};
use super::fields::{Fields, compact, read_priority, read_text};
use super::notify;
use super::targets::{Named, Needs, Targets};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_protocol::event::LATEST_KEY;
use carillon_protocol::ident::InvalidName;
use carillon_protocol::{Channel, ConnectionName, EventId, LatestKey, TenantId, UserId, limits};
use serde_json::value::RawValue;

/// Longest name of an extension attribute, in characters (CloudEvents 1.0, "Naming conventions").
const EXTENSION_NAME: usize = 20;
/// Attributes that are kept as they are though they are no extensions.
const KEPT: [&str; 2] = ["datacontenttype", "dataschema"];

/// Reads one CloudEvent; every fault is added.
pub(super) fn read(mut fields: Fields<'_>, faults: &mut Faults) -> Draft {
    let at = fields.here();
    let version = fields.required("specversion", faults, |fields, faults| {
        fields.take("specversion").and_then(|value| read_text(value, &fields.pointer("specversion"), faults))
    });
    if version.is_some_and(|version| version != "1.0") {
        let detail = "must be \"1.0\", the only version this server knows";
        faults.add(Fault::at(fields.pointer("specversion"), FaultCode::Invalid, detail));
    }
    let id =
        fields.required("id", faults, |fields, faults| fields.named("id", |text| EventId::new(text), faults));
    let source =
        fields.required("source", faults, |fields, faults| fields.attribute("source", false, faults));
    let kind = fields.required("type", faults, |fields, faults| fields.attribute("type", true, faults));
    let deletes = fields.has(LATEST_KEY) && fields.is_null("data");
    // Faults are told in this order.
    let tenant = fields.named("tenant", |text| TenantId::new(text), faults);
    let subject = fields.attribute("subject", false, faults);
    let actor = fields.named("actor", |text| UserId::new(text), faults);
    let priority = fields.named("priority", read_priority, faults);
    let key = fields.named(LATEST_KEY, |text| LatestKey::new(text), faults);
    let notice = notify::take_text(&mut fields, faults);
    let (channels, named) = channels(&mut fields, Needs::of_event(notice.is_some()), faults);
    Draft {
        tenant,
        id,
        kind: kind.unwrap_or_default(),
        source: source.unwrap_or_default(),
        subject,
        actor,
        priority,
        key,
        notice,
        channels,
        named,
        except: fields.named("except", |text| ConnectionName::new(text), faults),
        time: fields.time("time", faults),
        data: data(&mut fields, faults).or(deletes.then_some(Data::Null)),
        extras: extras(fields, at, faults),
    }
}

fn channels(fields: &mut Fields<'_>, needs: Needs, faults: &mut Faults) -> (Vec<Channel>, Named) {
    let before = faults.len();
    let text = fields.is_string("channels").then_some("channels");
    let targets = Targets {
        text,
        channels: list(fields, "channels", |text| Channel::new(text), faults),
        users: list(fields, "users", |text| UserId::new(text), faults),
        roles: list(fields, "roles", Channel::role, faults),
        tenant_wide: ["tenantwide", "tenant_wide"].map(|name| wide(fields, name, faults)).contains(&true),
    };
    targets.into_channels((faults.len() > before, needs), fields.here(), faults)
}

/// An array of names, or a text, for extension attributes of strict CloudEvents libraries are scalars: with commas between the
/// names, or, for names that have commas themselves, the JSON of an array.
fn list<T>(
    fields: &mut Fields<'_>,
    name: &str,
    new: impl Fn(&str) -> Result<T, InvalidName>,
    faults: &mut Faults,
) -> Vec<T> {
    if !fields.is_string(name) {
        return fields.names(name, limits::CHANNELS_PER_EVENT, new, faults);
    }
    let pointer = fields.pointer(name);
    let text = fields.take(name).and_then(|value| read_text(value, &pointer, faults)).unwrap_or_default();
    let parts: Vec<String> = if text.trim_start().starts_with('[') {
        let Ok(parts) = serde_json::from_str(&text) else {
            let detail = "must be names with commas between them, or a JSON array of strings";
            faults.add(Fault::at(pointer, FaultCode::Invalid, detail));
            return Vec::new();
        };
        parts
    } else {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let mut names = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if index == limits::CHANNELS_PER_EVENT {
            let detail = format!("must name at most {}", limits::CHANNELS_PER_EVENT);
            faults.add(Fault::at(pointer, FaultCode::TooMany, detail));
            break;
        }
        match new(part) {
            Ok(name) => names.push(name),
            Err(fault) => {
                let detail = format!("element {index} must be {}", fault.allowed);
                faults.add(Fault::at(pointer.clone(), FaultCode::Invalid, detail));
            }
        }
    }
    names
}

/// A boolean attribute, which text-only libraries send as `"true"`.
fn wide(fields: &mut Fields<'_>, name: &str, faults: &mut Faults) -> bool {
    match fields.take(name).map(RawValue::get) {
        None | Some("false" | "\"false\"") => false,
        Some("true" | "\"true\"") => true,
        Some(_) => {
            faults.add(Fault::at(fields.pointer(name), FaultCode::WrongType, "must be true or false"));
            false
        }
    }
}

fn data(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Data> {
    let pointer = fields.pointer("data_base64");
    if fields.has("data") && fields.has("data_base64") {
        let detail = "give either data or data_base64";
        faults.add(Fault::at(pointer.clone(), FaultCode::Conflicting, detail));
    }
    let json = fields.take("data").and_then(|raw| compact(raw, &fields.pointer("data"), faults));
    let Some(raw) = fields.take("data_base64") else { return json.map(Data::Json) };
    let text = read_text(raw, &pointer, faults)?;
    if STANDARD.decode(&text).is_err() {
        faults.add(Fault::at(
            pointer,
            FaultCode::Invalid,
            "must be base64 (RFC 4648, section 4, with padding)",
        ));
        return None;
    }
    Some(Data::Base64(serde_json::Value::from(text).to_string()))
}

/// What is left: kept attributes and extensions, sorted by name so that the order they came in changes nothing.
fn extras(mut fields: Fields<'_>, at: &str, faults: &mut Faults) -> Vec<(String, String)> {
    let mut extras = Vec::new();
    for name in KEPT {
        if let Some(text) = fields.attribute(name, false, faults) {
            extras.push((name.to_owned(), serde_json::Value::from(text).to_string()));
        }
    }
    for (name, value) in fields.rest() {
        let pointer = member(at, &name);
        let named = (1..=EXTENSION_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !named {
            let detail = format!("an extension attribute's name must be 1-{EXTENSION_NAME} of a-z and 0-9");
            faults.add(Fault::at(pointer, FaultCode::UnknownField, detail));
        } else if value.get().starts_with(['{', '[']) {
            let detail = "an extension attribute must be a string, a number or a boolean";
            faults.add(Fault::at(pointer, FaultCode::WrongType, detail));
        } else if value.get() != "null" {
            extras.extend(compact(value, &pointer, faults).map(|json| (name.into_owned(), json)));
        }
    }
    extras.sort();
    extras
}
