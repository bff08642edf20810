//! Who of these people is named, for whom is it quiet, and what does the event say? (pure)

use crate::own_event::own_event;
use crate::preferences::{Document, Settings, Way};
use crate::types::Definition;
use carillon_backplane::log::{Escalating, EscalationPlan, Missing};
use carillon_protocol::escalation::{CHANNEL, UNACKNOWLEDGED, after_text};
use carillon_protocol::event::{NewEvent, Priority};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

#[derive(Serialize)]
struct Data<'a> {
    notice: Notice<'a>,
    step: i16,
    after: String,
    to: String,
    who: &'a str,
    people: Vec<Person<'a>>,
    more: bool,
}

#[derive(Serialize)]
struct Notice<'a> {
    id: &'a str,
    seq: u64,
    r#type: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    priority: &'static str,
    time: String,
}

#[derive(Serialize)]
struct Person<'a> {
    user: &'a str,
    delivered: bool,
    seen: bool,
    read: bool,
}

/// What is done about the people of a page: who has switched such words off is left out, who has it quiet is looked at again when that
/// ends, unless the notice is critical.
pub(super) fn plan(known: &Escalating, now: Timestamp) -> EscalationPlan {
    let named = Priority::ALL.into_iter().find(|priority| priority.as_str() == known.priority);
    let priority = named.unwrap_or(Priority::Normal);
    let says: Option<Definition> =
        known.definition.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let tenant = Document::stored(known.defaults.as_deref());
    let mut plan = EscalationPlan::default();
    let mut people = Vec::new();
    for person in &known.people {
        let document = Document::stored(person.preferences.as_deref());
        let settings = Settings { person: document, tenant: tenant.clone() };
        let quiet = settings.quiet(now);
        let verdict = settings.verdict(Way::Webhooks, &known.kind, says.as_ref(), priority, quiet);
        match (verdict.on, verdict.held) {
            (false, _) => {}
            (true, true) => plan.held.push((person.user.clone(), quiet.until)),
            (true, false) => people.push(person),
        }
    }
    let told = people.len() as u64;
    if told > 0 {
        let id = Uuid::now_v7().to_string();
        plan.event = event(known, people, priority, (&id, now)).map(|event| (event, told));
    }
    plan
}

/// The event; nothing of it can be missing.
fn event(
    known: &Escalating,
    people: Vec<&Missing>,
    priority: Priority,
    at: (&str, Timestamp),
) -> Option<NewEvent> {
    let people = people.into_iter().map(|it| Person {
        user: &it.user,
        delivered: it.delivered,
        seen: it.seen,
        read: it.read,
    });
    let data = Data {
        notice: Notice {
            id: &known.id,
            seq: known.seq.0,
            r#type: &known.kind,
            title: &known.title,
            action: known.action.as_deref(),
            group: known.group.as_deref(),
            priority: priority.as_str(),
            time: known.time.to_string(),
        },
        step: known.step,
        after: after_text(known.after),
        to: format!("webhook:{}", known.webhook),
        who: &known.who,
        people: people.collect(),
        more: known.more,
    };
    own_event((UNACKNOWLEDGED, CHANNEL), at, &known.id, priority, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A Monday night in Berlin.
    const NIGHT: &str = "2026-06-01T20:30:00Z";

    fn known(people: &[(&str, Value)]) -> Escalating {
        let person = |(user, preferences): &(&str, Value)| Missing {
            user: (*user).to_owned(),
            read: false,
            seen: true,
            delivered: true,
            preferences: (!preferences.is_null()).then(|| preferences.to_string()),
        };
        Escalating {
            id: "n-1".to_owned(),
            seq: carillon_protocol::Seq(7),
            kind: "shift.moved".to_owned(),
            priority: "high".to_owned(),
            title: "Shift moved".to_owned(),
            group: None,
            action: Some("/shifts/7".to_owned()),
            time: Timestamp::UNIX_EPOCH,
            step: 2,
            after: 300,
            webhook: "push".to_owned(),
            who: "not_acked".to_owned(),
            more: false,
            defaults: None,
            definition: None,
            people: people.iter().map(person).collect(),
        }
    }

    fn night() -> Value {
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        json!({"quiet_hours": {"zone": "Europe/Berlin", "ranges": [{"days": days, "from": "22:00", "to": "07:00"}]}})
    }

    fn named(plan: &EscalationPlan) -> Vec<String> {
        let Some((event, told)) = &plan.event else { return Vec::new() };
        let body: Value = serde_json::from_str(&event.body).unwrap();
        let people = body["data"]["people"].as_array().unwrap();
        assert_eq!(people.len() as u64, *told);
        people.iter().map(|person| person["user"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn who_has_it_quiet_is_held_until_that_ends_and_who_wants_no_word_is_left_out() {
        let off = json!({"types": {"shift.*": {"webhooks": false}}});
        let page = known(&[("ada", Value::Null), ("ben", night()), ("cem", off)]);
        let now: Timestamp = NIGHT.parse().unwrap();
        let plan = plan(&page, now);
        assert_eq!(named(&plan), ["ada"]);
        let end = "2026-06-02T05:00:00Z".parse().unwrap();
        assert_eq!(plan.held, [("ben".to_owned(), Some(end))]);
        assert_eq!(named(&super::plan(&page, end)), ["ada", "ben"]);
    }

    #[test]
    fn what_is_critical_wakes_people_and_what_is_mandatory_is_kept_from_nobody() {
        let now: Timestamp = NIGHT.parse().unwrap();
        let critical = Escalating { priority: "critical".to_owned(), ..known(&[("ben", night())]) };
        assert_eq!(named(&plan(&critical, now)), ["ben"]);
        let off = json!({"types": {"*": {"webhooks": false}}});
        let must = Escalating {
            definition: Some(r#"{"mandatory":true}"#.to_owned()),
            ..known(&[("cem", off.clone())])
        };
        assert_eq!(named(&plan(&must, now)), ["cem"]);
        let defaults = Escalating { defaults: Some(off.to_string()), ..known(&[("ada", Value::Null)]) };
        let nobody = plan(&defaults, now);
        assert!(nobody.event.is_none() && nobody.held.is_empty(), "the tenant says so");
    }

    #[test]
    fn the_event_says_what_was_missed_and_by_whom() {
        let page = known(&[("ada", Value::Null)]);
        let (event, _) = plan(&page, NIGHT.parse().unwrap()).event.unwrap();
        let body: Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!((&body["type"], &body["subject"]), (&json!("notice.unacknowledged"), &json!("n-1")));
        let expected = json!({
            "notice": {"id": "n-1", "seq": 7, "type": "shift.moved", "title": "Shift moved", "action": "/shifts/7",
                "priority": "high", "time": "1970-01-01T00:00:00Z"},
            "step": 2, "after": "5m", "to": "webhook:push", "who": "not_acked",
            "people": [{"user": "ada", "delivered": true, "seen": true, "read": false}], "more": false,
        });
        assert_eq!(body["data"], expected);
        assert_eq!(event.channels[0].as_str(), "role:escalations");
    }

    #[test]
    fn a_page_of_the_longest_names_is_an_event_of_at_most_sixty_four_kilobytes() {
        let name = "\"".repeat(128);
        let people: Vec<_> = (0..carillon_backplane::log::ESCALATED).map(|_| (&*name, Value::Null)).collect();
        let long = |count| Some("\u{10d}".repeat(count));
        let title = long(carillon_protocol::notice::TITLE_CHARS).unwrap();
        let page = Escalating { title, action: long(1_024), group: long(64), ..known(&people) };
        let (event, _) = plan(&page, NIGHT.parse().unwrap()).event.unwrap();
        assert!(event.body.len() < carillon_protocol::limits::EVENT_BYTES, "{}", event.body.len());
    }
}
