//! What do readers that stall, crawl or stay away cost the gateways and everybody else, and do they get everything in the end?
//!
//! Four phases in one run: a baseline in which everybody reads; the slow phase, in which some do not; the recovery, in which
//! they read on or come back with their cursors; and the end, when everything must be everywhere. The others' latency is
//! told for each phase. At the end a cursor of another life of the log must be answered with `reset`.

mod report;
mod weight;

use std::time::Duration;

use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

pub(crate) use self::report::Slow;
use self::report::{Measured, Resident};
use self::weight::Weighing;
use crate::cli::TargetArgs;
use crate::clock::{monotonic_ns, run_name};
use crate::crowd::plan::{Comeback, Habit, Order};
use crate::crowd::{Cast, Crowd};
use crate::failure::Failure;
use crate::feed::Feeding;
use crate::glance::{Glance, glance};
use crate::ops::{Ops, OpsArgs};
use crate::socket::{Arrived, Visit};
use crate::target::Target;

/// Seconds from the last acknowledgement until everything must be everywhere.
const FINISH_SECONDS: u64 = 120;
/// From the end of the measurement until the gateways are weighed once more.
const SETTLE: Duration = Duration::from_secs(2);
/// Connections the gateways gave up on.
const CLOSED_STALLED: &str = r#"carillon_connections_closed_total{reason="stalled"}"#;
/// Longest time until a `reset`.
const RESET: Duration = Duration::from_secs(10);

/// `carillon-loadtest slow`
#[derive(Debug, Args)]
pub(crate) struct SlowArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    ops: OpsArgs,
    /// How many clients, the slow ones included.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    clients: u32,
    /// How many processes play them.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    processes: u32,
    /// How many tenants they are spread over.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    tenants: u32,
    /// Events for each second, over all tenants.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Bytes of filling in each event's data.
    #[arg(long, default_value_t = 2_000, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    bytes: u32,
    /// Share of the clients that stop reading, 0 to 0.5.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    stalled: f64,
    /// Clients that read slowly.
    #[arg(long, default_value_t = 0, value_name = "N")]
    trickle: u32,
    /// How slowly, in bytes for each second.
    #[arg(long, default_value_t = 10_000, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    trickle_rate: u64,
    /// One client leaves and returns after so many seconds; 0 is none.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=600))]
    away: u32,
    /// How long everybody reads.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    baseline: u32,
    /// How long the slow ones are slow; at least as long as `--away`.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=900))]
    seconds: u32,
    /// How long to publish after that.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    recovery: u32,
}

/// Who is slow, by number: the first so many are stalled, the next trickle, the next is away. Numbers are spread over tenants,
/// gateways and processes in turn, so the slow ones are too.
#[derive(Debug, Clone, Copy)]
struct Slowness {
    stalled: u32,
    trickle: u32,
    trickle_rate: u64,
    away_seconds: u32,
}

impl Slowness {
    fn new(args: &SlowArgs) -> Result<Self, Failure> {
        let stalled = (f64::from(args.clients) * args.stalled).round() as u32;
        let (trickle, trickle_rate, away_seconds) = (args.trickle, args.trickle_rate, args.away);
        let all = Self { stalled, trickle, trickle_rate, away_seconds };
        match all.count() {
            0 => Err(Failure::Usage("nobody is slow: give --stalled, --trickle or --away".into())),
            slow if slow >= u64::from(args.clients) => Err(Failure::Usage(format!(
                "{slow} slow clients of {} leave nobody to compare",
                args.clients
            ))),
            _ => Ok(all),
        }
    }

    fn count(self) -> u64 {
        u64::from(self.stalled) + u64::from(self.trickle) + u64::from(self.away_seconds > 0)
    }

    fn habit(self, number: u32) -> Habit {
        let Self { stalled, trickle, trickle_rate, away_seconds } = self;
        match number.checked_sub(stalled) {
            None => Habit::Stalled,
            Some(after) if after < trickle => Habit::Trickle { bytes_per_second: trickle_rate },
            Some(after) if after == trickle && away_seconds > 0 => {
                Habit::Away { away_ms: u64::from(away_seconds) * 1_000 }
            }
            Some(_) => Habit::Steady,
        }
    }
}

/// `carillon-loadtest slow`
pub(crate) fn run(args: &SlowArgs) -> Result<Slow, Failure> {
    let target = Target::new(&args.target)?;
    let ops = Ops::new(&args.ops, args.target.stack.as_ref())?;
    let slowness = Slowness::new(args)?;
    let weighing = Weighing::start(target.delivering().map(|(_, pid)| *pid).collect())?;
    let run = run_name();
    let tenants: Vec<String> = (0..args.tenants).map(|n| format!("slow-{run}-{n}")).collect();
    let cast = Cast {
        target: &target,
        tenants: &tenants,
        clients: args.clients,
        processes: args.processes,
        comeback: Comeback { first_ms: 1_000, cap_ms: 5_000 },
    };
    let crowd = Crowd::gather(&cast, |number| slowness.habit(number))?;
    let (orders, told) = (crowd.orders(), crowd.orders());
    let feeding = Feeding::new(&target, &tenants, &run, args.rate.into(), args.bytes)?;
    let feed = feeding.start(move |tenant, seq| told.give(&Order::Head { tenant, seq }))?;
    feed.pass(Duration::from_secs(args.baseline.into()))?;
    let counters = ops.read();
    let before = weighing.now()?;
    weighing.peak()?;
    orders.give(&Order::Mark(monotonic_ns()));
    feed.pass(Duration::from_secs(args.seconds.max(args.away).into()))?;
    let peak = weighing.peak()?;
    orders.give(&Order::Recover(monotonic_ns()));
    feed.pass(Duration::from_secs(args.recovery.into()))?;
    let fed = feed.stop()?;
    let gathered = crowd.finish(FINISH_SECONDS)?;
    let recovery = weighing.peak()?;
    let after = ops.read();
    let backlog_reads = after.grown(&counters, "carillon_backlog_reads_total");
    let closed_stalled = after.grown(&counters, CLOSED_STALLED);
    let lost_cursor_reset = told_reset(&target, &tenants[0])?;
    std::thread::sleep(SETTLE);
    let rss = Resident { before, peak, recovery, after: weighing.now()? };
    weighing.stop()?;
    let slow_clients = slowness.count();
    Ok(Slow::new(Measured {
        fed,
        gathered,
        rss,
        backlog_reads,
        closed_stalled,
        lost_cursor_reset,
        slow_clients,
    }))
}

/// Whether a cursor of another life of the log is answered with `reset`. (A cursor older than the retention would be too; but
/// the log is trimmed by whole days, so that is left to the system tests, which can set the clock of the log back.)
fn told_reset(target: &Target, tenant: &str) -> Result<bool, Failure> {
    let address = target.gateways()?.first().cloned();
    let address = address.ok_or_else(|| Failure::Usage("no gateway".into()))?;
    let token = target.token(tenant, "lost")?;
    let (source, receive_buffer, compress) = (None, None, false);
    let visit = Visit { address: &address, token: &token, source, receive_buffer, compress };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = async {
        let Arrived { mut stream, mut inbox, welcome, early } = visit.open(Some((1, "another-life"))).await?;
        if welcome.resumed != "reset" {
            return Ok(false);
        }
        let is_reset = |payload: &[u8]| {
            matches!(glance(payload), Glance::Reset { seq, epoch, reason: "epoch_changed" }
                if seq == welcome.seq && epoch == welcome.epoch)
        };
        let mut first = early.first().map(|(_, payload)| is_reset(payload));
        let mut bytes = Vec::new();
        while first.is_none() {
            if stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())? == 0 {
                return Ok(false);
            }
            let fed = inbox.feed(&bytes, |_, payload| {
                first.get_or_insert(is_reset(payload));
            });
            fed.map_err(|fault| fault.to_string())?;
            bytes.clear();
        }
        Ok(first == Some(true))
    };
    match runtime.block_on(async { timeout(RESET, asking).await }) {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(why)) => Err(Failure::Connect { number: 0, address: address.authority, why }),
        Err(_) => Ok(false),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=0.5).contains(&share) => Ok(share),
        _ => Err("must be a share from 0 to 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_ones_are_counted_and_come_first() {
        let slowness = Slowness { stalled: 2, trickle: 1, trickle_rate: 9, away_seconds: 3 };
        let habits: Vec<&str> = (0..6).map(|number| slowness.habit(number).name()).collect();
        assert_eq!(habits, ["stalled", "stalled", "trickle", "away", "steady", "steady"]);
        assert_eq!(slowness.count(), 4);
        let nobody_away = Slowness { away_seconds: 0, ..slowness };
        assert_eq!((nobody_away.count(), nobody_away.habit(3).name()), (3, "steady"));
        assert_eq!(slowness.habit(3), Habit::Away { away_ms: 3_000 });
    }

    #[test]
    fn a_share_is_at_most_half() {
        assert_eq!((share("0.05"), share("0")), (Ok(0.05), Ok(0.0)));
        assert!(share("0.6").is_err() && share("-0.1").is_err() && share("NaN").is_err());
    }
}
