//! What does a numbered event look like, and how is it read with as little work as it can be?

use serde::Deserialize;

/// An event of a measurement, as a subscriber reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Event {
    /// Counted from 1.
    pub(super) n: u64,
    /// When it was handed in, in nanoseconds of the monotonic clock.
    pub(super) stamp: u64,
}

impl Event {
    /// An event of exactly `bytes` bytes (or what its numbers take, if that is more).
    pub(super) fn json(self, bytes: usize) -> String {
        let Self { n, stamp } = self;
        let around = |filling: &str| format!(r#"{{"n":{n},"stamp":{stamp},"filling":"{filling}"}}"#);
        around(&"x".repeat(bytes.saturating_sub(around("").len())))
    }

    /// Reads one. A server that keeps the order of fields, as they all do, costs no parsing.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        match quick(json) {
            Some(event) => Ok(event),
            None => {
                serde_json::from_slice(json).map_err(|error| format!("an event that is not ours: {error}"))
            }
        }
    }
}

fn quick(json: &[u8]) -> Option<Event> {
    let (n, rest) = digits(json.strip_prefix(br#"{"n":"#)?)?;
    let (stamp, _) = digits(rest.strip_prefix(br#","stamp":"#)?)?;
    Some(Event { n, stamp })
}

fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = bytes.split_at(bytes.iter().take_while(|byte| byte.is_ascii_digit()).count());
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Event = Event { n: 7, stamp: 1_234_567_890_123 };

    #[test]
    fn an_event_has_the_wanted_size_and_is_read_again() {
        let json = EVENT.json(200);
        assert_eq!((json.len(), quick(json.as_bytes())), (200, Some(EVENT)));
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), EVENT);
    }

    #[test]
    fn a_server_may_write_the_fields_in_another_order() {
        let json = br#"{"filling":"","n":7,"stamp":1234567890123}"#;
        assert_eq!((quick(json), Event::read(json)), (None, Ok(EVENT)));
        for bad in
            ["", "{}", r#"{"n":7}"#, r#"{"n":"7","stamp":1}"#, r#"{"n":99999999999999999999,"stamp":1}"#]
        {
            assert!(Event::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
