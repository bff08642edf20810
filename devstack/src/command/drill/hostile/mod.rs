//! `carillon drill hostile`: what do others feel while one holder takes all it can get?
//!
//! For each kind of load: an innocent tenant publishes and resumes, first alone, then while the load runs. The hostile
//! side has an address, a tenant and credentials of its own, which is what shares go by. Its clients stand for other machines:
//! they have threads of their own, of the lowest priority.

mod address;
mod innocent;
mod kind;
mod low_priority;
mod raw;

use super::DrillError;
use crate::cli::HostileArgs;
use crate::command::{CommandError, say};
use crate::install;
use crate::stack::{Stack, StackConfig};
pub use innocent::{Figures, Innocent, Needs, Pace};
use kind::Kind;
pub use kind::{Kind as HostileLoad, Load, Size, prepare};
use std::time::Duration;

/// Bytes the publisher may take, whatever is done to it.
const PUBLISHER_BYTES: u64 = 256 * 1024 * 1024;
/// How many times what a gateway takes alone it may take with a load.
const GATEWAY_GROWTH: f64 = 1.1;
/// How many times slower the 99th percentile of a publish may be, and of a resume.
const PUBLISH_GROWTH: f64 = 2.0;
const RESUME_GROWTH: f64 = 3.0;
/// A load's first moments count, too; this is only until its connections are there.
const BEGINNING: Duration = Duration::from_millis(500);
/// Lets what the load left behind come to rest.
const REST: Duration = Duration::from_secs(3);

/// What a load did to the innocent.
struct Row {
    kind: Kind,
    alone: Figures,
    with: Figures,
    /// What the hostile side was answered.
    answers: String,
}

/// Runs the loads and prints a table.
pub(in crate::command) async fn run(args: &HostileArgs) -> Result<String, CommandError> {
    install::ensure(say)?;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await?;
    let mut innocent = Innocent::prepare(&stack).await?;
    say(&format!("writing {} events into the hostile tenant's log", args.events));
    prepare(&stack, args.events).await?;
    let time = Duration::from_secs(args.seconds);
    let mut rows = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| args.only.is_none_or(|only| only == *kind)) {
        say(&format!("{}: alone, then with it", kind.name()));
        innocent.needs = kind.needs();
        let (mut alone, mut with, mut answers) = (Figures::default(), Figures::default(), Vec::new());
        for _ in 0..args.rounds {
            alone.join(innocent.measure(&stack, time).await?);
            let load = kind.start(&stack, Size::Whole)?;
            tokio::time::sleep(BEGINNING).await;
            with.join(innocent.measure(&stack, time).await?);
            answers.push(load.stop(&stack).await?);
            tokio::time::sleep(REST).await;
        }
        rows.push(Row { kind, alone, with, answers: answers.join("; ") });
    }
    let table = table(&rows);
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    if broken.is_empty() {
        return Ok(table);
    }
    Err(DrillError(format!("{table}\n{}", broken.join("\n"))).into())
}

impl Row {
    /// Which promises did not hold.
    fn broken(&self) -> Vec<String> {
        let Self { kind, alone, with, .. } = self;
        let mut broken = Vec::new();
        let mut check = |held: bool, what: String| {
            if !held {
                broken.push(format!("{}: {what}", kind.name()));
            }
        };
        check(with.refused.is_empty(), format!("refused: {:?}", with.refused));
        // Below these times a ratio only measures the machine.
        let slower = |with: Duration, alone: Duration, most: f64| {
            with > Duration::from_millis(20) && with.as_secs_f64() > alone.as_secs_f64() * most
        };
        check(
            !slower(with.publish(99), alone.publish(99), PUBLISH_GROWTH),
            format!("publish p99 {:?}, alone {:?}", with.publish(99), alone.publish(99)),
        );
        check(
            !slower(with.resume(99), alone.resume(99), RESUME_GROWTH),
            format!("resume p99 {:?}, alone {:?}", with.resume(99), alone.resume(99)),
        );
        check(
            with.publisher_bytes <= PUBLISHER_BYTES,
            format!("the publisher took {} MiB", with.publisher_bytes >> 20),
        );
        check(
            with.gateway_bytes as f64 <= alone.gateway_bytes as f64 * GATEWAY_GROWTH,
            format!("the gateway took {} MiB, alone {}", with.gateway_bytes >> 20, alone.gateway_bytes >> 20),
        );
        broken
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| load | publish p50 · p99, alone → with | resume p50 · p99, alone → with | refused | publisher, gateway alone → with, MiB | \
         the hostile side was answered |\n|---|---|---|---|---|---|\n",
    );
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for Row { kind, alone, with, answers } in rows {
        text.push_str(&format!(
            "| {} | {} · {} → {} · {} ms | {} · {} → {} · {} ms | {} of {} | {}, {:.1} → {:.1} | {answers} |\n",
            kind.title(),
            ms(alone.publish(50)),
            ms(alone.publish(99)),
            ms(with.publish(50)),
            ms(with.publish(99)),
            ms(alone.resume(50)),
            ms(alone.resume(99)),
            ms(with.resume(50)),
            ms(with.resume(99)),
            with.refused.values().sum::<usize>(),
            with.attempts(),
            with.publisher_bytes >> 20,
            mib(alone.gateway_bytes),
            mib(with.gateway_bytes),
        ));
    }
    text
}
