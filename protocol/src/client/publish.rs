//! What does a client publish, and where does it type?

use crate::channel::Channel;
use crate::ident::{EventId, LatestKey, plain_text};
use crate::json::compact;
use crate::limits;
use crate::signal::Typing;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A `publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub channel: Channel,
    /// What.
    pub event: ClientEvent,
    /// Whether it shall be a signal (true) or go into the log (false); as the channel's rule has it, if nothing is said.
    pub ephemeral: Option<bool>,
    /// Whether its sender's connection gets it, too. If nothing is said: not a signal, but what goes into the log.
    pub echo: Option<bool>,
}

/// What a client publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// Its `type`.
    pub kind: Box<str>,
    /// Its name, if it has one.
    pub id: Option<EventId>,
    /// Whose latest value it is, if it is one.
    pub key: Option<LatestKey>,
    /// Its `data`: compact JSON. `null` only beside a key, of which there is no value any more then.
    pub data: Option<Box<str>>,
}

impl ClientEvent {
    /// As others get it: an object with what it has of `type`, `data`, `id` and `key`.
    pub fn to_json(&self) -> String {
        // A string becomes JSON whatever is in it.
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let mut json = format!(r#"{{"type":{}"#, text(&self.kind));
        if let Some(data) = &self.data {
            json.push_str(r#","data":"#);
            json.push_str(data);
        }
        if let Some(id) = &self.id {
            json.push_str(r#","id":"#);
            json.push_str(&text(id.as_str()));
        }
        if let Some(key) = &self.key {
            json.push_str(r#","key":"#);
            json.push_str(&text(key.as_str()));
        }
        json.push('}');
        json
    }
}

#[derive(Deserialize, Default)]
struct Fields<'a> {
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(default)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    state: Option<Cow<'a, str>>,
    #[serde(default)]
    ephemeral: Option<bool>,
    #[serde(default)]
    echo: Option<bool>,
}

#[derive(Deserialize)]
struct EventFields<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "said")]
    data: Option<&'a RawValue>,
}

/// A value that is there, also if it is `null`.
fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// The fields of a frame; what the top level does not say, `data` may.
fn fields<'a>(text: &'a str, data: Option<&'a str>) -> Result<Fields<'a>, String> {
    let outer: Fields<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let inner: Option<Fields<'_>> =
        data.map(serde_json::from_str).transpose().map_err(|error| format!("data: {error}"))?;
    let inner = inner.unwrap_or_default();
    Ok(Fields {
        channel: outer.channel.or(outer.room).or(inner.channel).or(inner.room),
        room: None,
        event: outer.event.or(inner.event),
        state: outer.state.or(inner.state),
        ephemeral: outer.ephemeral.or(inner.ephemeral),
        echo: outer.echo.or(inner.echo),
    })
}

fn channel(fields: &Fields<'_>) -> Result<Channel, String> {
    let name = fields.channel.as_deref().ok_or("channel is missing")?;
    Channel::new(name).map_err(|error| format!("channel {:?}: {error}", super::shortened(name)))
}

/// Reads a `publish`.
pub(super) fn read(text: &str, data: Option<&str>) -> Result<Publish, String> {
    let fields = fields(text, data)?;
    let channel = channel(&fields)?;
    let event = fields.event.ok_or("event is missing")?;
    let event = event_of(event.get()).map_err(|fault| format!("event: {fault}"))?;
    Ok(Publish { channel, event, ephemeral: fields.ephemeral, echo: fields.echo })
}

fn event_of(json: &str) -> Result<ClientEvent, String> {
    // The reader below would take a list for the fields in their order.
    if !json.starts_with('{') {
        return Err("must be an object".into());
    }
    let EventFields { kind, id, key, data } =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    let kind = kind.ok_or("type is missing")?;
    if !plain_text(&kind, limits::ATTRIBUTE_BYTES) || kind.contains(char::is_whitespace) {
        let most = limits::ATTRIBUTE_BYTES;
        return Err(format!(
            "type must be 1-{most} bytes of UTF-8 without control characters and white space"
        ));
    }
    let id = id.map(EventId::new).transpose().map_err(|error| error.to_string())?;
    let key = key.map(LatestKey::new).transpose().map_err(|error| error.to_string())?;
    // Without a key null is no data.
    let data = data.filter(|raw| key.is_some() || raw.get() != "null");
    let data = data.map(|raw| compact(raw.get())).transpose().map_err(|fault| format!("data: {fault}"))?;
    Ok(ClientEvent { kind: kind.into(), id, key, data: data.map(Into::into) })
}

/// Reads a `typing`; `named` is what its type said already.
pub(super) fn typing(
    text: &str,
    data: Option<&str>,
    named: Option<Typing>,
) -> Result<(Channel, Typing), String> {
    let fields = fields(text, data)?;
    let channel = channel(&fields)?;
    let said = fields.state.as_deref().map(|word| Typing::read(&word.to_ascii_lowercase()));
    match (named, said) {
        (Some(state), _) | (None, Some(Some(state))) => Ok((channel, state)),
        (None, Some(None)) => Err("state must be start or stop".into()),
        (None, None) => Err("state is missing: start or stop".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FrameFault, Request, parse};
    use super::*;

    fn request(text: &str) -> Request {
        parse(text).unwrap().request
    }

    fn published(text: &str) -> Publish {
        match request(text) {
            Request::Publish(publish) => *publish,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_publish_in_every_form() {
        let publish = published(
            r#"{"type":"publish","channel":"page:7","event":{"type":"moved","data":{ "x" : 1.50 },"id":"a","more":1},"echo":true}"#,
        );
        assert_eq!((publish.channel.as_str(), publish.echo, publish.ephemeral), ("page:7", Some(true), None));
        assert_eq!(publish.event.to_json(), r#"{"type":"moved","data":{"x":1.50},"id":"a"}"#);
        let old = published(
            r#"{"type":"PUBLISH","data":{"room":"page:7","event":{"type":"a\"b"},"ephemeral":true}}"#,
        );
        assert_eq!((old.channel.as_str(), old.echo, old.ephemeral), ("page:7", None, Some(true)));
        assert_eq!(old.event.to_json(), r#"{"type":"a\"b"}"#);
        let null =
            published(r#"{"type":"publish","channel":"a","event":{"type":"b","data":null,"id":null}}"#);
        assert_eq!(null.event.to_json(), r#"{"type":"b"}"#);
    }

    #[test]
    fn a_key_keeps_the_null_that_ends_it() {
        let event = |fields: &str| {
            published(&format!(r#"{{"type":"publish","channel":"a:1","event":{{"type":"t",{fields}}}}}"#))
                .event
        };
        let ended = event(r#""key":"mila","data":null"#);
        assert_eq!(
            (ended.key.as_ref().map(LatestKey::as_str), ended.data.as_deref()),
            (Some("mila"), Some("null"))
        );
        assert_eq!(ended.to_json(), r#"{"type":"t","data":null,"key":"mila"}"#);
        assert_eq!(event(r#""key":"mila""#).data, None);
        assert_eq!(event(r#""data":null"#).to_json(), r#"{"type":"t"}"#);
    }

    #[test]
    fn typing_in_every_form() {
        for (text, state) in [
            (r#"{"type":"typing","channel":"a:1","state":"start"}"#, Typing::Start),
            (r#"{"type":"typing","channel":"a:1","state":"STOP"}"#, Typing::Stop),
            (r#"{"type":"typing_start","channel":"a:1"}"#, Typing::Start),
            (r#"{"type":"TYPING_STOP","data":{"room":"a:1"}}"#, Typing::Stop),
            (r#"{"type":"TYPING","data":{"room":"a:1","state":"start"}}"#, Typing::Start),
            (r#"{"type":"TYPING_START","room":"a:1"}"#, Typing::Start),
        ] {
            let channel = Channel::new("a:1").unwrap();
            assert_eq!(request(text), Request::Typing { channel, state }, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        let deep =
            format!(r#"{{"type":"publish","id":1,"channel":"a","event":{{"type":"t","data":{deep}}}}}"#);
        let long =
            format!(r#"{{"type":"publish","id":1,"channel":"a","event":{{"type":"{}"}}}}"#, "t".repeat(257));
        for (bad, word) in [
            (r#"{"type":"typing","id":1,"channel":"a"}"#, "state"),
            (r#"{"type":"typing","id":1,"channel":"a","state":"maybe"}"#, "start or stop"),
            (r#"{"type":"typing","id":1,"channel":"a","state":1}"#, "string"),
            (r#"{"type":"typing","id":1,"state":"start"}"#, "channel is missing"),
            (r#"{"type":"typing_start","id":1,"channel":"a b"}"#, "channel"),
            (r#"{"type":"publish","id":1,"event":{"type":"t"}}"#, "channel is missing"),
            (r#"{"type":"publish","id":1,"channel":"a"}"#, "event is missing"),
            (r#"{"type":"publish","id":1,"channel":"a","event":["t"]}"#, "object"),
            (r#"{"type":"publish","id":1,"channel":"a","event":{}}"#, "type is missing"),
            (r#"{"type":"publish","id":1,"channel":"a","event":{"type":"a b"}}"#, "white space"),
            (r#"{"type":"publish","id":1,"channel":"a","event":{"type":"t","id":""}}"#, "id must be 1-128"),
            (r#"{"type":"publish","id":1,"channel":"a","event":{"type":"t","key":""}}"#, "key must be 1-128"),
            (r#"{"type":"publish","id":1,"channel":"a","event":{"type":"t","data":"\ud800"}}"#, "surrogate"),
            (r#"{"type":"publish","id":1,"channel":"a","event":{"type":"t"},"echo":"yes"}"#, "boolean"),
            (&deep, "64 levels"),
            (&long, "256 bytes"),
        ] {
            let FrameFault { code, message, id } = parse(bad).unwrap_err();
            assert_eq!((code, id.as_deref()), ("invalid_frame", Some("1")), "{bad}: {message}");
            assert!(message.contains(word), "{bad}: {message}");
        }
        assert_eq!(parse(r#"{"type":"typing_maybe"}"#).unwrap_err().code, "unknown_type");
    }
}
