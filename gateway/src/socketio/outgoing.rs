//! How does a client of Socket.IO get what the gateway says?
//!
//! An event of the log arrives under the name of its type, with its data and what else is known of it; everything else under a name that
//! begins with `carillon:`. The last argument is always an object: clients take a text there for something else (the offset of a
//! recovery), whatever it was meant to be.

use super::engine::EnginePacket;
pub use super::form::{Form, Naming, Offset};
use super::namespaces::Namespace;
use super::packet::{MAIN, Packet, PacketKind, RESERVED};
use crate::ws::encode::text_frame;
use bytes::Bytes;
use carillon_protocol::{Channel, Epoch, Seq};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// What ends an offset that says that the channels stand in the session's value.
pub const ROOMS: &str = "+";

/// The one name for all events.
pub const ENVELOPE: &str = "realtime_event";
/// What the names of everything that is no event of the log begin with.
const OWN: &str = "carillon:";
/// The name of an event whose type is no name that an application could listen to.
const UNNAMED: &str = "carillon:event";

/// An event of the log, as it is told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its number.
    pub seq: Seq,
    /// Where it was published.
    pub channels: &'a [Channel],
    /// The CloudEvents object.
    pub body: &'a [u8],
    /// In which epoch its number counts: then it moves the client's cursor. None: it is a piece of history.
    pub epoch: Option<&'a Epoch>,
    /// The id of the request that asked for it, as JSON: of a piece of history.
    pub replay: Option<&'a str>,
}

/// An event, as one message.
pub fn event(form: Form, told: Told<'_>) -> String {
    let naming = form.naming;
    let Members(members) = serde_json::from_slice(told.body).unwrap_or_default();
    let found = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value.get());
    let mut json = String::with_capacity(told.body.len() + 192);
    match naming {
        Naming::Envelope => {
            json.push_str("[\"realtime_event\",");
        }
        Naming::Type => {
            let name = found("type").filter(|kind| is_free(kind));
            json.push('[');
            match name {
                Some(kind) => json.push_str(kind),
                None => {
                    let _ = write!(json, "\"{UNNAMED}\"");
                }
            }
            json.push(',');
            json.push_str(found("data").unwrap_or("null"));
            json.push(',');
        }
    }
    json.push('{');
    for (name, value) in &members {
        let is_ours = matches!(name.as_str(), "channels" | "seq" | "cursor" | "replay");
        if is_ours || (naming == Naming::Type && name == "data") {
            continue;
        }
        push_text(&mut json, name);
        json.push(':');
        json.push_str(value.get());
        json.push(',');
    }
    json.push_str("\"channels\":[");
    for (at, channel) in told.channels.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        push_text(&mut json, form.namespace.room(channel.as_str()));
    }
    let _ = write!(json, "],\"seq\":{}", told.seq);
    if let Some(epoch) = told.epoch {
        let _ = write!(json, ",\"cursor\":\"{epoch}:{}\"", told.seq);
    }
    if let Some(id) = told.replay {
        let _ = write!(json, ",\"replay\":{id}");
    }
    json.push('}');
    if let Some(epoch) = told.epoch {
        push_offset(&mut json, form.offset, epoch, told.seq);
    }
    json.push(']');
    message(form.namespace, PacketKind::Event, None, &json)
}

/// A frame of the gateway that is no event of the log, as one message; none where nobody waits for it.
/// `cursor` is the one that it tells, if it tells one; then it is followed by an offset, where the client is sent any.
pub fn frame(json: &[u8], cursor: Option<(&Epoch, Seq)>, form: Form) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
    }
    let json = &*named_by_rooms(form.namespace, std::str::from_utf8(json).ok()?);
    let Frame { r#type: kind, id } = serde_json::from_str(json).ok()?;
    let told = match cursor {
        Some((epoch, seq)) => {
            Cow::from(format!("{},\"cursor\":\"{epoch}:{seq}\"}}", json.strip_suffix('}').unwrap_or(json)))
        }
        None => Cow::from(json),
    };
    let is_answer = matches!(&*kind, "ok" | "error" | "pong");
    let id = id.filter(|_| is_answer).and_then(|id| id.get().parse().ok());
    if let Some(id) = id {
        return Some(message(form.namespace, PacketKind::Ack, Some(id), &format!("[{told}]")));
    }
    if kind == "ok" {
        return None;
    }
    let mut data = format!("[\"{OWN}{kind}\",{told}");
    if let Some((epoch, seq)) = cursor {
        push_offset(&mut data, form.offset, epoch, seq);
    }
    data.push(']');
    Some(message(form.namespace, PacketKind::Event, None, &data))
}

/// A frame with the names of rooms in place of their channels'.
fn named_by_rooms(namespace: Namespace, json: &str) -> Cow<'_, str> {
    if namespace == Namespace::MAIN {
        return json.into();
    }
    let Ok(Members(members)) = serde_json::from_str(json) else { return json.into() };
    let room = |channel: &str| serde_json::to_string(namespace.room(channel)).unwrap_or_default();
    let mut renamed = String::with_capacity(json.len());
    for (name, value) in &members {
        renamed.push(if renamed.is_empty() { '{' } else { ',' });
        push_text(&mut renamed, name);
        renamed.push(':');
        let value = value.get();
        match name.as_str() {
            "channel" => match serde_json::from_str::<Cow<'_, str>>(value) {
                Ok(channel) => renamed.push_str(&room(&channel)),
                Err(_) => renamed.push_str(value),
            },
            "channels" => match serde_json::from_str::<Vec<Cow<'_, str>>>(value) {
                Ok(channels) => {
                    let rooms: Vec<String> = channels.iter().map(|channel| room(channel)).collect();
                    let _ = write!(renamed, "[{}]", rooms.join(","));
                }
                Err(_) => renamed.push_str(value),
            },
            // Who is in each of them.
            "presence" => match serde_json::from_str(value) {
                Ok(Members(people)) => {
                    let of = |(channel, people): &(String, &RawValue)| format!("{}:{people}", room(channel));
                    let _ = write!(renamed, "{{{}}}", people.iter().map(of).collect::<Vec<_>>().join(","));
                }
                Err(_) => renamed.push_str(value),
            },
            _ => renamed.push_str(value),
        }
    }
    renamed.push('}');
    renamed.into()
}

/// Whether a program could listen to events of this type (JSON), and takes it for nothing else.
fn is_free(kind: &str) -> bool {
    let name = serde_json::from_str::<Cow<'_, str>>(kind).ok();
    name.is_some_and(|name| !RESERVED.contains(&name.as_ref()) && !name.starts_with(OWN))
}

/// A frame that several get, as a WebSocket message: what says something to those who are here. What somebody has sent comes as events
/// of the log do, without a place in it.
pub fn passed(form: Form, json: &[u8]) -> Bytes {
    let signal = if form.naming == Naming::Type { signal(form.namespace, json) } else { None };
    let form = Form { offset: Offset::None, ..form };
    let packet = signal.or_else(|| frame(json, None, form)).unwrap_or_default();
    text_frame(&[packet.as_bytes()])
}

/// What somebody has sent, under its type; none if it is something else, or has a type that nobody could listen to.
fn signal(namespace: Namespace, json: &[u8]) -> Option<String> {
    let json = named_by_rooms(namespace, std::str::from_utf8(json).ok()?);
    let Members(frame) = serde_json::from_str(&json).ok()?;
    let found = |members: &[(String, &RawValue)], name: &str| {
        members.iter().find(|(other, _)| other == name).map(|(_, value)| value.get().to_owned())
    };
    if found(&frame, "type")? != "\"signal\"" {
        return None;
    }
    let event = found(&frame, "event")?;
    let Members(event) = serde_json::from_str(&event).ok()?;
    let kind = found(&event, "type").filter(|kind| is_free(kind))?;
    let mut json = format!("[{kind},{},{{", found(&event, "data").unwrap_or_else(|| "null".to_owned()));
    let of_event = event.iter().filter(|(name, _)| name != "data");
    let of_frame = frame.iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "event"));
    for (name, value) in of_event.chain(of_frame) {
        push_text(&mut json, name);
        json.push(':');
        json.push_str(value.get());
        json.push(',');
    }
    json.push_str("\"signal\":true}]");
    Some(message(namespace, PacketKind::Event, None, &json))
}

/// That a client is connected, under this name; with the id by which it recovers, if it does.
pub fn connected(namespace: Namespace, session: &str, recovers_as: Option<&str>) -> String {
    let mut json = String::from("{\"sid\":");
    push_text(&mut json, session);
    if let Some(id) = recovers_as {
        json.push_str(",\"pid\":");
        push_text(&mut json, id);
    }
    json.push('}');
    message(namespace, PacketKind::Connect, None, &json)
}

/// That a namespace cannot be entered, and why.
pub fn refused(namespace: &str, code: &str, why: &str) -> String {
    let mut json = String::from("{\"message\":");
    push_text(&mut json, why);
    json.push_str(",\"data\":{\"code\":");
    push_text(&mut json, code);
    json.push_str("}}");
    let packet = Packet { kind: PacketKind::ConnectError, namespace, id: None, data: Some(&json) };
    EnginePacket::Message(&packet.to_text()).to_text()
}

/// That there is no such namespace.
pub fn no_namespace(namespace: &str) -> String {
    debug_assert_ne!(namespace, MAIN, "there is one");
    refused(namespace, "invalid_namespace", "Invalid namespace")
}

/// That a connection is in another namespace already.
pub fn another_namespace(namespace: &str, has: Namespace) -> String {
    let why = format!(
        "this connection is in {}, and a connection is in one namespace: connect with forceNew: true",
        has.name()
    );
    refused(namespace, "one_namespace", &why)
}

/// Whether a client can come back, and where to: an offset that recovers nothing, or that of this position.
pub fn recovery(form: Form, position: Option<(&Epoch, Seq)>) -> String {
    let mut json = format!("[\"{OWN}recovery\",{{\"recoverable\":{}}}", position.is_some());
    match position {
        Some((epoch, seq)) => push_offset(&mut json, form.offset, epoch, seq),
        None => json.push_str(",\"-\""),
    }
    json.push(']');
    message(form.namespace, PacketKind::Event, None, &json)
}

/// Appends an offset as a further argument.
fn push_offset(json: &mut String, offset: Offset, epoch: &Epoch, seq: Seq) {
    let end = match offset {
        Offset::None => return,
        Offset::Position => "",
        Offset::Rooms => ROOMS,
    };
    let _ = write!(json, ",\"{epoch}:{seq}{end}\"");
}

fn message(namespace: Namespace, kind: PacketKind, id: Option<u64>, json: &str) -> String {
    let packet = Packet { kind, namespace: namespace.name(), id, data: Some(json) };
    EnginePacket::Message(&packet.to_text()).to_text()
}

/// Appends a text as JSON.
fn push_text(json: &mut String, text: &str) {
    // Writing a string cannot fail.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// The members of an object as they stand there.
#[derive(Default)]
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::server::ServerFrame;

    const TYPE: Form = Form::PLAIN;
    const ENVELOPED: Form = Form { naming: Naming::Envelope, ..Form::PLAIN };

    fn told<'a>(body: &'a [u8], channels: &'a [Channel], epoch: &'a Epoch) -> Told<'a> {
        Told { seq: Seq(7), channels, body, epoch: Some(epoch), replay: None }
    }

    #[test]
    fn an_event_comes_under_its_type_with_its_data_and_what_else_is_known_of_it() {
        let (epoch, channels) = (Epoch::new("e1").unwrap(), [Channel::new("user:Jan \"X\"").unwrap()]);
        let body = br#"{"id":"a","type":"order.paid","seq":"x","data":{"price":1.10}}"#;
        let told = told(body, &channels, &epoch);
        assert_eq!(
            event(TYPE, told),
            r#"42["order.paid",{"price":1.10},{"id":"a","type":"order.paid","channels":["user:Jan \"X\""],"seq":7,"cursor":"e1:7"}]"#
        );
        assert_eq!(
            event(ENVELOPED, told),
            r#"42["realtime_event",{"id":"a","type":"order.paid","data":{"price":1.10},"channels":["user:Jan \"X\""],"seq":7,"cursor":"e1:7"}]"#
        );
        let history = Told { epoch: None, replay: Some("12"), ..told };
        assert!(event(TYPE, history).ends_with(r#""seq":7,"replay":12}]"#), "the cursor stays");
    }

    #[test]
    fn who_recovers_gets_its_position_behind_everything_that_moves_it_and_behind_nothing_else() {
        let epoch = Epoch::new("e1").unwrap();
        let with = |offset| Form { offset, ..Form::PLAIN };
        let of = |offset| event(with(offset), told(br#"{"type":"a"}"#, &[], &epoch));
        assert!(of(Offset::Position).ends_with(r#"},"e1:7"]"#));
        assert!(of(Offset::Rooms).ends_with(r#"},"e1:7+"]"#));
        let history = Told { epoch: None, replay: Some("1"), ..told(br#"{"type":"a"}"#, &[], &epoch) };
        assert!(event(with(Offset::Position), history).ends_with("}]"));
        let heartbeat = ServerFrame::Heartbeat { seq: Seq(7), epoch: None }.to_json();
        let told = frame(&heartbeat, Some((&epoch, Seq(7))), with(Offset::Position)).unwrap();
        assert!(told.ends_with(r#"},"e1:7"]"#), "{told}");
        let numbers: std::collections::BTreeSet<usize> = [Naming::Type, Naming::Envelope]
            .into_iter()
            .flat_map(|naming| {
                [Offset::None, Offset::Position, Offset::Rooms].map(|offset| Form {
                    naming,
                    offset,
                    ..Form::PLAIN
                })
            })
            .map(Form::number)
            .collect();
        assert!(numbers.into_iter().eq(0..Form::COUNT));
    }

    #[test]
    fn what_somebody_sends_comes_under_its_type_too() {
        let text = |naming, json: &str| {
            let message = passed(Form { naming, ..Form::PLAIN }, json.as_bytes());
            String::from_utf8(crate::ws::encode::payload(&message).to_vec()).unwrap()
        };
        let json = r#"{"type":"signal","channel":"a","from":"mila","event":{"type":"moved","data":{"x":1}}}"#;
        assert_eq!(
            text(Naming::Type, json),
            r#"42["moved",{"x":1},{"type":"moved","channel":"a","from":"mila","signal":true}]"#
        );
        assert_eq!(text(Naming::Envelope, json), format!(r#"42["carillon:signal",{json}]"#));
        let json = r#"{"type":"signal","channel":"a","from":"mila","event":{"type":"disconnect"}}"#;
        assert_eq!(text(Naming::Type, json), format!(r#"42["carillon:signal",{json}]"#));
        let json = r#"{"type":"inbox","version":2}"#;
        assert_eq!(text(Naming::Type, json), format!(r#"42["carillon:inbox",{json}]"#));
    }

    /// A text there would be taken for an offset.
    #[test]
    fn no_packet_ends_with_a_text() {
        let epoch = Epoch::new("e1").unwrap();
        for data in ["\"alice\"", "null", "[\"a\"]"] {
            let body = format!(r#"{{"type":"a","data":{data}}}"#);
            for form in [TYPE, ENVELOPED] {
                let text = event(form, told(body.as_bytes(), &[], &epoch));
                let packet = Packet::parse(text.strip_prefix('4').unwrap()).unwrap();
                assert!(packet.event().unwrap().1.last().unwrap().get().starts_with('{'), "{text}");
            }
        }
    }

    #[test]
    fn a_type_that_nobody_could_listen_to_has_another_name() {
        let epoch = Epoch::new("e1").unwrap();
        for kind in ["connect", "disconnect", "connect_error", "newListener", "carillon:welcome"] {
            let body = format!(r#"{{"type":"{kind}","data":1}}"#);
            let text = event(TYPE, told(body.as_bytes(), &[], &epoch));
            assert!(text.starts_with(r#"42["carillon:event",1,{"type":""#), "{text}");
        }
        let text = event(TYPE, told(br#"{"type":"a\"b"}"#, &[], &epoch));
        assert!(text.starts_with(r#"42["a\"b",null,"#), "{text}");
    }

    #[test]
    fn answers_go_to_their_callbacks_and_the_rest_are_events() {
        let epoch = Epoch::new("e1").unwrap();
        let id = RawValue::from_string("12".into()).unwrap();
        let error = |id| ServerFrame::Error { id, code: "forbidden", message: "no", channels: None };
        assert_eq!(
            frame(&error(Some(&id)).to_json(), None, TYPE).unwrap(),
            r#"4312[{"type":"error","id":12,"code":"forbidden","message":"no"}]"#
        );
        assert_eq!(
            frame(&error(None).to_json(), None, TYPE).unwrap(),
            r#"42["carillon:error",{"type":"error","code":"forbidden","message":"no"}]"#
        );
        let ok = ServerFrame::Ok {
            id: None,
            channels: None,
            seq: None,
            epoch: None,
            expires_in: None,
            presence: None,
        };
        assert_eq!(frame(&ok.to_json(), None, TYPE), None, "nobody waits");
        let heartbeat = ServerFrame::Heartbeat { seq: Seq(7), epoch: None };
        assert_eq!(
            frame(&heartbeat.to_json(), Some((&epoch, Seq(7))), TYPE).unwrap(),
            r#"42["carillon:heartbeat",{"type":"heartbeat","seq":7,"cursor":"e1:7"}]"#
        );
        let replayed = ServerFrame::Replayed { id: Some(&id), count: 1, more: false };
        assert!(frame(&replayed.to_json(), None, TYPE).unwrap().starts_with(r#"42["carillon:replayed",{"#));
    }

    #[test]
    fn who_may_not_come_in_hears_why() {
        assert_eq!(connected(Namespace::MAIN, "g-1", None), r#"40{"sid":"g-1"}"#);
        assert_eq!(connected(Namespace::MAIN, "g-1", Some("p")), r#"40{"sid":"g-1","pid":"p"}"#);
        assert_eq!(
            refused("/", "token_expired", "ended \"now\""),
            r#"44{"message":"ended \"now\"","data":{"code":"token_expired"}}"#
        );
        assert_eq!(
            no_namespace("/admin"),
            r#"44/admin,{"message":"Invalid namespace","data":{"code":"invalid_namespace"}}"#
        );
    }

    #[test]
    fn in_a_namespace_packets_name_it_and_channels_are_its_rooms() {
        let (epoch, namespace) = (Epoch::new("e1").unwrap(), super::super::namespaces::chat());
        let channels = ["chat:7", "user:mila"].map(|name| Channel::new(name).unwrap());
        let form = Form { namespace, ..TYPE };
        let body = br#"{"type":"a","data":1}"#;
        assert_eq!(
            event(form, told(body, &channels, &epoch)),
            r#"42/chat,["a",1,{"type":"a","channels":["7","user:mila"],"seq":7,"cursor":"e1:7"}]"#
        );
        let of = |json: &str| frame(json.as_bytes(), None, form).unwrap();
        assert_eq!(
            of(r#"{"type":"ok","id":12,"channels":["chat:7"]}"#),
            r#"43/chat,12[{"type":"ok","id":12,"channels":["7"]}]"#
        );
        assert_eq!(
            of(
                r#"{"type":"ok","id":12,"channels":["chat:7"],"presence":{"chat:7":{"members":["bo"]},"b":{}}}"#
            ),
            r#"43/chat,12[{"type":"ok","id":12,"channels":["7"],"presence":{"7":{"members":["bo"]},"b":{}}}]"#
        );
        assert_eq!(
            of(r#"{"type":"presence","channel":"chat:7","joined":[]}"#),
            r#"42/chat,["carillon:presence",{"type":"presence","channel":"7","joined":[]}]"#
        );
        let signal = br#"{"type":"signal","channel":"chat:7","from":"mila","event":{"type":"moved"}}"#;
        let passed = passed(form, signal);
        assert_eq!(
            crate::ws::encode::payload(&passed),
            br#"42/chat,["moved",null,{"type":"moved","channel":"7","from":"mila","signal":true}]"#
        );
        assert_eq!(connected(namespace, "g-1", None), r#"40/chat,{"sid":"g-1"}"#);
        assert!(
            another_namespace("/", namespace).starts_with(r#"44{"message":"this connection is in /chat"#)
        );
    }
}
