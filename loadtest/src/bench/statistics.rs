//! How do repeated measurements become one figure?

/// Several measurements of the same thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats(Vec<f64>);

impl Repeats {
    /// One more.
    pub(super) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one, or the middle between the two in the middle; 0 of none.
    pub(super) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.as_slice() {
            [] => 0.0,
            all if all.len() % 2 == 1 => all[middle],
            all => (all[middle - 1] + all[middle]) / 2.0,
        }
    }

    /// `4.12–4.31`, or nothing when there was only one.
    pub(super) fn range(&self) -> Option<String> {
        match self.0.as_slice() {
            [least, .., most] => Some(format!("{least:.2}–{most:.2}")),
            _ => None,
        }
    }
}

/// By how many percent the farthest of these is from their median.
pub(super) fn farthest_percent(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut all = Repeats::default();
    values.into_iter().for_each(|value| all.add(value));
    let median = all.median();
    let off = all.0.iter().map(|value| (value / median - 1.0).abs() * 100.0);
    off.fold(0.0, f64::max)
}

/// Looks for the highest rate at which a system keeps up: grows until it does not, then halves what is uncertain.
#[derive(Debug)]
pub(super) struct Search {
    next: f64,
    kept: Option<f64>,
    lost: Option<f64>,
    /// Trials left after the first that was lost.
    halvings: u32,
    most: f64,
}

impl Search {
    /// Begins at a rate that should be easy.
    pub(super) fn new(first: f64, most: f64, halvings: u32) -> Self {
        Self { next: first, kept: None, lost: None, halvings, most }
    }

    /// The rate to try next; none when the answer is known.
    pub(super) fn next(&self) -> Option<f64> {
        let open = match self.lost {
            Some(_) => self.halvings > 0,
            None => self.kept.is_none_or(|kept| kept < self.most),
        };
        open.then_some(self.next)
    }

    /// What came of trying it.
    pub(super) fn tell(&mut self, kept_up: bool) {
        self.halvings -= u32::from(self.lost.is_some());
        let tried = Some(self.next);
        if kept_up {
            self.kept = tried
        } else {
            self.lost = tried
        }
        self.next = match (self.kept, self.lost) {
            (Some(kept), None) => (kept * 1.7).min(self.most),
            (Some(kept), Some(lost)) => (kept + lost) / 2.0,
            (None, Some(lost)) => lost / 2.0,
            (None, None) => self.next,
        }
        .round();
    }

    /// The highest rate that was kept up with; none when there was none.
    pub(super) fn highest(&self) -> Option<f64> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(values: &[f64]) -> Repeats {
        let mut repeats = Repeats::default();
        values.iter().for_each(|value| repeats.add(*value));
        repeats
    }

    #[test]
    fn the_median_does_not_care_for_outliers() {
        assert_eq!(repeats(&[9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(repeats(&[4.0, 1.0, 2.0, 100.0]).median(), 3.0);
        assert_eq!((repeats(&[]).median(), repeats(&[5.0]).median()), (0.0, 5.0));
        assert_eq!(repeats(&[4.0, 1.0, 2.0]).range().as_deref(), Some("1.00–4.00"));
        assert_eq!(repeats(&[4.0]).range(), None);
    }

    #[test]
    fn growth_is_the_farthest_from_the_median() {
        assert!((farthest_percent([4.0, 5.0, 5.5]) - 20.0).abs() < 1e-9);
        assert_eq!(farthest_percent([4.0]), 0.0);
    }

    fn found(limit: f64, mut search: Search) -> (Option<f64>, u32) {
        let mut trials = 0;
        while let Some(rate) = search.next() {
            search.tell(rate <= limit);
            trials += 1;
            assert!(trials < 50, "the search does not end");
        }
        (search.highest(), trials)
    }

    #[test]
    fn the_search_closes_in_on_the_limit() {
        let (highest, trials) = found(5_000.0, Search::new(500.0, 40_000.0, 3));
        let highest = highest.unwrap();
        assert!(highest <= 5_000.0 && highest > 4_300.0, "{highest}");
        assert_eq!(trials, 9);
    }

    #[test]
    fn the_search_has_a_top_and_a_bottom() {
        assert_eq!(found(1e9, Search::new(500.0, 2_000.0, 3)).0, Some(2_000.0));
        assert_eq!(found(0.0, Search::new(500.0, 2_000.0, 3)), (None, 4));
        assert_eq!(found(130.0, Search::new(500.0, 2_000.0, 3)).0, Some(125.0));
    }
}
