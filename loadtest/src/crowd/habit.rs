//! What does a client of a crowd do now?

use std::time::Duration;

use tokio::time::Instant;

use super::part::Stage;
use super::plan::Habit;

/// What a connected client does until something changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Doing {
    /// Reads what comes, and leaves at `leave` to come back at `back`, if so.
    Read(Option<Leave>),
    /// Reads nothing.
    Stall,
    /// Reads so many bytes a second.
    Trickle(u64),
}

/// A planned absence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Leave {
    /// It leaves then.
    pub(super) at: Instant,
    /// It stays away so long.
    pub(super) away: Duration,
}

impl Habit {
    /// What a client that has left so many times does in this stage.
    pub(super) fn doing(self, stage: Stage, left: u64) -> Doing {
        let Stage::Marked(since) = stage else { return Doing::Read(None) };
        match self {
            Self::Steady => Doing::Read(None),
            Self::Stalled => Doing::Stall,
            Self::Trickle { bytes_per_second } => Doing::Trickle(bytes_per_second),
            Self::Jitter { every_ms, away_ms, offset_ms } => {
                let at =
                    since + Duration::from_millis(offset_ms.saturating_add(every_ms.saturating_mul(left)));
                Doing::Read(Some(Leave { at, away: Duration::from_millis(away_ms) }))
            }
            Self::Away { away_ms } => {
                Doing::Read((left == 0).then_some(Leave { at: since, away: Duration::from_millis(away_ms) }))
            }
        }
    }
}

/// Random waiting times: SplitMix64, seeded so that no two clients wait alike.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// For one client.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Up to this many milliseconds, to the microsecond.
    pub(super) fn up_to_ms(&mut self, ms: u64) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((z ^ (z >> 31)) % (ms.saturating_mul(1_000).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_followed_only_between_mark_and_recovery() {
        let now = Instant::now();
        for habit in [Habit::Stalled, Habit::Trickle { bytes_per_second: 5 }, Habit::Away { away_ms: 3 }] {
            for stage in [Stage::Calm, Stage::Recovering, Stage::Finishing(now)] {
                assert_eq!(habit.doing(stage, 0), Doing::Read(None));
            }
        }
        assert_eq!(Habit::Stalled.doing(Stage::Marked(now), 0), Doing::Stall);
        assert_eq!(Habit::Trickle { bytes_per_second: 5 }.doing(Stage::Marked(now), 0), Doing::Trickle(5));
        assert_eq!(Habit::Steady.doing(Stage::Marked(now), 0), Doing::Read(None));
    }

    #[test]
    fn absences_do_not_drift() {
        let now = Instant::now();
        let habit = Habit::Jitter { every_ms: 15_000, away_ms: 2_000, offset_ms: 700 };
        let away = Duration::from_secs(2);
        for (left, ms) in [(0, 700), (1, 15_700), (7, 105_700)] {
            let at = now + Duration::from_millis(ms);
            assert_eq!(habit.doing(Stage::Marked(now), left), Doing::Read(Some(Leave { at, away })));
        }
        let once = Habit::Away { away_ms: 9 };
        assert!(matches!(once.doing(Stage::Marked(now), 0), Doing::Read(Some(leave)) if leave.at == now));
        assert_eq!(once.doing(Stage::Marked(now), 1), Doing::Read(None));
    }

    #[test]
    fn waiting_times_fill_their_range() {
        let mut dice = Dice::new(7);
        let waits: Vec<u128> = (0..1_000).map(|_| dice.up_to_ms(1_000).as_millis()).collect();
        let mean = waits.iter().sum::<u128>() / 1_000;
        assert!((450..550).contains(&mean), "mean {mean}");
        assert!(waits.iter().all(|ms| *ms <= 1_000) && waits.iter().any(|ms| *ms > 990));
        assert_ne!(Dice::new(1).up_to_ms(1_000), Dice::new(2).up_to_ms(1_000));
        assert_eq!(dice.up_to_ms(0), Duration::ZERO);
    }
}
