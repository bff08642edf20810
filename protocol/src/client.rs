//! What may a client say?
//!
//! One JSON object per text frame. Clients of older systems are understood too: upper-case types, fields wrapped
//! in `data`, and `room` for `channel`.

mod ack;
mod activity;
mod connect;
mod opening;
mod presence;
mod publish;
mod subscribe;

pub use ack::Ack;
pub use activity::Activity;
pub use connect::{ConnectParameters, connect_parameters, named};
pub use publish::{ClientEvent, Publish};

use crate::channel::Channel;
use crate::ident::{Epoch, Seq, TenantId};
use crate::limits;
use crate::signal::Typing;
use crate::types::TypeFilter;
use opening::{Opening, object, opening};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// The `id` a client gave its frame, as raw JSON; its answer carries the same bytes.
pub type FrameId = Box<str>;

/// Longest `id` a frame may carry, in bytes of JSON.
pub const FRAME_ID_BYTES: usize = 128;

/// A frame the gateway understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFrame {
    /// To be repeated in the answer.
    pub id: Option<FrameId>,
    /// Which of the connection's tenants it is for; none: the one it is in for the longest.
    pub tenant: Option<TenantId>,
    /// What is wanted.
    pub request: Request,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Present a token: the first frame of an unauthenticated connection, or a refresh before expiry.
    Auth {
        /// The JWT or API key.
        token: Box<str>,
    },
    /// Join channels, all or none.
    Subscribe {
        /// At least one.
        channels: Vec<Channel>,
        /// Which past events of these channels to send first.
        history: Option<History>,
        /// Which types of events it wants of them; none: all.
        types: Option<TypeFilter>,
        /// Whether to tell who is there, now and from now on.
        presence: bool,
    },
    /// Ask who is in a channel, or say something about oneself to those who see it.
    Presence {
        /// Which channel; none, with `meta`: all.
        channel: Option<Channel>,
        /// What is said; none: nothing, who is there is asked for.
        meta: Option<Meta>,
    },
    /// Leave channels; those it is not in are ignored.
    Unsubscribe {
        /// At least one.
        channels: Vec<Channel>,
    },
    /// Publish an event.
    Publish(Box<Publish>),
    /// Say that somebody types, or stopped.
    Typing {
        /// Where.
        channel: Channel,
        /// Which.
        state: Typing,
    },
    /// Say what this device has handled.
    Ack(Ack),
    /// Say that one did something.
    Activity(Box<Activity>),
    /// Come into one more tenant.
    Attach {
        /// Which, from where on, and with which channels.
        wanted: Box<ConnectParameters>,
        /// Whether all others are left (`switch`).
        alone: bool,
    },
    /// Leave the tenant that the frame names.
    Detach,
    /// Ask for a `pong`.
    Ping {
        /// Raw JSON to be repeated.
        data: Option<Box<str>>,
    },
}

/// What somebody says about themselves: raw JSON of at most [`limits::META_BYTES`]; none takes it back.
pub type Meta = Option<Box<str>>;

/// Which past events a `subscribe` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// The newest `n`, at most [`limits::HISTORY_EVENTS`].
    Last(u64),
    /// Those after `seq`; of another epoch: all that are left.
    Since {
        /// The last one seen.
        seq: Seq,
        /// The life of the log it was seen in; none means the current one.
        epoch: Option<Epoch>,
    },
    /// The latest event of every key.
    Latest,
}

/// Every `type` of a client's frame.
pub const TYPES: [&str; 12] = [
    "auth",
    "subscribe",
    "unsubscribe",
    "ack",
    "publish",
    "typing",
    "presence",
    "activity",
    "attach",
    "detach",
    "switch",
    "ping",
];

/// A frame that cannot be acted on. The connection stays open; the client gets an `error` with this code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FrameFault {
    /// `invalid_json`, `invalid_frame`, `unknown_type` or `meta_too_large`.
    pub code: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
    /// The frame's id, when it could be read.
    pub id: Option<FrameId>,
}

/// The fields of all frames; the same set is looked for at the top level and inside `data`.
#[derive(Deserialize, Default)]
struct Fields<'a> {
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(default)]
    room: Option<Cow<'a, str>>,
    #[serde(default)]
    channels: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    rooms: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    history: Option<u64>,
    #[serde(default)]
    since: Option<u64>,
    #[serde(default)]
    epoch: Option<Cow<'a, str>>,
    #[serde(default)]
    types: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    latest: Option<bool>,
    #[serde(default)]
    presence: Option<bool>,
    /// Kept as it stands: `null` is said, too.
    #[serde(borrow, default, deserialize_with = "said")]
    meta: Option<&'a RawValue>,
}

fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Fields<'a> {
    /// What the top level does not say, `data` may.
    fn or(self, inner: Fields<'a>) -> Fields<'a> {
        Fields {
            channel: self.channel.or(inner.channel),
            room: self.room.or(inner.room),
            channels: self.channels.or(inner.channels),
            rooms: self.rooms.or(inner.rooms),
            history: self.history.or(inner.history),
            since: self.since.or(inner.since),
            epoch: self.epoch.or(inner.epoch),
            types: self.types.or(inner.types),
            latest: self.latest.or(inner.latest),
            presence: self.presence.or(inner.presence),
            meta: self.meta.or(inner.meta),
        }
    }
}

/// The field of an `auth` that every one has.
#[derive(Deserialize, Default)]
struct TokenField<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
}

/// Reads one text frame.
pub fn parse(text: &str) -> Result<ClientFrame, FrameFault> {
    // Of a device that acknowledges all that it gets this is half of all frames.
    if let Some((ack, id)) = ack::common_form(text) {
        return Ok(ClientFrame { id, tenant: None, request: Request::Ack(ack) });
    }
    let opening = opening(text)?;
    // Of an `auth` nothing but its token is read: as a first frame it is not known yet who sends it.
    let tenant = if opening.kind == "auth" { Ok(None) } else { opening.tenant() };
    let Opening { id, kind, typing, data, .. } = opening;
    let fault = |(code, message)| FrameFault { code, message, id: id.clone() };
    let tenant = tenant.map_err(|message| fault(("invalid_frame", message)))?;
    let request = request(text, &kind, typing, data, tenant.as_ref()).map_err(fault)?;
    Ok(ClientFrame { id, tenant, request })
}

/// What a frame of a kind asks for; the fault as its code and in words.
fn request(
    text: &str,
    kind: &str,
    said: Option<Typing>,
    data: Option<&RawValue>,
    tenant: Option<&TenantId>,
) -> Result<Request, (&'static str, String)> {
    let invalid = |message: String| ("invalid_frame", message);
    if kind == "ping" {
        return Ok(Request::Ping { data: data.map(|raw| raw.get().into()) });
    }
    let data = object(data);
    match kind {
        "auth" => return token(text, data).map(|token| Request::Auth { token }).map_err(invalid),
        "publish" => {
            return publish::read(text, data).map(Box::new).map(Request::Publish).map_err(invalid);
        }
        "typing" => {
            let (channel, state) = publish::typing(text, data, said).map_err(invalid)?;
            return Ok(Request::Typing { channel, state });
        }
        "activity" => {
            return activity::read(text).map(Box::new).map(Request::Activity).map_err(invalid);
        }
        "ack" => return ack::read(text, data).map(Request::Ack).map_err(invalid),
        "attach" | "detach" | "switch" if tenant.is_none() => {
            return Err(invalid(format!("{kind} needs tenant")));
        }
        "detach" => return Ok(Request::Detach),
        "attach" | "switch" => {
            let wanted = connect_parameters(text).map_err(invalid)?;
            return Ok(Request::Attach { wanted: Box::new(wanted), alone: kind == "switch" });
        }
        _ => {}
    }
    let outer: Fields<'_> = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let inner = data.map(serde_json::from_str).transpose().map_err(|e| invalid(format!("data: {e}")))?;
    let inner = inner.unwrap_or_default();
    if kind == "presence" {
        return presence::read(outer, inner);
    }
    let fields = outer.or(inner);
    if kind != "subscribe" {
        return Ok(Request::Unsubscribe { channels: channels(&fields).map_err(invalid)? });
    }
    let history = subscribe::history(&fields).map_err(invalid)?;
    let types = subscribe::types(fields.types.as_deref()).map_err(invalid)?;
    let presence = fields.presence.unwrap_or_default();
    if presence && history == Some(History::Latest) {
        return Err(invalid(
            "latest and presence exclude each other: ask for them one after the other".into(),
        ));
    }
    Ok(Request::Subscribe { channels: channels(&fields).map_err(invalid)?, history, types, presence })
}

/// The token of a first frame, which must be an `auth`. Nothing else of it is read: who sends it is not known yet.
pub fn first_token(text: &str) -> Result<Box<str>, FrameFault> {
    let Opening { id, kind, data, .. } = opening(text)?;
    let read = if kind == "auth" { token(text, object(data)) } else { Err("auth comes first".into()) };
    read.map_err(|message| FrameFault { code: "invalid_frame", message, id })
}

/// The token of an `auth`.
fn token(text: &str, data: Option<&str>) -> Result<Box<str>, String> {
    let outer: TokenField<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let inner: Option<TokenField<'_>> =
        data.map(serde_json::from_str).transpose().map_err(|error| format!("data: {error}"))?;
    let token = outer.token.or(inner.unwrap_or_default().token).ok_or("auth needs token")?;
    Ok(token.as_ref().into())
}

fn channels(fields: &Fields<'_>) -> Result<Vec<Channel>, String> {
    let many = fields.channels.iter().chain(&fields.rooms).flatten();
    let channels = distinct(many.chain(&fields.channel).chain(&fields.room).map(Cow::as_ref))?;
    if channels.is_empty() { Err("channel or channels is missing".into()) } else { Ok(channels) }
}

/// Each of these channels once.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Channel>, String> {
    let mut channels = Vec::new();
    // A thousand names are compared by their hashes, not each with each.
    let mut seen = HashSet::new();
    for name in names {
        let channel = Channel::new(name).map_err(|e| format!("channel {:?}: {e}", shortened(name)))?;
        if seen.insert(name) {
            channels.push(channel);
        }
        if channels.len() > limits::CHANNELS_PER_CONNECTION {
            return Err(format!("at most {} channels", limits::CHANNELS_PER_CONNECTION));
        }
    }
    Ok(channels)
}

/// The beginning of a client's text, for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Request {
        parse(text).unwrap().request
    }

    fn fault(text: &str) -> FrameFault {
        parse(text).unwrap_err()
    }

    #[test]
    fn todays_frames() {
        let frame = parse(r#"{"type":"subscribe","id":"a\"1","channels":["contact:1","contact:1"],"channel":"lead:2","history":50}"#).unwrap();
        assert_eq!(frame.id.as_deref(), Some(r#""a\"1""#));
        let channels = vec![Channel::new("contact:1").unwrap(), Channel::new("lead:2").unwrap()];
        assert_eq!(
            frame.request,
            Request::Subscribe { channels, history: Some(History::Last(50)), types: None, presence: false }
        );
        assert_eq!(
            request(r#"{"type":"ping","data":{"a":[1]}}"#),
            Request::Ping { data: Some(r#"{"a":[1]}"#.into()) }
        );
        let auth = r#"{"type":"auth","token":"x.y.z"}"#;
        assert_eq!(request(auth), Request::Auth { token: "x.y.z".into() });
        assert_eq!(first_token(auth).as_deref(), Ok("x.y.z"));
        assert!(matches!(
            request(r#"{"type":"subscribe","channel":"a","since":4,"epoch":"e1","unknown":{"x":1}}"#),
            Request::Subscribe { history: Some(History::Since { seq: Seq(4), epoch: Some(_) }), .. }
        ));
        for (frame, history) in [
            (r#"{"type":"subscribe","channel":"a","latest":true}"#, Some(History::Latest)),
            (r#"{"type":"subscribe","data":{"channel":"a","latest":true}}"#, Some(History::Latest)),
            (r#"{"type":"subscribe","channel":"a","latest":false,"history":1}"#, Some(History::Last(1))),
        ] {
            assert!(matches!(request(frame), Request::Subscribe { history: read, .. } if read == history));
        }
        for frame in [
            r#"{"type":"subscribe","channel":"a","types":["b","a.*"]}"#,
            r#"{"type":"subscribe","data":{"channel":"a","types":["a.*","b"]}}"#,
        ] {
            let Request::Subscribe { types, .. } = request(frame) else { panic!("{frame}") };
            assert_eq!(types, Some(TypeFilter::new(["a.*", "b"]).unwrap()));
        }
    }

    #[test]
    fn frames_of_older_systems() {
        let channels = vec![Channel::new("contact:123").unwrap()];
        assert_eq!(
            request(r#"{"type":"SUBSCRIBE","data":{"room":"contact:123"}}"#),
            Request::Subscribe { channels: channels.clone(), history: None, types: None, presence: false }
        );
        assert_eq!(
            request(r#"{"type":"Unsubscribe","room":"contact:123"}"#),
            Request::Unsubscribe { channels }
        );
        let auth = r#"{"type":"AUTH","data":{"token":"t"}}"#;
        assert_eq!(request(auth), Request::Auth { token: "t".into() });
        assert_eq!(first_token(auth).as_deref(), Ok("t"));
    }

    #[test]
    fn a_first_frame_is_an_auth_and_its_other_fields_are_not_read_for_its_token() {
        for other in
            ["{", "[]", r#"{"type":"ping"}"#, r#"{"type":"subscribe","channel":"a"}"#, r#"{"type":"auth"}"#]
        {
            assert!(first_token(other).is_err(), "{other}");
        }
        // Its type is all that is looked at of another frame.
        let subscribe = r#"{"type":"subscribe","channels":["a b"]}"#;
        assert_eq!(first_token(subscribe).unwrap_err().message, "auth comes first");
    }

    #[test]
    fn faults_name_themselves_and_carry_the_id() {
        assert_eq!(fault("{").code, "invalid_json");
        assert_eq!(fault("[]").code, "invalid_frame");
        assert_eq!(fault("{}").code, "invalid_frame");
        let unknown = fault(r#"{"type":"dance","id":7}"#);
        assert_eq!((unknown.code, unknown.id.as_deref()), ("unknown_type", Some("7")));
        assert!(
            unknown.message.ends_with("presence, activity, attach, detach, switch, ping"),
            "{}",
            unknown.message
        );
        for bad in [
            r#"{"type":"subscribe","id":1}"#,
            r#"{"type":"subscribe","id":1,"channels":"a"}"#,
            r#"{"type":"subscribe","id":1,"channels":["a b"]}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","history":-1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","history":1001}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","history":1,"since":1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","since":99999999999999999999}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","types":[]}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","latest":1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","latest":true,"history":1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","latest":true,"since":1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","types":["a*b"]}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","types":"a"}"#,
            r#"{"type":"auth","id":1,"token":5}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","presence":1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","presence":true,"latest":true}"#,
            r#"{"type":"presence","id":1}"#,
            r#"{"type":"presence","id":1,"channel":"a b"}"#,
        ] {
            let fault = fault(bad);
            assert_eq!((fault.code, fault.id.as_deref()), ("invalid_frame", Some("1")), "{bad}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}|\\{\"type\":\"subscribe\",\\PC{0,60}\\}") {
            let _ = parse(&text);
        }
    }
}
