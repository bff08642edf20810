//! Which partitions may one statement touch?
//!
//! A statement that does not say when its events were appended locks every partition and an index of each, and is planned
//! for all of them: with 3,500 partitions 10 s to plan, 140 ms an execution and 7,000 locks, more than there are. So where
//! there are more than [`WHOLE`], the days are cut into stretches of a bounded number of partitions, and each statement
//! names one. Together the stretches are everything, whatever partitions come and go meanwhile and whatever the clock says:
//! both ends are open. Pure (docs/adr/0016).

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// So many partitions are read as a whole: as many as the default retention has, and some.
const WHOLE: usize = 48;
/// Partitions of each older stretch.
const LENGTH: usize = 32;
/// The newest stretch begins so many days ago.
const RECENT: i64 = 7;

/// A moment of Postgres, which may be before or after all others.
pub(super) type Moment = tokio_postgres::types::Timestamp<Timestamp>;

/// Days (UTC) from the first to before the last; without an end where it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Days {
    from: Option<Date>,
    to: Option<Date>,
}

impl Days {
    /// All there are.
    pub(super) const ALL: Self = Self { from: None, to: None };

    pub(super) fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Those of these moments and between.
    pub(super) fn between(first: Timestamp, last: Timestamp) -> Self {
        let day = |moment: Timestamp| moment.to_zoned(TimeZone::UTC).date();
        Self { from: Some(day(first)), to: Some(plus(day(last), 1)) }
    }

    /// From this day on, as long as these.
    pub(super) fn since(self, day: Option<Date>) -> Self {
        Self { from: self.from.max(day), to: self.to }
    }

    /// With a day more at the beginning.
    pub(super) fn with_day_before(self) -> Self {
        Self { from: self.from.map(|day| plus(day, -1)), to: self.to }
    }

    /// Its bounds for `at >= $n AND at < $m`. With a day more on both sides: a clock that was set back by less does not
    /// take an event out of the stretch where its neighbours are.
    pub(super) fn bounds(self) -> [Moment; 2] {
        let [from, to] = self.wide();
        let moment = |day: Option<Date>, open| day.and_then(midnight).map_or(open, Moment::Value);
        [moment(from, Moment::NegInfinity), moment(to, Moment::PosInfinity)]
    }

    /// The same as constants, for a statement whose plan is kept; `table` ends with a dot or is empty.
    pub(super) fn clause(self, table: &str) -> String {
        let [from, to] = self.wide();
        let day = |sign: &str, day: Option<Date>| {
            day.map(|day| format!(" AND {table}at {sign} '{day} 00:00+00'")).unwrap_or_default()
        };
        day(">=", from) + &day("<", to)
    }

    fn wide(self) -> [Option<Date>; 2] {
        [self.from.map(|day| plus(day, -1)), self.to.map(|day| plus(day, 1))]
    }

    /// Whether a moment may be in it, or before it.
    pub(super) fn begins_after(self, moment: Timestamp) -> bool {
        self.from.and_then(midnight).is_some_and(|from| from > moment)
    }
}

/// Every stretch, the newest first, where these days have partitions and the database has this day. One of all days when
/// they are few.
pub(super) fn stretches(mut days: Vec<Date>, today: Date) -> Vec<Days> {
    if days.len() <= WHOLE {
        return vec![Days::ALL];
    }
    let recent = plus(today, -RECENT);
    days.retain(|day| *day < recent);
    days.sort_unstable_by(|one, other| other.cmp(one));
    let mut stretches = vec![Days { from: Some(recent), to: None }];
    let mut to = recent;
    for older in days.chunks(LENGTH) {
        let from = older[older.len() - 1];
        stretches.push(Days { from: Some(from), to: Some(to) });
        to = from;
    }
    let oldest = stretches.len() - 1;
    stretches[oldest].from = None;
    stretches
}

/// So many days later; the calendar's end is far from any log.
fn plus(day: Date, days: i64) -> Date {
    day.saturating_add(Span::new().days(days))
}

fn midnight(day: Date) -> Option<Timestamp> {
    day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: Date = Date::constant(2026, 11, 29);

    fn days(ago: impl IntoIterator<Item = i64>) -> Vec<Date> {
        ago.into_iter().map(|days| plus(TODAY, -days)).collect()
    }

    #[test]
    fn a_log_of_the_default_retention_is_read_as_a_whole() {
        assert_eq!(stretches(days(-7..=31), TODAY), [Days::ALL]);
        assert_eq!(Days::ALL.bounds(), [Moment::NegInfinity, Moment::PosInfinity]);
        assert_eq!(Days::ALL.clause(""), "");
    }

    #[test]
    fn ten_years_of_days_are_cut_into_stretches_of_a_month() {
        let ten_years = stretches(days(-7..=3_650), TODAY);
        assert_eq!(ten_years.len(), 115);
        assert_eq!(ten_years[0].clause(""), " AND at >= '2026-11-21 00:00+00'");
        assert_eq!(
            ten_years[1].clause(""),
            " AND at >= '2026-10-20 00:00+00' AND at < '2026-11-23 00:00+00'"
        );
        assert_eq!(ten_years[114].from, None, "whatever is older belongs to the oldest");
        let since = Date::constant(2026, 11, 25);
        assert_eq!(ten_years[0].since(Some(since)).clause(""), " AND at >= '2026-11-24 00:00+00'");
        assert_eq!(ten_years[0].since(None), ten_years[0]);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_one_stretch_and_none_has_many_partitions(
            ago in proptest::collection::btree_set(-20..5_000i64, 0..900), moment in -100..6_000i64,
        ) {
            let (partitions, moment) = (days(ago), plus(TODAY, -moment));
            let stretches = stretches(partitions.clone(), TODAY);
            let holds = |days: &Days, day: Date| {
                days.from.is_none_or(|from| day >= from) && days.to.is_none_or(|to| day < to)
            };
            prop_assert_eq!(stretches.iter().filter(|days| holds(days, moment)).count(), 1);
            for days in &stretches {
                let partitions = partitions.iter().filter(|day| holds(days, **day)).count();
                prop_assert!(partitions <= WHOLE, "{:?} has {}", days, partitions);
            }
        }
    }
}
