//! What is in an event's stored bytes, and how are its id and its time written shorter?

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The parts of an event, each the JSON that was stored.
pub(super) struct Attributes<'a> {
    pub(super) kind: &'a RawValue,
    pub(super) source: &'a RawValue,
    pub(super) id: &'a RawValue,
    pub(super) time: &'a RawValue,
    /// All others, in their order.
    pub(super) rest: Vec<(&'a str, &'a RawValue)>,
    pub(super) data: Option<&'a RawValue>,
}

/// Reads what a publisher has written: `specversion`, `id`, `source`, `type`, `time`, others, and `data` at the end. None for anything else, so
/// what is read can be written again byte for byte.
pub(super) fn read(body: &[u8]) -> Option<Attributes<'_>> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let members = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok()?;
    let [("specversion", version), ("id", id), ("source", source), ("type", kind), ("time", time), rest @ ..] =
        members.as_slice()
    else {
        return None;
    };
    let (rest, data) = match rest {
        [rest @ .., ("data", data)] => (rest, Some(*data)),
        _ => (rest, None),
    };
    let is_plain = |name: &str| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let is_canonical = version.get() == "\"1.0\""
        && [id, source, kind, time].iter().all(|text| text.get().starts_with('"'))
        && rest.iter().all(|(name, _)| is_plain(name) && *name != "data");
    // Nothing but the members themselves: no white space between them.
    let length: usize = members.iter().map(|(name, value)| name.len() + value.get().len() + 4).sum();
    let same = is_canonical && length + 1 == body.len();
    same.then(|| Attributes { kind, source, id, time, rest: rest.to_vec(), data })
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de str, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// The bytes of a UUID, from its JSON in the usual spelling, lower case.
pub(super) fn uuid(json: &str) -> Option<[u8; 16]> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    let dashes = text.len() == 36 && [8, 13, 18, 23].iter().all(|&at| text.as_bytes().get(at) == Some(&b'-'));
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !dashes || digits.len() != 32 || !digits.iter().all(is_digit) {
        return None;
    }
    let number = u128::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    Some(number.to_be_bytes())
}

/// What the short time counts from, in microseconds since 1970: the millisecond of a UUIDv7, else the beginning of 1970.
pub(super) fn begins(uuid: Option<&[u8; 16]>) -> i64 {
    match uuid {
        Some([a, b, c, d, e, f, version, ..]) if version >> 4 == 7 => {
            i64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]) * 1_000
        }
        _ => 0,
    }
}

/// The same for who writes. None where the id is no UUIDv7 but looks like one: sums with such a millisecond are not kept exactly by every reader.
pub(super) fn counts_from(uuid: Option<&[u8; 16]>) -> Option<i64> {
    Some(begins(uuid)).filter(|micros| *micros <= EXACT)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 22 characters of base64 as URLs have it, without padding.
pub(super) fn base64(bytes: &[u8; 16]) -> String {
    let number = u128::from_be_bytes(*bytes);
    // Six bits each from the front; of the last two bits follow four zeros.
    let six = |at: u32| if at < 21 { number >> (122 - 6 * at) } else { number << 4 };
    (0..22).filter_map(|at| ALPHABET.get((six(at) & 63) as usize).map(|byte| char::from(*byte))).collect()
}

/// The bytes that 22 such characters stand for.
pub(super) fn from_base64(text: &str) -> Option<[u8; 16]> {
    let value = |byte: u8| ALPHABET.iter().position(|known| *known == byte).map(|at| at as u128);
    let (first, last) = text.as_bytes().split_at_checked(21)?;
    let number = first.iter().try_fold(0u128, |number, byte| Some(number << 6 | value(*byte)?))?;
    let [last] = last else { return None };
    let last = value(*last)?;
    (last & 15 == 0).then(|| (number << 2 | last >> 4).to_be_bytes())
}

/// A UUID in the usual spelling.
pub(super) fn spelled(bytes: &[u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(*bytes));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Largest whole number that every JSON reader keeps exactly.
const EXACT: i64 = (1 << 53) - 1;
const DAY: i64 = 86_400;

/// Microseconds since 1970, from the JSON of a time that [`time`] would write the same.
pub(super) fn micros(json: &str) -> Option<i64> {
    let text = json.strip_prefix('"')?.strip_suffix("Z\"")?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = |from: usize, to: usize| seconds.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let of_day = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    let micros = format!("{fraction:0<6}").parse::<i64>().ok().filter(|_| fraction.len() <= 6)?;
    let micros = (days(year, month, day) * DAY + of_day).checked_mul(1_000_000)?.checked_add(micros)?;
    // Whatever is spelled otherwise, or is no time at all, is not what would be read.
    let same = (0..=EXACT).contains(&micros) && time(micros) == format!("{text}Z");
    same.then_some(micros)
}

/// Such a time as events carry it: UTC, with no more decimals than it has.
pub(super) fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let decimals = format!(".{fraction:06}");
    let decimals = if fraction == 0 { "" } else { decimals.trim_end_matches('0') };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{decimals}Z")
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. The year is thought to begin in March, so that a leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date so many days after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let of_march = (5 * of_year + 2) / 153;
    let month = if of_march < 10 { of_march + 3 } else { of_march - 9 };
    let year = era * 400 + of_era + i64::from(month <= 2);
    (year, month, of_year - (153 * of_march + 2) / 5 + 1)
}
