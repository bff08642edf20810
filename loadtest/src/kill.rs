//! A gateway dies without a word: how soon is everybody live again, at what cost to the database, and is anything lost?
//!
//! The clients come back as an SDK does: exponential backoff with full jitter, each attempt to the next address. The time
//! counts from the kill, until a client is welcomed elsewhere and has everything that was acknowledged by then.

use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::cli::TargetArgs;
use crate::clock::{monotonic_ns, run_name};
use crate::crowd::plan::{Comeback, Habit, Order};
use crate::crowd::{Cast, Crowd};
use crate::failure::Failure;
use crate::feed::Feeding;
use crate::latency::Percentiles;
use crate::ops::{Ops, OpsArgs};
use crate::table::{Table, grouped};
use crate::target::Target;

/// Seconds from the last acknowledgement until everything must be everywhere.
const FINISH_SECONDS: u64 = 60;
/// The clients learn so long before the kill when it will be: one that lost its connection before it had heard of the kill
/// would not count as cut by it.
const LEAD: Duration = Duration::from_millis(500);
/// Counters of reads of a range of the log.
const RANGE_READS: [&str; 3] =
    ["carillon_backlog_reads_total", "carillon_gaps_total", "carillon_history_reads_total"];

/// `carillon-loadtest kill`
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    ops: OpsArgs,
    /// The process to kill, by its name among the measured ones (`--stack` or `--pid NAME=PID`).
    #[arg(long, default_value = "gateway-1", value_name = "NAME")]
    victim: String,
    /// How many clients, over all gateways.
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
    /// How long to publish before the kill.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    before: u32,
    /// How long to publish after it.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    after: u32,
    /// A client waits up to so many milliseconds before its first attempt, and twice as many before each further one.
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    jitter: u32,
    /// But never more than this.
    #[arg(long, default_value_t = 5_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    jitter_cap: u32,
}

/// What `kill` found. Times in microseconds, over all clients of all processes.
#[derive(Debug, Serialize)]
pub(crate) struct Kill {
    /// The process that was killed.
    victim: String,
    /// Clients, over all gateways.
    clients: u64,
    /// Tenants they were of.
    tenants: u32,
    /// Gateways whose ops port answered after the kill.
    survivors: u64,
    /// Upper bound of the waiting time before a client's first attempt, in milliseconds; it doubles with each attempt.
    jitter_ms: u32,
    /// Upper bound before any attempt, in milliseconds.
    jitter_cap_ms: u32,
    /// Acknowledged events.
    events: u64,
    /// Requests the publisher had to be asked again.
    requests_repeated: u64,
    /// Clients whose connection was lost.
    cut: u64,
    /// Of these: live again before the end.
    live_again: u64,
    /// Kill until live again.
    live_again_p50_us: u64,
    /// The same.
    live_again_p90_us: u64,
    /// The same.
    live_again_p99_us: u64,
    /// The same.
    live_again_max_us: u64,
    /// Begin of a comeback (after its jitter) until caught up.
    replay_p50_us: u64,
    /// The same.
    replay_p99_us: u64,
    /// Attempts that led to no welcome.
    failed_attempts: u64,
    /// Deliveries that were due: each event to every client of its tenant.
    expected: u64,
    /// Of these: how many came.
    delivered: u64,
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
    /// Reads of a range of the log by the survivors, from just before the kill to the end: for connections behind their ring,
    /// for holes, for history.
    range_queries: u64,
    /// The same for each tenant and survivor.
    range_queries_per_tenant_and_node: f64,
    /// Queries of the survivors' head watch meanwhile, one for all tenants of a node.
    head_queries: u64,
    /// The first faults in words; a few of the lost connections may be among them.
    first_faults: Vec<String>,
    #[serde(skip)]
    times: Percentiles,
}

impl crate::Report for Kill {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} dies with {} of {} clients", self.victim, self.cut, self.clients));
        let (jitter, cap) = (self.jitter_ms, self.jitter_cap_ms);
        table.figure("they come back", format!("after 0 to {jitter} ms, doubled up to {cap} ms"));
        table.figure("live again", format!("{} of {}", grouped(self.live_again), grouped(self.cut)));
        self.times.add_to("kill to live again", &mut table);
        let (p50, p99) = (self.replay_p50_us as f64 / 1e3, self.replay_p99_us as f64 / 1e3);
        table.figure("connect to caught up", format!("p50 {p50:.2}  p99 {p99:.2} ms"));
        table.figure("attempts that failed", grouped(self.failed_attempts));
        let delivered = format!("{} of {}", grouped(self.delivered), grouped(self.expected));
        table.figure("delivered", format!("{delivered} ({} events)", grouped(self.events)));
        table.figure("missed", self.missed);
        table.figure("twice", self.duplicates);
        table.figure("out of order", self.out_of_order);
        table.figure("resets, faults", format!("{}, {}", self.resets, self.faults));
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        let each = self.range_queries_per_tenant_and_node;
        table.figure("range queries", format!("{} ({each:.2} for each tenant and node)", self.range_queries));
        table.figure("head queries", self.head_queries);
        table
    }

    fn is_right(&self) -> bool {
        let wrong = [self.missed, self.duplicates, self.out_of_order, self.resets, self.faults];
        wrong.iter().all(|count| *count == 0)
            && self.cut > 0
            && self.live_again == self.cut
            && self.delivered == self.expected
    }
}

/// `carillon-loadtest kill`
pub(crate) fn run(args: &KillArgs) -> Result<Kill, Failure> {
    let target = Target::new(&args.target)?;
    let ops = Ops::new(&args.ops, args.target.stack.as_ref())?;
    let victim = target.pids.iter().find(|(name, _)| *name == args.victim);
    let victim = victim.and_then(|(_, pid)| Pid::from_raw(i32::try_from(*pid).ok()?));
    let victim = victim.ok_or_else(|| Failure::Usage(format!("no process is called {}", args.victim)))?;
    let run = run_name();
    let tenants: Vec<String> = (0..args.tenants).map(|n| format!("kill-{run}-{n}")).collect();
    let cast = Cast {
        target: &target,
        tenants: &tenants,
        clients: args.clients,
        processes: args.processes,
        comeback: Comeback { first_ms: args.jitter.into(), cap_ms: args.jitter_cap.into() },
    };
    let crowd = Crowd::gather(&cast, |_| Habit::Steady)?;
    let (orders, told) = (crowd.orders(), crowd.orders());
    let feeding = Feeding::new(&target, &tenants, &run, args.rate.into(), args.bytes)?;
    let feed = feeding.start(move |tenant, seq| told.give(&Order::Head { tenant, seq }))?;
    feed.pass(Duration::from_secs(args.before.into()))?;
    let before = ops.read();
    let kill_ns = monotonic_ns() + LEAD.as_nanos() as u64;
    orders.give(&Order::Mark(kill_ns));
    feed.pass(Duration::from_nanos(kill_ns.saturating_sub(monotonic_ns())))?;
    kill_process(victim, Signal::KILL).map_err(std::io::Error::from)?;
    feed.pass(Duration::from_secs(args.after.into()))?;
    let fed = feed.stop()?;
    let gathered = crowd.finish(FINISH_SECONDS)?;
    let after = ops.read();

    let (all, times, replay) = (gathered.all(), gathered.live_again(), gathered.replay());
    let range_queries = RANGE_READS.iter().map(|name| after.grown(&before, name)).sum();
    let places = u64::from(args.tenants) * after.answered();
    Ok(Kill {
        victim: args.victim.clone(),
        clients: all.clients,
        tenants: args.tenants,
        survivors: after.answered(),
        jitter_ms: args.jitter,
        jitter_cap_ms: args.jitter_cap,
        events: fed.events,
        requests_repeated: fed.repeated.requests,
        cut: all.lost,
        live_again: times.count,
        live_again_p50_us: times.p50_us,
        live_again_p90_us: times.p90_us,
        live_again_p99_us: times.p99_us,
        live_again_max_us: times.max_us,
        replay_p50_us: replay.p50_us,
        replay_p99_us: replay.p99_us,
        failed_attempts: all.failed_attempts,
        expected: all.account.expected,
        delivered: all.account.delivered,
        missed: all.account.missed(),
        duplicates: all.account.duplicates,
        out_of_order: all.account.out_of_order,
        resets: all.account.resets,
        faults: all.faults,
        range_queries,
        range_queries_per_tenant_and_node: range_queries as f64 / places.max(1) as f64,
        head_queries: after.grown(&before, "carillon_head_queries_total"),
        first_faults: gathered.told,
        times,
    })
}
