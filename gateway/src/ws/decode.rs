//! How do bytes from a client become messages, without a buffer for connections at rest?

use super::close;
use super::deflate::Inflater;
use super::frame::{Expect, Head, MAX_HEAD, Opcode, mask, max_fragments};
use super::violation::Violation;
use super::window::Window;

/// A message or control frame of a client, lent for the time of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping of at most 125 bytes, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong of at most 125 bytes.
    Pong(&'a [u8]),
    /// The client closes: nothing, or a code and a reason. Whatever follows is ignored.
    Close(Option<(u16, &'a str)>),
}

/// Whether [`Decoder::feed`] goes on to the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Return after this frame; what follows it stays untouched in the caller's buffer.
    Stop,
}

/// The reading half of one connection. At rest it owns no heap memory; while a frame is cut or a message is in
/// fragments it owns that part, at most the message limit and a few hundred bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    /// A close frame or a violation was seen: the rest of the stream means nothing.
    finished: bool,
}

/// What is kept of a stream that was cut within a frame or between the fragments of a message, or may refer back.
#[derive(Debug, Default)]
struct Partial {
    stage: Stage,
    /// The beginning of a control frame's payload, unmasked.
    control: Vec<u8>,
    message: Option<Message>,
    /// Of a client whose compressed messages may refer back to earlier ones.
    window: Option<Window>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Between two frames.
    #[default]
    Between,
    /// Within a head, of which `have` bytes have come.
    Head { bytes: [u8; MAX_HEAD], have: usize },
    /// Within a payload, of which `read` bytes have come.
    Payload { head: Head, read: usize },
}

/// A data message that has begun and not ended.
#[derive(Debug)]
struct Message {
    /// Of the first frame: text or binary.
    opcode: Opcode,
    /// As the first frame says for all.
    compressed: bool,
    fragments: usize,
    /// As it came, without the masks: if compressed, then not yet inflated.
    data: Vec<u8>,
    /// Length of the prefix of `data` known to be UTF-8; behind it at most three bytes of a cut character. Of a
    /// compressed text nothing is known before it is whole.
    valid: usize,
}

/// What holds for this stream, lent for the time of a call.
struct Terms<'a> {
    limit: usize,
    inflater: Option<&'a mut Inflater>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub const fn new() -> Self {
        Self { partial: None, finished: false }
    }

    /// The same, for a client whose compressed messages may refer back to its earlier ones: it holds the last 32 KiB of
    /// them ([`window::MOST`](super::window::MOST)) beside what is said above.
    pub fn with_window() -> Self {
        let window = Some(Window::default());
        Self { partial: Some(Box::new(Partial { window, ..Partial::default() })), finished: false }
    }

    /// Heap bytes held for messages that were read and may be referred back to.
    pub fn window_bytes(&self) -> usize {
        let window = self.partial.as_ref().and_then(|p| p.window.as_ref());
        window.map_or(0, Window::held_bytes)
    }

    /// Whether the stream stands between two messages, and nothing is kept on the heap but a window.
    pub fn is_idle(&self) -> bool {
        self.partial.as_ref().is_none_or(|p| matches!(p.stage, Stage::Between) && p.message.is_none())
    }

    /// Heap bytes held for an unfinished frame or message; 0 when idle. For the shard's accounts.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().filter(|_| !self.is_idle()).map_or(0, |p| {
            let message = p.message.as_ref().map_or(0, |m| m.data.capacity());
            size_of::<Partial>() + p.control.capacity() + message
        })
    }

    /// Decodes what was read from the socket and calls `on` for each message, in order.
    ///
    /// `limit` is the largest message in bytes, compressed or not; a frame that would pass it is refused when its head
    /// has come. `inflater` is given if permessage-deflate was negotiated, and then for every call; without it a
    /// compressed message is a violation. Payloads are unmasked within `input`, so its decoded part is changed
    /// afterwards.
    ///
    /// Answers how many bytes were decoded: all of `input`, unless `on` said [`Flow::Stop`]. In that case the
    /// count ends at that frame's border, the rest is unchanged, and the caller must pass it in again, before newer
    /// bytes. After [`Incoming::Close`] everything is swallowed without a call.
    ///
    /// # Errors
    /// The first [`Violation`] in the stream, after `on` was called for everything before it. It ends the stream:
    /// the memory is freed, and later bytes are swallowed without a call.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        limit: usize,
        inflater: Option<&mut Inflater>,
        on: &mut impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<usize, Violation> {
        let mut terms = Terms { limit, inflater };
        let mut at = 0;
        while at < input.len() && !self.finished {
            match self.step(&mut input[at..], &mut terms, on) {
                Ok((used, flow)) => {
                    at += used;
                    if flow == Flow::Stop && !self.finished {
                        return Ok(at);
                    }
                }
                Err(violation) => {
                    self.partial = None;
                    self.finished = true;
                    return Err(violation);
                }
            }
        }
        Ok(input.len())
    }

    /// Decodes at most to the end of the current frame. Answers the bytes used, at least one.
    fn step(
        &mut self,
        input: &mut [u8],
        terms: &mut Terms<'_>,
        on: &mut impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<(usize, Flow), Violation> {
        let (head, read, head_bytes, begins) = match self.stage() {
            Stage::Payload { head, read } => (*head, *read, 0, false),
            Stage::Between | Stage::Head { .. } => match self.head(input, terms)? {
                Some((head, used)) => (head, 0, used, true),
                None => return Ok((input.len(), Flow::Continue)),
            },
        };

        let rest = &mut input[head_bytes..];
        let missing = head.len - read;
        let now = missing.min(rest.len());
        let chunk = &mut rest[..now];
        mask(chunk, head.key, read);
        let ends = now == missing;
        let used = head_bytes + now;

        // The fast path: the frame is whole within the input, and it is a message of its own.
        if begins && ends && head.fin && head.opcode != Opcode::Continuation {
            self.end_frame();
            return Ok((used, self.deliver(head.opcode, head.compressed, chunk, terms, on)?));
        }

        let partial = self.partial.get_or_insert_default();
        if head.opcode.is_control() {
            partial.control.extend_from_slice(chunk);
        } else {
            if begins {
                partial.begin_data_frame(head.opcode, head.compressed);
            }
            if let Some(message) = &mut partial.message {
                let most = if head.fin { message.data.len() + missing } else { terms.limit };
                message.push(chunk, most)?;
            }
        }
        if !ends {
            partial.stage = Stage::Payload { head, read: read + now };
            return Ok((used, Flow::Continue));
        }

        let flow = if head.opcode.is_control() {
            let payload = std::mem::take(&mut partial.control);
            self.end_frame();
            self.deliver(head.opcode, false, &payload, terms, on)?
        } else if head.fin
            && let Some(message) = partial.message.take()
        {
            self.end_frame();
            self.deliver(message.opcode, message.compressed, &message.data, terms, on)?
        } else {
            self.end_frame();
            Flow::Continue
        };
        Ok((used, flow))
    }

    fn stage(&self) -> &Stage {
        self.partial.as_ref().map_or(&Stage::Between, |p| &p.stage)
    }

    /// Reads a head that begins in an earlier input or in this one. Answers it with the bytes of this input it
    /// took; keeps what there is and answers `None` when it does not end here.
    fn head(&mut self, input: &[u8], terms: &Terms<'_>) -> Result<Option<(Head, usize)>, Violation> {
        let message = self.partial.as_ref().and_then(|p| p.message.as_ref());
        let expect = Expect {
            fragments: message.map(|m| max_fragments(terms.limit).saturating_sub(m.fragments)),
            room: terms.limit.saturating_sub(message.map_or(0, |m| m.data.len())),
            deflate: terms.inflater.is_some(),
        };
        let (mut bytes, had) = match self.stage() {
            Stage::Head { bytes, have } => (*bytes, *have),
            _ => {
                if let Some(head) = Head::parse(input, expect)? {
                    return Ok(Some((head, head.size)));
                }
                ([0; MAX_HEAD], 0)
            }
        };
        let more = input.len().min(MAX_HEAD - had);
        let have = had + more;
        bytes[had..have].copy_from_slice(&input[..more]);
        if let Some(head) = Head::parse(&bytes[..have], expect)? {
            return Ok(Some((head, head.size - had)));
        }
        self.partial.get_or_insert_default().stage = Stage::Head { bytes, have };
        Ok(None)
    }

    /// Goes on to the next frame, and back to rest if no message is under way.
    fn end_frame(&mut self) {
        match &mut self.partial {
            Some(partial) if partial.message.is_some() || partial.window.is_some() => {
                partial.stage = Stage::Between;
            }
            _ => self.partial = None,
        }
    }

    fn deliver(
        &mut self,
        opcode: Opcode,
        compressed: bool,
        payload: &[u8],
        terms: &mut Terms<'_>,
        on: &mut impl FnMut(Incoming<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        let payload = match &mut terms.inflater {
            Some(inflater) if compressed => {
                let window = self.partial.as_mut().and_then(|partial| partial.window.as_mut());
                inflater.message(payload, terms.limit, window)?
            }
            // The head of a compressed message was accepted with an inflater that has since been withheld.
            None if compressed => return Err(Violation::ReservedBits),
            _ => payload,
        };
        Ok(match opcode {
            Opcode::Text => {
                let text = std::str::from_utf8(payload).map_err(|_| Violation::InvalidUtf8)?;
                on(Incoming::Text(text))
            }
            // A message has the opcode of its first frame, so a continuation does not come here by itself.
            Opcode::Binary | Opcode::Continuation => on(Incoming::Binary(payload)),
            Opcode::Ping => on(Incoming::Ping(payload)),
            Opcode::Pong => on(Incoming::Pong(payload)),
            Opcode::Close => {
                let close = close::parse(payload)?;
                self.partial = None;
                self.finished = true;
                on(Incoming::Close(close))
            }
        })
    }
}

impl Partial {
    /// Counts a data frame: the first of a message or a further one. The head was checked to be one of both.
    fn begin_data_frame(&mut self, opcode: Opcode, compressed: bool) {
        match &mut self.message {
            Some(message) => message.fragments += 1,
            None => {
                self.message = Some(Message { opcode, compressed, fragments: 1, data: Vec::new(), valid: 0 });
            }
        }
    }
}

impl Message {
    /// Adds unmasked bytes. `most` is the most this message can still become: the buffer grows by doubling with what
    /// has come, never to what a head merely promised, and never above `most`.
    fn push(&mut self, chunk: &[u8], most: usize) -> Result<(), Violation> {
        let needed = self.data.len() + chunk.len();
        if needed > self.data.capacity() {
            let target = needed.max(most.min(self.data.capacity() * 2));
            self.data.reserve_exact(target - self.data.len());
        }
        self.data.extend_from_slice(chunk);
        if self.opcode == Opcode::Text && !self.compressed {
            match std::str::from_utf8(&self.data[self.valid..]) {
                Ok(text) => self.valid += text.len(),
                // No `error_len` means: fine so far, the last character is cut.
                Err(fault) if fault.error_len().is_none() => self.valid += fault.valid_up_to(),
                Err(_) => return Err(Violation::InvalidUtf8),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
