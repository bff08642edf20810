//! How long did an innocent client wait, and was it refused?

use std::future::Future;
use std::time::{Duration, Instant};

/// What one innocent client saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) refused: usize,
    pub(crate) p99: Duration,
}

impl Figures {
    /// Asks so many times, one after the other. `ask` tells whether it was served.
    pub(crate) async fn of<F: Future<Output = bool>>(asked: usize, ask: impl Fn() -> F) -> Self {
        let (mut times, mut refused) = (Vec::with_capacity(asked), 0);
        for _ in 0..asked {
            let began = Instant::now();
            refused += usize::from(!ask().await);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Self { refused, p99: times[(asked - 1) * 99 / 100] }
    }

    /// Nobody was refused, and nobody waited `times` as long as alone. Below `unfelt` it is no matter how long it was.
    pub(crate) fn assert_unhurt(self, alone: Self, times: u32, unfelt: Duration) {
        #[expect(clippy::print_stderr, reason = "the figures of this run")]
        {
            eprintln!("alone {alone:?}, with the hostile one {self:?}");
        }
        assert_eq!((alone.refused, self.refused), (0, 0));
        let most = (alone.p99 * times).max(unfelt);
        assert!(self.p99 <= most, "{self:?} where {most:?} was the most, alone {alone:?}");
    }
}
