//! What does a client make of a compact frame?

use super::members::{begins, from_base64, spelled, time};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    n: BTreeMap<u8, &'a RawValue>,
    s: u64,
    #[serde(borrow)]
    k: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    u: Option<&'a str>,
    #[serde(borrow, default)]
    i: Option<&'a RawValue>,
    #[serde(borrow)]
    w: &'a RawValue,
    #[serde(borrow, default)]
    x: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "also_null")]
    d: Option<&'a RawValue>,
}

/// A member that is there, also when it is `null`.
fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The plain `event` frame of a compact one, byte for byte what others get; `names` is what this connection has been told, and is told
/// more by a frame that says so. None for any other frame, which is plain already.
pub fn plain(json: &[u8], names: &mut BTreeMap<u8, String>) -> Option<Vec<u8>> {
    let frame: Frame<'_> = serde_json::from_slice(json).ok()?;
    names.extend(frame.n.iter().map(|(number, name)| (*number, name.get().to_owned())));
    let name = |text: &str| match text.parse::<u8>() {
        Ok(number) => names.get(&number).cloned(),
        Err(_) => Some(text.to_owned()),
    };
    let mut named = frame.k.iter().map(|text| name(text.get()));
    let [kind, source]: [Box<RawValue>; 2] = serde_json::from_str(&named.next()??).ok()?;
    let channels = named.collect::<Option<Vec<String>>>()?.join(",");
    let uuid = match frame.u {
        Some(text) => Some(from_base64(text)?),
        None => None,
    };
    let id = uuid
        .as_ref()
        .map(|uuid| format!("\"{}\"", spelled(uuid)))
        .or(frame.i.map(|id| id.get().to_owned()))?;
    let when = match frame.w.get().parse::<i64>() {
        Ok(micros) => format!("\"{}\"", time(micros + begins(uuid.as_ref()))),
        Err(_) => frame.w.get().to_owned(),
    };
    let (seq, kind, source) = (frame.s, kind.get(), source.get());
    let mut out = format!(
        r#"{{"type":"event","seq":{seq},"channels":[{channels}],"event":{{"specversion":"1.0","id":{id},"source":{source},"type":{kind},"time":{when}"#
    );
    if let Some(others) = frame.x.and_then(|x| x.get().strip_prefix('{')?.strip_suffix('}')) {
        out.push(',');
        out.push_str(others);
    }
    if let Some(data) = frame.d {
        out.push_str(",\"data\":");
        out.push_str(data.get());
    }
    out.push_str("}}");
    Some(out.into_bytes())
}
