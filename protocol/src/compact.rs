//! How does an event look to a client that asked for the compact form?
//!
//! The `event` frame with short members: no `type`, no `specversion`, and a number where the tenant's [`Names`] have one for the
//! event's type and source, or for a channel. The publisher's data is byte for byte what it is in the plain form.
//!
//! ```json
//! {"n":{"0":["order.paid","api"],"1":"tenant"},"s":7,"k":[0,1],"u":"AZqyi3GcejS-YHjr8u6-vw","w":456,"x":{"actor":"mila"},"d":{"price":1.10}}
//! ```
//!
//! | member | meaning |
//! |---|---|
//! | `n` | names that the frame uses, by their numbers: type with source, or a channel |
//! | `s` | `seq` |
//! | `k` | type with source, then the channels: each a number, or spelled out as in `n` |
//! | `u` or `i` | `id`: a UUID as the base64 of its bytes, or as it is |
//! | `w` | `time`: microseconds since 1970, if `u` is a UUIDv7 since the millisecond that it names; or the text |
//! | `x` | the attributes that have no short member, in their order |
//! | `d` | `data`, last |

mod members;
mod names;
mod plain;

use crate::channel::Channel;
use crate::ident::Seq;
use members::Attributes;
pub use names::Names;
pub use plain::plain;
use serde_json::value::RawValue;
use std::io::Write;

/// An event in its compact form, without the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compact {
    /// The frame.
    pub json: Vec<u8>,
    /// The names that its reader must know: a bit for each number.
    pub needs: u16,
    /// These, as the members of `n`.
    pub names: String,
}

/// The compact frame of an event with these stored bytes; new names get numbers while there is room. None where the bytes are
/// not as a publisher writes them: then the plain frame is the form for everybody.
pub fn compact(seq: Seq, channels: &[Channel], body: &[u8], names: &mut Names) -> Option<Compact> {
    let Attributes { kind, source, id, time, rest, data } = members::read(body)?;
    let (mut needs, mut told) = (0, String::new());
    let mut out = Vec::with_capacity(body.len());
    write!(out, "{{\"s\":{seq},\"k\":[").ok()?;
    let mut put = |out: &mut Vec<u8>, number: Option<u8>, text: &str| match number {
        Some(number) => {
            if needs & 1 << number == 0 {
                needs |= 1 << number;
                let comma = if told.is_empty() { "" } else { "," };
                told.push_str(&format!("{comma}\"{number}\":{text}"));
            }
            write!(out, "{number}")
        }
        None => out.write_all(text.as_bytes()),
    };
    let kind = format!("[{},{}]", kind.get(), source.get());
    put(&mut out, names.kind(&kind), &kind).ok()?;
    for channel in channels {
        let channel = serde_json::to_string(channel).ok()?;
        out.push(b',');
        put(&mut out, names.channel(&channel), &channel).ok()?;
    }
    out.push(b']');
    let uuid = members::uuid(id.get());
    match uuid {
        Some(uuid) => write!(out, ",\"u\":\"{}\"", members::base64(&uuid)).ok()?,
        None => write!(out, ",\"i\":{}", id.get()).ok()?,
    }
    match members::micros(time.get()).zip(members::counts_from(uuid.as_ref())) {
        Some((micros, begins)) => write!(out, ",\"w\":{}", micros - begins).ok()?,
        None => write!(out, ",\"w\":{}", time.get()).ok()?,
    }
    for (at, (name, value)) in rest.iter().enumerate() {
        let before = if at == 0 { ",\"x\":{" } else { "," };
        write!(out, "{before}\"{name}\":{}", value.get()).ok()?;
    }
    if !rest.is_empty() {
        out.push(b'}');
    }
    if let Some(data) = data.map(RawValue::get) {
        write!(out, ",\"d\":{data}").ok()?;
    }
    out.push(b'}');
    Some(Compact { json: out, needs, names: told })
}

/// The same frame with its names in front.
pub fn telling(json: &[u8], names: &str) -> Vec<u8> {
    let members = json.strip_prefix(b"{").unwrap_or(json);
    [b"{\"n\":{", names.as_bytes(), b"},", members].concat()
}

#[cfg(test)]
mod tests;
