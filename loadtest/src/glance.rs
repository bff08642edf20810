//! What does a server frame say, read with as little work as it can be?
//!
//! A load test reads every frame of thousands of connections on the processors its servers need. The events of a Carillon
//! gateway begin alike and those of a load test carry their stamp early, so both are found without parsing; any other
//! frame is parsed as JSON.

use serde::Deserialize;

/// How the event frames of a gateway begin.
const EVENT: &[u8] = br#"{"type":"event","seq":"#;
/// What stands before the stamp of an event of a load test.
const STAMP: &[u8] = br#""stamp":"#;

/// The part of a server frame a client with a cursor acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance<'a> {
    /// An event of the log.
    Event {
        /// Its place.
        seq: u64,
        /// When it was published, in nanoseconds of the monotonic clock; none for an event of another kind.
        stamp: Option<u64>,
    },
    /// Continuity is lost.
    Reset {
        /// Go on from here.
        seq: u64,
        /// In this life of the log.
        epoch: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A heartbeat, or the token expires soon.
    Quiet,
    /// Another frame, or none of the contract.
    Other(&'a str),
}

/// Reads one text frame.
pub(crate) fn glance(text: &[u8]) -> Glance<'_> {
    quick(text).unwrap_or_else(|| parsed(text))
}

fn quick(text: &[u8]) -> Option<Glance<'_>> {
    let rest = text.strip_prefix(EVENT)?;
    let seq = digits(rest)?;
    let at = rest.windows(STAMP.len()).position(|window| window == STAMP)?;
    let stamp = digits(&rest[at + STAMP.len()..])?;
    Some(Glance::Event { seq, stamp: Some(stamp) })
}

/// The number the bytes begin with; none when there is none, or it is too large.
fn digits(bytes: &[u8]) -> Option<u64> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&bytes[..length]).ok()?.parse().ok()
}

fn parsed(text: &[u8]) -> Glance<'_> {
    #[derive(Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        r#type: &'a str,
        seq: Option<u64>,
        epoch: Option<&'a str>,
        reason: Option<&'a str>,
        event: Option<Event>,
    }
    #[derive(Deserialize)]
    struct Event {
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        stamp: Option<u64>,
    }
    let Ok(frame) = serde_json::from_slice::<Frame<'_>>(text) else {
        return Glance::Other("a frame that is no JSON of the contract");
    };
    match frame {
        Frame { r#type: "event", seq: Some(seq), event, .. } => {
            Glance::Event { seq, stamp: event.and_then(|event| event.data?.stamp) }
        }
        Frame { r#type: "reset", seq: Some(seq), epoch: Some(epoch), reason, .. } => {
            Glance::Reset { seq, epoch, reason: reason.unwrap_or_default() }
        }
        Frame { r#type: "heartbeat" | "expiring", .. } => Glance::Quiet,
        Frame { r#type, .. } => Glance::Other(r#type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_alike_with_and_without_parsing() {
        let text = br#"{"type":"event","seq":42,"channels":["tenant"],"event":{"id":"a","data":{"stamp":7,"x":"y"}}}"#;
        assert_eq!(quick(text), Some(Glance::Event { seq: 42, stamp: Some(7) }));
        assert_eq!(parsed(text), Glance::Event { seq: 42, stamp: Some(7) });
        let moved = br#"{"seq":42,"type":"event","event":{"data":{"stamp":7}}}"#;
        assert_eq!((quick(moved), glance(moved)), (None, Glance::Event { seq: 42, stamp: Some(7) }));
    }

    #[test]
    fn an_event_of_another_kind_has_no_stamp() {
        let text = br#"{"type":"event","seq":3,"event":{"data":{"price":1}}}"#;
        assert_eq!(glance(text), Glance::Event { seq: 3, stamp: None });
        assert_eq!(glance(br#"{"type":"event","seq":4}"#), Glance::Event { seq: 4, stamp: None });
    }

    #[test]
    fn other_frames_are_told_apart() {
        assert_eq!(glance(br#"{"type":"heartbeat","seq":3}"#), Glance::Quiet);
        let reset = br#"{"type":"reset","reason":"epoch_changed","seq":9,"epoch":"e2"}"#;
        assert_eq!(glance(reset), Glance::Reset { seq: 9, epoch: "e2", reason: "epoch_changed" });
        assert_eq!(glance(br#"{"type":"goaway","reconnect_ms":5}"#), Glance::Other("goaway"));
        for broken in
            [&b"x"[..], br#"{"type":"event","seq":99999999999999999999,"#, br#"{"type":"event","seq":"#]
        {
            assert_eq!(glance(broken), Glance::Other("a frame that is no JSON of the contract"));
        }
    }
}
