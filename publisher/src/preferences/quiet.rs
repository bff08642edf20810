//! Is it quiet for somebody now, and until when?
//!
//! Whether it is quiet is decided by what the wall clock says now, never by a window of instants: a window that begins in the hour
//! that clocks skip would end before it begins. Only "until when" is an instant: the first one after now at which the wall clock
//! says otherwise.

use super::zone::Zone;
use jiff::civil::{DateTime, Weekday};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// How far ahead a change is looked for: ranges come again each week, and one of them may fall into a skipped hour.
const AHEAD_DAYS: i64 = 15;
/// Minutes of a day.
pub(super) const DAY: u16 = 24 * 60;
/// The days as they are written, in the order of [`Weekday::to_monday_zero_offset`].
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A part of a week, by the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// On which days it begins.
    pub days: Vec<String>,
    /// When it begins: `22:00`.
    pub from: String,
    /// When it ends, on the next day if that is earlier: `07:00`; `24:00` is the end of the day.
    pub to: String,
}

/// The hours in which it is quiet, in some zone.
#[derive(Debug, Clone)]
pub struct Hours {
    zone: Zone,
    ranges: Vec<Parsed>,
}

/// A range in minutes of its day.
#[derive(Debug, Clone, Copy)]
struct Parsed {
    days: [bool; 7],
    from: u16,
    to: u16,
}

/// How quiet it is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Whether it is.
    pub now: bool,
    /// If it is, until then; none: no end is in sight.
    pub until: Option<Timestamp>,
    /// When that is otherwise; none: never.
    pub next_change: Option<Timestamp>,
}

/// The minute of the day that a text names.
pub(super) fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hour, minute): (u16, u16) = (number(hour)?, number(minute)?);
    let at = hour * 60 + minute;
    (minute < 60 && at <= DAY).then_some(at)
}

impl Hours {
    /// Ranges that were checked, in a zone.
    pub fn new(zone: Zone, ranges: &[Range]) -> Self {
        let parsed = ranges.iter().filter_map(|range| {
            let days = DAYS.map(|day| range.days.iter().any(|known| known == day));
            Some(Parsed { days, from: minute(&range.from)?, to: minute(&range.to)? })
        });
        Self { zone, ranges: parsed.collect() }
    }

    /// The zone's name.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// What its clocks say.
    pub fn wall(&self, at: Timestamp) -> DateTime {
        self.zone.wall(at)
    }

    /// Whether it is quiet.
    fn is_quiet(&self, at: Timestamp) -> bool {
        let wall = self.zone.wall(at);
        self.ranges.iter().any(|range| range.holds(wall))
    }

    /// When it is otherwise for the first time after now; none: not within two weeks, so never.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let is_quiet = self.is_quiet(now);
        let end = now.checked_add((AHEAD_DAYS * 24).hours()).ok()?;
        // It changes where the wall clock comes to a border of a range, and where clocks are set.
        let mut candidates = self.zone.changes(now, end);
        let today = self.zone.wall(now).date();
        for ahead in -1..=AHEAD_DAYS {
            let Ok(date) = today.checked_add(ahead.days()) else { continue };
            for border in self.ranges.iter().flat_map(|range| [range.from, range.to]) {
                let date = if border == DAY { date.tomorrow().ok() } else { Some(date) };
                let border = border % DAY;
                let wall = date.map(|date| date.at((border / 60) as i8, (border % 60) as i8, 0, 0));
                candidates.extend(wall.into_iter().flat_map(|wall| self.zone.instants(wall)));
            }
        }
        candidates.retain(|at| *at > now);
        candidates.sort_unstable();
        candidates.into_iter().find(|at| self.is_quiet(*at) != is_quiet)
    }
}

impl Parsed {
    fn holds(&self, wall: DateTime) -> bool {
        let minute = wall.hour() as u16 * 60 + wall.minute() as u16;
        let begins_on = |day: Weekday| self.days[day.to_monday_zero_offset() as usize];
        let (today, yesterday) = (wall.weekday(), wall.weekday().previous());
        if self.from < self.to {
            return begins_on(today) && (self.from..self.to).contains(&minute);
        }
        (begins_on(today) && minute >= self.from) || (begins_on(yesterday) && minute < self.to)
    }
}

/// How quiet it is for somebody who has these hours and does not want to be disturbed until then.
pub fn at(hours: &Hours, undisturbed_until: Option<Timestamp>, now: Timestamp) -> Quiet {
    let is_undisturbed = |at: Timestamp| undisturbed_until.filter(|until| at < *until);
    let mut end = now;
    // Hours may begin before the one ends that nobody disturbs, and the other way round.
    for _ in 0..4 {
        if let Some(until) = is_undisturbed(end) {
            end = until;
        } else if hours.is_quiet(end) {
            match hours.next_change(end) {
                Some(change) => end = change,
                None => return Quiet { now: true, until: None, next_change: None },
            }
        } else {
            break;
        }
    }
    if end > now {
        return Quiet { now: true, until: Some(end), next_change: Some(end) };
    }
    Quiet { now: false, until: None, next_change: hours.next_change(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, days: &str, from: &str, to: &str) -> Hours {
        let days = match days {
            "all" => DAYS.map(str::to_owned).to_vec(),
            days => days.split(' ').map(str::to_owned).collect(),
        };
        Hours::new(Zone::named(zone).unwrap(), &[Range { days, from: from.into(), to: to.into() }])
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Zone, days, from, to; at: quiet or not, and when that changes.
    #[test]
    fn quiet_is_what_the_wall_clock_says_over_every_change_of_clocks() {
        type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, bool, &'a str);
        let cases: [Case<'_>; 24] = [
            // Berlin sets its clocks forward on 2026-03-29 at 01:00Z and back on 2026-10-25 at 01:00Z.
            ("Europe/Berlin", "all", "22:00", "07:00", "2026-03-28T21:30:00Z", true, "2026-03-29T05:00:00Z"),
            ("Europe/Berlin", "all", "22:00", "07:00", "2026-10-24T20:30:00Z", true, "2026-10-25T06:00:00Z"),
            ("Europe/Berlin", "all", "22:00", "07:00", "2026-10-25T12:00:00Z", false, "2026-10-25T21:00:00Z"),
            // The skipped half hour never comes that day.
            ("Europe/Berlin", "all", "02:30", "03:00", "2026-03-29T00:59:00Z", false, "2026-03-30T00:30:00Z"),
            ("Europe/Berlin", "sun", "02:30", "03:00", "2026-03-29T00:59:00Z", false, "2026-04-05T00:30:00Z"),
            // One that begins in the skipped hour and ends after it begins where the clocks jump to.
            ("Europe/Berlin", "all", "02:30", "04:00", "2026-03-29T00:59:00Z", false, "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "all", "02:30", "04:00", "2026-03-29T01:00:00Z", true, "2026-03-29T02:00:00Z"),
            // The hour that comes twice: quiet in both, with a pause between.
            ("Europe/Berlin", "all", "02:15", "02:45", "2026-10-25T00:20:00Z", true, "2026-10-25T00:45:00Z"),
            ("Europe/Berlin", "all", "02:15", "02:45", "2026-10-25T00:50:00Z", false, "2026-10-25T01:15:00Z"),
            ("Europe/Berlin", "all", "02:15", "02:45", "2026-10-25T01:20:00Z", true, "2026-10-25T01:45:00Z"),
            // Until three: all of both hours, and the end is after the second.
            ("Europe/Berlin", "all", "02:00", "03:00", "2026-10-25T00:30:00Z", true, "2026-10-25T02:00:00Z"),
            // Lord Howe: half an hour. Forward on 2026-10-03 at 15:30Z, back on 2026-04-04 at 15:00Z.
            (
                "Australia/Lord_Howe",
                "all",
                "01:45",
                "02:15",
                "2026-10-03T15:29:00Z",
                true,
                "2026-10-03T15:30:00Z",
            ),
            (
                "Australia/Lord_Howe",
                "all",
                "01:40",
                "01:50",
                "2026-04-04T14:45:00Z",
                true,
                "2026-04-04T14:50:00Z",
            ),
            (
                "Australia/Lord_Howe",
                "all",
                "01:40",
                "01:50",
                "2026-04-04T14:55:00Z",
                false,
                "2026-04-04T15:10:00Z",
            ),
            // Dublin, whose winter is the exception in the data.
            ("Europe/Dublin", "all", "22:00", "07:00", "2026-03-28T23:00:00Z", true, "2026-03-29T06:00:00Z"),
            ("Europe/Dublin", "all", "22:00", "07:00", "2026-10-24T22:00:00Z", true, "2026-10-25T07:00:00Z"),
            // Troll sets them by two hours, at 01:00Z: 01:00 to 03:00 in March, 03:00 to 01:00 in October.
            (
                "Antarctica/Troll",
                "all",
                "01:30",
                "02:30",
                "2026-03-29T00:30:00Z",
                false,
                "2026-03-29T23:30:00Z",
            ),
            (
                "Antarctica/Troll",
                "all",
                "01:30",
                "02:30",
                "2026-10-25T00:00:00Z",
                true,
                "2026-10-25T00:30:00Z",
            ),
            (
                "Antarctica/Troll",
                "all",
                "01:30",
                "02:30",
                "2026-10-25T01:00:00Z",
                false,
                "2026-10-25T01:30:00Z",
            ),
            // Cairo has no midnight on 2026-04-24: the day begins at one.
            ("Africa/Cairo", "fri", "00:00", "24:00", "2026-04-23T21:59:00Z", false, "2026-04-23T22:00:00Z"),
            ("Africa/Cairo", "fri", "00:00", "24:00", "2026-04-24T12:00:00Z", true, "2026-04-24T21:00:00Z"),
            // A leap day is a day, and the range of the evening before goes into it.
            ("Europe/Berlin", "mon", "22:00", "07:00", "2028-02-29T05:00:00Z", true, "2028-02-29T06:00:00Z"),
            ("Asia/Tokyo", "tue", "00:00", "24:00", "2028-02-28T14:00:00Z", false, "2028-02-28T15:00:00Z"),
            // Zones that never set their clocks; the law of 2026 is the zone data's.
            ("Asia/Kolkata", "all", "22:00", "07:00", "2026-06-01T16:30:00Z", true, "2026-06-02T01:30:00Z"),
        ];
        for (zone, days, from, to, now, is_quiet, change) in cases {
            let found = at(&hours(zone, days, from, to), None, time(now));
            let case = format!("{zone} {days} {from}-{to} at {now}: {found:?}");
            assert_eq!(found.now, is_quiet, "{case}");
            assert_eq!(found.next_change, Some(time(change)), "{case}");
            assert_eq!(found.until, is_quiet.then(|| time(change)), "{case}");
        }
    }

    /// Whatever the table above may have wrong: minute by minute, over every change of clocks of a year.
    #[test]
    fn the_next_change_is_where_a_look_at_each_minute_finds_it() {
        let ranges = [
            ("all", "22:00", "07:00"),
            ("all", "01:15", "01:45"),
            ("all", "02:30", "03:00"),
            ("sun", "00:00", "24:00"),
        ];
        for zone in [
            "Europe/Berlin",
            "Australia/Lord_Howe",
            "Antarctica/Troll",
            "Africa/Cairo",
            "America/New_York",
            "Europe/Dublin",
        ] {
            let clock = Zone::named(zone).unwrap();
            for change in clock.changes(time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z")) {
                for (days, from, to) in ranges {
                    let hours = hours(zone, days, from, to);
                    let begin = change.checked_sub(30.hours()).unwrap();
                    for step in 0..100 {
                        let now = begin.checked_add((step * 37).minutes()).unwrap();
                        let found = at(&hours, None, now).next_change.unwrap();
                        let minutes = (found.as_second() - now.as_second()) / 60;
                        assert_eq!(found.as_second() % 60, 0);
                        // Not one minute earlier, and then.
                        let is_quiet = hours.is_quiet(now);
                        assert_ne!(hours.is_quiet(found), is_quiet, "{zone} {from} {now}");
                        for minute in 1..minutes.min(12 * 60) {
                            let between = now.checked_add(minute.minutes()).unwrap();
                            assert_eq!(
                                hours.is_quiet(between),
                                is_quiet,
                                "{zone} {from} {now} {between} {found}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn who_is_not_to_be_disturbed_is_quiet_until_then_and_through_the_hours_after_it() {
        let nightly = hours("Europe/Berlin", "all", "22:00", "07:00");
        let now = time("2026-06-01T10:00:00Z");
        let until = |text: &str| at(&nightly, Some(time(text)), now);
        assert_eq!(until("2026-06-01T12:00:00Z").until, Some(time("2026-06-01T12:00:00Z")));
        assert_eq!(
            until("2026-06-01T21:00:00Z").until,
            Some(time("2026-06-02T05:00:00Z")),
            "the night follows"
        );
        assert!(!until("2026-06-01T09:00:00Z").now, "that is over");
        let night = at(&nightly, Some(time("2026-06-02T09:00:00Z")), time("2026-06-01T21:00:00Z"));
        assert_eq!(night.until, Some(time("2026-06-02T09:00:00Z")));
        let always = hours("UTC", "all", "00:00", "24:00");
        assert_eq!(at(&always, None, now), Quiet { now: true, until: None, next_change: None });
        let never = Hours::new(Zone::utc(), &[]);
        assert_eq!(at(&never, None, now), Quiet { now: false, until: None, next_change: None });
    }

    #[test]
    fn a_minute_of_the_day_is_written_in_one_way() {
        assert_eq!((minute("00:00"), minute("07:05"), minute("24:00")), (Some(0), Some(425), Some(DAY)));
        for bad in ["7:05", "24:01", "23:60", "-1:00", "0:000", "", "12", "12:3", "+2:00", "१२:००"] {
            assert_eq!(minute(bad), None, "{bad}");
        }
    }
}
