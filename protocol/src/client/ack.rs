//! What does an `ack` say?

use super::FrameId;
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

/// An `ack` in the form that clients write, and its `id`: `type` first, then `seq`, `epoch` and an `id` that is a number, without white space,
/// as in `{"type":"ack","epoch":"e1","seq":7,"id":3}`. Whatever looks otherwise is none here, and read as all frames are.
pub(super) fn common_form(text: &str) -> Option<(Ack, Option<FrameId>)> {
    let members = text.strip_prefix(r#"{"type":"ack","#)?.strip_suffix('}')?;
    let (mut seq, mut epoch, mut id) = (None, None, None);
    for member in members.split(',') {
        let comes_twice = match member.split_once(':')? {
            (r#""seq""#, value) => seq.replace(Seq(number(value)?)).is_some(),
            (r#""epoch""#, value) => {
                let name = value.strip_prefix('"')?.strip_suffix('"')?;
                epoch.replace(Epoch::new(name).ok()?).is_some()
            }
            (r#""id""#, value) => {
                number(value)?;
                id.replace(value.into()).is_some()
            }
            _ => return None,
        };
        if comes_twice {
            return None;
        }
    }
    Some((Ack { seq: seq?, epoch }, id))
}

/// A whole number. JSON has none with a zero or a sign in front.
fn number(text: &str) -> Option<u64> {
    let is_one = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_one)
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
    fn read_as_all(text: &str) -> Option<(Ack, Option<FrameId>)> {
        let opening = super::super::opening::opening(text).ok()?;
        let ack = read(text, super::super::opening::object(opening.data)).ok()?;
        Some((ack, opening.id))
    }

    const NUMBER: &str = "0|[1-9][0-9]{0,20}|[+-]?[0-9]{1,3}|[0-9]\\.[0-9]|[0-9]e[0-9]|\"7\"| 7|7 |null|";

    proptest! {
        #[test]
        fn the_common_form_says_what_it_says_to_the_reader_of_all_frames(
            seq in NUMBER,
            id in NUMBER,
            epoch in r#"[a-z0-9._ \\",:]{0,4}"#,
            members in prop::collection::vec(0_usize..4, 0..5),
        ) {
            let known = [
                format!(r#""seq":{seq}"#), format!(r#""epoch":"{epoch}""#), format!(r#""id":{id}"#), r#""x":1"#.into(),
            ];
            let members = members.iter().map(|at| known[*at].as_str()).collect::<Vec<_>>().join(",");
            let text = format!(r#"{{"type":"ack",{members}}}"#);
            if let Some(read) = common_form(&text) {
                prop_assert_eq!(read_as_all(&text), Some(read), "{}", text);
            }
        }
    }

    #[test]
    fn the_common_form_is_seen() {
        for text in [
            r#"{"type":"ack","seq":0}"#,
            r#"{"type":"ack","seq":18446744073709551615}"#,
            r#"{"type":"ack","seq":7,"epoch":"e1"}"#,
            // As the client library for pages writes it.
            r#"{"type":"ack","epoch":"e1","seq":7,"id":3}"#,
        ] {
            assert!(common_form(text).is_some(), "{text}");
            assert_eq!(common_form(text), read_as_all(text), "{text}");
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
