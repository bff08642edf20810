//! How do the needs grow, as a picture?

use plotters::prelude::*;

use super::plan::{Needs, Placement};
use crate::failure::Failure;

const SIZE: (u32, u32) = (900, 420);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 95, 170), RGBColor(46, 125, 80), RGBColor(200, 120, 20), RGBColor(190, 60, 50)];

/// One SVG: a panel for each placement, machines of each kind by connections, both scales tenfold.
pub(super) fn draw(needs: &[Needs]) -> Result<String, Failure> {
    let mut svg = String::new();
    panels(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), needs)
        .map_err(|error| Failure::Usage(format!("the picture cannot be drawn: {error}")))?;
    Ok(svg)
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn panels(root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, needs: &[Needs]) -> Drawn {
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    let any = |needs: &&Needs| needs.installation.placement == Placement::Any;
    let most = needs.iter().flat_map(counts).fold(10.0, f64::max).log10().ceil();
    for (area, title, wanted) in [
        (&left, "a tenant's clients on any gateway", true),
        (&right, "on one of two by the tenant's name", false),
    ] {
        let shown: Vec<&Needs> = needs.iter().filter(|needs| any(needs) == wanted).collect();
        let places = shown.iter().map(|needs| needs.installation.connections.log10());
        let (least, last) = places.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 16))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(54)
            .build_cartesian_2d(least..last, 0.0..most)?;
        let tenfold = |power: &f64| {
            if power.fract() == 0.0 { format!("{}", 10f64.powf(*power)) } else { String::new() }
        };
        chart
            .configure_mesh()
            .x_desc("connections")
            .y_desc("machines")
            .x_labels(4)
            .y_labels(most as usize + 1)
            .x_label_formatter(&tenfold)
            .y_label_formatter(&tenfold)
            .light_line_style(WHITE)
            .draw()?;
        for (index, name) in ["gateways", "Redis nodes", "publishers", "databases"].into_iter().enumerate() {
            let line = shown
                .iter()
                .map(|needs| (needs.installation.connections.log10(), counts(needs)[index].log10()));
            let colour = COLOURS[index];
            chart
                .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font((FONT, 12))
            .draw()?;
    }
    root.present()
}

/// Gateways, nodes of Redis, publishers, databases.
fn counts(needs: &Needs) -> [f64; 4] {
    [needs.gateways, needs.redis_nodes, needs.publishers, needs.databases]
}
