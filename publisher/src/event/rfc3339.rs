//! Which moment does an RFC 3339 text name?
//!
//! jiff reads more than RFC 3339 (a space for `T`, zone names in brackets); the contract promises RFC 3339 alone,
//! so that what is stored can be read by every client.

use jiff::Timestamp;

/// What a time must look like, for error messages.
pub const ALLOWED: &str = "an RFC 3339 time with an offset, from 1970 to 9999, for example 2026-03-01T09:30:00Z or 2026-03-01T10:30:00.250+01:00";

/// The moment, when `text` is an RFC 3339 time between the years 1970 and 9999 with at most nanoseconds.
pub fn parse(text: &str) -> Option<Timestamp> {
    if !has_shape(text.as_bytes()) {
        return None;
    }
    let moment: Timestamp = text.parse().ok()?;
    (moment >= Timestamp::UNIX_EPOCH).then_some(moment)
}

/// The moment as events carry it: UTC with `Z`, no more decimals than it has.
pub fn format(moment: Timestamp) -> String {
    moment.to_string()
}

/// `YYYY-MM-DDTHH:MM:SS[.d+](Z|±HH:MM)`; jiff judges the numbers.
fn has_shape(text: &[u8]) -> bool {
    const DATE_TIME: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(have, want)| match want {
                b'0' => have.is_ascii_digit(),
                b'T' => matches!(have, b'T' | b't'),
                other => have == other,
            })
    };
    let Some((date_time, rest)) = text.split_at_checked(DATE_TIME.len()) else { return false };
    let decimals = match rest.first() {
        Some(b'.') => 1 + rest[1..].iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let offset = &rest[decimals..];
    fits(date_time, DATE_TIME)
        && decimals != 1
        && decimals <= 10
        && (matches!(offset, b"Z" | b"z") || fits(offset, b"+00:00") || fits(offset, b"-00:00"))
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
        ] {
            assert_eq!(format(parse(text).unwrap()), utc, "{text}");
        }
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
            "+012026-03-01T09:30:00Z",
            "٢٠٢٦-03-01T09:30:00Z",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
