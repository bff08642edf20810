//! What does an `ack` say?

use crate::ident::{Epoch, Seq};
use serde::Deserialize;
use std::borrow::Cow;

/// A device has handled everything up to here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The last event that it has.
    pub seq: Seq,
    /// The life of the log it was seen in; none means the current one.
    pub epoch: Option<Epoch>,
}

#[derive(Deserialize, Default)]
struct Fields<'a> {
    #[serde(default)]
    seq: Option<u64>,
    #[serde(borrow, default)]
    epoch: Option<Cow<'a, str>>,
}

/// The usual `ack`, exactly as the client library writes it: `{"type":"ack","seq":7}`, or with `,"epoch":"e1"` behind. Whatever looks otherwise
/// is none here, and read as all frames are.
pub(super) fn usual(text: &str) -> Option<Ack> {
    let rest = text.strip_prefix(r#"{"type":"ack","seq":"#)?.strip_suffix('}')?;
    let (seq, epoch) = match rest.split_once(',') {
        None => (rest, None),
        Some((seq, rest)) => {
            let name = rest.strip_prefix(r#""epoch":""#)?.strip_suffix('"')?;
            (seq, Some(Epoch::new(name).ok()?))
        }
    };
    // JSON has no number with a zero or a sign in front.
    let is_number = seq == "0" || seq.starts_with(|first: char| matches!(first, '1'..='9'));
    Some(Ack { seq: Seq(seq.parse().ok().filter(|_| is_number)?), epoch })
}

/// Reads an `ack`: what the top level says goes before `data`.
pub(super) fn read(text: &str, data: Option<&str>) -> Result<Ack, String> {
    let outer: Fields<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let inner: Fields<'_> = data
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| format!("data: {error}"))?
        .unwrap_or_default();
    let seq = outer.seq.or(inner.seq).ok_or("ack needs seq")?;
    let epoch = outer.epoch.or(inner.epoch).map(Epoch::new).transpose().map_err(|e| e.to_string())?;
    Ok(Ack { seq: Seq(seq), epoch })
}

#[cfg(test)]
mod tests {
    use super::super::{Request, parse};
    use super::*;
    use proptest::prelude::*;

    /// What the reader of all frames makes of it.
    fn read_as_all(text: &str) -> Option<Ack> {
        let opening = super::super::opening::opening(text).ok()?;
        read(text, super::super::opening::object(opening.data)).ok()
    }

    proptest! {
        #[test]
        fn the_usual_one_says_what_it_says_to_the_reader_of_all_frames(
            seq in "0|[1-9][0-9]{0,20}|[+-]?[0-9]{1,3}|[0-9]\\.[0-9]|[0-9]e[0-9]|\"7\"| 7|7 |null|", epoch in r#"(,"epoch":"[a-z0-9._ \\",]{0,4}")?"#,
        ) {
            let text = format!(r#"{{"type":"ack","seq":{seq}{epoch}}}"#);
            if let Some(ack) = usual(&text) {
                prop_assert_eq!(read_as_all(&text), Some(ack), "{}", text);
            }
        }
    }

    #[test]
    fn the_usual_one_is_seen() {
        for text in [
            r#"{"type":"ack","seq":0}"#,
            r#"{"type":"ack","seq":18446744073709551615}"#,
            r#"{"type":"ack","seq":7,"epoch":"e1"}"#,
        ] {
            assert_eq!(usual(text), read_as_all(text), "{text}");
            assert!(usual(text).is_some(), "{text}");
        }
    }

    #[test]
    fn an_ack_names_a_number_and_perhaps_the_epoch() {
        let request = |text: &str| parse(text).map(|frame| frame.request);
        let ack = |seq, epoch: Option<&str>| {
            let epoch = epoch.map(|epoch| Epoch::new(epoch).unwrap());
            Ok(Request::Ack(Ack { seq: Seq(seq), epoch }))
        };
        assert_eq!(request(r#"{"type":"ack","seq":7}"#), ack(7, None));
        assert_eq!(request(r#"{"type":"ack","seq":0,"epoch":"e1"}"#), ack(0, Some("e1")));
        assert_eq!(request(r#"{"type":"ACK","data":{"seq":7,"epoch":"e1"}}"#), ack(7, Some("e1")));
        for bad in [
            r#"{"type":"ack"}"#,
            r#"{"type":"ack","seq":null}"#,
            r#"{"type":"ack","seq":-1}"#,
            r#"{"type":"ack","seq":1.5}"#,
            r#"{"type":"ack","seq":"7"}"#,
            r#"{"type":"ack","seq":18446744073709551616}"#,
            r#"{"type":"ack","seq":7,"epoch":"not an epoch"}"#,
        ] {
            let fault = request(bad).unwrap_err();
            assert_eq!(fault.code, "invalid_frame", "{bad}");
        }
    }
}
