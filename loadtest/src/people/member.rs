//! How does one person speak, and what of what they hear is counted?

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, Notify};

use crate::glance::{Glance, glance};
use crate::socket::{Arrived, Visit};
use crate::wire::{BYE, Inbox, Kind, client_text, close_code, pong};

/// Bytes one read takes at most.
const SCRATCH: usize = 64 * 1024;

/// What came, by the type of the frame.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) signals: Cell<u64>,
    pub(super) events: Cell<u64>,
    pub(super) presence: Cell<u64>,
    /// Of the last event.
    pub(super) seq: Cell<u64>,
    pub(super) answers: Cell<u64>,
    /// The last answer.
    pub(super) answer: RefCell<String>,
    /// The first thing that went wrong: an `error` frame, or the end of the connection.
    pub(super) fault: RefCell<Option<String>>,
}

/// Somebody who is connected.
pub(super) struct Member {
    writer: Mutex<OwnedWriteHalf>,
    pub(super) heard: Heard,
    moved: Notify,
    left: Cell<bool>,
}

impl Member {
    /// Connects and begins to read in the background.
    pub(super) async fn arrive(visit: Visit<'_>, scratch: &Scratch) -> Result<Rc<Self>, String> {
        let Arrived { stream, inbox, early, .. } = visit.open(None).await?;
        let (reader, writer) = stream.into_split();
        let (heard, moved, left) = Default::default();
        let member = Rc::new(Self { writer: Mutex::new(writer), heard, moved, left });
        for (kind, payload) in early {
            member.hear(kind, &payload);
        }
        tokio::task::spawn_local(Rc::clone(&member).read(reader, inbox, scratch.clone()));
        Ok(member)
    }

    /// Sends a frame.
    pub(super) async fn say(&self, text: &str) -> Result<(), String> {
        let frame = client_text(text.as_bytes());
        self.writer.lock().await.write_all(&frame).await.map_err(|error| error.to_string())
    }

    /// Sends a frame and waits for the answer; the connection asks nothing else meanwhile.
    pub(super) async fn ask(&self, text: &str) -> Result<(), String> {
        let before = self.heard.answers.get();
        self.say(text).await?;
        while self.heard.answers.get() == before {
            if let Some(fault) = self.heard.fault.borrow().clone() {
                return Err(fault);
            }
            self.moved.notified().await;
        }
        Ok(())
    }

    /// Says goodbye and ends the connection.
    pub(super) async fn leave(&self) {
        self.left.set(true);
        let mut writer = self.writer.lock().await;
        // Politeness; a server that is gone already does not matter any more.
        let _ = writer.write_all(&BYE).await;
        let _ = writer.shutdown().await;
    }

    async fn read(self: Rc<Self>, mut reader: OwnedReadHalf, mut inbox: Inbox, scratch: Scratch) {
        let why = loop {
            match self.read_once(&mut reader, &mut inbox, &scratch).await {
                Ok(None) => {}
                Ok(Some(pong)) => {
                    if let Err(error) = self.writer.lock().await.write_all(&pong).await {
                        break error.to_string();
                    }
                }
                Err(why) => break why,
            }
        };
        if !self.left.get() {
            self.wrong(why);
        }
    }

    async fn read_once(
        &self,
        reader: &mut OwnedReadHalf,
        inbox: &mut Inbox,
        scratch: &Scratch,
    ) -> Result<Option<Vec<u8>>, String> {
        std::future::poll_fn(|context| {
            let mut scratch = scratch.0.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))
                .map_err(|error| error.to_string())?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err("the connection ended without a close frame".into()));
            }
            let mut answer = None;
            let fed = inbox.feed(buffer.filled(), |kind, payload| match kind {
                Kind::Ping => answer = Some(pong(payload)),
                kind => self.hear(kind, payload),
            });
            Poll::Ready(fed.map(|()| answer).map_err(|fault| fault.to_string()))
        })
        .await
    }

    fn hear(&self, kind: Kind, payload: &[u8]) {
        let counter = match (kind, Frame::of(payload)) {
            (Kind::Text, Frame::Signal) => &self.heard.signals,
            (Kind::Text, Frame::Event) => {
                if let Glance::Event { seq, .. } = glance(payload) {
                    self.heard.seq.set(seq);
                }
                &self.heard.events
            }
            (Kind::Text, Frame::Presence) => &self.heard.presence,
            (Kind::Text, Frame::Answer) => {
                *self.heard.answer.borrow_mut() = String::from_utf8_lossy(payload).into_owned();
                self.moved.notify_one();
                &self.heard.answers
            }
            (Kind::Text, Frame::Error) => return self.wrong(String::from_utf8_lossy(payload).into_owned()),
            (Kind::Close, _) if self.left.get() => return,
            (Kind::Close, _) => return self.wrong(format!("closed with {}", close_code(payload))),
            _ => return,
        };
        counter.set(counter.get() + 1);
    }

    fn wrong(&self, what: String) {
        self.heard.fault.borrow_mut().get_or_insert(what);
        self.moved.notify_one();
    }
}

/// A buffer that all connections of a thread read into.
#[derive(Clone)]
pub(super) struct Scratch(Rc<RefCell<Vec<u8>>>);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0; SCRATCH])))
    }
}

/// What a server frame is, by how it begins.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Signal,
    Event,
    Presence,
    Answer,
    Error,
    Other,
}

impl Frame {
    fn of(text: &[u8]) -> Self {
        let is = |name: &str| {
            let rest = text.strip_prefix(br#"{"type":""#).and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.starts_with(b"\""))
        };
        match () {
            () if is("signal") => Self::Signal,
            () if is("event") => Self::Event,
            () if is("presence") => Self::Presence,
            () if is("ok") => Self::Answer,
            () if is("error") => Self::Error,
            () => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_known_by_how_they_begin() {
        let of = |text: &str| Frame::of(text.as_bytes());
        assert_eq!(of(r#"{"type":"signal","channel":"a"}"#), Frame::Signal);
        assert_eq!(of(r#"{"type":"ok","id":1}"#), Frame::Answer);
        assert_eq!(of(r#"{"type":"okay"}"#), Frame::Other);
        assert_eq!((of(r#"{"type":"presence","count":1}"#), of("")), (Frame::Presence, Frame::Other));
    }
}
