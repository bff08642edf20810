//! What is one line of the result, and when is its goal met?

use std::fmt;

use serde::{Serialize, Serializer};

use super::args::Measure;
use crate::table::grouped;

/// One figure beside its floor and its goal.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) measure: Measure,
    /// Under which circumstances.
    pub(super) what: String,
    pub(super) unit: Unit,
    /// The same without Carillon, in the same run.
    pub(super) floor: Option<f64>,
    /// None when it could not be measured.
    pub(super) carillon: Option<f64>,
    /// Carillon divided by floor.
    pub(super) ratio: Option<f64>,
    #[serde(serialize_with = "as_text")]
    pub(super) goal: Option<Goal>,
    /// None when there is no goal, or the figure cannot be judged.
    pub(super) met: Option<bool>,
    /// Whether the run behind it showed a promise of the contract broken: an event lost, doubled or out of order.
    pub(super) broken: bool,
    /// What else is worth knowing.
    pub(super) note: String,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Unit {
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "bytes")]
    Bytes,
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "MB/s")]
    MegabytesPerSecond,
    #[serde(rename = "%")]
    Percent,
    #[serde(rename = "")]
    Count,
}

/// What a figure, or its ratio to the floor, should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// The figure.
    AtMost(f64),
    /// The figure.
    AtLeast(f64),
    /// The ratio.
    RatioAtMost(f64),
    /// The ratio.
    RatioAtLeast(f64),
}

impl Row {
    /// A figure of Carillon.
    pub(super) fn new(measure: Measure, what: impl Into<String>, unit: Unit, carillon: f64) -> Self {
        let (what, carillon) = (what.into(), Some(carillon));
        let (floor, ratio, goal, met) = (None, None, None, None);
        Self { measure, what, unit, floor, carillon, ratio, goal, met, broken: false, note: String::new() }
    }

    /// A measure of which nothing came.
    pub(super) fn failed(measure: Measure, why: impl fmt::Display) -> Self {
        let row = Self::new(measure, measure.title(), Unit::Count, 0.0);
        Self { carillon: None, met: Some(false), note: format!("failed: {why}"), ..row }
    }

    /// Beside its floor.
    pub(super) fn floor(self, floor: f64) -> Self {
        let ratio = self.carillon.filter(|_| floor > 0.0).map(|carillon| carillon / floor);
        Self { floor: Some(floor), ratio, ..self }
    }

    /// Judged by a goal. The floor, if any, must be known.
    pub(super) fn goal(self, goal: Goal) -> Self {
        let met = match goal {
            Goal::AtMost(limit) => self.carillon.is_some_and(|carillon| carillon <= limit),
            Goal::AtLeast(limit) => self.carillon.is_some_and(|carillon| carillon >= limit),
            Goal::RatioAtMost(limit) => self.ratio.is_some_and(|ratio| ratio <= limit),
            Goal::RatioAtLeast(limit) => self.ratio.is_some_and(|ratio| ratio >= limit),
        };
        Self { goal: Some(goal), met: Some(met), ..self }
    }

    /// Whatever the figure is: its goal was not met.
    pub(super) fn missed(self) -> Self {
        Self { met: Some(false), ..self }
    }

    /// The figure tells nothing about its goal.
    pub(super) fn unjudged(self) -> Self {
        Self { met: None, ..self }
    }

    /// Says whether the run behind it showed a promise of the contract broken.
    pub(super) fn broken(self, broken: bool) -> Self {
        Self { broken, ..self }
    }

    /// Whether it was measured, and everything promised was kept. A goal is no promise.
    pub(super) fn is_right(&self) -> bool {
        self.carillon.is_some() && !self.broken
    }

    /// With a remark.
    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// The line's cells: measure, what, floor, Carillon, ratio, goal, met, remark.
    fn cells(&self) -> [String; 8] {
        let figure = |value: Option<f64>| value.map_or("–".into(), |value| self.unit.show(value));
        let met = self.met.map_or("–", |met| if met { "yes" } else { "NO" });
        let goal = self.goal.map_or("–".into(), |goal| goal.show(self.unit));
        let ratio = self.ratio.map_or("–".into(), |ratio| format!("{ratio:.2}"));
        let (floor, carillon) = (figure(self.floor), figure(self.carillon));
        let [name, met] = [self.measure.name(), met].map(str::to_owned);
        [name, self.what.clone(), floor, carillon, ratio, goal, met, self.note.clone()]
    }
}

impl Unit {
    /// A figure with its unit, three digits long where it is not whole.
    fn show(self, value: f64) -> String {
        let decimals = match value.abs() {
            size if size >= 99.95 => 0,
            size if size >= 9.995 => 1,
            _ => 2,
        };
        match self {
            Self::Microseconds => format!("{value:.decimals$} µs"),
            Self::Milliseconds => format!("{value:.decimals$} ms"),
            Self::Seconds => format!("{value:.decimals$} s"),
            Self::MegabytesPerSecond => format!("{value:.decimals$} MB/s"),
            Self::Percent => format!("{value:.decimals$} %"),
            Self::Bytes => format!("{} B", whole(value)),
            Self::PerSecond => format!("{}/s", whole(value)),
            Self::Count if value.fract() == 0.0 => whole(value),
            Self::Count => format!("{value:.2}"),
        }
    }
}

fn whole(value: f64) -> String {
    let digits = grouped(value.abs().round() as u64);
    if value < -0.5 { format!("-{digits}") } else { digits }
}

impl Goal {
    fn show(self, unit: Unit) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", unit.show(limit)),
            Self::AtLeast(limit) => format!("≥ {}", unit.show(limit)),
            Self::RatioAtMost(limit) => format!("≤ {limit:.2} ×"),
            Self::RatioAtLeast(limit) => format!("≥ {limit:.2} ×"),
        }
    }
}

fn as_text<S: Serializer>(goal: &Option<Goal>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = goal.map(|goal| match goal {
        Goal::AtMost(limit) => format!("<= {limit}"),
        Goal::AtLeast(limit) => format!(">= {limit}"),
        Goal::RatioAtMost(limit) => format!("ratio <= {limit}"),
        Goal::RatioAtLeast(limit) => format!("ratio >= {limit}"),
    });
    text.serialize(serializer)
}

/// The rows as one table.
pub(super) struct Sheet<'a>(pub(super) &'a [Row]);

impl fmt::Display for Sheet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "measure", "floor", "Carillon", "ratio", "goal", "met", "remarks"].map(str::to_owned);
        let lines: Vec<[String; 8]> = std::iter::once(head).chain(self.0.iter().map(Row::cells)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..8).map(width).collect();
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Figures to the right, so that their digits stand under each other.
                text += &match column {
                    2..=4 => format!("{cell:>width$}  "),
                    _ => format!("{cell:<width$}  "),
                };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(carillon: f64) -> Row {
        Row::new(Measure::B1, "x", Unit::Microseconds, carillon).floor(4.0)
    }

    #[test]
    fn goals_judge_the_figure_or_its_ratio() {
        assert_eq!(row(4.4).goal(Goal::RatioAtMost(1.10)).met, Some(true));
        assert_eq!(row(4.5).goal(Goal::RatioAtMost(1.10)).met, Some(false));
        assert_eq!(row(2.4).goal(Goal::RatioAtLeast(0.6)).met, Some(true));
        assert_eq!(row(2.3).goal(Goal::RatioAtLeast(0.6)).met, Some(false));
        assert_eq!(row(0.85).goal(Goal::AtMost(0.85)).met, Some(true));
        assert_eq!(row(0.86).goal(Goal::AtMost(0.85)).met, Some(false));
        assert_eq!(row(9.0).goal(Goal::AtLeast(8.0)).met, Some(true));
        assert_eq!((row(9.0).met, row(2.0).ratio), (None, Some(0.5)));
    }

    #[test]
    fn nothing_measured_meets_no_goal() {
        let failed = Row::failed(Measure::B6, "no gateway").goal(Goal::AtMost(1.0));
        assert_eq!((failed.met, failed.carillon, failed.ratio), (Some(false), None, None));
        assert!(row(1.0).floor(0.0).ratio.is_none());
    }

    #[test]
    fn what_cannot_be_judged_is_neither_met_nor_missed() {
        let row = row(2.0).goal(Goal::RatioAtMost(1.1)).unjudged();
        assert_eq!((row.met, row.goal, row.cells()[6].as_str()), (None, Some(Goal::RatioAtMost(1.1)), "–"));
    }

    #[test]
    fn a_missed_goal_is_right_and_a_broken_promise_is_not() {
        assert!(row(9.0).goal(Goal::AtMost(1.0)).is_right());
        assert!(row(1.0).goal(Goal::AtMost(2.0)).broken(false).is_right());
        assert!(!row(1.0).goal(Goal::AtMost(2.0)).broken(true).is_right());
        assert!(!Row::failed(Measure::B1, "no gateway").is_right());
    }

    #[test]
    fn figures_are_short_and_have_a_unit() {
        let shown = [0.0, 0.856, 9.994, 12.34, 123.4].map(|value| Unit::Milliseconds.show(value));
        assert_eq!(shown, ["0.00 ms", "0.86 ms", "9.99 ms", "12.3 ms", "123 ms"]);
        assert_eq!(
            (Unit::Bytes.show(1260.4), Unit::PerSecond.show(26_542.0)),
            ("1 260 B".into(), "26 542/s".into())
        );
        assert_eq!(Unit::Bytes.show(-1260.4), "-1 260 B");
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            row(4.2).goal(Goal::RatioAtMost(1.1)).note("quiet"),
            Row::new(Measure::B3, "resident", Unit::Bytes, 12_600.0).goal(Goal::AtMost(2500.0)),
        ];
        let text = Sheet(&rows).to_string();
        assert_eq!(
            text,
            "    measure     floor  Carillon  ratio  goal       met  remarks\n\
             B1  x         4.00 µs   4.20 µs   1.05  ≤ 1.10 ×   yes  quiet\n\
             B3  resident        –  12 600 B      –  ≤ 2 500 B  NO\n"
        );
    }

    #[test]
    fn the_goal_is_written_down() {
        let json = serde_json::to_value(row(4.2).goal(Goal::RatioAtMost(1.1))).unwrap();
        assert_eq!((json["goal"].as_str(), json["unit"].as_str()), (Some("ratio <= 1.1"), Some("µs")));
        assert_eq!((json["measure"].as_str(), json["met"].as_bool()), (Some("B1"), Some(true)));
    }
}
