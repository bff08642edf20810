//! What does a client say when it connects?
//!
//! The object that applications give their client as `auth`. Its token says who somebody is; the rest is what the first frame of a
//! WebSocket may say (`docs/PROTOCOL.md`), and is read when the token has been verified.

use super::namespaces::Namespace;
use super::outgoing::{ENVELOPE, Members, Naming, ROOMS};
use carillon_protocol::{Channel, Cursor, TenantId, UserId};
use sha1::{Digest, Sha1};
use std::borrow::Cow;

/// What a CONNECT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The user token, API key or ticket.
    pub token: Option<Box<str>>,
    /// Under which names events are to come.
    pub naming: Naming,
    /// Whether it wants to recover what it misses while it is away; none: it does not say.
    pub recovers: Option<bool>,
    /// What it brings from a connection before this one.
    pub comes_back: Option<ComesBack>,
    /// The rest, as the first frame of a WebSocket.
    pub frame: Box<str>,
}

/// What a client brings that was connected before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComesBack {
    /// The id that it was given.
    pub id: Box<str>,
    /// Where it came to; none if what it brings is no position.
    pub cursor: Option<Cursor>,
    /// Whether its channels stand in the session's value.
    pub rooms: bool,
}

impl ComesBack {
    /// What an application calls by these names itself is nothing of ours: then nothing is recovered, and nothing refused.
    fn of(id: &str, offset: Option<&str>) -> Option<Self> {
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let offset = offset.unwrap_or_default();
        let (position, rooms) = match offset.strip_suffix(ROOMS) {
            Some(position) => (position, true),
            None => (offset, false),
        };
        Some(Self { id: id.into(), cursor: position.parse().ok(), rooms })
    }
}

/// What the ids of a person's sessions begin with: one that somebody else brings recovers nothing, as when another person uses the same page.
pub fn id_prefix(tenant: &TenantId, user: &UserId) -> String {
    let digest =
        Sha1::new().chain_update(tenant.as_str()).chain_update([0]).chain_update(user.as_str()).finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Characters of the longest id of a session.
const LONGEST_ID: usize = 64;

/// Reads the payload of a CONNECT, where channels are the rooms of this namespace. The fault in words.
///
/// # Errors
/// If a field that is read here is not what it may be.
pub fn connect(payload: Option<&str>, namespace: Namespace) -> Result<Connect, String> {
    let Members(members) =
        serde_json::from_str(payload.unwrap_or("{}")).map_err(|error| error.to_string())?;
    let (mut token, mut naming, mut recovers) = (None, Naming::Type, None);
    let (mut id, mut offset) = (None, None);
    let mut frame = String::from("{\"type\":\"auth\"");
    for (name, value) in &members {
        let text = || serde_json::from_str::<Cow<'_, str>>(value.get()).ok();
        let is_absent = value.get() == "null";
        match name.as_str() {
            _ if is_absent => {}
            "token" => {
                let said = text().ok_or("auth.token must be a text")?;
                // Many applications send what they would put into a header.
                token = Some(said.strip_prefix("Bearer ").unwrap_or(&said).into());
            }
            "envelope" => match text() {
                Some(said) if said == ENVELOPE => naming = Naming::Envelope,
                _ => return Err(format!("auth.envelope can only be \"{ENVELOPE}\"")),
            },
            "cursor" => {
                let said = text().and_then(|said| said.parse::<Cursor>().ok());
                let Cursor { seq, epoch } =
                    said.ok_or("auth.cursor must be the cursor of an event: <epoch>:<seq>")?;
                frame.push_str(&format!(",\"since\":{seq},\"epoch\":\"{epoch}\""));
            }
            "recovery" => match flag(value.get()) {
                Some(flag) => recovers = Some(flag),
                None => return Err("auth.recovery can only be true or false".to_owned()),
            },
            "pid" => id = text(),
            "offset" => offset = text(),
            // Some clients can send nothing but texts.
            "channels" | "types" if value.get().starts_with('"') => {
                let said = text().ok_or("auth.channels and auth.types must be lists or texts")?;
                let names = said.split(',').map(str::trim).filter(|name| !name.is_empty());
                let names: Vec<String> = match name.as_str() {
                    "channels" => names.map(|name| channel(name, namespace)).collect::<Result<_, _>>()?,
                    _ => names.map(str::to_owned).collect(),
                };
                let names = serde_json::to_string(&names).unwrap_or_default();
                frame.push_str(&format!(",\"{name}\":{names}"));
            }
            "presence" | "inbox" if value.get().starts_with('"') => {
                let flag =
                    flag(value.get()).ok_or("auth.presence and auth.inbox can only be true or false")?;
                frame.push_str(&format!(",\"{name}\":{flag}"));
            }
            "channels" if namespace != Namespace::MAIN => {
                let names: Vec<Cow<'_, str>> = serde_json::from_str(value.get())
                    .map_err(|_| "auth.channels must be a list of rooms, or a text of them")?;
                let names: Vec<String> =
                    names.iter().map(|name| channel(name, namespace)).collect::<Result<_, _>>()?;
                let names = serde_json::to_string(&names).unwrap_or_default();
                frame.push_str(&format!(",\"channels\":{names}"));
            }
            "tenant" | "device" | "channels" | "types" | "since" | "epoch" | "last" | "presence"
            | "inbox" => {
                frame.push_str(&format!(",\"{name}\":{}", value.get()));
            }
            // What applications tell their own servers.
            _ => {}
        }
    }
    frame.push('}');
    let comes_back = id.and_then(|id| ComesBack::of(&id, offset.as_deref()));
    Ok(Connect { token, naming, recovers, comes_back, frame: frame.into() })
}

/// The channel of a room, or the pattern of rooms'. What is no name stays, and is named by whoever reads the frame.
fn channel(name: &str, namespace: Namespace) -> Result<String, String> {
    if name.ends_with('*') {
        return Ok(namespace.pattern(name));
    }
    let Ok(room) = Channel::new(name) else { return Ok(name.to_owned()) };
    let channel = namespace.channel(room);
    channel.map(|channel| channel.to_string()).map_err(|_| {
        "auth.channels has a room whose channel's name would be too long, or reserved".to_owned()
    })
}

/// A flag, or a text that says one.
fn flag(json: &str) -> Option<bool> {
    match json {
        "true" | "\"true\"" | "\"1\"" => Some(true),
        "false" | "\"false\"" | "\"0\"" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::client::connect_parameters;

    #[test]
    fn what_is_said_of_oneself_is_the_first_frame_of_a_websocket() {
        let payload = r#"{"token":"Bearer t","envelope":"realtime_event","cursor":"e1:7","channels":["a"],"device":null,"role":{"x":1},"type":"y"}"#;
        let Connect { token, naming, frame, .. } = connect(Some(payload), Namespace::MAIN).unwrap();
        assert_eq!((token.as_deref(), naming), (Some("t"), Naming::Envelope));
        assert_eq!(&*frame, r#"{"type":"auth","since":7,"epoch":"e1","channels":["a"]}"#);
        assert!(connect_parameters(&frame).is_ok());
        let none = Connect {
            token: None,
            naming: Naming::Type,
            recovers: None,
            comes_back: None,
            frame: r#"{"type":"auth"}"#.into(),
        };
        assert_eq!(connect(None, Namespace::MAIN), Ok(none.clone()));
        assert_eq!(connect(Some("{}"), Namespace::MAIN), Ok(none));
    }

    #[test]
    fn who_can_send_nothing_but_texts_says_the_same() {
        let payload =
            r#"{"channels":"a, order:7","types":"order.*","presence":"true","inbox":"0","recovery":"true"}"#;
        let connect = connect(Some(payload), Namespace::MAIN).unwrap();
        let frame =
            r#"{"type":"auth","channels":["a","order:7"],"types":["order.*"],"presence":true,"inbox":false}"#;
        assert_eq!((&*connect.frame, connect.recovers), (frame, Some(true)));
        assert!(connect_parameters(&connect.frame).is_ok());
    }

    #[test]
    fn who_comes_back_brings_an_id_and_an_offset_and_what_is_none_is_nothing() {
        let comes_back = |payload: &str| connect(Some(payload), Namespace::MAIN).unwrap().comes_back;
        let back = comes_back(r#"{"pid":"abc","offset":"e1:7"}"#).unwrap();
        assert_eq!((&*back.id, back.cursor.map(|cursor| cursor.seq.0), back.rooms), ("abc", Some(7), false));
        let back = comes_back(r#"{"pid":"abc","offset":"e1:7+"}"#).unwrap();
        assert_eq!((back.cursor.map(|cursor| cursor.seq.0), back.rooms), (Some(7), true));
        for payload in
            [r#"{"pid":"abc"}"#, r#"{"pid":"abc","offset":"-"}"#, r#"{"pid":"abc","offset":"alice"}"#]
        {
            assert_eq!(comes_back(payload).unwrap().cursor, None, "{payload}");
        }
        for payload in [r#"{"pid":7}"#, r#"{"pid":""}"#, r#"{"pid":"a:b"}"#, r#"{"offset":"e1:7"}"#] {
            assert_eq!(comes_back(payload), None, "{payload}");
        }
    }

    #[test]
    fn an_id_is_one_person_s_in_one_tenant() {
        let of = |tenant: &str, user: &str| {
            id_prefix(&TenantId::new(tenant).unwrap(), &UserId::new(user).unwrap())
        };
        assert_eq!((of("a", "b").len(), of("a", "b")), (16, of("a", "b")));
        assert!(
            of("a", "b") != of("a", "c") && of("a", "b") != of("c", "b") && of("a", "bc") != of("ab", "c")
        );
    }

    #[test]
    fn channels_are_the_rooms_of_the_namespace() {
        let chat = super::super::namespaces::chat();
        for channels in [r#"["7","user:mila"]"#, r#""7, user:mila""#] {
            let frame = connect(Some(&format!(r#"{{"channels":{channels}}}"#)), chat).unwrap().frame;
            assert_eq!(&*frame, r#"{"type":"auth","channels":["chat:7","user:mila"]}"#);
        }
        let frame = connect(Some(r#"{"channels":["*","a:*","user:*"]}"#), chat).unwrap().frame;
        assert_eq!(&*frame, r#"{"type":"auth","channels":["chat:*","chat:a:*","user:*"]}"#);
        assert!(connect(Some(r#"{"channels":5}"#), chat).unwrap_err().contains("auth.channels"));
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        for (payload, name) in [
            (r#"{"token":5}"#, "auth.token"),
            (r#"{"envelope":"other"}"#, "auth.envelope"),
            (r#"{"envelope":true}"#, "auth.envelope"),
            (r#"{"cursor":"7"}"#, "auth.cursor"),
            (r#"{"cursor":7}"#, "auth.cursor"),
            (r#"{"recovery":"maybe"}"#, "auth.recovery"),
            (r#"{"presence":"maybe"}"#, "auth.presence"),
        ] {
            assert!(connect(Some(payload), Namespace::MAIN).unwrap_err().contains(name), "{payload}");
        }
        // A text that would become a member of its own cannot.
        let frame = connect(Some(r#"{"since":1,"channels":["a\",\"x"]}"#), Namespace::MAIN).unwrap().frame;
        assert!(connect_parameters(&frame).is_err());
    }
}
