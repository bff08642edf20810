//! `carillon drill`: does the system keep its promises while something is done to it?
//!
//! Nodes are replaced or added under thousands of clients through the balancer, with steady publishing and the ledger as
//! the judge; or one holder takes all it can get ([`hostile`]). A stack of its own each time. Build with `--release`: the
//! clients share the machine with what they look at.

pub mod hostile;
mod scene;

use super::{CommandError, print, say};
use crate::cli::{Drill, FleetArgs};
use scene::Scene;
use std::time::{Duration, Instant};

/// No node may have more than this many times the mean afterwards.
const MOST: f64 = 1.3;
/// And none less than this share of it: the node that came last gets its clients by rebalance alone.
const SHARE: f64 = 0.8;
/// How long nodes may take to even out: 15 s until the fleet counts as settled, and the shedding itself.
const EVEN_WITHIN: Duration = Duration::from_secs(600);

/// A drill did not go as promised.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DrillError(pub String);

pub(super) async fn run(drill: Drill) -> Result<(), CommandError> {
    let report = match drill {
        Drill::Rolling(args) => rolling(Scene::start(&args).await?, &args).await,
        Drill::ScaleOut(args) => scale_out(Scene::start(&args).await?, &args).await,
        Drill::Hostile(args) => hostile::run(&args).await,
    };
    print(&report?)
}

/// Every gateway is replaced, `rounds` times.
async fn rolling(mut scene: Scene, args: &FleetArgs) -> Result<String, CommandError> {
    let load = scene.publish(args.rate);
    let began = Instant::now();
    let mut fastest: f64 = 0.0;
    for round in 1..=args.rounds {
        for index in 0..usize::from(args.gateways) {
            say(&format!("round {round}: restarting gateway-{}", index + 1));
            fastest = fastest.max(scene.restart(index).await?);
        }
    }
    let took = began.elapsed();
    let published = load.stop().await;
    let settled = scene.evens_out(SHARE, MOST, EVEN_WITHIN).await?;
    let verdict = scene.judge().await?;
    let bound = args.drain_rate;
    // A client is told to go at the bounded rate and comes back up to a second later: some seconds see a little more.
    if fastest > f64::from(bound) * 1.5 {
        return Err(DrillError(format!(
            "{fastest:.0} clients came back in one second; the bound is {bound}"
        ))
        .into());
    }
    if published.abandoned + published.retried > 0 {
        return Err(DrillError(format!("publishing had errors: {published:?}")).into());
    }
    Ok(format!(
        "{} gateways restarted {} times each under {} clients, {} events at {}/s, in {:.0} s\n\
         {verdict}\n\
         publish errors         0 of {}\n\
         fastest second         {fastest:.0} clients came back (bound {bound} told to go)\n\
         load afterwards        {} (mean {:.0}), even after {:.0} s\n",
        args.gateways,
        args.rounds,
        args.clients,
        published.acknowledged,
        args.rate,
        took.as_secs_f64(),
        published.acknowledged,
        settled.loads(),
        settled.mean(),
        settled.after.as_secs_f64(),
    ))
}

/// One more gateway gets its share by rebalance alone.
async fn scale_out(mut scene: Scene, args: &FleetArgs) -> Result<String, CommandError> {
    let load = scene.publish(args.rate);
    scene.add().await?;
    let settled = scene.evens_out(SHARE, MOST, EVEN_WITHIN).await?;
    let published = load.stop().await;
    let verdict = scene.judge().await?;
    Ok(format!(
        "gateway-{} joined {} with {} clients, {} events at {}/s\n\
         {verdict}\n\
         load afterwards        {} (mean {:.0}), every node within {SHARE} and {MOST} times the mean after {:.0} s\n",
        args.gateways + 1,
        args.gateways,
        args.clients,
        published.acknowledged,
        args.rate,
        settled.loads(),
        settled.mean(),
        settled.after.as_secs_f64(),
    ))
}
