//! What does a `presence` ask or say?

use super::{Fields, Request, shortened};
use crate::channel::Channel;
use crate::limits;
use serde_json::value::RawValue;

/// Reads a `presence`. Its one channel is read as that of a `publish`: what the top level says under either name goes before `data`.
pub(super) fn read(outer: Fields<'_>, inner: Fields<'_>) -> Result<Request, (&'static str, String)> {
    let invalid = |message: String| ("invalid_frame", message);
    let named = outer.channel.or(outer.room).or(inner.channel).or(inner.room);
    let channel = named
        .as_deref()
        .map(|name| Channel::new(name).map_err(|e| invalid(format!("channel {:?}: {e}", shortened(name)))))
        .transpose()?;
    let meta = match outer.meta.or(inner.meta).map(RawValue::get) {
        None => None,
        Some("null") => Some(None),
        Some(json) if json.len() > limits::META_BYTES => {
            return Err(("meta_too_large", format!("meta must be at most {} bytes", limits::META_BYTES)));
        }
        Some(json) => Some(Some(json.into())),
    };
    if channel.is_none() && meta.is_none() {
        return Err(invalid("presence needs channel, meta, or both".into()));
    }
    Ok(Request::Presence { channel, meta })
}

#[cfg(test)]
mod tests {
    use super::super::{FrameFault, parse};
    use super::*;

    fn request(text: &str) -> Request {
        parse(text).unwrap().request
    }

    fn fault(text: &str) -> FrameFault {
        parse(text).unwrap_err()
    }

    #[test]
    fn who_is_there_is_asked_for_or_told_about_oneself() {
        let presence = |text: &str| match request(text) {
            Request::Presence { channel, meta } => (channel.map(String::from), meta),
            other => panic!("{other:?}"),
        };
        let a = || Some("a".to_owned());
        assert_eq!(presence(r#"{"type":"presence","channel":"a"}"#), (a(), None));
        assert_eq!(presence(r#"{"type":"presence","channel":"a","meta":null}"#), (a(), Some(None)));
        assert_eq!(
            presence(r#"{"type":"presence","meta":{"x":[1]}}"#),
            (None, Some(Some(r#"{"x":[1]}"#.into())))
        );
        assert_eq!(
            presence(r#"{"type":"PRESENCE","data":{"room":"a","meta":7}}"#),
            (a(), Some(Some("7".into())))
        );
        let large = format!(r#"{{"type":"presence","id":1,"meta":"{}"}}"#, "m".repeat(limits::META_BYTES));
        assert_eq!(fault(&large).code, "meta_too_large");
        // Its one channel is found as that of a `publish` is.
        let both = r#"{"type":"presence","room":"a","data":{"channel":"b"}}"#;
        assert_eq!(presence(both), (a(), None));
        let subscribe = request(r#"{"type":"subscribe","channel":"a","presence":true}"#);
        assert!(matches!(subscribe, Request::Subscribe { presence: true, .. }));
    }
}
