//! How does the other end of a shard's WebSocket speak?
//!
//! Who polls has a connection like everybody's, whose other end is held here, in this process. So only what a gateway itself writes is read;
//! of a client, the few small messages with which it asks for a WebSocket of its own.

use crate::ws::Opcode;

/// A frame of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// A packet.
    Text(&'a str),
    /// The end.
    Close,
    /// A ping of WebSocket: nobody who polls sees it.
    Other,
}

/// The first frame that a gateway wrote, and how long it is; none while it is not there as a whole.
pub fn of_gateway(bytes: &[u8]) -> Option<(Told<'_>, usize)> {
    let (opcode, head, length) = head(bytes)?;
    let payload = bytes.get(head..head.checked_add(length)?)?;
    let told = match opcode {
        1 => std::str::from_utf8(payload).map_or(Told::Other, Told::Text),
        8 => Told::Close,
        _ => Told::Other,
    };
    Some((told, head + length))
}

/// The type of a frame, where its payload or its key begins, and how long the payload is.
fn head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (head, length) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into()),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (2, short.into()),
    };
    Some((first & 0x0f, head, length))
}

/// Appends a message as a client writes it.
pub fn push_of_client(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium if medium <= usize::from(u16::MAX) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    // A key of zeros changes nothing.
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A small message of a client that asks for a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whether it is a ping of WebSocket; else it is a text.
    pub is_ping: bool,
    /// What it says.
    pub payload: Vec<u8>,
    /// How long it is with its head.
    pub size: usize,
}

/// The first message of a client; none while it is not there as a whole.
///
/// # Errors
/// If it is none that belongs here.
pub fn of_client(bytes: &[u8]) -> Result<Option<Asked>, Misplaced> {
    let Some((opcode, head, length)) = head(bytes) else { return Ok(None) };
    let is_whole = bytes.first().is_some_and(|first| first & 0xf0 == 0x80);
    let is_masked = bytes.get(1).is_some_and(|second| second & 0x80 != 0);
    if !is_whole || !is_masked || length > 125 || !matches!(opcode, 1 | 9) {
        return Err(Misplaced);
    }
    let size = head + 4 + length;
    let (Some(key), Some(payload)) = (bytes.get(head..head + 4), bytes.get(head + 4..size)) else {
        return Ok(None);
    };
    let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Ok(Some(Asked { is_ping: opcode == 9, payload, size }))
}

/// A client says something else than that it wants a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("before the upgrade only a probe is taken")]
pub struct Misplaced;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::encode::{push_close, push_ping, push_text};
    use crate::ws::{Decoder, Flow, Incoming};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_gateway_writes_is_read_however_it_is_cut(texts in prop::collection::vec("\\PC{0,300}", 0..5), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            for text in &texts {
                push_text(&mut bytes, &[text.as_bytes()]);
                push_ping(&mut bytes, b"12345678");
            }
            push_close(&mut bytes, 1012, "gone");
            let whole = bytes.len();
            let (mut read, mut at) = (Vec::new(), 0);
            for end in [cut.index(whole + 1), whole] {
                while let Some((told, size)) = of_gateway(&bytes[at..end]) {
                    at += size;
                    if let Told::Text(text) = told {
                        read.push(text.to_owned());
                    }
                }
            }
            prop_assert_eq!((read, at), (texts, whole));
        }

        #[test]
        fn what_is_passed_on_is_what_the_decoder_reads(text in "\\PC{0,200}", times in 1_usize..400) {
            let text = text.repeat(times);
            let mut bytes = Vec::new();
            push_of_client(&mut bytes, Opcode::Text, text.as_bytes());
            let mut read = None;
            let fed = Decoder::new().feed(&mut bytes, 1 << 20, None, &mut |incoming| {
                if let Incoming::Text(text) = incoming {
                    read = Some(text.to_owned());
                }
                Flow::Continue
            });
            prop_assert!(fed.is_ok());
            prop_assert_eq!(read, Some(text));
        }

        #[test]
        fn no_bytes_of_a_client_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = (of_client(&bytes), of_gateway(&bytes));
        }
    }

    #[test]
    fn a_probe_is_read_and_nothing_else() {
        let mut bytes = Vec::new();
        push_of_client(&mut bytes, Opcode::Text, b"2probe");
        bytes[2..6].copy_from_slice(&[1, 2, 3, 4]);
        bytes.iter_mut().skip(6).zip([1, 2, 3, 4].iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        for cut in 0..bytes.len() {
            assert_eq!(of_client(&bytes[..cut]), Ok(None));
        }
        let asked = of_client(&bytes).unwrap().unwrap();
        assert_eq!((&*asked.payload, asked.size, asked.is_ping), (&b"2probe"[..], bytes.len(), false));
        let mut binary = Vec::new();
        push_of_client(&mut binary, Opcode::Binary, b"x");
        let mut long = Vec::new();
        push_of_client(&mut long, Opcode::Text, &[b'x'; 126]);
        for bytes in [binary, long, vec![0x81, 0x01, b'x'], vec![0x01, 0x80, 0, 0, 0, 0]] {
            assert_eq!(of_client(&bytes), Err(Misplaced), "{bytes:?}");
        }
    }
}
