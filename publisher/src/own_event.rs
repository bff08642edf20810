//! What does an event look like that Carillon itself puts into a tenant's log? (pure)

use carillon_protocol::event::{NewEvent, Priority};
use carillon_protocol::{Channel, EventId};
use jiff::Timestamp;
use serde::Serialize;

const SOURCE: &str = "carillon";

#[derive(Serialize)]
struct Body<'a, Data> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'static str,
    time: &'a str,
    subject: &'a str,
    priority: &'static str,
    data: Data,
}

/// An event of this type in one channel, about `subject`. None if the channel or the id cannot be one.
pub(crate) fn own_event(
    (kind, channel): (&'static str, &str),
    (id, now): (&str, Timestamp),
    subject: &str,
    priority: Priority,
    data: impl Serialize,
) -> Option<NewEvent> {
    let time = format!("{now:.3}");
    let body = Body {
        specversion: "1.0",
        id,
        source: SOURCE,
        r#type: kind,
        time: &time,
        subject,
        priority: priority.as_str(),
        data,
    };
    Some(NewEvent {
        id: EventId::new(id).ok()?,
        kind: kind.to_owned(),
        source: SOURCE.to_owned(),
        subject: Some(subject.to_owned()),
        actor: None,
        priority: Some(priority),
        channels: vec![Channel::new(channel).ok()?],
        body: serde_json::to_string(&body).ok()?,
        time,
        traceparent: None,
        latest: None,
        notice: None,
    })
}
