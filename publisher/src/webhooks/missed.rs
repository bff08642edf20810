//! Whom does a message about people who did not take note still name? (pure)
//!
//! It is stored when a step of an escalation is due, and may be sent much later: an endpoint was away, or its turn was late. Whoever took
//! note meanwhile is left out of what is sent; the log keeps what was so when it was stored.

use carillon_backplane::log::LoggedEvent;
use carillon_protocol::Seq;
use carillon_protocol::escalation::{CHANNEL, UNACKNOWLEDGED};
use carillon_protocol::event::event_type;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// What a message says about people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missed {
    /// The id of the notice's event, and its number.
    pub(super) notice: (String, Seq),
    /// Who is named.
    pub(super) people: Vec<String>,
}

#[derive(Deserialize)]
struct Event {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    notice: Notice,
    people: Vec<Person>,
}

#[derive(Deserialize)]
struct Notice {
    id: String,
    seq: u64,
}

#[derive(Deserialize)]
struct Person {
    user: String,
}

impl Missed {
    /// Of an event that tells of an escalation; of any other nothing.
    pub(super) fn of(event: &LoggedEvent) -> Option<Self> {
        let is_one = event.channels.iter().any(|channel| channel.as_str() == CHANNEL)
            && event_type(event.body.as_bytes()).is_some_and(|kind| kind == UNACKNOWLEDGED);
        let Event { data } = is_one.then(|| serde_json::from_str(&event.body).ok())??;
        let people = data.people.into_iter().map(|person| person.user).collect();
        Some(Self { notice: (data.notice.id, Seq(data.notice.seq)), people })
    }
}

/// The body of a message without these people; none: it names nobody then. One that cannot be read is left as it is.
pub(super) fn without(body: Vec<u8>, acked: &[String]) -> Option<Vec<u8>> {
    if acked.is_empty() {
        return Some(body);
    }
    let Some((left, written)) = rewritten(&body, acked) else { return Some(body) };
    (left > 0).then_some(written)
}

/// How many are left, and the body that names them.
fn rewritten(body: &[u8], acked: &[String]) -> Option<(usize, Vec<u8>)> {
    let acked: HashSet<&str> = acked.iter().map(String::as_str).collect();
    let mut members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    let mut data: Value = serde_json::from_str(members.get("data")?.get()).ok()?;
    let people = data.get_mut("people")?.as_array_mut()?;
    people.retain(|person| !person["user"].as_str().is_some_and(|user| acked.contains(user)));
    let left = people.len();
    let data = serde_json::value::to_raw_value(&data).ok()?;
    members.insert("data".into(), &data);
    Some((left, serde_json::to_vec(&members).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::Channel;
    use serde_json::json;

    fn event(channel: &str, kind: &str) -> LoggedEvent {
        let people = [json!({"user": "ada", "seen": true}), json!({"user": "ben", "seen": false})];
        let data = json!({"notice": {"id": "n-1", "seq": 41}, "step": 1, "people": people});
        let body = json!({"seq": 1_234_567_890_123_456_789_u64, "type": kind, "data": data}).to_string();
        LoggedEvent { seq: Seq(7), channels: vec![Channel::new(channel).unwrap()], body }
    }

    #[test]
    fn only_what_tells_of_an_escalation_names_people() {
        let missed = Missed::of(&event(CHANNEL, UNACKNOWLEDGED)).unwrap();
        assert_eq!(missed.notice, ("n-1".to_owned(), Seq(41)));
        assert_eq!(missed.people, ["ada", "ben"]);
        assert_eq!(Missed::of(&event("order:7", UNACKNOWLEDGED)), None);
        assert_eq!(Missed::of(&event(CHANNEL, "order.paid")), None);
    }

    #[test]
    fn who_took_note_is_left_out_and_without_anybody_nothing_is_sent() {
        let body = event(CHANNEL, UNACKNOWLEDGED).body.into_bytes();
        assert_eq!(without(body.clone(), &[]), Some(body.clone()), "byte for byte");
        let left = without(body.clone(), &["ada".to_owned(), "zoe".to_owned()]).unwrap();
        let left: Value = serde_json::from_slice(&left).unwrap();
        assert_eq!(left["data"]["people"], json!([{"user": "ben", "seen": false}]));
        assert_eq!((&left["data"]["step"], &left["seq"]), (&json!(1), &json!(1_234_567_890_123_456_789_u64)));
        assert_eq!(without(body, &["ada".to_owned(), "ben".to_owned()]), None);
        assert_eq!(without(b"no json".to_vec(), &["ada".to_owned()]), Some(b"no json".to_vec()));
    }
}
