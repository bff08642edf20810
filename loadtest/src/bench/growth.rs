//! B7: does a delivery cost the same however many sockets and tenants there are?
//!
//! The event rate falls as the sockets grow, so that each point delivers as much each second. Tenants are grown by those
//! that a node must follow, with one connection each, while the events go to as many sockets as in B1: an event for a
//! tenant of one socket costs what an event costs, and dividing that by one delivery would say nothing about growth. The
//! last row shows just that.

use super::Suite;
use super::args::Measure;
use super::curves::Growth;
use super::delivery::{SINGLE_SOCKETS, Shape, Writes, in_turns};
use super::row::{Goal, Row, Unit};
use super::statistics::farthest_percent;
use crate::failure::Failure;

/// Deliveries for each second at every point: few enough that each is a write of its own.
const DELIVERIES: f64 = 40_000.0;
/// Each point, from the median of all, in percent.
const GOAL: Goal = Goal::AtMost(15.0);
/// Events for each second when each goes to another tenant.
const SPREAD_RATE: f64 = 500.0;
/// Sockets of each tenant then.
const SPREAD_SOCKETS: u32 = 2;

/// B7
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    let (seconds, floor) = (suite.plan.growth_seconds, Writes::Single);
    let mut by_sockets = Vec::new();
    for &sockets in suite.plan.sockets {
        let rate = DELIVERIES / f64::from(sockets);
        let shape = Shape { sockets, tenants: 1, bystanders: 0, rate, seconds, batch: 1, floor };
        by_sockets.push(
            point(suite, &shape, sockets, format!("gateway CPU per delivery, 1 tenant of {sockets} sockets"))
                .await?,
        );
    }
    suite.rows.push(spread("farthest of these from their median, by sockets", &by_sockets));
    suite.curves.sockets = by_sockets;

    let mut by_tenants = Vec::new();
    for &tenants in suite.plan.tenants {
        let (sockets, bystanders) = (SINGLE_SOCKETS, tenants - 1);
        let rate = DELIVERIES / f64::from(sockets);
        let shape = Shape { sockets, tenants: 1, bystanders, rate, seconds, batch: 1, floor };
        let what = format!(
            "gateway CPU per delivery, {tenants} tenants followed, events to {sockets} sockets of one"
        );
        by_tenants.push(point(suite, &shape, tenants, what).await?);
    }
    suite.rows.push(spread("farthest of these from their median, by tenants", &by_tenants));
    suite.curves.tenants = by_tenants;

    let tenants = suite.plan.tenants.last().copied().unwrap_or(1);
    let sockets = tenants * SPREAD_SOCKETS;
    let shape = Shape { sockets, tenants, bystanders: 0, rate: SPREAD_RATE, seconds, batch: 1, floor };
    let what = format!(
        "gateway CPU per delivery, {tenants} tenants of {SPREAD_SOCKETS} sockets, each event to another"
    );
    point(suite, &shape, tenants, what).await?;
    if let Some(row) = suite.rows.last_mut() {
        row.note = format!("what an event costs is spread over {SPREAD_SOCKETS} sockets only; {}", row.note);
    }
    Ok(())
}

async fn point(suite: &mut Suite, shape: &Shape, size: u32, what: String) -> Result<Growth, Failure> {
    let pair = in_turns(suite, Measure::B7, shape, suite.plan.growth_rounds).await?;
    suite.rows.push(pair.row(Measure::B7, what));
    let (floor_us, carillon_us) = (pair.floor.median(), pair.carillon.median());
    Ok(Growth { size, floor_us, carillon_us, flattered: pair.is_flattered() })
}

/// How far the points of a curve lie from their median, Carillon's and the floor's.
fn spread(what: &str, points: &[Growth]) -> Row {
    let carillon = farthest_percent(points.iter().map(|point| point.carillon_us));
    let floor = farthest_percent(points.iter().map(|point| point.floor_us));
    let ratio = farthest_percent(points.iter().map(|point| point.carillon_us / point.floor_us));
    let note = format!("the ratios to the floor: {ratio:.1} %");
    let row = Row::new(Measure::B7, what, Unit::Percent, carillon).floor(floor).goal(GOAL);
    match points.iter().filter(|point| point.flattered).count() {
        0 => row.note(note),
        busy => row.unjudged().note(format!("{note}; at {busy} of these the machine was too busy to tell")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_judged_by_the_farthest_point() {
        let point = |size, floor_us, carillon_us| Growth { size, floor_us, carillon_us, flattered: false };
        let row = spread("x", &[point(1, 4.0, 5.0), point(2, 4.0, 5.0), point(3, 4.4, 5.5)]);
        assert_eq!(
            (row.carillon.map(f64::round), row.floor.map(f64::round), row.met),
            (Some(10.0), Some(10.0), Some(true))
        );
        assert!(row.note.ends_with("floor: 0.0 %"), "{}", row.note);
        let row = spread("x", &[point(1, 4.0, 5.0), point(2, 4.0, 5.0), point(3, 4.0, 6.0)]);
        assert_eq!(row.met, Some(false));
    }

    #[test]
    fn growth_of_flattered_points_is_not_judged() {
        let point = |flattered| Growth { size: 1, floor_us: 4.0, carillon_us: 5.0, flattered };
        let row = spread("x", &[point(false), point(true)]);
        assert_eq!((row.met, row.carillon), (None, Some(0.0)));
        assert!(row.note.ends_with("at 1 of these the machine was too busy to tell"), "{}", row.note);
        assert_eq!(spread("x", &[point(false), point(false)]).met, Some(true));
    }
}
