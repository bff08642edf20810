//! What would a client put on the wire, and what does the decoder make of it?

use carillon_gateway::ws::{Decoder, Flow, Incoming, Inflater, Violation};

/// A message that outlives the call it was lent for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Incoming<'_>> for Message {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_owned()),
            Incoming::Ping(bytes) => Self::Ping(bytes.to_owned()),
            Incoming::Pong(bytes) => Self::Pong(bytes.to_owned()),
            Incoming::Close(close) => Self::Close(close.map(|(code, reason)| (code, reason.to_owned()))),
        }
    }
}

/// A masked frame: its first byte, its payload, its mask key. The mask is applied as the RFC words it, one byte
/// after the other, so a fault of the decoder's mask is not repeated here.
pub(crate) fn frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        long @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend_from_slice(&(long as u16).to_be_bytes());
        }
        huge => {
            bytes.push(0xff);
            bytes.extend_from_slice(&(huge as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&key);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    bytes
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) messages: Vec<Message>,
    /// Waiting for more, or refused.
    pub(crate) end: Result<(), Violation>,
    /// Whether nothing is held for an unfinished frame or message.
    pub(crate) idle: bool,
}

/// Feeds `bytes` in pieces, cut at the given positions (ascending), on a connection without compression.
pub(crate) fn decode(bytes: &[u8], cuts: impl IntoIterator<Item = usize>, limit: usize) -> Outcome {
    decode_with(None, bytes, cuts, limit)
}

/// The same; with an inflater it is a connection on which compression was negotiated.
pub(crate) fn decode_with(
    mut inflater: Option<&mut Inflater>,
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    limit: usize,
) -> Outcome {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    let mut end = Ok(());
    let mut at = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        let mut piece = bytes[at..cut].to_vec();
        at = cut;
        let fed = decoder.feed(&mut piece, limit, inflater.as_deref_mut(), &mut |incoming| {
            messages.push(incoming.into());
            Flow::Continue
        });
        match fed {
            Ok(used) => assert_eq!(used, piece.len(), "everything is taken unless stopped"),
            Err(violation) => {
                assert!(end.is_ok(), "a violation is told once");
                end = Err(violation);
            }
        }
    }
    Outcome { messages, end, idle: decoder.is_idle() }
}
