//! How do the results look as a picture?
//!
//! One SVG: every ratio to its floor as a bar with its goal, and the curves of B3, B4 and B7. The numbers on a curve's
//! lower edge are those that were measured, evenly spaced.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::curves::{Curves, Growth};
use super::row::{Goal, Row, Unit};
use crate::failure::Failure;
use crate::table::grouped;

const SIZE: (u32, u32) = (1500, 900);
/// Width of the bars' panel.
const BARS: u32 = 560;
const CARILLON: RGBColor = RGBColor(31, 95, 170);
const FLOOR: RGBColor = RGBColor(130, 130, 130);
const MET: RGBColor = RGBColor(46, 125, 80);
const MISSED: RGBColor = RGBColor(190, 60, 50);
const OTHERS: [RGBColor; 4] =
    [CARILLON, RGBColor(46, 125, 80), RGBColor(200, 120, 20), RGBColor(190, 60, 50)];
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A named line through measured points.
struct Curve {
    name: &'static str,
    colour: RGBColor,
    values: Vec<f64>,
}

/// What a panel of curves shows.
struct Panel<'a> {
    caption: &'a str,
    x_label: &'a str,
    y_label: &'a str,
    /// What was measured, in words, for each place on the lower edge.
    places: Vec<String>,
    curves: Vec<Curve>,
    /// Whether each line upwards is ten times the one below.
    tenfold: bool,
}

/// Draws everything as one SVG document.
pub(super) fn draw(title: &str, rows: &[Row], curves: &Curves) -> Result<String, Failure> {
    let mut svg = String::new();
    let drawn = picture(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), title, rows, curves);
    drawn.map_err(|error| Failure::Usage(format!("the picture cannot be drawn: {error}")))?;
    Ok(svg)
}

fn picture(root: &Area<'_>, title: &str, rows: &[Row], curves: &Curves) -> Drawn {
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (16, 12), (FONT, 15)))?;
    let (bars, right) = root.margin(36, 8, 8, 8).split_horizontally(BARS);
    let panels = right.split_evenly((2, 2));
    ratios(&bars, rows)?;
    latency(curves).draw(&panels[0])?;
    resting(curves).draw(&panels[1])?;
    growth("B7: CPU per delivery by sockets", "sockets of one tenant", &curves.sockets).draw(&panels[2])?;
    growth("B7: CPU per delivery by tenants", "tenants followed", &curves.tenants).draw(&panels[3])?;
    root.present()
}

/// A bar for each row that has a floor.
fn ratios(area: &Area<'_>, rows: &[Row]) -> Drawn {
    // How far points scatter is no cost that could be divided by another.
    let costs = rows.iter().filter(|row| row.unit != Unit::Percent);
    let rows: Vec<(&Row, f64)> = costs.filter_map(|row| Some((row, row.ratio?))).collect();
    area.draw(&Text::new("Carillon divided by its floor; the stroke is the goal", (10, 6), (FONT, 17)))?;
    let (width, height) = area.dim_in_pixel();
    let most = rows.iter().map(|(_, ratio)| *ratio).fold(1.2, f64::max);
    let scale = (f64::from(width) - 80.0) / most;
    let step = ((height as i32 - 50) / rows.len().max(1) as i32).min(44);
    let at = |ratio: f64| 10 + (ratio * scale) as i32;
    let level = vec![(at(1.0), 34), (at(1.0), 36 + rows.len() as i32 * step)];
    area.draw(&PathElement::new(level, FLOOR.mix(0.5)))?;
    for (index, (row, ratio)) in (0..).zip(rows) {
        let top = 36 + index * step;
        let thick = (step - 18).clamp(3, 16);
        let colour = match row.met {
            Some(true) => MET,
            Some(false) => MISSED,
            None => FLOOR,
        };
        let what = format!("{} {}", row.measure.name(), row.what);
        area.draw(&Text::new(what, (10, top), (FONT, 11)))?;
        let bar = [(at(0.0), top + 14), (at(ratio), top + 14 + thick)];
        area.draw(&Rectangle::new(bar, colour.filled()))?;
        let mut end = at(ratio);
        if let Some(Goal::RatioAtMost(goal) | Goal::RatioAtLeast(goal)) = row.goal {
            let stroke = vec![(at(goal), top + 11), (at(goal), top + 17 + thick)];
            area.draw(&PathElement::new(stroke, BLACK.stroke_width(2)))?;
            end = end.max(at(goal));
        }
        area.draw(&Text::new(format!("{ratio:.2}"), (end + 6, top + 12 + thick / 4), (FONT, 12)))?;
    }
    Ok(())
}

fn latency(curves: &Curves) -> Panel<'static> {
    let levels = &curves.levels;
    let place = |percent| if percent == 0 { "calm".into() } else { format!("{percent} %") };
    let names = ["p50", "p90", "p99", "p99.9"];
    let values = levels.iter().map(|level| [level.p50_ms, level.p90_ms, level.p99_ms, level.p999_ms]);
    let values: Vec<[f64; 4]> = values.collect();
    let curve = |(index, (name, colour))| Curve {
        name,
        colour,
        values: values.iter().map(|level| level[index]).collect(),
    };
    Panel {
        caption: "B4: acknowledgement to socket",
        x_label: "share of the highest rate kept up with",
        y_label: "ms",
        places: levels.iter().map(|level| place(level.percent)).collect(),
        curves: names.into_iter().zip(OTHERS).enumerate().map(curve).collect(),
        tenfold: true,
    }
}

fn resting(curves: &Curves) -> Panel<'static> {
    let points = &curves.resting;
    let curve = |name, colour, value: fn(&super::curves::Resting) -> f64| Curve {
        name,
        colour,
        values: points.iter().map(value).collect(),
    };
    Panel {
        caption: "B3: memory of a connection at rest",
        x_label: "connections",
        y_label: "bytes",
        places: points.iter().map(|point| grouped(point.connections.into())).collect(),
        curves: vec![
            curve("resident", OTHERS[0], |point| point.resident_bytes),
            curve("of that heap", OTHERS[1], |point| point.heap_bytes),
            curve("kernel, each socket", FLOOR, |point| point.kernel_bytes),
        ],
        tenfold: false,
    }
}

fn growth<'a>(caption: &'a str, x_label: &'a str, points: &[Growth]) -> Panel<'a> {
    let curve = |name, colour, value: fn(&Growth) -> f64| Curve {
        name,
        colour,
        values: points.iter().map(value).collect(),
    };
    Panel {
        caption,
        x_label,
        y_label: "µs",
        places: points.iter().map(|point| grouped(point.size.into())).collect(),
        curves: vec![
            curve("Carillon", CARILLON, |point| point.carillon_us),
            curve("bare write() loop", FLOOR, |point| point.floor_us),
        ],
        tenfold: false,
    }
}

impl Panel<'_> {
    fn draw(&self, area: &Area<'_>) -> Drawn {
        if self.places.is_empty() {
            return area.draw(&Text::new(format!("{} (not measured)", self.caption), (20, 10), (FONT, 16)));
        }
        // Logarithms are taken here, so that one kind of axis serves both.
        let up = |value: f64| if self.tenfold { value.max(1e-3).log10() } else { value };
        let back = |height: &f64| if self.tenfold { tidy(10f64.powf(*height)) } else { tidy(*height) };
        let all = || self.curves.iter().flat_map(|curve| curve.values.iter().map(|value| up(*value)));
        let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
        let from_to = match self.tenfold {
            true => least.floor()..most.ceil().max(least.floor() + 1.0),
            false => least.min(0.0)..(most * 1.25).max(1.0),
        };
        let last = self.places.len() as f64 - 1.0;
        let mut chart = ChartBuilder::on(area)
            .caption(self.caption, (FONT, 16))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(62)
            .build_cartesian_2d(-0.3..last + 0.3, from_to)?;
        let place = |x: &f64| match (x - x.round()).abs() < 0.01 {
            true => self.places.get(x.round().max(0.0) as usize).cloned().unwrap_or_default(),
            false => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(self.places.len() * 2 + 1)
            .y_labels(6)
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .x_label_formatter(&place)
            .y_label_formatter(&back)
            .light_line_style(WHITE)
            .label_style((FONT, 12))
            .draw()?;
        for Curve { name, colour, values } in &self.curves {
            let points: Vec<(f64, f64)> =
                (0..).map(f64::from).zip(values.iter().map(|value| up(*value))).collect();
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
                .label(*name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(FLOOR)
            .label_font((FONT, 12))
            .draw()
    }
}

/// A number on an axis, as short as it can be.
fn tidy(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => grouped(size.round() as u64),
        size if size >= 1.0 || size == 0.0 => format!("{}", (value * 10.0).round() / 10.0),
        _ => format!("{}", (value * 1000.0).round() / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::Measure;
    use super::super::curves::{Level, Resting};
    use super::*;

    fn filled() -> Curves {
        let level = |percent, p50_ms: f64| Level {
            percent,
            events_per_second: 100.0,
            p50_ms,
            p90_ms: p50_ms * 2.0,
            p99_ms: p50_ms * 5.0,
            p999_ms: p50_ms * 30.0,
        };
        let resting = |connections| Resting {
            connections,
            resident_bytes: 1260.0,
            heap_bytes: 1200.0,
            kernel_bytes: 4000.0,
        };
        let growth = |size| Growth { size, floor_us: 4.3, carillon_us: 4.9, flattered: false };
        Curves {
            resting: [1000, 14_000].map(resting).to_vec(),
            levels: vec![level(0, 0.2), level(10, 0.3), level(80, 2.0)],
            sockets: [100, 14_000].map(growth).to_vec(),
            tenants: [1].map(growth).to_vec(),
            announcements: Vec::new(),
        }
    }

    /// Tags of a document, checked to be closed in the right order.
    fn tags(svg: &str) -> usize {
        let (mut open, mut count) = (Vec::new(), 0);
        for part in svg.split('<').skip(1) {
            let tag = part.split('>').next().unwrap();
            let name = tag.split([' ', '/', '\n']).next().unwrap();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed.trim()), "{tag}");
            } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
                open.push(name);
            }
            count += 1;
        }
        assert!(open.is_empty(), "{open:?} stay open");
        count
    }

    #[test]
    fn a_picture_shows_every_ratio_and_curve() {
        let rows = [
            Row::new(Measure::B1, "CPU < floor & more", Unit::Microseconds, 4.5)
                .floor(4.0)
                .goal(Goal::RatioAtMost(1.1)),
            Row::new(Measure::B3, "without a floor", Unit::Bytes, 1000.0),
        ];
        let svg = draw("commit abc", &rows, &filled()).unwrap();
        assert!(svg.starts_with("<svg") && tags(&svg) > 100, "{svg}");
        for text in [
            "commit abc",
            "B1 CPU &lt; floor &amp; more",
            "1.12",
            "p99.9",
            "14 000",
            "bare write() loop",
            "calm",
        ] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(!svg.contains("without a floor") && !svg.contains("not measured") && !svg.contains("NaN"));
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let svg = draw("", &[], &Curves::default()).unwrap();
        assert_eq!(svg.matches("(not measured)").count(), 4);
        tags(&svg);
    }

    #[test]
    fn axes_have_short_numbers() {
        let shown = [0.0, 0.1, 0.001, 1.0, 12.34, 1260.0].map(tidy);
        assert_eq!(shown, ["0", "0.1", "0.001", "1", "12.3", "1 260"]);
    }
}
