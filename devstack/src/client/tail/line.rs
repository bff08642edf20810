//! How does an event, a signal, or who comes and goes, look on one line of a terminal?

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

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

/// People of one frame that have a line each; of more it is only told how many.
const NAMED: usize = 20;

/// A `presence` frame as `signal` frames, which have lines: one for everybody who came, went or changed; one for all who are there.
pub(super) fn comings(frame: &Frame) -> Vec<Frame> {
    let (channel, count) = (&frame.0["channel"], &frame.0["count"]);
    let line = |from: &str, what: &str, data: Value| {
        let event = json!({"type": format!("presence.{what}"), "data": data});
        Frame(json!({"type": "signal", "channel": channel, "from": from, "event": event}))
    };
    let list = |name: &str| frame.0[name].as_array().map(Vec::as_slice).unwrap_or_default();
    if frame.0["sync"] == true {
        let names: Vec<&str> = list("members").iter().filter_map(|one| one["user"].as_str()).collect();
        return vec![line("", "here", json!({"count": count, "people": names.join(" ")}))];
    }
    let mut lines = Vec::new();
    for what in ["joined", "updated", "left"] {
        for one in list(what).iter().take(NAMED) {
            let name = one.as_str().or_else(|| one["user"].as_str()).unwrap_or_default();
            let mut data = json!({"count": count});
            if !one["meta"].is_null() {
                data["meta"] = one["meta"].clone();
            }
            lines.push(line(name, what, data));
        }
        if let Some(more) = list(what).len().checked_sub(NAMED).filter(|more| *more > 0) {
            lines.push(line("", what, json!({"count": count, "more": more})));
        }
    }
    if lines.is_empty() {
        lines.push(line("", "count", json!({"count": count})));
    }
    lines
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
    let kind = cut(&kind, width / 2);
    // So that time, number and type before them, and some data behind them, fit into the line.
    let before = 8 + 2 + 6 + 2 + kind.chars().count().max(21) + 2;
    let channels = cut(&printable(&channels), width.saturating_sub(before + 2 + LEAST_DATA).max(17));
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
    line.push_str(&brief(&event["data"], width.saturating_sub(used).max(LEAST_DATA)));
    line.truncate(line.trim_end().len());
    line
}

/// Data as `name=value` pairs, at most `room` characters.
pub fn brief(data: &Value, room: usize) -> String {
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
    cut(&printable(&text), room)
}

/// At most so many characters of a text.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let end = text.char_indices().nth(room.saturating_sub(1)).map_or(text.len(), |(end, _)| end);
    format!("{}…", &text[..end])
}

/// Text without control characters: an event must not steer the terminal of who looks at it.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { '·' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
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
    fn who_comes_and_goes_has_lines() {
        let lines = |frame: Value| comings(&Frame(frame)).iter().map(plain).collect::<Vec<_>>();
        let told = lines(json!({"type": "presence", "channel": "branch:1", "count": 7,
            "joined": [{"user": "ana", "since": 1, "meta": {"desk": 4}}], "left": ["42"], "updated": []}));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            &told[0][8..],
            r#"  ~       presence.joined        branch:1 ana       count=7  meta={"desk":4}"#
        );
        assert_eq!(&told[1][8..], "  ~       presence.left          branch:1 42        count=7");
        let sync = json!({"type": "presence", "channel": "branch:1", "sync": true, "count": 2,
            "members": [{"user": "ana", "since": 1}, {"user": "mila", "since": 2}]});
        assert_eq!(
            &lines(sync)[0][8..],
            "  ~       presence.here          branch:1           count=2  people=ana mila"
        );
        let crowd = json!({"type": "presence", "channel": "branch:1", "count": 900});
        assert_eq!(&lines(crowd)[0][8..], "  ~       presence.count         branch:1           count=900");
        let many: Vec<Value> = (0..50).map(|n| json!({"user": "u".repeat(90), "since": n})).collect();
        let many =
            json!({"type": "presence", "channel": "branch:1", "count": 50, "joined": many, "left": []});
        assert_eq!(lines(many.clone()).len(), NAMED + 1);
        let sync =
            json!({"type": "presence", "channel": "b", "sync": true, "count": 50, "members": many["joined"]});
        assert!(lines(sync)[0].chars().count() <= 100);
        assert!(lines(many).iter().all(|line| line.chars().count() <= 100));
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
