//! How much may a client ask for?
//!
//! A token bucket: every frame takes a token, and joining or leaving channels takes more, because it costs more. A frame
//! that the bucket cannot pay for ends the connection; channels that it cannot pay for are refused with an error.

/// Channels joined or left that cost as much as one frame: whoever comes back with a thousand can join them at once, and
/// nobody can join and leave a thousand more often than every two seconds.
const CHANNELS_A_FRAME: usize = 10;
/// How many seconds' worth of frames may come at once.
const BURST_S: u64 = 5;

/// How many frames a client may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameRate {
    /// Sustained, each second.
    pub(crate) per_second: u32,
}

impl FrameRate {
    fn burst_milli(self) -> u64 {
        u64::from(self.per_second) * BURST_S * 1_000
    }
}

/// A token bucket, in thousandths of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    milli: u64,
    at_ms: u64,
}

impl Allowance {
    pub(super) fn full(rate: FrameRate, now_ms: u64) -> Self {
        Self { milli: rate.burst_milli(), at_ms: now_ms }
    }

    /// Takes one frame; false when the client sends too many.
    pub(super) fn take_frame(&mut self, rate: FrameRate, now_ms: u64) -> bool {
        self.take(rate, now_ms, 1)
    }

    /// Takes what so many channels cost beyond the frame that names them; false, and nothing taken, when that is more
    /// than there is.
    pub(super) fn take_channels(&mut self, rate: FrameRate, now_ms: u64, channels: usize) -> bool {
        self.take(rate, now_ms, (channels / CHANNELS_A_FRAME) as u64)
    }

    fn take(&mut self, rate: FrameRate, now_ms: u64, frames: u64) -> bool {
        let earned = now_ms.saturating_sub(self.at_ms) * u64::from(rate.per_second);
        self.milli = self.milli.saturating_add(earned).min(rate.burst_milli());
        self.at_ms = now_ms;
        let left = self.milli.checked_sub(frames * 1_000);
        self.milli = left.unwrap_or(self.milli);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_burst_and_then_keep_the_rate() {
        let rate = FrameRate { per_second: 10 };
        let mut allowance = Allowance::full(rate, 0);
        assert_eq!((0..100).filter(|_| allowance.take_frame(rate, 0)).count(), 50);
        assert_eq!((1..=1_000).filter(|ms| allowance.take_frame(rate, *ms)).count(), 10);
    }

    #[test]
    fn i10_channels_cost_by_tens_and_what_cannot_be_paid_takes_nothing() {
        let rate = FrameRate { per_second: 50 };
        let mut allowance = Allowance::full(rate, 0);
        assert!(
            (0..250).all(|_| allowance.take_channels(rate, 0, 9)),
            "few channels cost no more than their frame"
        );
        assert!(allowance.take_channels(rate, 0, 990), "whoever joins all it may at once can");
        assert!(allowance.take_channels(rate, 0, 990) && !allowance.take_channels(rate, 0, 990));
        assert!(allowance.take_channels(rate, 0, 520) && !allowance.take_frame(rate, 0), "52 were left");
        let often = (1..=10_000).filter(|ms| allowance.take_channels(rate, *ms, 990)).count();
        assert_eq!(often, 5, "then one in two seconds");
    }
}
