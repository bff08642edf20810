//! What do clients read about who is in a channel?
//!
//! Encoded once for all who get it. No frame is larger than clients' libraries take: long lists come in parts.

use super::roster::{Present, Told, Update, member};
use crate::shard::Wire;
use crate::socketio::namespaces::Forms;
use crate::socketio::outgoing;
use crate::stream::entry::{Message, Named};
use crate::ws::encode::{payload, text_frame};
use bytes::Bytes;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, TenantId, UserId};
use serde_json::value::RawValue;
use std::sync::OnceLock;

/// Bytes of people in one frame; the largest frame has half as many again.
const PART: usize = 64 * 1024;
/// Names of those who left beside whom others are told of.
const FEW: usize = 40;

/// A frame in the forms it is read in.
#[derive(Debug)]
pub(crate) struct PresenceFrame {
    message: Bytes,
    /// Made when the first reader of an event stream gets it.
    event_stream: OnceLock<Box<Message>>,
    named: OnceLock<Box<Named>>,
    socket_io: OnceLock<Box<Forms<1>>>,
}

impl PresenceFrame {
    fn new(frame: &ServerFrame<'_>) -> Self {
        Self {
            message: text_frame(&[&frame.to_json()]),
            event_stream: OnceLock::new(),
            named: OnceLock::new(),
            socket_io: OnceLock::new(),
        }
    }

    /// As a client of this kind reads it; those in several tenants have this one named. An answer that comes once has nobody who watches.
    pub(crate) fn form(&self, wire: Wire, tenant: Option<&TenantId>) -> Option<&Bytes> {
        match (wire, tenant) {
            (Wire::WebSocket(_), None) => Some(&self.message),
            (Wire::WebSocket(_), Some(tenant)) => {
                let named = || Box::new(Named::new(payload(&self.message), tenant));
                Some(self.named.get_or_init(named).frame())
            }
            (Wire::SocketIo(form), _) => {
                // It comes under one name, whatever names events have.
                let make = || outgoing::passed(form, payload(&self.message));
                self.socket_io.get_or_init(Box::default).get(form.namespace, 0, make, |_| {})
            }
            (Wire::EventStream { chunked }, _) => {
                let of_json = || Box::new(Message::new(b"data: ", payload(&self.message)));
                Some(self.event_stream.get_or_init(of_json).form(chunked))
            }
            (Wire::Poll { .. } | Wire::Command, _) => None,
        }
    }
}

fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

/// People as one JSON list.
fn list<'a>(people: impl Iterator<Item = &'a str>) -> String {
    let mut json = String::from("[");
    for (at, somebody) in people.enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(somebody);
    }
    json.push(']');
    json
}

/// How many of some people fit into so many bytes.
fn fitting(people: &[Box<str>], bytes: usize) -> usize {
    let mut left = bytes;
    people
        .iter()
        .take_while(|somebody| {
            let fits = somebody.len() < left;
            left = left.saturating_sub(somebody.len() + 1);
            fits
        })
        .count()
}

/// What an answer has about channels, and from where on which of their people did not fit.
pub(crate) fn presence_json(
    told: &[(Channel, Told)],
    stale: bool,
) -> (String, Vec<(&Channel, &Told, usize)>) {
    let (mut left, mut rest, mut json) = (PART / 2, Vec::new(), String::from("{"));
    for (at, (channel, told)) in told.iter().enumerate() {
        let count = fitting(&told.members, left);
        let members = list(told.members.iter().take(count).map(AsRef::as_ref));
        left = left.saturating_sub(members.len());
        if count < told.members.len() {
            rest.push((channel, told, count));
        }
        if at > 0 {
            json.push(',');
        }
        let name = serde_json::to_string(channel).unwrap_or_default();
        let stale = if stale { ",\"stale\":true" } else { "" };
        json.push_str(&format!("{name}:{{\"count\":{},\"members\":{members}{stale}}}", told.count));
    }
    json.push('}');
    (json, rest)
}

/// The people of a channel from a place on, as those who joined.
pub(crate) fn rest_frames(channel: &Channel, told: &Told, from: usize) -> Vec<PresenceFrame> {
    let (mut frames, mut rest) = (Vec::new(), told.members.get(from..).unwrap_or_default());
    while !rest.is_empty() {
        let (part, after) = rest.split_at(fitting(rest, PART).max(1));
        let joined = list(part.iter().map(AsRef::as_ref));
        frames.push(PresenceFrame::new(&ServerFrame::Presence {
            channel,
            count: told.count,
            sync: None,
            members: None,
            joined: raw(&joined),
            left: Some(&[]),
            updated: raw("[]"),
        }));
        rest = after;
    }
    frames
}

/// All that is known of a channel, for who missed something.
pub(crate) fn sync_frames(channel: &Channel, told: &Told) -> Vec<PresenceFrame> {
    let count = fitting(&told.members, PART);
    let members = list(told.members.iter().take(count).map(AsRef::as_ref));
    let first = PresenceFrame::new(&ServerFrame::Presence {
        channel,
        count: told.count,
        sync: Some(true),
        members: raw(&members),
        joined: None,
        left: None,
        updated: None,
    });
    std::iter::once(first).chain(rest_frames(channel, told, count)).collect()
}

/// What has changed in a channel. Of a crowd whose list is the same only the count is told.
pub(crate) fn update_frames(channel: &Channel, update: &Update) -> Vec<PresenceFrame> {
    let Update { count, joined, left, updated, is_crowd } = update;
    if *is_crowd && joined.is_empty() && left.is_empty() && updated.is_empty() {
        let frame = ServerFrame::Presence {
            channel,
            count: *count,
            sync: None,
            members: None,
            joined: None,
            left: None,
            updated: None,
        };
        return vec![PresenceFrame::new(&frame)];
    }
    let people = |list: &[(UserId, Present)]| -> Vec<Box<str>> {
        list.iter().map(|(user, present)| member(user, present)).collect()
    };
    let (joined, updated) = (people(joined), people(updated));
    let (mut joined, mut updated, mut left, mut frames) = (&joined[..], &updated[..], &left[..], Vec::new());
    loop {
        // Names alone may fill half a frame.
        let bytes = if left.len() > FEW { 0 } else { PART / 2 };
        let (joins, more) = joined.split_at(fitting(joined, bytes));
        let (updates, others) = updated.split_at(fitting(updated, bytes));
        let (joins_json, updates_json) =
            (list(joins.iter().map(AsRef::as_ref)), list(updates.iter().map(AsRef::as_ref)));
        frames.push(PresenceFrame::new(&ServerFrame::Presence {
            channel,
            count: *count,
            sync: None,
            members: None,
            joined: raw(&joins_json),
            left: Some(left),
            updated: raw(&updates_json),
        }));
        (joined, updated, left) = (more, others, &[]);
        if joined.is_empty() && updated.is_empty() {
            return frames;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::limits::SERVER_FRAME_BYTES;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn somebody(n: usize, meta: usize) -> (UserId, Present) {
        let meta = format!("\"{}\"", "m".repeat(meta.saturating_sub(2)));
        (UserId::new(format!("user-{n}")).unwrap(), Present { since_ms: n as u64, meta: Some(meta.into()) })
    }

    fn json(frame: &PresenceFrame) -> Value {
        let payload = crate::ws::encode::payload(&frame.message);
        assert!(payload.len() <= SERVER_FRAME_BYTES, "{}", payload.len());
        serde_json::from_slice(payload).unwrap()
    }

    fn users(list: &Value) -> Vec<String> {
        let name = |somebody: &Value| somebody["user"].as_str().unwrap().to_owned();
        list.as_array().map_or(Vec::new(), |list| list.iter().map(name).collect())
    }

    #[test]
    fn long_lists_come_in_parts_and_every_one_comes_once() {
        let channel = Channel::new("branch:1").unwrap();
        let people: Vec<(UserId, Present)> = (0..200).map(|n| somebody(n, 1_024)).collect();
        let members: Vec<Box<str>> = people.iter().map(|(user, present)| member(user, present)).collect();
        let told = Told { count: 300, members: members.into() };
        let frames: Vec<Value> = sync_frames(&channel, &told).iter().map(json).collect();
        assert!(frames.len() > 2);
        assert_eq!((&frames[0]["sync"], &frames[0]["count"]), (&true.into(), &300.into()));
        let all: Vec<String> = frames
            .iter()
            .flat_map(|frame| [users(&frame["members"]), users(&frame["joined"])].concat())
            .collect();
        assert_eq!(all.len(), 200);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 200);

        let left: Vec<UserId> = (0..200).map(|n| UserId::new(format!("{n:0128}")).unwrap()).collect();
        let update = Update { count: 300, joined: people.clone(), left, updated: people, is_crowd: true };
        let frames: Vec<Value> = update_frames(&channel, &update).iter().map(json).collect();
        let of = |field: &str| frames.iter().flat_map(|frame| users(&frame[field])).collect::<Vec<_>>();
        assert_eq!((of("joined").len(), of("updated").len()), (200, 200));
        let left: usize = frames.iter().map(|frame| frame["left"].as_array().unwrap().len()).sum();
        assert_eq!(left, 200);

        let all = [(channel.clone(), told.clone()), (Channel::new("branch:2").unwrap(), told)];
        let (json_of_all, rest) = presence_json(&all, true);
        let answer: Value = serde_json::from_str(&json_of_all).unwrap();
        assert!(json_of_all.len() < PART);
        assert_eq!((&answer["branch:2"]["count"], &answer["branch:2"]["stale"]), (&300.into(), &true.into()));
        let told_later: usize = rest
            .iter()
            .flat_map(|(channel, told, from)| rest_frames(channel, told, *from))
            .map(|frame| users(&json(&frame)["joined"]).len())
            .sum();
        let told_now =
            users(&answer["branch:1"]["members"]).len() + users(&answer["branch:2"]["members"]).len();
        assert_eq!(told_now + told_later, 400);
    }

    #[test]
    fn of_a_crowd_whose_list_is_the_same_only_the_count_is_told() {
        let channel = Channel::new("branch:1").unwrap();
        let update = Update { count: 300, joined: vec![], left: vec![], updated: vec![], is_crowd: true };
        let frames: Vec<Value> = update_frames(&channel, &update).iter().map(json).collect();
        assert_eq!(frames, [serde_json::json!({"type": "presence", "channel": "branch:1", "count": 300})]);
        let few = Update { count: 1, joined: vec![somebody(7, 4)], is_crowd: false, ..update };
        let frames: Vec<Value> = update_frames(&channel, &few).iter().map(json).collect();
        let joined = serde_json::json!([{"user": "user-7", "since": 7, "meta": "mm"}]);
        let wanted = serde_json::json!(
            {"type": "presence", "channel": "branch:1", "count": 1, "joined": joined, "left": [], "updated": []}
        );
        assert_eq!(frames, [wanted]);
    }
}
