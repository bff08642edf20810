//! How long did innocent clients wait, how many did they get through, and were they refused?
//!
//! Two cores that do other things, too, make any single time long. So times are compared within one run, alone and with the
//! hostile one in turns where that is possible, and what is judged is the middle of them; the slowest has a wide bound. And who is hurt
//! by the hostile one is hurt each time: one of [`TRIES`] comparisons that shows nothing of it is enough.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carillon_devstack::wait;
use tokio::sync::watch;

use crate::faults::PATIENCE;

/// Turns of a comparison: alone, then with the hostile one.
const TURNS: usize = 3;
/// Comparisons of which one must show that nobody is hurt.
pub(crate) const TRIES: usize = 3;
/// The middle one of an innocent's times may be twice what it is alone, and below this it is felt by nobody.
const UNFELT: Duration = Duration::from_millis(20);
/// The slowest of a hundred may be ten times that, and below this a busy machine may have been it.
const NOISE: Duration = Duration::from_secs(1);

/// What innocent clients saw, in one or several turns.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Of each that was served.
    pub(crate) times: Vec<Duration>,
    /// What the others were told.
    pub(crate) refused: Vec<String>,
    /// So many were served in a second, turn by turn.
    rates: Vec<f64>,
}

impl Figures {
    /// Of one turn that took so long.
    pub(crate) fn new(times: Vec<Duration>, refused: Vec<String>, took: Duration) -> Self {
        let rates = vec![times.len() as f64 / took.as_secs_f64()];
        Self { times, refused, rates }
    }

    /// Asks so many times, one after the other.
    pub(crate) async fn of(asked: usize, ask: impl AsyncFn() -> Result<(), String>) -> Self {
        let (mut times, mut refused) = (Vec::with_capacity(asked), Vec::new());
        let all = Instant::now();
        for _ in 0..asked {
            let began = Instant::now();
            match ask().await {
                Ok(()) => times.push(began.elapsed()),
                Err(why) => refused.push(why),
            }
        }
        Self::new(times, refused, all.elapsed())
    }

    /// Adds those of another turn.
    pub(crate) fn join(&mut self, other: Self) {
        self.times.extend(other.times);
        self.refused.extend(other.refused);
        self.rates.extend(other.rates);
    }

    /// So many in a hundred took no longer than this.
    pub(crate) fn percent(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    }

    /// Of the middle turn.
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }

    fn in_words(&self) -> String {
        let (p50, p99) = (self.percent(50), self.percent(99));
        let (served, rate) = (self.times.len(), self.rate());
        format!(
            "{served} served, {rate:.0} a second, p50 {p50:?}, p99 {p99:?}, {} refused",
            self.refused.len()
        )
    }

    /// What they felt of the hostile one, if anything.
    pub(crate) fn hurt(&self, what: &str, alone: &Self) -> Option<String> {
        let longer = self.percent(50).as_secs_f64() / alone.percent(50).as_secs_f64().max(1e-6);
        let words = format!(
            "{what}: alone {}; with {} ({longer:.1} times the p50)",
            alone.in_words(),
            self.in_words()
        );
        #[expect(clippy::print_stderr, reason = "the figures of this run")]
        {
            eprintln!("{words}");
        }
        if !alone.refused.is_empty() || !self.refused.is_empty() {
            return Some(format!("refused {:?}, alone {:?}; {words}", self.refused, alone.refused));
        }
        let unhurt = !alone.times.is_empty()
            && !self.times.is_empty()
            && self.percent(50) <= alone.percent(50) * 2 + UNFELT
            // What takes no time has no rate to speak of.
            && (self.rate() >= alone.rate() / 2.0 || self.percent(50) <= UNFELT)
            && self.percent(99) <= alone.percent(99) * 10 + NOISE;
        (!unhurt).then_some(words)
    }
}

/// The innocents' figures alone and with the hostile one, who is told in turns to rest and to go on.
pub(crate) async fn in_turns(
    measure: impl AsyncFn() -> Figures,
    hostile: impl AsyncFn(bool),
) -> (Figures, Figures) {
    let (mut alone, mut with) = (Figures::default(), Figures::default());
    for _ in 0..TURNS {
        alone.join(measure().await);
        hostile(true).await;
        with.join(measure().await);
        hostile(false).await;
    }
    (alone, with)
}

/// The same, until once nobody is hurt: a machine that is busy with something else for a second says nothing about shares.
pub(crate) async fn assert_unhurt_in_turns(
    what: &str,
    measure: impl AsyncFn() -> Figures,
    hostile: impl AsyncFn(bool),
) {
    assert_unhurt(what, async || in_turns(&measure, &hostile).await).await;
}

/// Compares the innocents' figures alone and with the hostile one until once nobody is hurt.
pub(crate) async fn assert_unhurt(what: &str, compare: impl AsyncFn() -> (Figures, Figures)) {
    let mut hurt = Vec::new();
    for _ in 0..TRIES {
        let (alone, with) = compare().await;
        match with.hurt(what, &alone) {
            None => return,
            Some(words) => hurt.push(words),
        }
    }
    panic!("each time: {}", hurt.join("\n"));
}

/// Lets hostile tasks go on and rest.
pub(crate) struct Switch {
    wanted: watch::Sender<Wanted>,
    under_way: AtomicUsize,
    done: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Rest,
    Work,
    End,
}

/// One request of a hostile task.
pub(crate) struct UnderWay<'a>(&'a Switch);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Switch {
    /// All rest.
    pub(crate) fn new() -> Self {
        let wanted = watch::Sender::new(Wanted::Rest);
        Self { wanted, under_way: AtomicUsize::new(0), done: AtomicUsize::new(0) }
    }

    /// Waits until a hostile task may begin another request. None: it is over.
    pub(crate) async fn next(&self) -> Option<UnderWay<'_>> {
        let mut wanted = self.wanted.subscribe();
        let told = wanted.wait_for(|wanted| *wanted != Wanted::Rest).await.map(|wanted| *wanted);
        matches!(told, Ok(Wanted::Work)).then(|| {
            self.under_way.fetch_add(1, Ordering::Relaxed);
            UnderWay(self)
        })
    }

    /// Lets all go on, and waits until the first has done something; or lets them rest, and waits for the last.
    pub(crate) async fn turn(&self, on: bool) {
        let before = self.done.load(Ordering::Relaxed);
        self.wanted.send_replace(if on { Wanted::Work } else { Wanted::Rest });
        let reached = || match on {
            true => self.done.load(Ordering::Relaxed) > before,
            false => self.under_way.load(Ordering::Relaxed) == 0,
        };
        wait::until_true("the hostile ones doing as they are told", PATIENCE, reached).await.unwrap();
    }

    /// Ends all.
    pub(crate) fn end(&self) {
        self.wanted.send_replace(Wanted::End);
    }
}
