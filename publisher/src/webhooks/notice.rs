//! How does a tenant hear that one of its webhooks was disabled?
//!
//! By an event in its own log, so that pages, back ends and its other webhooks can have it. It is stored after the webhook was
//! disabled: whoever dies in between has written it into the service's log alone.

use crate::own_event::own_event;
use carillon_backplane::log::{Append, Log, LogError};
use carillon_protocol::TenantId;
use carillon_protocol::event::{NewEvent, Priority};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// Where it goes.
const CHANNEL: &str = "carillon:webhooks";
const KIND: &str = "carillon.webhook.disabled";
#[derive(Serialize)]
struct Data<'a> {
    webhook: &'a str,
    reason: &'a str,
}

/// Appends the event.
pub(super) async fn disabled(
    log: &Log,
    tenant: &TenantId,
    webhook: &str,
    reason: &str,
) -> Result<(), LogError> {
    let Some(event) = event(webhook, reason, &Uuid::now_v7().to_string(), Timestamp::now()) else {
        return Ok(());
    };
    let append = Append { tenant: tenant.clone(), request: 0, event, key: None, except: None };
    log.append(&[append]).await.map(drop)
}

/// The event; nothing of it can be missing.
fn event(webhook: &str, reason: &str, id: &str, now: Timestamp) -> Option<NewEvent> {
    own_event((KIND, CHANNEL), (id, now), webhook, Priority::High, Data { webhook, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_event_like_any_other() {
        let event = event("main", "gone", "e-1", Timestamp::UNIX_EPOCH).unwrap();
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(body["type"], event.kind);
        assert_eq!(body["time"], event.time);
        assert_eq!(body["data"], serde_json::json!({"webhook": "main", "reason": "gone"}));
    }
}
