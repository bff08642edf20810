//! Does every text message become a frame or a fault, and does a frame say what the text said?
//!
//! The second opinion reads the text as an untyped JSON tree, and judges that by the contract. Its reader refuses a little
//! more (numbers beyond `f64`, deep nesting, half surrogate pairs) and takes the last of two equal names, so it is asked
//! only about texts it can read, and about refusals only after the tree was written out again.

use carillon_protocol::client::{
    Ack, ClientFrame, FRAME_ID_BYTES, FrameFault, History, Request, connect_parameters, first_token, parse,
};
use carillon_protocol::ident::plain_text;
use carillon_protocol::limits::{
    ACTIVITY_BYTES, ATTRIBUTE_BYTES, CHANNELS_PER_CONNECTION, HISTORY_EVENTS, JSON_DEPTH, META_BYTES,
    TYPE_PATTERN_BYTES, TYPES_PER_FILTER,
};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, Epoch, EventId};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Longest answer to a refused frame beyond what it quotes, in bytes.
const ANSWER_BYTES: usize = 1024;

/// Panics when a message is misread, or a refusal cannot be told.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let tree = serde_json::from_str::<Value>(text).ok();
    match parse(text) {
        Ok(frame) => {
            id_is_scalar(frame.id.as_deref(), text);
            within_limits(&frame);
            if let Some(tree) = &tree {
                says_the_same(&frame, tree, text);
            }
        }
        Err(fault) => {
            assert!(fault.code != "invalid_json" || tree.is_none(), "valid JSON was called invalid: {text}");
            can_be_told(&fault, text);
        }
    }
    if let Some(tree) = tree {
        let again = tree.to_string();
        let read = parse(&again);
        assert_eq!(read.is_ok(), is_good(&tree), "{again}: {read:?}");
    }
}

fn id_is_scalar(id: Option<&str>, text: &str) {
    let Some(id) = id else { return };
    assert!(id.len() <= FRAME_ID_BYTES && text.contains(id), "{id}");
    let raw = serde_json::from_str::<&RawValue>(id).expect("an id is JSON");
    assert!(!raw.get().starts_with(['{', '[']) && raw.get() != "null", "{id}");
}

fn within_limits(frame: &ClientFrame) {
    match &frame.request {
        Request::Subscribe { channels, history, types, .. } => {
            set_of(channels);
            let patterns = types.iter().map(|types| types.patterns().len());
            assert!(patterns.into_iter().all(|count| (1..=TYPES_PER_FILTER).contains(&count)));
            if let Some(History::Last(n)) = history {
                assert!(*n <= HISTORY_EVENTS);
            }
        }
        Request::Unsubscribe { channels } => drop(set_of(channels)),
        Request::Presence { channel, meta } => {
            assert!(channel.is_some() || meta.is_some());
            if let Some(Some(meta)) = meta {
                assert!(meta.len() <= META_BYTES);
                serde_json::from_str::<&RawValue>(meta).expect("what others see is JSON");
            }
        }
        Request::Ping { data: Some(data) } => {
            serde_json::from_str::<&RawValue>(data).expect("what a pong repeats is JSON");
        }
        Request::Publish(publish) => {
            let event = publish.event.to_json();
            serde_json::from_str::<&RawValue>(&event).expect("what others get is JSON");
            assert!(!event.contains(['\n', '\r']), "one line: {event}");
        }
        Request::Activity(activity) => {
            assert!(activity.data.len() <= ACTIVITY_BYTES && activity.data.starts_with('{'));
            serde_json::from_str::<&RawValue>(&activity.data).expect("what is stored is JSON");
        }
        Request::Attach { wanted, .. } => {
            assert!(wanted.tenant.is_some() && wanted.channels.len() <= CHANNELS_PER_CONNECTION);
        }
        Request::Detach => assert!(frame.tenant.is_some()),
        Request::Ping { data: None } | Request::Auth { .. } | Request::Typing { .. } | Request::Ack(_) => {}
    }
}

/// The channels of a frame: at least one, each once, no more than a connection may have.
fn set_of(channels: &[Channel]) -> BTreeSet<&str> {
    let set: BTreeSet<&str> = channels.iter().map(Channel::as_str).collect();
    assert_eq!(set.len(), channels.len(), "a channel stands twice");
    assert!((1..=CHANNELS_PER_CONNECTION).contains(&set.len()));
    set
}

/// What the frame says at the top, else what it says in `data`.
fn field<'a>(tree: &'a Value, name: &str) -> &'a Value {
    match &tree[name] {
        Value::Null => &tree["data"][name],
        there => there,
    }
}

/// The channels a frame names, each once.
fn names(tree: &Value) -> BTreeSet<&str> {
    let lists = ["channels", "rooms"].into_iter().filter_map(|name| field(tree, name).as_array()).flatten();
    let single = ["channel", "room"].into_iter().map(|name| field(tree, name));
    lists.chain(single).filter_map(Value::as_str).collect()
}

/// The one channel of a frame that has one.
fn channel(tree: &Value) -> Option<&str> {
    let both = [tree, &tree["data"]].into_iter().flat_map(|level| [&level["channel"], &level["room"]]);
    both.filter_map(Value::as_str).next()
}

/// Whether the fields of a frame that sends something have their types.
fn sends(fields: &Value) -> bool {
    let is = |names: &[&str], typed: fn(&Value) -> bool| {
        names.iter().all(|name| fields[*name].is_null() || typed(&fields[*name]))
    };
    is(&["channel", "room", "state"], Value::is_string) && is(&["ephemeral", "echo"], Value::is_boolean)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether a client may publish this.
fn is_event(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    let is_kind = plain_text(kind, ATTRIBUTE_BYTES) && !kind.contains(char::is_whitespace);
    let id = &event["id"];
    event.is_object()
        && is_kind
        && (id.is_null() || id.as_str().is_some_and(|id| EventId::new(id).is_ok()))
        && depth(&event["data"]) <= JSON_DEPTH
}

/// What the type of a frame says of somebody's typing, if it does.
fn named_state(kind: &str) -> Option<&str> {
    kind.strip_prefix("typing_").filter(|state| ["start", "stop"].contains(state))
}

/// The patterns of types a frame names, if it does.
fn types(tree: &Value) -> Option<BTreeSet<&str>> {
    Some(field(tree, "types").as_array()?.iter().filter_map(Value::as_str).collect())
}

/// Whether these are patterns of types, by the contract.
fn are_types(tree: &Value) -> bool {
    let is_one = |text: &str| {
        let name = text.strip_suffix('*').unwrap_or(text);
        let has = |bad: fn(char) -> bool| name.chars().any(bad);
        (1..=TYPE_PATTERN_BYTES).contains(&text.len())
            && !has(|c| c == '*' || c.is_whitespace() || c.is_control())
    };
    let all = field(tree, "types").as_array();
    all.is_none_or(|all| {
        (1..=TYPES_PER_FILTER).contains(&all.len()) && all.iter().filter_map(Value::as_str).all(is_one)
    })
}

/// Whether the contract takes this frame.
fn is_good(tree: &Value) -> bool {
    let (Value::Object(_), Some(kind)) = (tree, tree["type"].as_str()) else { return false };
    let id = &tree["id"];
    let id = id.is_null() || !id.is_object() && !id.is_array() && id.to_string().len() <= FRAME_ID_BYTES;
    let field = |name| field(tree, name);
    let named = names(tree);
    let channels = (1..=CHANNELS_PER_CONNECTION).contains(&named.len())
        && named.into_iter().all(|name| Channel::new(name).is_ok());
    let fields = has_types(tree) && (!tree["data"].is_object() || has_types(&tree["data"]));
    let history = match (field("history").as_u64(), field("since").as_u64()) {
        (Some(_), _) | (_, Some(_)) if field("latest") == true => false,
        (Some(_), Some(_)) => false,
        (Some(n), None) => n <= HISTORY_EVENTS,
        (None, Some(_)) => field("epoch").as_str().is_none_or(|epoch| Epoch::new(epoch).is_ok()),
        (None, None) => true,
    };
    let request = match kind.to_ascii_lowercase().as_str() {
        "ping" => true,
        "auth" => fields && field("token").is_string(),
        "subscribe" => {
            let both = field("latest") == true && field("presence") == true;
            fields && channels && history && !both && are_types(tree)
        }
        "unsubscribe" => fields && channels,
        "ack" => {
            let typed = |level: &Value| {
                (level["seq"].is_null() || level["seq"].is_u64())
                    && (level["epoch"].is_null() || level["epoch"].is_string())
            };
            let epoch = field("epoch").as_str().is_none_or(|epoch| Epoch::new(epoch).is_ok());
            let typed = typed(tree) && (!tree["data"].is_object() || typed(&tree["data"]));
            typed && epoch && field("seq").is_u64()
        }
        "presence" => {
            let meta = tree.get("meta").or_else(|| tree["data"].get("meta"));
            let fits = meta.is_none_or(|meta| meta.is_null() || meta.to_string().len() <= META_BYTES);
            let place = channel(tree);
            let is_place = place.is_none_or(|name| Channel::new(name).is_ok());
            fields && fits && is_place && (place.is_some() || meta.is_some())
        }
        kind @ ("publish" | "typing" | "typing_start" | "typing_stop") => {
            let typed = sends(tree) && (!tree["data"].is_object() || sends(&tree["data"]));
            let place = channel(tree).is_some_and(|name| Channel::new(name).is_ok());
            let state = field("state").as_str().map(str::to_ascii_lowercase);
            let rest = match kind {
                "publish" => is_event(field("event")),
                _ => named_state(kind).or(state.as_deref()).is_some_and(|it| ["start", "stop"].contains(&it)),
            };
            typed && place && rest
        }
        _ => false,
    };
    id && request
}

/// Whether every field that is there has its type.
fn has_types(fields: &Value) -> bool {
    let texts = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let is = |names: &[&str], typed: fn(&Value) -> bool| {
        names.iter().all(|name| fields[*name].is_null() || typed(&fields[*name]))
    };
    is(&["token", "channel", "room", "epoch"], Value::is_string)
        && is(&["history", "since"], Value::is_u64)
        && is(&["latest", "presence"], Value::is_boolean)
        && ["channels", "rooms", "types"].iter().all(|name| fields[*name].is_null() || texts(&fields[*name]))
}

fn says_the_same(frame: &ClientFrame, tree: &Value, text: &str) {
    assert!(tree.is_object(), "a frame is an object: {tree}");
    let kind = tree["type"].as_str().expect("a frame has a type").to_ascii_lowercase();
    let field = |name| field(tree, name);
    let names = || names(tree);
    // Only a subscribe asks; what stands under these names in a ping's data is anything.
    let asked = || match (field("history").as_u64(), field("since").as_u64()) {
        _ if field("latest") == true => Some(History::Latest),
        (Some(n), None) => Some(History::Last(n)),
        (None, Some(seq)) => {
            let epoch = field("epoch").as_str().map(|epoch| Epoch::new(epoch).expect("a good epoch"));
            Some(History::Since { seq: carillon_protocol::Seq(seq), epoch })
        }
        _ => None,
    };
    match &frame.request {
        Request::Auth { token } => {
            assert_eq!((&*kind, Some(&**token)), ("auth", field("token").as_str()));
            assert_eq!(first_token(text).as_ref(), Ok(token));
            if let Ok(asked) = connect_parameters(text) {
                assert_eq!(asked.since.map(|since| since.0), field("since").as_u64());
                assert_eq!(asked.epoch.as_ref().map(Epoch::as_str), field("epoch").as_str());
                assert!(asked.channels.iter().all(|it| names().contains(it.as_str())), "{asked:?}");
            }
        }
        Request::Subscribe { channels, history, types: chosen, presence } => {
            assert_eq!(*presence, field("presence").as_bool().unwrap_or_default());
            assert_eq!((&*kind, set_of(channels)), ("subscribe", names()));
            let chosen: Option<BTreeSet<&str>> =
                chosen.as_ref().map(|types| types.patterns().iter().map(|it| it.as_str()).collect());
            assert_eq!(chosen, types(tree));
            assert_eq!(history, &asked());
        }
        Request::Unsubscribe { channels } => {
            assert_eq!((&*kind, set_of(channels)), ("unsubscribe", names()));
        }
        Request::Publish(publish) => {
            assert_eq!((&*kind, Some(publish.channel.as_str())), ("publish", channel(tree)));
            let (event, read) = (publish.event.to_json(), field("event"));
            let sent: Value = serde_json::from_str(&event).expect("a part of a readable text is readable");
            for name in ["type", "data", "id"] {
                assert_eq!(sent[name], read[name], "{event}");
            }
            assert_eq!(publish.echo, field("echo").as_bool());
            assert_eq!(publish.ephemeral, field("ephemeral").as_bool());
        }
        Request::Typing { channel: place, state } => {
            assert_eq!(Some(place.as_str()), channel(tree));
            let said = field("state").as_str().map(str::to_ascii_lowercase);
            assert_eq!(Some(state.as_str()), named_state(&kind).or(said.as_deref()));
        }
        Request::Presence { channel: place, .. } => {
            assert_eq!((&*kind, place.as_ref().map(Channel::as_str)), ("presence", channel(tree)));
        }
        Request::Activity(activity) => {
            assert_eq!((&*kind, Some(&*activity.name)), ("activity", field("name").as_str()));
            let sent: Value =
                serde_json::from_str(&activity.data).expect("a part of a readable text is readable");
            let said = if tree["name"].is_null() { &tree["data"]["data"] } else { &tree["data"] };
            assert_eq!(sent, if said.is_null() { Value::Object(Default::default()) } else { said.clone() });
        }
        Request::Attach { wanted, alone } => {
            assert_eq!(
                (&*kind, wanted.tenant.as_ref()),
                (["attach", "switch"][usize::from(*alone)], frame.tenant.as_ref())
            );
        }
        Request::Detach => assert_eq!(kind, "detach"),
        Request::Ack(Ack { seq, epoch }) => {
            assert_eq!((&*kind, Some(seq.0)), ("ack", field("seq").as_u64()));
            assert_eq!(epoch.as_ref().map(Epoch::as_str), field("epoch").as_str());
        }
        Request::Ping { data } => {
            assert_eq!(kind, "ping");
            let repeated = data.as_deref().map_or(Value::Null, |data| {
                serde_json::from_str(data).expect("a part of a readable text is readable")
            });
            assert_eq!(repeated, tree["data"]);
        }
    }
}

/// The answer is one JSON object that carries the id, and is not much longer than what was asked.
fn can_be_told(fault: &FrameFault, text: &str) {
    assert!(
        ["invalid_json", "invalid_frame", "unknown_type", "meta_too_large"].contains(&fault.code),
        "{fault:?}"
    );
    assert!(!fault.message.is_empty());
    id_is_scalar(fault.id.as_deref(), text);
    let id = fault.id.as_deref().map(|id| serde_json::from_str::<&RawValue>(id).expect("an id is JSON"));
    let answer =
        ServerFrame::Error { id, code: fault.code, message: &fault.message, channels: None }.to_json();
    let answer = String::from_utf8(answer).expect("JSON is UTF-8");
    assert!(answer.starts_with("{\"type\":\"error\"") && !answer.contains('\n'), "{answer}");
    serde_json::from_str::<&RawValue>(&answer).expect("an answer is JSON");
    // Texts are quoted with their control characters spelt out, twice over: nine bytes for one.
    assert!(answer.len() <= ANSWER_BYTES + 9 * text.len(), "{} bytes for {}", answer.len(), text.len());
}
