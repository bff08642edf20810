//! How does an event, or a signal, look on one line of a terminal?

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::client::frame::Frame;

/// Data is cut where the line ends, but so much of it is always shown.
const LEAST_DATA: usize = 20;

const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// How events are shown.
#[derive(Debug, Clone)]
pub(super) enum Style {
    /// The frame as it came, one JSON object.
    Json,
    /// Time, seq, type, channels and data in columns.
    Line {
        /// Characters of a line.
        width: usize,
        /// With ANSI colours.
        colours: bool,
        /// For the time of day.
        zone: TimeZone,
    },
}

impl Style {
    /// The line of one `event` or `signal` frame, without its end.
    pub(super) fn line(&self, frame: &Frame) -> String {
        match self {
            Self::Json => frame.0.to_string(),
            Self::Line { width, colours, zone } => columns(frame, *width, *colours, zone),
        }
    }
}

fn columns(frame: &Frame, width: usize, colours: bool, zone: &TimeZone) -> String {
    let event = frame.event();
    let word = |name: &str| event[name].as_str().unwrap_or_default();
    // A signal has no time: it is told when it comes.
    let is_signal = frame.is("signal");
    let time = if is_signal { Ok(Timestamp::now()) } else { word("time").parse::<Timestamp>() };
    let time = time
        .map_or_else(|_| "--:--:--".into(), |t| t.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string());
    let seq = if is_signal { "~".to_owned() } else { format!("#{}", frame.seq().unwrap_or_default()) };
    let kind = printable(word("type")).into_owned();
    let channels = if is_signal {
        let from = frame.text("from").unwrap_or_default();
        format!("{} {from}", frame.text("channel").unwrap_or_default())
    } else {
        frame.channels().join(" ")
    };
    let channels = printable(&channels).into_owned();
    let urgent = matches!(word("priority"), "urgent" | "critical");

    let (mut line, mut used) = (String::new(), 0);
    let mut column = |text: &str, width: usize, colour: &str| {
        let (on, off) = if colours { (colour, PLAIN) } else { ("", "") };
        let length = text.chars().count();
        let padding = " ".repeat(width.saturating_sub(length));
        used += width.max(length) + 2;
        // Writing to a String cannot fail.
        let _ = write!(line, "{on}{text}{off}{padding}  ");
    };
    column(&time, 8, DIM);
    column(&seq, 6, CYAN);
    column(&kind, 21, if urgent { RED } else { GREEN });
    column(&channels, 17, YELLOW);
    line.push_str(&told(&event["data"], width.saturating_sub(used).max(LEAST_DATA)));
    line.truncate(line.trim_end().len());
    line
}

/// The data as `name=value` pairs, at most `room` characters.
fn told(data: &Value, room: usize) -> String {
    let text = match data {
        Value::Null => String::new(),
        Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            });
            pairs.collect::<Vec<_>>().join("  ")
        }
        other => other.to_string(),
    };
    let text = printable(&text);
    if text.chars().count() <= room {
        return text.into_owned();
    }
    let end = text.char_indices().nth(room.saturating_sub(1)).map_or(text.len(), |(end, _)| end);
    format!("{}…", &text[..end])
}

/// Text without control characters: an event must not steer the terminal of who looks at it.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { '·' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frame(data: Value) -> Frame {
        Frame(json!({
            "type": "event", "seq": 42, "channels": ["tenant", "user:anna"],
            "event": {"type": "appointment.created", "time": "2026-05-04T13:02:07.5Z", "data": data},
        }))
    }

    fn plain(frame: &Frame) -> String {
        Style::Line { width: 100, colours: false, zone: TimeZone::UTC }.line(frame)
    }

    #[test]
    fn columns_line_up() {
        let line = plain(&frame(json!({"client": "Mila", "room": 2, "paid": true})));
        let expected =
            "13:02:07  #42     appointment.created    tenant user:anna   client=Mila  paid=true  room=2";
        assert_eq!(line, expected);
        let without = plain(&frame(Value::Null));
        assert!(expected.starts_with(&without), "{without:?}");
    }

    #[test]
    fn a_signal_has_a_line_of_its_own() {
        let event = json!({"type": "typing", "data": {"state": "start"}});
        let line = plain(&Frame(
            json!({"type": "signal", "channel": "contact:1", "from": "an\u{1b}na", "event": event}),
        ));
        assert_eq!(&line[8..], "  ~       typing                 contact:1 an·na    state=start");
        assert_eq!(line[..8].matches(':').count(), 2, "{line}");
    }

    #[test]
    fn colours_change_nothing_but_colour() {
        let frame = frame(json!({"a": 1}));
        let coloured = Style::Line { width: 100, colours: true, zone: TimeZone::UTC }.line(&frame);
        let mut bare = String::new();
        let mut rest = coloured.as_str();
        while let Some((text, after)) = rest.split_once('\x1b') {
            bare.push_str(text);
            rest = after.split_once('m').unwrap().1;
        }
        bare.push_str(rest);
        assert_eq!(bare, plain(&frame));
        assert_ne!(bare, coloured);
    }

    #[test]
    fn an_event_cannot_steer_the_terminal() {
        let line = plain(&frame(json!({"name": "\u{1b}]0;owned\u{7}\r\nx", "\u{9b}2J": 1})));
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }

    #[test]
    fn long_data_is_cut_between_characters() {
        let line = plain(&frame(json!("ž".repeat(5_000))));
        assert!(line.chars().count() == 100 && line.ends_with('…'), "{line}");
    }

    #[test]
    fn an_event_without_members_is_still_a_line() {
        assert_eq!(plain(&Frame(json!({"type": "event"}))), "--:--:--  #0");
    }
}
