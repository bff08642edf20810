//! Which frame of the contract is it that a client of Socket.IO emits?
//!
//! The names of the contract's frames and those that rooms have had in applications. What is in the frame decides the contract's own
//! reader, so that both doors refuse the same.

use super::namespaces::Namespace;
use super::outgoing::Members;
use carillon_protocol::Cursor;
use carillon_protocol::client::{ClientFrame, Request};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How many events a `history` without a number asks for.
const HISTORY: u64 = 50;

/// An event that is none of the contract's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFault {
    /// The code of the error.
    pub code: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// The text of the frame that an event with these arguments stands for, to be answered under `id`.
///
/// # Errors
/// If it stands for none.
pub fn frame(name: &str, arguments: &[&RawValue], id: Option<u64>) -> Result<String, EventFault> {
    let missing = |what: &str| EventFault {
        code: "invalid_frame",
        message: format!("{name} needs {what} as its first argument"),
    };
    let [first, second] =
        [arguments.first(), arguments.get(1)].map(|it| it.copied().filter(|it| !is_null(it)));
    let mut frame = FrameText::new(id);
    match name {
        "subscribe" | "join" | "unsubscribe" | "leave" | "history" => {
            let first = first.ok_or_else(|| missing("a channel, a list of channels or an object"))?;
            frame.kind(if matches!(name, "unsubscribe" | "leave") { "unsubscribe" } else { "subscribe" });
            frame.rooms(first, "channel");
            match (name, second) {
                ("history", Some(count)) if is_number(count) => frame.raw("history", count.get()),
                (_, Some(options)) => frame.members(options),
                _ => {}
            }
            if name == "history" && !frame.has(&["history", "since", "latest"]) {
                frame.raw("history", &HISTORY.to_string());
            }
        }
        "publish" => {
            let first = first.ok_or_else(|| missing("a channel, or an object with channel and event"))?;
            frame.kind("publish");
            frame.rooms(first, "channel");
            match (second, arguments.get(2)) {
                // A name and its data.
                (Some(kind), data) if is_text(kind) => {
                    frame.raw("event", &event(kind.get(), data.map_or("null", |data| data.get())));
                }
                (Some(event), options) => {
                    frame.raw("event", event.get());
                    options.into_iter().for_each(|options| frame.members(options));
                }
                _ => {}
            }
        }
        "typing_start" | "typing_stop" | "typing" | "presence" => {
            let first = first.ok_or_else(|| missing("a channel or an object"))?;
            frame.kind(name);
            frame.rooms(first, "channel");
            second.into_iter().for_each(|options| frame.members(options));
        }
        "ack" => {
            let first = first.ok_or_else(|| missing("the seq or the cursor of an event"))?;
            frame.kind("ack");
            let cursor = text(first).and_then(|text| text.parse::<Cursor>().ok());
            match cursor {
                Some(Cursor { seq, epoch }) => {
                    frame.raw("seq", &seq.to_string());
                    frame.raw("epoch", &format!("\"{epoch}\""));
                }
                None if is_object(first) => frame.members(first),
                None => frame.raw("seq", first.get()),
            }
        }
        "auth" => {
            frame.kind("auth");
            frame.rooms(first.ok_or_else(|| missing("a token"))?, "token");
        }
        "activity" => {
            frame.kind("activity");
            frame.rooms(first.ok_or_else(|| missing("a name or an object"))?, "name");
            second.into_iter().for_each(|data| frame.raw("data", data.get()));
        }
        "ping" => {
            frame.kind("ping");
            first.into_iter().for_each(|data| frame.raw("data", data.get()));
        }
        other => {
            let (channel, data) = addressed(first, second).ok_or_else(|| EventFault {
                code: "unknown_type",
                message: format!(
                    "{}: neither one of subscribe, join, unsubscribe, leave, publish, typing_start, typing_stop, ack, history, \
                     presence, activity, auth, ping, nor to be published: the first argument names no channel or room",
                    other.chars().take(64).collect::<String>()
                ),
            })?;
            frame.kind("publish");
            frame.raw("channel", channel);
            let kind = serde_json::to_string(other).unwrap_or_default();
            frame.raw("event", &event(&kind, data));
        }
    }
    Ok(frame.finish())
}

/// The same frame, whose channels were the names of rooms in a namespace.
///
/// # Errors
/// The fault in words, where a channel's name would be too long, or reserved.
pub fn in_namespace(mut frame: ClientFrame, namespace: Namespace) -> Result<ClientFrame, String> {
    if namespace == Namespace::MAIN {
        return Ok(frame);
    }
    let channels = match &mut frame.request {
        Request::Subscribe { channels, .. } | Request::Unsubscribe { channels } => {
            channels.iter_mut().collect()
        }
        Request::Presence { channel: Some(channel), .. } | Request::Typing { channel, .. } => vec![channel],
        Request::Publish(publish) => vec![&mut publish.channel],
        _ => Vec::new(),
    };
    for channel in channels {
        *channel = namespace.channel(channel.clone()).map_err(|_| {
            format!(
                "room {channel}: its channel's name would be too long, or reserved, in {}",
                namespace.name()
            )
        })?;
    }
    Ok(frame)
}

/// The channel of an event with a name of the application's own, and its data: `{room, …}`, or a channel and what follows it.
fn addressed<'a>(first: Option<&'a RawValue>, second: Option<&'a RawValue>) -> Option<(&'a str, &'a str)> {
    let first = first?;
    if is_text(first) {
        return Some((first.get(), second?.get()));
    }
    let Members(members) = serde_json::from_str(first.get()).ok()?;
    let room =
        members.iter().find(|(name, value)| matches!(name.as_str(), "channel" | "room") && is_text(value));
    room.map(|(_, room)| (room.get(), first.get()))
}

/// An event of a `publish`, of JSON.
fn event(kind: &str, data: &str) -> String {
    format!("{{\"type\":{kind},\"data\":{data}}}")
}

/// A frame that is being written; a member that is there already is not written again.
struct FrameText {
    json: String,
    names: Vec<Cow<'static, str>>,
}

impl FrameText {
    fn new(id: Option<u64>) -> Self {
        let json = id.map_or_else(|| "{".to_owned(), |id| format!("{{\"id\":{id}"));
        Self { json, names: vec!["id".into(), "type".into()] }
    }

    fn kind(&mut self, kind: &str) {
        self.write("type", &format!("\"{kind}\""));
    }

    fn raw(&mut self, name: &'static str, json: &str) {
        if !self.has(&[name]) {
            self.names.push(name.into());
            self.write(name, json);
        }
    }

    /// The first argument: a text, a list of channels, or an object with members of the frame.
    fn rooms(&mut self, first: &RawValue, name: &'static str) {
        match first.get().as_bytes().first() {
            Some(b'{') => self.members(first),
            Some(b'[') => self.raw("channels", first.get()),
            _ => self.raw(name, first.get()),
        }
    }

    /// The members of an object; nothing of what is none.
    fn members(&mut self, object: &RawValue) {
        let Members(members) = serde_json::from_str(object.get()).unwrap_or_default();
        for (name, value) in members {
            if !self.has(&[&name]) {
                self.write(&name, value.get());
                self.names.push(name.into());
            }
        }
    }

    fn has(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(&name.as_ref()))
    }

    fn write(&mut self, name: &str, json: &str) {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        self.json.push_str(&serde_json::to_string(name).unwrap_or_default());
        self.json.push(':');
        self.json.push_str(json);
    }

    fn finish(mut self) -> String {
        self.json.push('}');
        self.json
    }
}

fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

fn is_number(value: &RawValue) -> bool {
    value.get().starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::packet::Packet;
    use carillon_protocol::client::{ClientFrame, History, Request, parse};
    use carillon_protocol::{Channel, Typing};
    use proptest::prelude::*;

    fn emitted(packet: &str) -> Result<String, EventFault> {
        let packet = Packet::parse(packet).unwrap();
        let (name, arguments) = packet.event().unwrap();
        frame(&name, &arguments, packet.id)
    }

    fn read(packet: &str) -> ClientFrame {
        parse(&emitted(packet).unwrap()).unwrap()
    }

    #[test]
    fn rooms_are_joined_and_left_as_applications_do_it() {
        let channels = |packet: &str| match read(packet).request {
            Request::Subscribe { channels, .. } | Request::Unsubscribe { channels } => channels,
            other => panic!("{other:?}"),
        };
        let named = |names: &[&str]| -> Vec<Channel> {
            names.iter().map(|name| Channel::new(name).unwrap()).collect()
        };
        for packet in [
            r#"27["join","order:7"]"#,
            r#"27["join",["order:7"]]"#,
            r#"27["subscribe",{"channel":"order:7"}]"#,
            r#"27["join",{"room":"order:7"}]"#,
            r#"27["leave","order:7"]"#,
            r#"27["unsubscribe",{"rooms":["order:7"]}]"#,
            r#"27["join","order:7",null]"#,
        ] {
            assert_eq!(channels(packet), named(&["order:7"]), "{packet}");
            assert_eq!(read(packet).id.as_deref(), Some("7"));
        }
        assert_eq!(channels(r#"2["join",["a","b"]]"#), named(&["a", "b"]));
        assert_eq!(read(r#"2["join","a"]"#).id, None);
        let history = |packet: &str| match read(packet).request {
            Request::Subscribe { history, .. } => history,
            other => panic!("{other:?}"),
        };
        assert_eq!(history(r#"2["join","a",{"history":5}]"#), Some(History::Last(5)));
        assert_eq!(history(r#"2["history","a"]"#), Some(History::Last(50)));
        assert_eq!(history(r#"2["history","a",9]"#), Some(History::Last(9)));
        assert_eq!(history(r#"2["history",{"channel":"a","history":3}]"#), Some(History::Last(3)));
        assert_eq!(history(r#"2["history",{"channel":"a","latest":true}]"#), Some(History::Latest));
        assert_eq!(history(r#"2["join","a"]"#), None);
    }

    #[test]
    fn what_people_send_is_a_publish() {
        let published = |packet: &str| match read(packet).request {
            Request::Publish(publish) => (publish.channel.to_string(), format!("{:?}", publish.event)),
            other => panic!("{other:?}"),
        };
        let same = [
            r#"2["publish",{"channel":"a","event":{"type":"b","data":{"x":1}}}]"#,
            r#"2["publish","a",{"type":"b","data":{"x":1}}]"#,
            r#"2["publish","a","b",{"x":1}]"#,
            r#"2["b","a",{"x":1}]"#,
        ];
        for packet in same {
            assert_eq!(published(packet), published(same[0]), "{packet}");
        }
        let (channel, event) = published(r#"2["message",{"room":"a","text":"hi"}]"#);
        assert!(channel == "a" && event.contains("message") && event.contains("hi"), "{event}");
        let state = |packet: &str| match read(packet).request {
            Request::Typing { state, .. } => state,
            other => panic!("{other:?}"),
        };
        assert_eq!(state(r#"2["typing_start","a"]"#), Typing::Start);
        assert_eq!(state(r#"2["typing_stop",{"room":"a"}]"#), Typing::Stop);
        for packet in [r#"2["ack",7]"#, r#"2["ack","e1:7"]"#, r#"2["ack",{"seq":7,"epoch":"e1"}]"#] {
            assert!(matches!(read(packet).request, Request::Ack(ack) if ack.seq.0 == 7), "{packet}");
        }
        assert_eq!(read(r#"2["auth","t"]"#).request, Request::Auth { token: "t".into() });
        assert!(matches!(read(r#"2["ping",{"a":1}]"#).request, Request::Ping { data: Some(_) }));
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for (packet, code) in [
            (r#"2["dance"]"#, "unknown_type"),
            (r#"2["dance",{"a":1}]"#, "unknown_type"),
            (r#"2["dance","a"]"#, "unknown_type"),
            (r#"2["attach",{"tenant":"b"}]"#, "unknown_type"),
            (r#"2["join"]"#, "invalid_frame"),
            (r#"2["join",null]"#, "invalid_frame"),
            (r#"2["ack"]"#, "invalid_frame"),
        ] {
            assert_eq!(emitted(packet).unwrap_err().code, code, "{packet}");
        }
        // What a frame cannot be its own reader refuses, whoever named the members.
        for packet in [
            r#"2["join",5]"#,
            r#"2["join",{"type":"auth","token":"x"}]"#,
            r#"2["join",{"id":3,"channel":"a b"}]"#,
        ] {
            let fault = parse(&emitted(packet).unwrap()).unwrap_err();
            assert_eq!((fault.code, fault.id), ("invalid_frame", None), "{packet}");
        }
    }

    #[test]
    fn rooms_of_a_namespace_are_channels_that_begin_with_its_prefix() {
        let chat = super::super::namespaces::chat();
        let read = |packet: &str| in_namespace(parse(&emitted(packet).unwrap()).unwrap(), chat);
        for packet in [
            r#"2["join","7"]"#,
            r#"2["leave",{"room":"7"}]"#,
            r#"2["publish","7","a",1]"#,
            r#"2["moved",{"room":"7"}]"#,
            r#"2["typing_start","7"]"#,
            r#"2["presence","7"]"#,
        ] {
            assert!(format!("{:?}", read(packet).unwrap().request).contains("chat:7"), "{packet}");
        }
        let joined = format!("{:?}", read(r#"2["join","user:mila"]"#).unwrap().request);
        assert!(joined.contains("user:mila") && !joined.contains("chat:"), "{joined}");
        assert_eq!(
            read(r#"2["ack",7]"#),
            parse(&emitted(r#"2["ack",7]"#).unwrap()).map_err(|_| String::new())
        );
        let long = format!(r#"2["join","{}"]"#, "x".repeat(carillon_protocol::limits::CHANNEL_BYTES));
        assert!(read(&long).unwrap_err().contains("/chat"));
    }

    proptest! {
        #[test]
        fn no_event_makes_it_panic_and_what_comes_out_is_json(
            name in "join|history|publish|ack|message|\\PC{0,9}", first in "\\PC{0,9}", member in "\\PC{0,6}", id: Option<u32>,
        ) {
            let first = serde_json::json!([name, {"room": first, member: 1}, first, 7]).to_string();
            let arguments: Vec<&RawValue> = serde_json::from_str(&first).unwrap();
            if let Ok(text) = frame(&name, &arguments[1..], id.map(u64::from)) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
