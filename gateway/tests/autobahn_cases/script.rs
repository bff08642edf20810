//! How is the table of cases read? The notation is explained at its top.

use super::peer::{compressed, describe, frame, frame_of_length};
use std::fmt;

/// One row, worded out.
pub(crate) struct Case {
    pub(crate) id: String,
    /// `Sec-WebSocket-Extensions` of the request and of the answer; empty: none.
    pub(crate) offer: String,
    pub(crate) agreed: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Vec<Expected>,
}

/// An answer that must come.
#[derive(Clone)]
pub(crate) struct Expected {
    pub(crate) wanted: Wanted,
    /// Whether it must be compressed or must not be; `None`: as the server likes.
    pub(crate) compressed: Option<bool>,
}

#[derive(Clone)]
pub(crate) enum Wanted {
    Frame {
        opcode: u8,
        payload: Vec<u8>,
    },
    /// `None`: any reason.
    Close {
        code: u16,
        reason: Option<Vec<u8>>,
    },
}

impl Expected {
    pub(crate) fn close(code: u16, reason: Option<Vec<u8>>) -> Self {
        Self { wanted: Wanted::Close { code, reason }, compressed: Some(false) }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::Close { code, reason: None } => write!(f, "close {code}"),
            Wanted::Close { code, reason: Some(reason) } => {
                write!(f, "close {code} ({})", reason.escape_ascii())
            }
            Wanted::Frame { opcode, payload } => {
                let how = match self.compressed {
                    Some(true) => "compressed",
                    Some(false) => "plain",
                    None => "any",
                };
                describe(f, how, *opcode, payload)
            }
        }
    }
}

/// One column of a `sizes` line: what a row with `*` is repeated for.
#[derive(Clone, Copy, Default)]
struct Size {
    bytes: usize,
    fragment: Option<usize>,
    count: usize,
}

pub(crate) fn read(table: &str) -> Vec<Case> {
    let (mut offer, mut agreed) = (String::new(), String::new());
    let mut sizes = Vec::new();
    let mut cases = Vec::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(terms) = line.strip_prefix("offer ") {
            let (asked, got) = terms.split_once("->").expect(line);
            let named = |text: &str| text.trim().strip_prefix("none").unwrap_or(text.trim()).to_owned();
            (offer, agreed) = (named(asked), named(got));
        } else if let Some(list) = line.strip_prefix("sizes ") {
            sizes = list.split_whitespace().map(size).collect();
        } else {
            let [id, sent, answers] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("a row has three columns: {line}");
            };
            let mut add = |id: String, size| {
                let (bytes, echoed) = send(sent, size);
                let expected = expect(answers, &echoed, size);
                cases.push(Case { id, offer: offer.clone(), agreed: agreed.clone(), bytes, expected });
            };
            match id.strip_suffix('*') {
                Some(prefix) => {
                    sizes.iter().enumerate().for_each(|(i, size)| add(format!("{prefix}{}", i + 1), *size));
                }
                None => add(id.to_owned(), Size::default()),
            }
        }
    }
    cases
}

/// `BYTES[/FRAGMENT]xCOUNT`
fn size(text: &str) -> Size {
    let (size, count) = text.split_once('x').expect(text);
    let (bytes, fragment) = match size.split_once('/') {
        Some((bytes, fragment)) => (bytes, Some(fragment.parse().expect(text))),
        None => (size, None),
    };
    Size { bytes: bytes.parse().expect(text), fragment, count: count.parse().expect(text) }
}

type Echoed = Vec<(u8, Vec<u8>)>;

/// The bytes a client sends, and the whole messages in them.
fn send(sent: &str, size: Size) -> (Vec<u8>, Echoed) {
    let mut bytes = Vec::new();
    let mut messages: Echoed = Vec::new();
    for token in tokens(sent) {
        let Token { name, marks, payload } = Token::read(&token);
        let opcode = opcode(name);
        let (mut first, mut fragment, mut count, mut length, mut deflate) =
            (0x80, size.fragment, 1, None, false);
        for (mark, argument) in marks {
            match mark {
                '-' => first = 0,
                '^' => first |= argument.parse::<u8>().expect(&token) << 4,
                '/' => fragment = Some(argument.parse().expect(&token)),
                '@' => count = argument.parse().expect(&token),
                '!' => length = Some(argument.parse().expect(&token)),
                '~' => deflate = argument == "z",
                _ => panic!("no such mark: {token}"),
            }
        }
        for index in 0..count.max(size.count) {
            let message = payload_of(payload, size.bytes, index);
            let body = if deflate { compressed(&message) } else { message.clone() };
            let first = first | opcode | if deflate { 0x40 } else { 0 };
            match (fragment, length) {
                (_, Some(length)) => bytes.extend(frame_of_length(first, length, &body)),
                (Some(fragment), None) => bytes.extend(fragmented(first, &body, fragment)),
                (None, None) => bytes.extend(frame(first, &body)),
            }
            // Fragments that stand in the table one by one belong to the message before them.
            match opcode {
                0 => messages.last_mut().into_iter().for_each(|(_, whole)| whole.extend_from_slice(&message)),
                1 | 2 => messages.push((opcode, message)),
                _ => {}
            }
        }
    }
    (bytes, messages)
}

fn fragmented(first: u8, body: &[u8], fragment: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = body.len().div_ceil(fragment).max(1);
    for at in 0..count {
        let part = &body[(at * fragment).min(body.len())..((at + 1) * fragment).min(body.len())];
        let last = if at + 1 == count { 0x80 } else { 0 };
        bytes.extend(frame(last | if at == 0 { first & 0x7f } else { 0 }, part));
    }
    bytes
}

fn expect(answers: &str, echoed: &Echoed, size: Size) -> Vec<Expected> {
    let mut expected = Vec::new();
    for token in tokens(answers) {
        let Token { name, marks, payload } = Token::read(&token);
        let compressed = marks.first().map(|(_, argument)| *argument == "z");
        match name {
            "echo" => expected.extend(echoed.iter().map(|(opcode, payload)| Expected {
                wanted: Wanted::Frame { opcode: *opcode, payload: payload.clone() },
                compressed,
            })),
            "close" => {
                let code = payload.split('+').next().and_then(|code| code.strip_prefix('u')).expect(&token);
                let reason = payload.split_once('+').map_or("", |(_, reason)| reason);
                let reason = (reason != "any").then(|| payload_of(reason, 0, 0));
                expected.push(Expected::close(code.parse().expect(&token), reason));
            }
            _ => {
                let payload = payload_of(payload, size.bytes, 0);
                expected
                    .push(Expected { wanted: Wanted::Frame { opcode: opcode(name), payload }, compressed });
            }
        }
    }
    expected
}

fn opcode(name: &str) -> u8 {
    match name {
        "more" => 0,
        "text" => 1,
        "binary" => 2,
        "close" => 8,
        "ping" => 9,
        "pong" => 10,
        _ => name.strip_prefix("op").and_then(|number| number.parse().ok()).expect(name),
    }
}

/// Splits at blanks that do not stand within quotes.
fn tokens(column: &str) -> Vec<String> {
    let mut quoted = false;
    let parts = column.split(|c: char| {
        quoted ^= c == '\'';
        !quoted && c.is_whitespace()
    });
    parts.filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

struct Token<'a> {
    name: &'a str,
    marks: Vec<(char, &'a str)>,
    payload: &'a str,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Self {
        let (head, payload) = token.split_once('=').unwrap_or((token, ""));
        let is_mark = |c: char| !c.is_ascii_alphanumeric();
        let name_end = head.find(is_mark).unwrap_or(head.len());
        let (name, mut rest) = head.split_at(name_end);
        let mut marks = Vec::new();
        while let Some(mark) = rest.chars().next() {
            let argument = &rest[mark.len_utf8()..];
            let (argument, after) = argument.split_at(argument.find(is_mark).unwrap_or(argument.len()));
            marks.push((mark, argument));
            rest = after;
        }
        Self { name, marks, payload }
    }
}

/// Joins the pieces of a payload. `index` makes the repetitions of generated data differ.
fn payload_of(pieces: &str, size: usize, index: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    for piece in pieces.split('+').filter(|piece| !piece.is_empty()) {
        let (what, times) = match piece.rsplit_once('*') {
            Some((what, times)) if !piece.ends_with('\'') => (what, times.parse().expect(piece)),
            _ => (piece, 1),
        };
        if let Some(text) = what.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            payload.extend(text.as_bytes().repeat(times));
        } else if let Some(code) = what.strip_prefix('u') {
            payload.extend(code.parse::<u16>().expect(piece).to_be_bytes());
        } else if let Some(digits) = what.strip_prefix('x') {
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect(piece);
            payload.extend((0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().repeat(times));
        } else {
            payload.extend(generated(what, size, index));
        }
    }
    payload
}

/// Data like that of the suite's compression cases: of one kind, of any size, the same in every run.
fn generated(kind: &str, size: usize, index: usize) -> Vec<u8> {
    let mut state = index as u64 * 0x9e37_79b9 + 0x1234_5678_9abc_def1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = ["Habe", "nun", "ach", "Philosophie", "Juristerei", "und", "Medizin", "durchaus", "studiert"];
    let mut data = Vec::with_capacity(size + 100);
    while data.len() < size {
        let (word, number) = (words[random() as usize % words.len()], random() % 10_000);
        match kind {
            "json" => data
                .extend(format!("{{\"id\":{number},\"name\":\"{word}\",\"tags\":[\"a\",\"b\"]}},").bytes()),
            "html" => {
                data.extend(format!("<tr class=\"row\"><td>{word}</td><td>{number}</td></tr>\n").bytes())
            }
            "prose" => data.extend(format!("{word} ").bytes()),
            "bitmap" => {
                let row = (data.len() / 256) as u8;
                data.extend((0..16).map(|_| row ^ (random() & 3) as u8));
            }
            "noise" => data.extend(random().to_be_bytes()),
            _ => panic!("no such data: {kind}"),
        }
    }
    data.truncate(size);
    data
}
