//! Which event is it that stands in a row of the outbox?
//!
//! `carillon.publish` has checked every field; what its tenant says about the event's type is checked here, as over HTTP. What does not pass
//! is parked with the name of the reason.

use crate::event::draft::{Data, Draft};
use crate::event::rfc3339::Moment;
use crate::event::{self, FaultCode, Faults, Place, notify};
use crate::types::{TypesOf, Work};
use carillon_backplane::log::{Append, IdempotencyKey, Outboxed, Parking};
use carillon_protocol::event::Priority;
use carillon_protocol::{Channel, EventId, LatestKey, TenantId, UserId, json};
use jiff::{Timestamp, Unit};
use std::fmt::Display;
use std::time::SystemTime;

/// Longest detail of what is parked, in characters.
const DETAIL_CHARS: usize = 2_000;

/// What is appended, or why nothing is.
pub(super) fn append(
    row: Outboxed,
    types: &TypesOf,
    work: &mut Work,
    fresh_id: impl FnOnce() -> EventId,
) -> Result<Append, Parking> {
    let (id, at, traceparent) = (row.id, row.at, row.traceparent.clone());
    let sealed = draft(row).and_then(|mut draft| {
        let tenant = draft.tenant.clone().ok_or_else(|| invalid("tenant", "is required"))?;
        let key = draft
            .id
            .as_ref()
            .map(|name| IdempotencyKey { name: format!("i:{name}"), hash: draft.fingerprint() });
        let mut faults = Faults::default();
        types.apply(&tenant, &mut draft, "", work, &mut faults);
        let faults = faults.into_vec();
        if let Some(first) = faults.first() {
            // Its schema, an audience that its type has no more, or a template.
            let reason = match first.code {
                FaultCode::Schema => "schema",
                FaultCode::TargetRequired => "target_required",
                _ => "template",
            };
            return Err((reason, told(&faults)));
        }
        let event = draft
            .seal(published(at), fresh_id, traceparent)
            .map_err(|large| ("too_large", large.to_string()))?;
        Ok(Append { tenant, request: 0, event, key, except: None })
    });
    sealed.map_err(|(reason, detail)| Parking { id, reason, detail })
}

/// A reason, and the same for people.
type Fault = (&'static str, String);

fn invalid(field: &str, why: impl Display) -> Fault {
    ("invalid", format!("{field}: {why}"))
}

/// Faults in a line, each with its place.
fn told(faults: &[event::Fault]) -> String {
    let told = faults.iter().map(|fault| match &fault.place {
        Place::Pointer(at) => format!("{at}: {}", fault.detail),
        _ => fault.detail.clone(),
    });
    let text = told.collect::<Vec<_>>().join("; ");
    text.chars().take(DETAIL_CHARS).collect()
}

fn draft(row: Outboxed) -> Result<Draft, Fault> {
    let named =
        |field: &'static str| move |fault: carillon_protocol::ident::InvalidName| invalid(field, fault);
    let channels = row.channels.iter().map(Channel::new).collect::<Result<Vec<_>, _>>();
    let priority = |text: String| {
        let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
        known.ok_or_else(|| invalid("priority", "is not known"))
    };
    let time = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(Moment::since_1970);
        since.ok_or_else(|| invalid("time", "must be from 1970 to 9999"))
    };
    let key = row.key.map(LatestKey::new).transpose().map_err(named("key"))?;
    let data = match row.data.as_deref() {
        Some("null") if key.is_some() => Some(Data::Null),
        Some(text) => Some(Data::Json(json::compact(text).map_err(|fault| invalid("data", fault))?)),
        None => None,
    };
    let notice = row.notify.as_deref().map(notify::read_alone);
    Ok(Draft {
        tenant: Some(TenantId::new(row.tenant).map_err(named("tenant"))?),
        id: row.event_id.map(EventId::new).transpose().map_err(named("id"))?,
        kind: row.kind,
        source: row.source,
        subject: row.subject,
        actor: row.actor.map(UserId::new).transpose().map_err(named("actor"))?,
        priority: row.priority.map(priority).transpose()?,
        key,
        notice: notice.transpose().map_err(|faults| ("invalid", told(&faults)))?,
        channels: channels.map_err(named("channels"))?,
        named: Default::default(),
        except: None,
        time: row.time.map(time).transpose()?,
        extras: Vec::new(),
        data,
    })
}

/// When it was published, to the millisecond, as over HTTP.
fn published(at: SystemTime) -> Timestamp {
    let at = Timestamp::try_from(at).unwrap_or_default();
    // The size was reckoned with what is cut off, not rounded.
    at.round(jiff::TimestampRound::new().smallest(Unit::Millisecond).mode(jiff::RoundMode::Trunc))
        .unwrap_or(at)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Duration;

    pub(in crate::outbox) fn row(id: i64, tenant: &str, event_id: Option<&str>) -> Outboxed {
        Outboxed {
            id,
            tenant: tenant.into(),
            at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_999),
            event_id: event_id.map(str::to_owned),
            kind: "order.paid".into(),
            source: "api".into(),
            subject: None,
            actor: None,
            priority: None,
            key: None,
            channels: vec!["order:1".into()],
            time: None,
            data: None,
            notify: None,
            traceparent: None,
            share: 10,
        }
    }

    fn fresh() -> EventId {
        EventId::new("fresh").unwrap()
    }

    fn appended(row: Outboxed) -> Result<Append, Parking> {
        append(row, &TypesOf::default(), &mut Work::default(), fresh)
    }

    #[test]
    fn a_row_becomes_the_event_that_http_would_have_made_of_it() {
        let full = Outboxed {
            subject: Some("o-1".into()),
            actor: Some("mila".into()),
            priority: Some("high".into()),
            key: Some("k".into()),
            time: Some(SystemTime::UNIX_EPOCH + Duration::from_micros(250_000)),
            data: Some("{\"a\": [1, \"x, y: z\"]}".into()),
            ..row(7, "acme", Some("e-1"))
        };
        let made = appended(full).unwrap();
        assert_eq!(
            made.event.body,
            r#"{"specversion":"1.0","id":"e-1","source":"api","type":"order.paid","time":"1970-01-01T00:00:00.25Z","subject":"o-1","actor":"mila","priority":"high","latestkey":"k","data":{"a":[1,"x, y: z"]}}"#
        );
        assert_eq!(made.key.map(|key| key.name).as_deref(), Some("i:e-1"));
        let least = appended(row(8, "acme", None)).unwrap();
        assert!(least.key.is_none() && least.event.body.contains("\"time\":\"1970-01-01T00:00:01.5Z\""));
        let gone = Outboxed { key: Some("k".into()), data: Some("null".into()), ..row(9, "acme", None) };
        assert!(appended(gone).unwrap().event.latest.is_some_and(|latest| latest.deletes));
    }

    #[test]
    fn what_was_written_past_the_function_is_parked_with_a_reason() {
        let reason = |row: Outboxed| appended(row).map(drop).map_err(|parking| (parking.id, parking.reason));
        assert_eq!(reason(row(3, "ACME", None)), Err((3, "invalid")));
        assert_eq!(
            reason(Outboxed { channels: vec!["a b".into()], ..row(4, "acme", None) }),
            Err((4, "invalid"))
        );
        let large = Outboxed { data: Some(format!("\"{}\"", "x".repeat(70_000))), ..row(5, "acme", None) };
        assert_eq!(reason(large), Err((5, "too_large")));
    }
    #[test]
    fn a_notice_of_a_row_is_that_of_its_event_and_one_without_a_type_to_fill_it_is_parked() {
        let notify = |json: &str| Outboxed { notify: Some(json.into()), ..row(6, "acme", None) };
        let made = appended(notify(r#"{"title": "T", "requires_ack": true}"#)).unwrap();
        assert!(
            made.event.body.contains(r#""notify":"{\"title\":\"T\",\"requires_ack\":true}""#),
            "{}",
            made.event.body
        );
        assert_eq!(made.event.notice.map(|notice| notice.title).as_deref(), Some("T"));
        let reason = |json: &str| appended(notify(json)).map(drop).map_err(|parking| parking.reason);
        assert_eq!(reason("{}"), Err("template"));
        assert_eq!(reason(r#"{"titel": "T"}"#), Err("invalid"));
        let nobodys = Outboxed { channels: Vec::new(), ..notify(r#"{"title": "T"}"#) };
        assert_eq!(appended(nobodys).map(drop).map_err(|parking| parking.reason), Err("target_required"));
    }
}
