//! Which moment does an RFC 3339 text name?
//!
//! jiff reads more than RFC 3339 (a space for `T`, zone names in brackets); the contract promises RFC 3339 alone,
//! so that what is stored can be read by every client.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, tz::Offset};
use std::fmt;

/// What a time must look like, for error messages.
pub const ALLOWED: &str = "an RFC 3339 time with an offset, from 1970 to 9999, for example 2026-03-01T09:30:00Z or 2026-03-01T10:30:00.250+01:00";

/// A moment from 1970 to the last nanosecond of 9999, shown as events carry it: UTC with `Z`, no more decimals than it has.
/// Kept as date and time of day in UTC, for [`Timestamp`] ends 26 hours before that year does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(DateTime);

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(Offset::UTC.to_datetime(time))
    }
}

impl Moment {
    /// The moment so long after the beginning of 1970; none after the year 9999.
    pub fn since_1970(time: std::time::Duration) -> Option<Self> {
        let since = SignedDuration::try_from(time).ok()?;
        DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(since).ok().map(Self)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.0)
    }
}

/// The moment, when `text` is an RFC 3339 time between the years 1970 and 9999 with at most nanoseconds.
pub fn parse(text: &str) -> Option<Moment> {
    let offset = offset(text.as_bytes())?;
    let (local, _) = text.split_at_checked(text.len() - if offset.letter { 1 } else { 6 })?;
    let local: DateTime = local.parse().ok()?;
    let utc = local.checked_sub(SignedDuration::from_mins(offset.minutes)).ok()?;
    (utc >= DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).then_some(Moment(utc))
}

/// How far a local time is ahead of UTC, and whether `Z` says so.
struct Ahead {
    minutes: i64,
    letter: bool,
}

/// The offset of `YYYY-MM-DDTHH:MM:SS[.d+](Z|±HH:MM)`; none for another shape, or an offset that no clock has. jiff judges
/// the other numbers.
fn offset(text: &[u8]) -> Option<Ahead> {
    const DATE_TIME: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(have, want)| match want {
                b'0' => have.is_ascii_digit(),
                b'T' => matches!(have, b'T' | b't'),
                other => have == other,
            })
    };
    let (date_time, rest) = text.split_at_checked(DATE_TIME.len())?;
    let decimals = match rest.first() {
        Some(b'.') => 1 + rest[1..].iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    if !fits(date_time, DATE_TIME) || decimals == 1 || decimals > 10 {
        return None;
    }
    let offset = &rest[decimals..];
    if matches!(offset, b"Z" | b"z") {
        return Some(Ahead { minutes: 0, letter: true });
    }
    let sign = match (fits(offset, b"+00:00"), fits(offset, b"-00:00")) {
        (true, _) => 1,
        (_, true) => -1,
        _ => return None,
    };
    let two = |at: usize| i64::from(offset[at] - b'0') * 10 + i64::from(offset[at + 1] - b'0');
    let (hours, minutes) = (two(1), two(4));
    // RFC 3339, section 5.6: time-hour and time-minute.
    (hours <= 23 && minutes <= 59).then_some(Ahead { minutes: sign * (hours * 60 + minutes), letter: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_taken_and_normalised_to_utc() {
        for (text, utc) in [
            ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z"),
            ("2026-03-01t10:30:00.250+01:00", "2026-03-01T09:30:00.25Z"),
            ("1970-01-01T00:00:00-00:00", "1970-01-01T00:00:00Z"),
            ("2026-12-31T23:59:59.123456789z", "2026-12-31T23:59:59.123456789Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("9999-12-31T22:59:59.5-01:00", "9999-12-31T23:59:59.5Z"),
            ("1970-01-01T23:59:00+23:59", "1970-01-01T00:00:00Z"),
            ("2026-03-01T09:30:00-23:59", "2026-03-02T09:29:00Z"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), utc, "{text}");
        }
    }

    #[test]
    fn the_clocks_time_is_shown_alike() {
        for text in ["1970-01-01T00:00:00Z", "2026-03-01T09:30:00.25Z", "9999-12-30T22:00:00Z"] {
            assert_eq!(Moment::from(text.parse::<Timestamp>().unwrap()).to_string(), text);
            assert_eq!(parse(text).map(|moment| moment.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_moment_of_the_database_is_shown_alike() {
        for text in ["1970-01-01T00:00:00Z", "2026-03-01T09:30:00.25Z", "9999-12-31T23:59:59.999999Z"] {
            let since = parse(text).unwrap().0.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
            assert_eq!(
                Moment::since_1970(since.unsigned_abs()).map(|it| it.to_string()).as_deref(),
                Some(text)
            );
        }
        assert!(Moment::since_1970(std::time::Duration::from_secs(253_402_300_800)).is_none());
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T09:30:00",
            "2026-03-01 09:30:00Z",
            "2026-03-01T09:30Z",
            "2026-02-30T09:30:00Z",
            "2026-03-01T25:30:00Z",
            "2026-03-01T09:30:00.Z",
            "2026-03-01T09:30:00.1234567890Z",
            "2026-03-01T09:30:00+0100",
            "2026-03-01T09:30:00+01:00[Europe/Prague]",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "2026-03-01T09:30:00+24:00",
            "2026-03-01T09:30:00+25:00",
            "2026-03-01T09:30:00-25:00",
            "2026-03-01T09:30:00+01:60",
            "+012026-03-01T09:30:00Z",
            "٢٠٢٦-03-01T09:30:00Z",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
