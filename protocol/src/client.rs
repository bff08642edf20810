//! What may a client say?
//!
//! One JSON object per text frame. Clients of older systems are understood too: upper-case types, fields wrapped
//! in `data`, and `room` for `channel`.

use crate::channel::{Channel, ChannelPattern};
use crate::ident::{DeviceId, Epoch, InvalidName, LastEvent, Seq, TenantId};
use crate::limits;
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
    /// What is wanted.
    pub request: Request,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Present a token: the first frame of an unauthenticated connection, or a refresh before expiry.
    Auth {
        /// The JWT.
        token: Box<str>,
        /// In a first frame: what it asks for beside that, or what is wrong with it. Means nothing in a refresh.
        connect: Result<Box<ConnectParameters>, String>,
    },
    /// Join channels, all or none.
    Subscribe {
        /// At least one.
        channels: Vec<Channel>,
        /// Which past events of these channels to send first.
        history: Option<History>,
    },
    /// Leave channels; those it is not in are ignored.
    Unsubscribe {
        /// At least one.
        channels: Vec<Channel>,
    },
    /// Ask for a `pong`.
    Ping {
        /// Raw JSON to be repeated.
        data: Option<Box<str>>,
    },
}

/// What a client asks for when it connects: in its URL, or in its first frame, which has room for more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectParameters {
    /// For tokens of several tenants.
    pub tenant: Option<TenantId>,
    /// The client installation's name.
    pub device: Option<DeviceId>,
    /// Further channels, all or none.
    pub channels: Vec<Channel>,
    /// Beginnings of channels (`contact:*`): for those that come with an API key.
    pub patterns: Vec<ChannelPattern>,
    /// The cursor to resume from.
    pub since: Option<Seq>,
    /// The epoch of that cursor.
    pub epoch: Option<Epoch>,
    /// The last event the client got.
    pub last: Option<LastEvent>,
}

impl ConnectParameters {
    /// What these do not say, others may. A cursor is one thing: it comes whole from where `since` stands.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (since, epoch, last) = match self.since {
            Some(_) => (self.since, self.epoch, self.last),
            None => (other.since, other.epoch, other.last),
        };
        let names_none = self.channels.is_empty() && self.patterns.is_empty();
        let (channels, patterns) = match names_none {
            true => (other.channels, other.patterns),
            false => (self.channels, self.patterns),
        };
        Self {
            tenant: self.tenant.or(other.tenant),
            device: self.device.or(other.device),
            channels,
            patterns,
            since,
            epoch,
            last,
        }
    }
}

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
}

/// Every `type` of a client's frame.
pub const TYPES: [&str; 4] = ["auth", "subscribe", "unsubscribe", "ping"];

/// A frame that cannot be acted on. The connection stays open; the client gets an `error` with this code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FrameFault {
    /// `invalid_json`, `invalid_frame` or `unknown_type`.
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
        }
    }
}

/// The fields of a first frame alone.
#[derive(Deserialize, Default)]
struct ConnectFields<'a> {
    #[serde(borrow, default)]
    tenant: Option<Cow<'a, str>>,
    #[serde(default)]
    device: Option<Cow<'a, str>>,
    #[serde(default)]
    channels: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    since: Option<u64>,
    #[serde(default)]
    epoch: Option<Cow<'a, str>>,
    #[serde(default)]
    last: Option<Cow<'a, str>>,
}

/// The field of an `auth` that every one has.
#[derive(Deserialize, Default)]
struct TokenField<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
}

/// Reads one text frame.
pub fn parse(text: &str) -> Result<ClientFrame, FrameFault> {
    // The reader below would take a list for the fields in their order.
    if text.trim_ascii_start().starts_with('[') {
        return Err(FrameFault {
            code: "invalid_frame",
            message: "a frame is one JSON object, not a list".into(),
            id: None,
        });
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| FrameFault {
        code: if error.is_data() { "invalid_frame" } else { "invalid_json" },
        message: format!("a frame is one JSON object: {error}"),
        id: None,
    })?;
    let id = frame_id(envelope.id)?;
    let fault = |code, message: String| FrameFault { code, message, id: id.clone() };
    let invalid = |message: String| fault("invalid_frame", message);

    let kind = envelope.kind.ok_or_else(|| invalid("type is missing".into()))?;
    let kind: Cow<'_, str> =
        serde_json::from_str(kind.get()).map_err(|_| invalid("type must be a string".into()))?;
    let kind = kind.to_ascii_lowercase();
    if !TYPES.contains(&&*kind) {
        let message = format!("unknown type {:?}; a client sends {}", shortened(&kind), TYPES.join(", "));
        return Err(fault("unknown_type", message));
    }
    if kind == "ping" {
        let data = envelope.data.map(|raw| raw.get().into());
        return Ok(ClientFrame { id, request: Request::Ping { data } });
    }

    let data = envelope.data.map(RawValue::get).filter(|data| data.starts_with('{'));
    if kind == "auth" {
        let request = auth(text, data).map_err(invalid)?;
        return Ok(ClientFrame { id, request });
    }
    let outer: Fields<'_> = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let inner = data.map(serde_json::from_str).transpose().map_err(|e| invalid(format!("data: {e}")))?;
    let fields = outer.or(inner.unwrap_or_default());
    let request = match &*kind {
        "subscribe" => {
            let history = history(&fields).map_err(invalid)?;
            Request::Subscribe { channels: channels(&fields).map_err(invalid)?, history }
        }
        _ => Request::Unsubscribe { channels: channels(&fields).map_err(invalid)? },
    };
    Ok(ClientFrame { id, request })
}

/// What every frame has, read first so that a fault in the rest can be answered with the frame's id.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

fn frame_id(id: Option<&RawValue>) -> Result<Option<FrameId>, FrameFault> {
    let Some(raw) = id.map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
    let fault = |message: &str| FrameFault { code: "invalid_frame", message: message.into(), id: None };
    if raw.len() > FRAME_ID_BYTES {
        return Err(fault("id must be at most 128 bytes"));
    }
    if raw.starts_with(['{', '[']) {
        return Err(fault("id must be a string or a number"));
    }
    Ok(Some(raw.into()))
}

/// An `auth`: what is wrong with the rest of it is told apart, since a refresh has no use for that.
fn auth(text: &str, data: Option<&str>) -> Result<Request, String> {
    let outer: TokenField<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let inner: Option<TokenField<'_>> =
        data.map(serde_json::from_str).transpose().map_err(|error| format!("data: {error}"))?;
    let token = outer.token.or(inner.unwrap_or_default().token).ok_or("auth needs token")?;
    Ok(Request::Auth { token: token.as_ref().into(), connect: connect(text, data) })
}

fn connect(text: &str, data: Option<&str>) -> Result<Box<ConnectParameters>, String> {
    let read = |text: &str| {
        let fields: ConnectFields<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let fault = |name: &str, error: InvalidName| format!("{name}: {error}");
        let (channels, patterns) = named(fields.channels.iter().flatten().map(Cow::as_ref))?;
        Ok::<_, String>(ConnectParameters {
            tenant: fields.tenant.map(|it| TenantId::new(&it).map_err(|e| fault("tenant", e))).transpose()?,
            device: fields.device.map(|it| DeviceId::new(&it).map_err(|e| fault("device", e))).transpose()?,
            channels,
            patterns,
            since: fields.since.map(Seq),
            epoch: fields.epoch.map(|it| Epoch::new(&it).map_err(|e| fault("epoch", e))).transpose()?,
            last: fields.last.map(|it| it.parse().map_err(|e| fault("last", e))).transpose()?,
        })
    };
    let outer = read(text)?;
    Ok(Box::new(outer.or(data.map(read).transpose()?.unwrap_or_default())))
}

fn channels(fields: &Fields<'_>) -> Result<Vec<Channel>, String> {
    let many = fields.channels.iter().chain(&fields.rooms).flatten();
    let channels = distinct(many.chain(&fields.channel).chain(&fields.room).map(Cow::as_ref))?;
    if channels.is_empty() { Err("channel or channels is missing".into()) } else { Ok(channels) }
}

/// What a client names when it connects: channels, and beginnings of channels with a `*`, each once. The fault in words if
/// one is neither, or there are too many.
pub fn named<'a>(
    names: impl Iterator<Item = &'a str>,
) -> Result<(Vec<Channel>, Vec<ChannelPattern>), String> {
    let (with_star, without): (Vec<&str>, Vec<&str>) = names.partition(|name| name.ends_with('*'));
    let mut patterns: Vec<ChannelPattern> = Vec::new();
    for name in with_star {
        let pattern = ChannelPattern::new(name).map_err(|e| format!("pattern {:?}: {e}", shortened(name)))?;
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
        if patterns.len() > limits::PATTERNS_PER_CONNECTION {
            return Err(format!("at most {} patterns", limits::PATTERNS_PER_CONNECTION));
        }
    }
    Ok((distinct(without.into_iter())?, patterns))
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

fn history(fields: &Fields<'_>) -> Result<Option<History>, String> {
    match (fields.history, fields.since) {
        (Some(_), Some(_)) => Err("history and since exclude each other".into()),
        (Some(n), None) if n > limits::HISTORY_EVENTS => {
            Err(format!("history must be at most {}", limits::HISTORY_EVENTS))
        }
        (Some(n), None) => Ok(Some(History::Last(n))),
        (None, Some(seq)) => {
            let epoch = fields.epoch.as_deref().map(Epoch::new).transpose().map_err(|e| e.to_string())?;
            Ok(Some(History::Since { seq: Seq(seq), epoch }))
        }
        (None, None) => Ok(None),
    }
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
        assert_eq!(frame.request, Request::Subscribe { channels, history: Some(History::Last(50)) });
        assert_eq!(
            request(r#"{"type":"ping","data":{"a":[1]}}"#),
            Request::Ping { data: Some(r#"{"a":[1]}"#.into()) }
        );
        let connect = Ok(Box::default());
        assert_eq!(
            request(r#"{"type":"auth","token":"x.y.z"}"#),
            Request::Auth { token: "x.y.z".into(), connect }
        );
        assert!(matches!(
            request(r#"{"type":"subscribe","channel":"a","since":4,"epoch":"e1","unknown":{"x":1}}"#),
            Request::Subscribe { history: Some(History::Since { seq: Seq(4), epoch: Some(_) }), .. }
        ));
    }

    #[test]
    fn frames_of_older_systems() {
        let channels = vec![Channel::new("contact:123").unwrap()];
        assert_eq!(
            request(r#"{"type":"SUBSCRIBE","data":{"room":"contact:123"}}"#),
            Request::Subscribe { channels: channels.clone(), history: None }
        );
        assert_eq!(
            request(r#"{"type":"Unsubscribe","room":"contact:123"}"#),
            Request::Unsubscribe { channels }
        );
        let connect = Ok(Box::default());
        assert_eq!(
            request(r#"{"type":"AUTH","data":{"token":"t"}}"#),
            Request::Auth { token: "t".into(), connect }
        );
    }

    #[test]
    fn a_first_frame_says_what_a_url_says() {
        let connect = |text: &str| match request(text) {
            Request::Auth { connect, .. } => connect.map(|connect| *connect),
            other => panic!("{other:?}"),
        };
        let wanted = ConnectParameters {
            tenant: Some(TenantId::new("acme").unwrap()),
            device: Some(DeviceId::new("phone").unwrap()),
            channels: vec![Channel::new("a").unwrap(), Channel::new("b").unwrap()],
            patterns: vec![ChannelPattern::new("c:*").unwrap()],
            since: Some(Seq(4)),
            epoch: Some(Epoch::new("e1").unwrap()),
            last: Some("4:id".parse().unwrap()),
        };
        let fields = r#""tenant":"acme","device":"phone","channels":["a","c:*","b","a","c:*"],"since":4,"epoch":"e1","last":"4:id""#;
        assert_eq!(connect(&format!(r#"{{"type":"auth","token":"t",{fields}}}"#)), Ok(wanted.clone()));
        assert_eq!(
            connect(&format!(r#"{{"type":"auth","data":{{"token":"t",{fields}}}}}"#)),
            Ok(wanted.clone())
        );
        // The token is read all the same: whose frame is malformed is told who they are not first.
        for bad in [
            r#""since":-1"#,
            r#""since":"4""#,
            r#""channels":"a""#,
            r#""channels":["a b"]"#,
            r#""channels":["a*b*"]"#,
            r#""epoch":"a b""#,
            r#""last":"4""#,
            r#""device":{}"#,
        ] {
            assert!(connect(&format!(r#"{{"type":"auth","token":"t",{bad}}}"#)).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=limits::CHANNELS_PER_CONNECTION).map(|n| format!("\"c:{n}\"")).collect();
        let many = format!(r#"{{"type":"auth","token":"t","channels":[{}]}}"#, many.join(","));
        assert_eq!(connect(&many), Err("at most 1000 channels".into()));
        let many: Vec<String> = (0..33).map(|n| format!("c{n}:*")).collect();
        assert_eq!(named(many.iter().map(String::as_str)), Err("at most 32 patterns".into()));
        // A cursor is one thing; what a frame does not say its URL may.
        let frame =
            ConnectParameters { since: Some(Seq(9)), channels: Vec::new(), ..ConnectParameters::default() };
        let both = frame.or(wanted.clone());
        assert_eq!((both.since, both.epoch, both.last), (Some(Seq(9)), None, None));
        assert_eq!(
            (both.channels, both.patterns, both.tenant, both.device),
            (wanted.channels, wanted.patterns, wanted.tenant, wanted.device)
        );
    }

    #[test]
    fn faults_name_themselves_and_carry_the_id() {
        assert_eq!(fault("{").code, "invalid_json");
        assert_eq!(fault("[]").code, "invalid_frame");
        assert_eq!(fault("{}").code, "invalid_frame");
        let unknown = fault(r#"{"type":"dance","id":7}"#);
        assert_eq!((unknown.code, unknown.id.as_deref()), ("unknown_type", Some("7")));
        assert!(unknown.message.ends_with("auth, subscribe, unsubscribe, ping"), "{}", unknown.message);
        for bad in [
            r#"{"type":"subscribe","id":1}"#,
            r#"{"type":"subscribe","id":1,"channels":"a"}"#,
            r#"{"type":"subscribe","id":1,"channels":["a b"]}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","history":-1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","history":1001}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","history":1,"since":1}"#,
            r#"{"type":"subscribe","id":1,"channel":"a","since":99999999999999999999}"#,
            r#"{"type":"auth","id":1,"token":5}"#,
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
