//! What does the body of `POST /v1/notices` say?
//!
//! An event whose fields are a notice's: the same draft as that of an event with `notify`, with a type of its own where none is named,
//! and with its audience in one object.

use super::draft::{Data, Draft};
use super::fault::{Fault, FaultCode, Faults, member};
use super::fields::Fields;
use super::notify::{self, Notify};
use super::targets::{Named, Needs, Targets};
use carillon_protocol::{Channel, ConnectionName, EventId, TenantId, UserId, limits};

/// The type of a notice that names none.
const TYPE: &str = "notice";
/// The `source` of one that names none.
const SOURCE: &str = "api";
const KNOWN: &str = "title, body, template, vars, action, group, priority, requires_ack, expires_at, data, escalate, audience, type, tenant, id, source, subject, actor, except and time";

/// Reads one notice; every fault is added.
pub(super) fn read(mut fields: Fields<'_>, faults: &mut Faults) -> Draft {
    let at = fields.here();
    let notice = notify::members(&mut fields, "", faults);
    let kind = fields.attribute("type", true, faults);
    let tenant = fields.named("tenant", |text| TenantId::new(text), faults);
    let id = fields.named("id", |text| EventId::new(text), faults);
    let source = fields.attribute("source", false, faults);
    let subject = fields.attribute("subject", false, faults);
    let actor = fields.named("actor", |text| UserId::new(text), faults);
    let (channels, named) = audience(&mut fields, faults);
    let except = fields.named("except", |text| ConnectionName::new(text), faults);
    let time = fields.time("time", faults);
    for (name, _) in fields.rest() {
        let detail = match name.as_ref() {
            "users" | "roles" | "channels" | "channel" | "tenant_wide" => {
                "is not a field of a notice: whom it is for stands in audience".to_owned()
            }
            _ => format!("is not a field of a notice; known are {KNOWN}"),
        };
        faults.add(Fault::at(member(at, &name), FaultCode::UnknownField, detail));
    }
    // Priority and data are its event's, and the notice has them from there.
    let (priority, data) =
        notice.as_ref().map_or((None, None), |it| (it.notice.priority, it.notice.data.clone()));
    Draft {
        tenant,
        id,
        kind: kind.unwrap_or_else(|| TYPE.to_owned()),
        source: source.unwrap_or_else(|| SOURCE.to_owned()),
        subject,
        actor,
        priority,
        key: None,
        notice: notice.map(|Notify { notice, fill }| {
            let notice = carillon_protocol::Notice { priority: None, data: None, ..notice };
            Notify { notice, fill }
        }),
        channels,
        named,
        except,
        time,
        extras: Vec::new(),
        data: data.map(Data::Json),
    }
}

/// Whom it is for.
fn audience(fields: &mut Fields<'_>, faults: &mut Faults) -> (Vec<Channel>, Named) {
    let before = faults.len();
    let needs = Needs::TargetOrType(Some("audience"));
    let pointer = fields.pointer("audience");
    let Some(object) = fields.take("audience") else {
        return Targets::default().into_channels((false, needs), &pointer, faults);
    };
    if !object.get().starts_with('{') {
        let detail = "must be an object with tenant, roles, channels or users";
        faults.add(Fault::at(pointer, FaultCode::WrongType, detail));
        return (Vec::new(), Named::default());
    }
    let Some(mut fields) = Fields::of(object, &pointer, faults) else {
        return (Vec::new(), Named::default());
    };
    let most = limits::CHANNELS_PER_EVENT;
    let targets = Targets {
        text: None,
        channels: fields.names("channels", most, |text| Channel::new(text), faults),
        users: fields.names("users", most, |text| UserId::new(text), faults),
        roles: fields.names("roles", most, Channel::role, faults),
        tenant_wide: fields.flag("tenant", faults).unwrap_or(false),
    };
    let at = fields.here();
    for (name, _) in fields.rest() {
        let detail = "is not a part of an audience; known are tenant, roles, channels and users";
        faults.add(Fault::at(member(at, &name), FaultCode::UnknownField, detail));
    }
    targets.into_channels((faults.len() > before, needs), at, faults)
}

#[cfg(test)]
mod tests {
    use super::super::request::{Form, Unreadable, read};
    use super::*;

    fn faults(body: &str) -> Vec<(String, FaultCode)> {
        let Err(Unreadable::Faulty(faults)) = read(body.as_bytes(), Form::Notice) else { panic!("{body}") };
        let place = |fault: Fault| match fault.place {
            super::super::Place::Pointer(pointer) => (pointer, fault.code),
            other => panic!("{other:?}"),
        };
        faults.into_iter().map(place).collect()
    }

    #[test]
    fn a_notice_is_an_event_with_the_same_words() {
        let body = r#"{"title":"T","priority":"high","data":{"a": 1},"audience":{"tenant":true,"users":["7"],"roles":["r"],"channels":["c"]}}"#;
        let draft = read(body.as_bytes(), Form::Notice).unwrap().drafts.remove(0);
        assert_eq!((draft.kind.as_str(), draft.source.as_str()), ("notice", "api"));
        let names: Vec<_> = draft.channels.iter().map(Channel::as_str).collect();
        assert_eq!(names, ["c", "user:7", "role:r", "tenant"]);
        assert_eq!(draft.data, Some(Data::Json(r#"{"a":1}"#.into())));
        assert_eq!(draft.notice.unwrap().notice.title, "T");
        for nobody in [r#"{"title":"T"}"#, r#"{"title":"T","audience":{}}"#] {
            let draft = read(nobody.as_bytes(), Form::Notice).unwrap().drafts.remove(0);
            assert_eq!(
                (draft.channels.len(), draft.named.of_notice().as_str()),
                (0, "/audience"),
                "{nobody}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_one_is_named() {
        let named = |place: &str, code| vec![(place.to_owned(), code)];
        for (body, place, code) in [
            (r#"{"title":"T","audience":"all"}"#, "/audience", FaultCode::WrongType),
            (
                r#"{"title":"T","audience":{"everyone":true,"tenant":true}}"#,
                "/audience/everyone",
                FaultCode::UnknownField,
            ),
            (r#"{"title":"T","audience":{"tenant":"yes"}}"#, "/audience/tenant", FaultCode::WrongType),
            (r#"{"title":"T","audience":{"users":[7]}}"#, "/audience/users/0", FaultCode::WrongType),
            (r#"{"title":"T","users":["7"],"audience":{"tenant":true}}"#, "/users", FaultCode::UnknownField),
            (r#"{"body":"B","audience":{"tenant":true}}"#, "/title", FaultCode::Required),
            (
                r#"{"title":"T","audience":{"tenant":true},"template":"x"}"#,
                "/template",
                FaultCode::Conflicting,
            ),
            (r#"{"audience":{"tenant":true},"escalate":{}}"#, "/escalate", FaultCode::WrongType),
            (r#"[{"title":"T","audience":{"tenant":true}}]"#, "", FaultCode::WrongType),
        ] {
            assert_eq!(faults(body), named(place, code), "{body}");
        }
    }
}
