//! Does a stream of frames mean the same however it is cut, and do its limits hold?
//!
//! Input: a byte of choices, a byte for the message limit, a piece whose bytes are the lengths of the reads (taken in
//! turn, over and over), then the content. The choices tell whether compression was negotiated, with a window or without, and what the content is:
//! the stream itself, a script of frames that get a right length and a mask (which reaches further into sequences of good
//! frames), or a payload that the gateway compresses for its readers.

use crate::script::Script;
use carillon_gateway::ws::encode::payload as payload_of;
use carillon_gateway::ws::{
    Decoder, Deflater, Flow, Incoming, Inflater, MAX_CONTROL_PAYLOAD, Opcode, Violation, window,
};

/// Heap bytes a decoder may hold beside the message itself: the state of a cut frame, and a control frame's payload.
const BESIDE_MESSAGE: usize = 512;
/// Longest stream a script may grow to, in bytes; every stream is decoded four times.
const STREAM_BYTES: usize = 16 * 1024;

/// Panics when cutting changes the meaning, a limit is passed, or a compressed frame is not read back.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    let choices = script.byte();
    let limit = usize::from(script.byte()) << (choices >> 4 & 3);
    let reads = script.piece();
    let stream = match choices & 3 {
        0 => script.rest().to_vec(),
        1 => return is_read_back(&script.rest().repeat(1 + limit % 16)),
        _ => frames(script),
    };
    let negotiated = choices & 4 != 0;
    let decoder = || if choices & 8 != 0 { Decoder::with_window() } else { Decoder::new() };
    let decode = |reads: &mut dyn Iterator<Item = usize>, inflater: Option<&mut Inflater>, flow| {
        decode(decoder(), &stream, reads, limit, inflater, flow)
    };

    let whole = decode(&mut [stream.len()].into_iter(), inflater(negotiated).as_mut(), Flow::Continue);
    within_limits(&whole, limit);
    // One state serves many connections, so what an earlier one left in it must not be seen by the next.
    let mut shared = inflater(negotiated);
    let bytewise = decode(&mut std::iter::repeat(1), shared.as_mut(), Flow::Continue);
    assert_eq!(bytewise, whole, "byte by byte");
    let cut = decode(&mut steps(reads), shared.as_mut(), Flow::Continue);
    assert_eq!(cut, whole, "in reads of {reads:?}");
    let stopped = decode(&mut steps(reads), shared.as_mut(), Flow::Stop);
    assert_eq!(stopped, whole, "stopped after every message, in reads of {reads:?}");
}

fn inflater(negotiated: bool) -> Option<Inflater> {
    negotiated.then(Inflater::new)
}

fn steps(reads: &[u8]) -> impl Iterator<Item = usize> {
    reads.iter().chain(reads.is_empty().then_some(&3)).map(|step| usize::from(*step).max(1)).cycle()
}

/// A message that outlives the call it was lent for.
#[derive(Debug, PartialEq, Eq)]
enum Message {
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
            Incoming::Ping(payload) => Self::Ping(payload.to_owned()),
            Incoming::Pong(payload) => Self::Pong(payload.to_owned()),
            Incoming::Close(close) => Self::Close(close.map(|(code, reason)| (code, reason.to_owned()))),
        }
    }
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    messages: Vec<Message>,
    violation: Option<Violation>,
    /// Whether nothing is held for an unfinished frame or message.
    idle: bool,
}

/// Feeds `stream` in reads of these lengths. With [`Flow::Stop`] each message ends a call, as when a shard has heard
/// enough of one connection.
fn decode(
    mut decoder: Decoder,
    stream: &[u8],
    reads: &mut dyn Iterator<Item = usize>,
    limit: usize,
    mut inflater: Option<&mut Inflater>,
    flow: Flow,
) -> Outcome {
    let mut messages: Vec<Message> = Vec::new();
    let mut violation = None;
    let mut at = 0;
    while at < stream.len() {
        let end = stream.len().min(at.saturating_add(reads.next().unwrap_or(usize::MAX)));
        let mut read = stream[at..end].to_vec();
        let mut used = 0;
        while used < read.len() {
            assert_eq!(read[used..], stream[at + used..end], "what was not decoded is changed");
            let before = messages.len();
            let over = violation.is_some() || matches!(messages.last(), Some(Message::Close(_)));
            let fed = decoder.feed(&mut read[used..], limit, inflater.as_deref_mut(), &mut |incoming| {
                messages.push(incoming.into());
                flow
            });
            let held = decoder.held_bytes();
            assert!(held <= limit + BESIDE_MESSAGE, "{held} bytes held under a limit of {limit}");
            assert_eq!(held == 0, decoder.is_idle());
            let window = decoder.window_bytes();
            assert!(window <= window::MOST, "a window of {window} bytes");
            assert!(!over || (messages.len() == before && held == 0), "the stream had ended");
            assert!(flow == Flow::Continue || messages.len() <= before + 1, "called again after Stop");
            match fed {
                Ok(0) => panic!("no progress"),
                Ok(n) => used += n,
                Err(fault) => {
                    assert!(!over && held == 0, "{fault:?}");
                    violation = Some(fault);
                    used = read.len();
                }
            }
        }
        at = end;
    }
    Outcome { messages, violation, idle: decoder.is_idle() }
}

fn within_limits(outcome: &Outcome, limit: usize) {
    for message in &outcome.messages {
        match message {
            Message::Text(text) => assert!(text.len() <= limit),
            Message::Binary(bytes) => assert!(bytes.len() <= limit),
            Message::Ping(payload) | Message::Pong(payload) => assert!(payload.len() <= MAX_CONTROL_PAYLOAD),
            Message::Close(close) => {
                assert!(close.as_ref().is_none_or(|(_, reason)| reason.len() + 2 <= MAX_CONTROL_PAYLOAD));
                assert!(close.as_ref().is_none_or(|(code, _)| (1000..5000).contains(code)));
            }
        }
    }
    let closes = outcome.messages.iter().filter(|message| matches!(message, Message::Close(_))).count();
    let last = matches!(outcome.messages.last(), Some(Message::Close(_)));
    assert!(
        closes == usize::from(last) && (closes == 0 || outcome.violation.is_none()),
        "a close is the end"
    );
}

/// What the gateway compresses for its readers is the same after inflation, and is bounded by the length after it.
fn is_read_back(payload: &[u8]) {
    let Some(frame) = Deflater::new().frame(Opcode::Binary, payload) else { return };
    let body = payload_of(&frame);
    assert!(body.len() < payload.len() && frame[0] == 0xc2);
    let mut stream = Vec::new();
    push_frame(&mut stream, frame[0], body, [1, 0xff, 0, 0x5a]);
    let read = |limit| {
        decode(Decoder::new(), &stream, &mut [7].into_iter(), limit, inflater(true).as_mut(), Flow::Continue)
    };
    let expected = Outcome { messages: vec![Message::Binary(payload.to_vec())], violation: None, idle: true };
    assert_eq!(read(payload.len()), expected);
    let refused = Outcome { messages: Vec::new(), violation: Some(Violation::TooBig), idle: true };
    assert_eq!(read(payload.len() - 1), refused);
}

/// Frames with a right length and a mask: for each its first byte, a byte of choices, and its payload. The choices say
/// how often the frame is repeated, and whether a payload that claims to be compressed really is.
fn frames(mut script: Script<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut deflater = None;
    while !script.is_empty() {
        let (first, choices, payload) = (script.byte(), script.byte(), script.piece());
        let mut body = payload.to_vec();
        if first & 0x40 != 0 && choices & 1 == 1 {
            // Many times the same: more after inflation than the limit allows.
            let many = payload.repeat(usize::from(choices >> 1 & 7) + 1);
            let frame = deflater.get_or_insert_with(Deflater::new).frame(Opcode::Text, &many);
            body = frame.map_or(body, |frame| payload_of(&frame).to_vec());
        }
        for _ in 0..=choices >> 4 {
            if stream.len() + body.len() > STREAM_BYTES {
                return stream;
            }
            push_frame(&mut stream, first, &body, [choices, first, 0x5a, 0]);
        }
    }
    stream
}

fn push_frame(stream: &mut Vec<u8>, first: u8, payload: &[u8], key: [u8; 4]) {
    stream.push(first);
    match payload.len() {
        short @ 0..=125 => stream.push(0x80 | short as u8),
        long @ 126..=0xffff => {
            stream.push(0xfe);
            stream.extend_from_slice(&(long as u16).to_be_bytes());
        }
        huge => {
            stream.push(0xff);
            stream.extend_from_slice(&(huge as u64).to_be_bytes());
        }
    }
    stream.extend_from_slice(&key);
    stream.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
}
