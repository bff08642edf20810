//! When is a failed delivery tried again? (pure)

use jiff::{SignedDuration, Timestamp};

/// Pauses after the first failure and those that follow, in seconds; after one more the delivery is parked.
const PAUSES: [i64; 6] = [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600];
/// Longest rest that a receiver gets by `Retry-After`, in seconds.
const LONGEST_REST: i64 = 3_600;
/// How long an endpoint may fail without one delivery before it is disabled.
const FAILING: SignedDuration = SignedDuration::from_hours(5 * 24);

/// When a delivery is tried again that has failed so often; none: it is parked. `random` of 0 to 1 moves the pause by up to a tenth,
/// so that what failed together is not tried together.
pub(super) fn next(failures: u32, now: Timestamp, random: f64) -> Option<Timestamp> {
    let pause = *PAUSES.get(failures.saturating_sub(1) as usize)?;
    let moved = pause as f64 * (0.9 + 0.2 * random.clamp(0.0, 1.0));
    now.checked_add(SignedDuration::from_millis((moved * 1_000.0) as i64)).ok()
}

/// Until when a receiver wants to be left alone that answers 429 or 503 with `Retry-After`: seconds, or a date. Between a second and
/// an hour from now; none: it did not say.
pub(super) fn rest(status: u16, retry_after: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    let text = retry_after?.trim();
    let seconds = match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => text.parse().unwrap_or(i64::MAX),
        false => jiff::fmt::rfc2822::parse(text).ok()?.timestamp().duration_since(now).as_secs(),
    };
    now.checked_add(SignedDuration::from_secs(seconds.clamp(1, LONGEST_REST))).ok()
}

/// Whether an endpoint has failed for so long that it is disabled.
pub(super) fn has_failed_for_too_long(since: Option<Timestamp>, now: Timestamp) -> bool {
    since.is_some_and(|since| now.duration_since(since) >= FAILING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    #[test]
    fn a_delivery_is_tried_again_after_the_pauses_of_the_contract_and_then_parked() {
        let seconds = |failures| next(failures, NOW, 0.5).map(|at| at.duration_since(NOW).as_secs());
        let all: Vec<Option<i64>> = (1..=8).map(seconds).collect();
        let expected = [5, 300, 1_800, 7_200, 18_000, 36_000].map(Some);
        assert_eq!((&all[..6], &all[6..]), (&expected[..], &[None, None][..]));
    }

    #[test]
    fn a_receiver_that_says_when_is_left_alone_until_then_and_an_hour_at_most() {
        let seconds = |status, text| rest(status, Some(text), NOW).map(|at| at.duration_since(NOW).as_secs());
        assert_eq!(seconds(429, "7"), Some(7));
        assert_eq!(seconds(503, " 7 "), Some(7));
        assert_eq!(seconds(429, "0"), Some(1));
        assert_eq!(seconds(429, "99999999999999999999"), Some(3_600));
        let date = jiff::fmt::rfc2822::to_string(
            &NOW.checked_add(SignedDuration::from_secs(90)).unwrap().to_zoned(jiff::tz::TimeZone::UTC),
        );
        assert_eq!(
            rest(503, Some(&date.unwrap().replace("+0000", "GMT")), NOW)
                .map(|at| at.duration_since(NOW).as_secs()),
            Some(90)
        );
        assert_eq!(seconds(503, "Sun, 06 Nov 1994 08:49:37 GMT"), Some(1));
        for bad in ["", "soon", "-5", "1.5"] {
            assert_eq!(seconds(429, bad), None, "{bad}");
        }
        assert_eq!((seconds(500, "7"), rest(429, None, NOW)), (None, None));
    }

    #[test]
    fn five_days_without_a_delivery_are_too_long() {
        let since = |hours| NOW.checked_sub(SignedDuration::from_hours(hours)).ok();
        assert!(has_failed_for_too_long(since(120), NOW) && !has_failed_for_too_long(since(119), NOW));
        assert!(!has_failed_for_too_long(None, NOW));
    }

    proptest! {
        #[test]
        fn a_pause_is_moved_by_a_tenth_at_most(failures in 1u32..=6, random in 0.0f64..=1.0) {
            let exact = PAUSES[failures as usize - 1] as f64;
            let pause = next(failures, NOW, random).unwrap().duration_since(NOW).as_secs_f64();
            prop_assert!(pause >= exact * 0.899 && pause <= exact * 1.101, "{pause} for {exact}");
        }
    }
}
