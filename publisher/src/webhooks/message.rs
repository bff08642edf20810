//! What is sent of an event, and under which name? (pure)
//!
//! The CloudEvents object as the log has it, with where it stands: `tenant`, `epoch`, `seq`, and `sequence`, the same number as a text.
//! JavaScript rounds numbers above 2^53, and CloudEvents knows integers of 32 bits only.

use carillon_protocol::{Epoch, Seq, TenantId};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Members that say where an event stands; a publisher's own of these names are left out.
const PLACE: [&str; 4] = ["tenant", "epoch", "seq", "sequence"];

/// The name of the message (`webhook-id`): the same whenever this event is sent, to whichever endpoint.
pub(super) fn id(tenant: &TenantId, epoch: &Epoch, seq: Seq) -> String {
    format!("{tenant}_{epoch}_{seq}")
}

/// The body of the message.
pub(super) fn body(event: &str, tenant: &TenantId, epoch: &Epoch, seq: Seq) -> Vec<u8> {
    let place = format!(r#""tenant":"{tenant}","epoch":"{epoch}","seq":{seq},"sequence":"{seq}""#);
    let own = if PLACE.iter().any(|name| event.contains(&format!("\"{name}\""))) {
        Cow::Owned(without_place(event))
    } else {
        Cow::Borrowed(event)
    };
    match own.trim_start().strip_prefix('{').map(str::trim_start) {
        Some("}") | None => format!("{{{place}}}"),
        Some(members) => format!("{{{place},{members}"),
    }
    .into_bytes()
}

fn without_place(event: &str) -> String {
    let Ok(mut members) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(event) else {
        return event.to_owned();
    };
    for name in PLACE {
        members.remove(name);
    }
    serde_json::to_string(&members).unwrap_or_else(|_| event.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sent(event: &str, seq: u64) -> (String, Value) {
        let body = body(event, &TenantId::new("acme").unwrap(), &Epoch::new("e1").unwrap(), Seq(seq));
        let text = String::from_utf8(body).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn an_event_is_sent_as_it_is_stored_with_where_it_stands() {
        let stored =
            r#"{"specversion":"1.0","id":"1","type":"order.paid","data":{"n":12345678901234567890}}"#;
        let (text, value) = sent(stored, 9_007_199_254_740_993);
        assert!(text.ends_with(&stored[1..]), "byte for byte: {text}");
        assert_eq!(value["tenant"], "acme");
        assert_eq!(value["epoch"], "e1");
        assert_eq!(
            (&value["seq"], &value["sequence"]),
            (&json!(9_007_199_254_740_993u64), &json!("9007199254740993"))
        );
    }

    #[test]
    fn no_member_is_there_twice_whatever_a_publisher_called_its_own() {
        let stored =
            r#"{"id":"1","type":"a","seq":5,"tenant":"other","sequence":"x","data":{"seq":1,"epoch":2}}"#;
        let (text, value) = sent(stored, 7);
        assert_eq!(text.matches("\"tenant\"").count(), 1);
        assert_eq!(
            (&value["seq"], &value["tenant"], &value["sequence"]),
            (&json!(7), &json!("acme"), &json!("7"))
        );
        assert_eq!(value["data"], json!({"seq": 1, "epoch": 2}));
        assert_eq!(sent("{}", 1).1["seq"], 1);
    }

    #[test]
    fn a_message_has_one_name_without_dots() {
        let id = id(&TenantId::new("acme").unwrap(), &Epoch::new("e1").unwrap(), Seq(7));
        assert_eq!(id, "acme_e1_7");
    }
}
