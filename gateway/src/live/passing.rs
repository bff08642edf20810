//! What is a signal while it is handed to connections?
//!
//! Encoded once, for every reader at once, as an event is ([`crate::stream::entry`]): the forms that only some want are made for
//! the first of them.

use crate::budget::{Budget, Charge};
use crate::shard::ConnectionId;
use crate::socketio::namespaces::Forms;
use crate::socketio::outgoing::{self, Form, Naming};
use crate::stream::entry::{Message, Named};
use crate::ws::Opcode;
use crate::ws::deflate::Deflater;
use crate::ws::encode::{payload, text_frame};
use bytes::Bytes;
use carillon_protocol::event::event_type;
use carillon_protocol::{Channel, Signal, TenantId, Typing, UserId};
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};

/// What one costs beside its bytes: itself, its counts, and its places in mailboxes and rooms.
const FIXED_BYTES: usize = size_of::<Passing>() + 256;

/// Which part of which node says something: each says by itself who types at its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The run of the node.
    pub(crate) incarnation: u64,
    /// Its shard.
    pub(crate) shard: u16,
}

/// A signal, ready for every socket.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) source: Source,
    pub(crate) channel: Channel,
    pub(crate) user: UserId,
    pub(crate) typing: Option<Typing>,
    /// A connection of this node that does not get it: its sender's.
    pub(crate) except: Option<ConnectionId>,
    /// The whole WebSocket message.
    frame: Bytes,
    deflated: OnceLock<Option<Bytes>>,
    event_stream: OnceLock<Box<Message>>,
    named: OnceLock<Box<Named>>,
    /// Under its type, and in the envelope.
    socket_io: OnceLock<Box<Forms<2>>>,
    charge: Charge,
}

impl Passing {
    /// A signal of a node; none when as many are on their way as may be. That somebody types no more always fits: there is no
    /// more of it than of what came before.
    pub(crate) fn new(
        incarnation: u64,
        signal: Signal,
        except: Option<ConnectionId>,
        budget: &Arc<Budget>,
    ) -> Option<Arc<Self>> {
        let Signal { shard, channel, user, typing, frame } = signal;
        let bytes = FIXED_BYTES + frame.len();
        let charge = match typing {
            Some(Typing::Stop) => budget.charge(bytes),
            _ => budget.try_reserve(bytes)?,
        };
        Some(Arc::new(Self {
            source: Source { incarnation, shard },
            channel,
            user,
            typing,
            except,
            frame: text_frame(&[&frame]),
            deflated: OnceLock::new(),
            event_stream: OnceLock::new(),
            named: OnceLock::new(),
            socket_io: OnceLock::new(),
            charge,
        }))
    }

    /// The WebSocket message.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The JSON of the frame.
    pub(crate) fn json(&self) -> &[u8] {
        payload(&self.frame)
    }

    /// The type of its event, for those who choose; none if it has no event: then it is for everybody.
    pub(crate) fn kind(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Frame<'a> {
            #[serde(borrow)]
            event: &'a RawValue,
        }
        let frame = serde_json::from_slice::<Frame<'_>>(self.json()).ok()?;
        Some(event_type(frame.event.get().as_bytes()).unwrap_or_default())
    }

    /// The compressed WebSocket message, made now if it was not; none if it would not be shorter.
    pub(crate) fn deflate(&self, deflater: &mut Deflater) -> Option<&Bytes> {
        let form = self.deflated.get_or_init(|| {
            let form = deflater.frame(Opcode::Text, self.json());
            self.charge.add(form.as_ref().map_or(0, Bytes::len));
            form
        });
        form.as_ref()
    }

    /// As a WebSocket message that names its tenant, made now if it was not.
    pub(crate) fn named(&self, tenant: &TenantId) -> &Named {
        self.named.get_or_init(|| {
            let named = Named::new(self.json(), tenant);
            self.charge.add(named.weight());
            Box::new(named)
        })
    }

    /// The same compressed; none if it would not be shorter.
    pub(crate) fn named_deflate(&self, tenant: &TenantId, deflater: &mut Deflater) -> Option<&Bytes> {
        self.named(tenant).deflate(deflater, &self.charge)
    }

    /// As a packet of Socket.IO, made now if it was not.
    pub(crate) fn socket_io(&self, form: Form) -> &Bytes {
        let forms = self.socket_io.get_or_init(|| {
            self.charge.add(size_of::<Forms<2>>());
            Box::default()
        });
        let number = match form.naming {
            Naming::Type => 0,
            Naming::Envelope => 1,
        };
        let make = || outgoing::passed(form, self.json());
        // There is a place for both; the frame itself stands where there is none.
        forms.get(form.namespace, number, make, |bytes| self.charge.add(bytes)).unwrap_or(&self.frame)
    }

    /// As a message of an event stream. It has no id: the cursor stays where it is.
    pub(crate) fn event_stream(&self, chunked: bool) -> &Bytes {
        let message = self.event_stream.get_or_init(|| {
            let message = Message::new(b"data: ", self.json());
            self.charge.add(message.weight());
            Box::new(message)
        });
        message.form(chunked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_type_is_that_of_its_event() {
        let frame = br#"{"type":"signal","channel":"a","from":"event","event":{"type":"typing","data":{}}}"#;
        let signal = Signal {
            shard: 1,
            channel: Channel::new("a").unwrap(),
            user: UserId::new("mila").unwrap(),
            typing: None,
            frame: Bytes::from_static(frame),
        };
        let passing = Passing::new(7, signal, None, &Budget::new(4_096)).unwrap();
        assert_eq!(passing.kind().as_deref(), Some("typing"));
        let inbox = Signal {
            shard: 1,
            channel: passing.channel.clone(),
            user: passing.user.clone(),
            typing: None,
            frame: Bytes::from_static(br#"{"type":"inbox","version":2}"#),
        };
        assert_eq!(Passing::new(7, inbox, None, &Budget::new(4_096)).unwrap().kind(), None);
    }

    #[test]
    fn every_form_is_made_once_and_charged_until_it_is_gone() {
        let budget = Budget::new(4_096);
        let signal = || Signal {
            shard: 1,
            channel: Channel::new("a").unwrap(),
            user: UserId::new("mila").unwrap(),
            typing: None,
            frame: Bytes::from(vec![b'x'; 1_000]),
        };
        let passing = Passing::new(7, signal(), None, &budget).unwrap();
        let plain = budget.used();
        assert!(plain > 1_000 && passing.json().len() == 1_000);
        let (bare, chunk) = (passing.event_stream(false), passing.event_stream(true));
        assert!(bare.starts_with(b"data: xxx") && bare.ends_with(b"x\n\n") && chunk.starts_with(b"3f0\r\n"));
        assert_eq!(bare.as_ptr(), chunk[5..].as_ptr(), "made once");
        let mut deflater = Deflater::new();
        let compressed = passing.deflate(&mut deflater).unwrap();
        assert!(compressed.len() < 100);
        assert_eq!(compressed.as_ptr(), passing.deflate(&mut deflater).unwrap().as_ptr(), "made once");
        assert!(budget.used() > plain + 1_000);
        assert!(Passing::new(7, signal(), None, &budget).is_some_and(|other| other.json() == passing.json()));
        let kept: Vec<_> = std::iter::from_fn(|| Passing::new(7, signal(), None, &budget)).collect();
        assert!(kept.len() <= 1, "bounded");
        drop((kept, passing));
        assert_eq!(budget.used(), 0);
    }
}
