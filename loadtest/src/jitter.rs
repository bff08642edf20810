//! Do clients on bad networks, away again and again, get every event once, and how soon have they caught up?

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::TargetArgs;
use crate::clock::{monotonic_ns, run_name};
use crate::crowd::plan::{Comeback, Habit, Order};
use crate::crowd::{Cast, Crowd};
use crate::failure::Failure;
use crate::feed::Feeding;
use crate::latency::Percentiles;
use crate::procfs::{CpuMark, CpuUsed};
use crate::table::{Table, grouped};
use crate::target::{Target, is_delivering};

/// Everybody reads for so long before the first one leaves.
const CALM: Duration = Duration::from_secs(2);
/// Seconds from the last acknowledgement until everything must be everywhere.
const FINISH_SECONDS: u64 = 60;

/// `carillon-loadtest jitter`
#[derive(Debug, Args)]
pub(crate) struct JitterArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many clients.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// How many processes play them; each can hold as many as it may have files.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    processes: u32,
    /// How many tenants they are spread over.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    tenants: u32,
    /// Events for each second, over all tenants.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Bytes of filling in each event's data.
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    bytes: u32,
    /// How long clients come and go.
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Milliseconds from one leaving of a client to its next.
    #[arg(long, default_value_t = 15_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=600_000))]
    every: u32,
    /// Milliseconds it is away each time.
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=600_000))]
    away: u32,
}

/// What `jitter` found. Times in microseconds, over all clients of all processes.
#[derive(Debug, Serialize)]
pub(crate) struct Jitter {
    /// Clients that came and went.
    clients: u64,
    /// Processes that played them.
    processes: u32,
    /// Tenants they were of.
    tenants: u32,
    /// How long they came and went.
    seconds: u32,
    /// Acknowledged events.
    events: u64,
    /// For each second.
    events_per_second: f64,
    /// Deliveries that were due: each event to every client of its tenant.
    expected: u64,
    /// Of these: how many came.
    delivered: u64,
    /// `delivered` of `expected`; 1 is all.
    delivered_share: f64,
    /// `expected` without `delivered`.
    missed: u64,
    /// Deliveries that came again.
    duplicates: u64,
    /// Deliveries that came after a later one.
    out_of_order: u64,
    /// Times a client was told that continuity is lost.
    resets: u64,
    /// Wrong numbers and unexpected frames.
    faults: u64,
    /// Connections that were welcomed after each client's first.
    reconnects: u64,
    /// For each second of coming and going.
    reconnects_per_second: f64,
    /// Attempts that led to no welcome.
    failed_attempts: u64,
    /// Connections lost without the client's doing.
    lost: u64,
    /// Begin of a reconnect until everything acknowledged at its welcome was there.
    replay_p50_us: u64,
    /// The same.
    replay_p90_us: u64,
    /// The same.
    replay_p99_us: u64,
    /// The same.
    replay_max_us: u64,
    /// Publishing (before the commit) to reading, at clients that had caught up.
    latency_p50_us: u64,
    /// The same.
    latency_p99_us: u64,
    /// CPU seconds of all gateways while clients came and went.
    gateway_cpu_seconds: f64,
    /// The same as a share of one processor.
    gateway_cores: f64,
    /// The same for each process of the system.
    cpu: Vec<CpuUsed>,
    /// The first faults in words.
    first_faults: Vec<String>,
    #[serde(skip)]
    replay: Percentiles,
}

impl crate::Report for Jitter {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} clients of {} tenants come and go", self.clients, self.tenants));
        table.figure("events", format!("{} ({:.1}/s)", grouped(self.events), self.events_per_second));
        let share = format!("{} of {}", grouped(self.delivered), grouped(self.expected));
        table.figure("delivered", format!("{share} ({:.4} %)", self.delivered_share * 100.0));
        table.figure("missed", self.missed);
        table.figure("twice", self.duplicates);
        table.figure("out of order", self.out_of_order);
        table.figure("resets", self.resets);
        table.figure("faults", self.faults);
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        let rate = format!("{} ({:.0}/s)", grouped(self.reconnects), self.reconnects_per_second);
        table.figure("reconnects", format!("{rate}, {} attempts failed", self.failed_attempts));
        self.replay.add_to("connect to caught up", &mut table);
        let (p50, p99) = (self.latency_p50_us as f64 / 1e3, self.latency_p99_us as f64 / 1e3);
        table.figure("post to live socket", format!("p50 {p50:.2}  p99 {p99:.2} ms"));
        table.figure("gateways' CPU", format!("{:.1} s", self.gateway_cpu_seconds));
        table
    }

    fn is_right(&self) -> bool {
        let wrong = [self.missed, self.duplicates, self.out_of_order, self.resets, self.faults];
        wrong.iter().all(|count| *count == 0) && self.expected > 0 && self.delivered == self.expected
    }
}

/// `carillon-loadtest jitter`
pub(crate) fn run(args: &JitterArgs) -> Result<Jitter, Failure> {
    let target = Target::new(&args.target)?;
    let run = run_name();
    let tenants: Vec<String> = (0..args.tenants).map(|n| format!("jitter-{run}-{n}")).collect();
    let cast = Cast {
        target: &target,
        tenants: &tenants,
        clients: args.clients,
        processes: args.processes,
        comeback: Comeback { first_ms: 1_000, cap_ms: 5_000 },
    };
    // Spread evenly over one period, and not along with the tenants.
    let crowd = Crowd::gather(&cast, |number| Habit::Jitter {
        every_ms: args.every.into(),
        away_ms: args.away.into(),
        offset_ms: u64::from(number) * u64::from(args.every) / u64::from(args.clients),
    })?;
    let (orders, told) = (crowd.orders(), crowd.orders());
    let feeding = Feeding::new(&target, &tenants, &run, args.rate.into(), args.bytes)?;
    let feed = feeding.start(move |tenant, seq| told.give(&Order::Head { tenant, seq }))?;
    feed.pass(CALM)?;
    let mark = CpuMark::now(&target.pids)?;
    orders.give(&Order::Mark(monotonic_ns()));
    feed.pass(Duration::from_secs(args.seconds.into()))?;
    let cpu = mark.used()?;
    orders.give(&Order::Recover(monotonic_ns()));
    let fed = feed.stop()?;
    let gathered = crowd.finish(FINISH_SECONDS)?;

    let (all, replay) = (gathered.all(), gathered.replay());
    let [_, latency, _] = gathered.latency();
    let gateways = cpu.iter().filter(|cpu| is_delivering(&cpu.process));
    let gateway_cpu_seconds: f64 = gateways.map(|cpu| (cpu.user_ms + cpu.system_ms) / 1e3).sum();
    let reconnects = all.connects.saturating_sub(all.clients);
    Ok(Jitter {
        clients: all.clients,
        processes: args.processes,
        tenants: args.tenants,
        seconds: args.seconds,
        events: fed.events,
        events_per_second: fed.events_per_second,
        expected: all.account.expected,
        delivered: all.account.delivered,
        delivered_share: all.account.delivered as f64 / all.account.expected.max(1) as f64,
        missed: all.account.missed(),
        duplicates: all.account.duplicates,
        out_of_order: all.account.out_of_order,
        resets: all.account.resets,
        faults: all.faults,
        reconnects,
        reconnects_per_second: reconnects as f64 / f64::from(args.seconds),
        failed_attempts: all.failed_attempts,
        lost: all.lost,
        replay_p50_us: replay.p50_us,
        replay_p90_us: replay.p90_us,
        replay_p99_us: replay.p99_us,
        replay_max_us: replay.max_us,
        latency_p50_us: latency.p50_us,
        latency_p99_us: latency.p99_us,
        gateway_cpu_seconds,
        gateway_cores: gateway_cpu_seconds / f64::from(args.seconds),
        cpu,
        first_faults: gathered.told,
        replay,
    })
}
