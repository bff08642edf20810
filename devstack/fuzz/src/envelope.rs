//! Is an envelope read exactly as it was written, and anything else refused?
//!
//! The first byte chooses: even, the rest is an envelope of unknown worth; odd, the rest tells how to build a good one.

use crate::script::Script;
use bytes::Bytes;
use carillon_protocol::connection::{Incarnation, Whereabouts};
use carillon_protocol::envelope::{
    Batch, EnvelopeEvent, LiveKind, Message, decode, encode, encode_signal, is_live, read,
};
use carillon_protocol::{Channel, Epoch, Except, Seq, Tag, TenantId, UserId};

/// Most events of a batch built here; more of them reach no other code.
const EVENTS: usize = 8;

/// Panics when an envelope does not survive a round trip or a spoilt one passes.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    if script.byte().is_multiple_of(2) {
        let bytes = Bytes::copy_from_slice(script.rest());
        any_live(&bytes);
        any_bytes(bytes);
    } else if let Some(batch) = good_batch(&mut script) {
        let message = encode(&batch);
        assert_eq!(decode(message.clone()).as_ref(), Ok(&batch));
        any_bytes(message);
    }
}

/// A signal has one spelling; a kind of a later release is passed over.
fn any_live(message: &Bytes) {
    let Ok(Message::Live(live)) = read(message.clone()) else { return };
    assert!(is_live(message));
    match &live.kind {
        LiveKind::Signal(signal) => assert_eq!(encode_signal(&live.tenant, &live.from, signal), *message),
        LiveKind::Unknown(kind) => assert_ne!(*kind, 1),
    }
}

/// The format has one spelling for each batch: what is accepted is encoded to the same bytes.
fn any_bytes(message: Bytes) {
    let Ok(batch) = decode(message.clone()) else { return };
    assert!(!batch.events.is_empty() && batch.first > Seq::ZERO);
    assert_eq!(batch.last().0 - batch.first.0 + 1, batch.events.len() as u64);
    // The form of the release before is read, and written as this one's.
    assert!(encode(&batch) == message || message.starts_with(b"C1"));
    let memory = message.as_ptr_range();
    for event in &batch.events {
        let body = event.body.as_ptr_range();
        assert!(
            event.body.is_empty() || (memory.start <= body.start && body.end <= memory.end),
            "a body was copied"
        );
    }
    let last = message.len() - 1;
    assert!(decode(message.slice(..last)).is_err(), "a byte is missing");
    let longer: Vec<u8> = message.iter().copied().chain([0]).collect();
    assert!(decode(longer.into()).is_err(), "a byte is left over");
}

/// A batch such as a publisher could announce; none when a name in the script fits no grammar.
fn good_batch(script: &mut Script<'_>) -> Option<Batch> {
    let tenant = TenantId::new(script.text()).ok()?;
    let epoch = Epoch::new(script.text()).ok()?;
    let first = Seq(script.number().max(1));
    let before = Tag::from_number(script.number());
    let at_micros = script.number();
    let mut events = Vec::new();
    while events.is_empty() || (!script.is_empty() && events.len() < EVENTS) {
        let named = script.byte() % 4;
        let channels = (0..named).map(|_| Channel::new(script.text()).ok()).collect::<Option<_>>()?;
        let body = Bytes::copy_from_slice(script.piece());
        let except = script.byte().is_multiple_of(4).then(|| Box::new(except(script)));
        events.push(EnvelopeEvent { channels, body, except });
    }
    // A log does not reach the end of u64, and neither does a reader believe that it did.
    first.0.checked_add(events.len() as u64)?;
    Some(Batch { tenant, epoch, first, before, at_micros, events })
}

/// A connection that does not get an event, of somebody or of nobody in particular.
fn except(script: &mut Script<'_>) -> Except {
    let run = Incarnation { node: "gateway-1".into(), number: script.number() as u32 };
    let at = Whereabouts { shard: 3, place: script.number() as u32, number: script.number() };
    Except { connection: run.name(at), of: UserId::new(script.text()).ok() }
}
