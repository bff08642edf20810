//! How well is a client reached?
//!
//! By our own pings: each carries the time at which it was sent, so its pong says by itself how long it took. Four bytes of a connection,
//! in what would else be padding.

/// What the pings of a connection have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quality {
    /// What the last one that was answered took, in milliseconds, plus one; 0: none was.
    took: u16,
    lost: u8,
    /// Whether the pong of the last one is still to come.
    awaits: bool,
}

impl Quality {
    /// A ping is sent. True if the one before was not answered.
    pub(super) fn pinged(&mut self) -> bool {
        let is_lost = std::mem::replace(&mut self.awaits, true);
        self.lost = self.lost.saturating_add(is_lost.into());
        is_lost
    }

    /// A pong has come, so long after its ping. False if none is waited for.
    pub(super) fn answered(&mut self, took_us: u64) -> bool {
        let awaited = std::mem::take(&mut self.awaits);
        if awaited {
            self.took = u16::try_from(took_us / 1_000).unwrap_or(u16::MAX).saturating_add(1);
        }
        awaited
    }

    /// Pings that were not answered, at most 255.
    pub(super) fn lost(self) -> u32 {
        self.lost.into()
    }

    /// How long the last round trip was, in steps: 1 below 16 ms, and each further one twice as long; 0: it is not known. Below
    /// that it is noise, of a machine that is busy rather than of the network.
    pub(super) fn step(self) -> u32 {
        let longer = |ms: u16| (ms / 16).checked_ilog2().map_or(0, |step| step + 1);
        self.took.checked_sub(1).map_or(0, |ms| 1 + longer(ms))
    }

    /// The last round trip, in milliseconds, at most 65,534; none before the first pong.
    pub(super) fn rtt_ms(self) -> Option<u32> {
        self.took.checked_sub(1).map(u32::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_counts_once_and_a_ping_without_one_is_lost() {
        let mut quality = Quality::default();
        assert!(!quality.answered(5_000), "nobody asked");
        assert_eq!(quality.rtt_ms(), None);
        assert!(!quality.pinged());
        assert!(quality.answered(12_999));
        assert_eq!(quality.rtt_ms(), Some(12));
        assert!(!quality.answered(1));
        assert!(!quality.pinged() && quality.pinged() && quality.pinged());
        assert_eq!((quality.lost(), quality.rtt_ms(), quality.step()), (2, Some(12), 1));
        assert!(quality.answered(100_000_000));
        assert_eq!(quality.rtt_ms(), Some(65_534));
        assert_eq!(size_of::<Quality>(), 4);
    }

    #[test]
    fn a_step_is_twice_as_long_and_what_is_quick_is_all_the_same() {
        let step = |us: u64| {
            let mut quality = Quality::default();
            quality.pinged();
            quality.answered(us);
            quality.step()
        };
        assert_eq!(Quality::default().step(), 0);
        assert_eq!([0, 90, 1_000, 9_000, 15_999].map(step), [1; 5]);
        assert_eq!([16_000, 31_999, 32_000, 63_000, 64_000, 1_000_000].map(step), [2, 2, 3, 3, 4, 7]);
    }
}
