//! How many authenticated connects and resumes does one second of a gateway's CPU carry?
//!
//! Many short connections: handshake with a token of its own user, a cursor, `welcome`, everything missed since that cursor
//! (every seq checked), and away with a reset, so that no port waits. Once with nothing to replay and once with some events,
//! and the same against a server that verifies nothing and has its answer ready.

mod bare;
mod storm;

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};

pub(crate) use self::bare::answer_bare;
use self::bare::{Bare, Ready};
use self::storm::{Storm, Targets};
use crate::cli::TargetArgs;
use crate::clock::{monotonic_ns, run_name};
use crate::failure::Failure;
use crate::feed::event;
use crate::http::Poster;
use crate::latency::Percentiles;
use crate::procfs::{CpuMark, CpuUsed, allow_files};
use crate::socket::{Visit, Welcome};
use crate::table::{Table, grouped};
use crate::target::Target;

/// `carillon-loadtest connect`
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Connections at a time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
    /// How long each of the four measurements takes.
    #[arg(long, default_value_t = 8, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Different users, each with a token of its own, taken in turn.
    #[arg(long, default_value_t = 4_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// Events to replay in the second measurement.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    replay: u32,
    /// Bytes of filling in each event's data.
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=1_500))]
    bytes: u32,
}

/// What `connect` found. "Per core" is for each second of CPU (user and system) of the gateways, or of the bare server.
#[derive(Debug, Serialize)]
pub(crate) struct Connect {
    /// Connections at a time.
    concurrency: u32,
    /// Users, each with a token of its own.
    users: u32,
    /// Events replayed in the second measurement.
    replay_events: u32,
    /// Connects with nothing to replay, per core.
    live_per_core: f64,
    /// The same of the bare server.
    live_floor_per_core: f64,
    /// CPU of the gateways for one, divided by that of the bare server.
    live_of_floor: f64,
    /// Connects with nothing to replay, for each second of the clock. Client and servers share the processors.
    live_per_second: f64,
    /// Begin of the connect until `welcome`.
    live_p50_us: u64,
    /// The same.
    live_p99_us: u64,
    /// Connects with events to replay, per core.
    replay_per_core: f64,
    /// The same of the bare server.
    replay_floor_per_core: f64,
    /// CPU of the gateways for one, divided by that of the bare server.
    replay_of_floor: f64,
    /// Connects with events to replay, for each second of the clock.
    replay_per_second: f64,
    /// Begin of the connect until the last replayed event.
    replay_p50_us: u64,
    /// The same.
    replay_p99_us: u64,
    /// Connects that failed or were answered wrongly, in all four measurements.
    faults: u64,
    /// The first faults in words.
    first_faults: Vec<String>,
    /// Gateways, nothing to replay.
    live: Measured,
    /// Bare server, nothing to replay.
    live_floor: Measured,
    /// Gateways, events to replay.
    replay: Measured,
    /// Bare server, events to replay.
    replay_floor: Measured,
}

/// One of the four measurements.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    /// Connects that had everything they asked for.
    connects: u64,
    /// How long it took.
    seconds: f64,
    /// Begin of the connect until everything was there.
    latency: Percentiles,
    /// CPU of the servers.
    cpu: Vec<CpuUsed>,
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.connects as f64 / self.seconds
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu.iter().map(|cpu| cpu.user_ms + cpu.system_ms).sum()
    }

    /// For each second of the servers' CPU.
    fn per_core(&self) -> f64 {
        self.connects as f64 * 1_000.0 / self.cpu_ms().max(0.001)
    }

    fn add_to(&self, name: &str, table: &mut Table) {
        let (connects, per_second, per_core) = (grouped(self.connects), self.per_second(), self.per_core());
        table.figure(name, format!("{connects} ({per_second:.0}/s, {per_core:.0} per core)"));
        let each = |ms: fn(&CpuUsed) -> f64| {
            self.cpu.iter().map(ms).sum::<f64>() * 1e3 / self.connects.max(1) as f64
        };
        let (user, system) = (each(|cpu| cpu.user_ms), each(|cpu| cpu.system_ms));
        table.figure("  CPU each", format!("{:.1} µs (user {user:.1} + system {system:.1})", user + system));
        self.latency.add_to("  until all was there", table);
    }
}

impl crate::Report for Connect {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let Self { concurrency, users, replay_events, .. } = self;
        table.heading(format!("connect and leave, {concurrency} at a time, {users} users"));
        self.live.add_to("nothing to replay", &mut table);
        self.live_floor.add_to("bare server", &mut table);
        table.figure("of the bare server's CPU", format!("{:.2}", self.live_of_floor));
        self.replay.add_to(&format!("{replay_events} events to replay"), &mut table);
        self.replay_floor.add_to("bare server", &mut table);
        table.figure("of the bare server's CPU", format!("{:.2}", self.replay_of_floor));
        table.figure("faults", self.faults);
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        table
    }

    fn is_right(&self) -> bool {
        let all = [&self.live, &self.live_floor, &self.replay, &self.replay_floor];
        self.faults == 0 && all.iter().all(|measured| measured.connects > 0)
    }
}

/// `carillon-loadtest connect`
pub(crate) fn run(args: &ConnectArgs) -> Result<Connect, Failure> {
    allow_files(u64::from(args.concurrency) + 64)?;
    let target = Target::new(&args.target)?;
    let pids: Vec<(String, u32)> = target.delivering().cloned().collect();
    if pids.is_empty() {
        return Err(Failure::Usage("no CPU to measure: give --stack or --pid".into()));
    }
    let tenant = format!("connect-{}", run_name());
    let tokens: Vec<String> =
        (0..args.users).map(|n| target.token(&tenant, &format!("user-{n}"))).collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(publish(&target, &tenant, args))?;
    let addresses = target.gateways()?.to_vec();
    let (source, receive_buffer, compress) = (None, None, false);
    let visit = Visit { address: &addresses[0], token: &tokens[0], source, receive_buffer, compress };
    let first = runtime.block_on(visit.open(None));
    let Welcome { seq: head, epoch, .. } = first
        .map_err(|why| Failure::Connect { number: 0, address: addresses[0].authority.clone(), why })?
        .welcome;
    let behind = u64::from(args.replay).min(head);

    let targets = Targets { addresses, tokens, sources: target.sources, epoch, head };
    let mut faults = (0, Vec::new());
    let mut measure = |targets: &Targets, replay: u64, pids: &[(String, u32)]| {
        let mark = CpuMark::now(pids)?;
        let storm = Storm { concurrency: args.concurrency, time: Duration::from_secs(args.seconds.into()) };
        let outcome = runtime.block_on(storm.run(targets, replay))?;
        let cpu = mark.used()?;
        faults.0 += outcome.faults;
        faults.1.extend(outcome.told);
        let storm::Outcome { connects, seconds, latency, .. } = outcome;
        Ok::<_, Failure>(Measured { connects, seconds, latency, cpu })
    };
    let mut both = |replay: u64| {
        let gateways = measure(&targets, replay, &pids)?;
        let bare = Bare::start(&Ready::from(&runtime, &targets, replay)?)?;
        let floor = measure(&bare.targets(&targets), replay, &[("bare".into(), bare.pid())])?;
        Ok::<_, Failure>((gateways, floor))
    };
    let (live, live_floor) = both(0)?;
    let (replay, replay_floor) = both(behind)?;
    let of_floor = |measured: &Measured, floor: &Measured| floor.per_core() / measured.per_core().max(1e-9);
    faults.1.truncate(crate::crowd::TOLD);
    Ok(Connect {
        concurrency: args.concurrency,
        users: args.users,
        replay_events: u32::try_from(behind).unwrap_or(u32::MAX),
        live_per_core: live.per_core(),
        live_floor_per_core: live_floor.per_core(),
        live_of_floor: of_floor(&live, &live_floor),
        live_per_second: live.per_second(),
        live_p50_us: live.latency.p50_us,
        live_p99_us: live.latency.p99_us,
        replay_per_core: replay.per_core(),
        replay_floor_per_core: replay_floor.per_core(),
        replay_of_floor: of_floor(&replay, &replay_floor),
        replay_per_second: replay.per_second(),
        replay_p50_us: replay.latency.p50_us,
        replay_p99_us: replay.latency.p99_us,
        faults: faults.0,
        first_faults: faults.1,
        live,
        live_floor,
        replay,
        replay_floor,
    })
}

/// Puts the events to be replayed into the log.
async fn publish(target: &Target, tenant: &str, args: &ConnectArgs) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Answer {}
    let (address, api_key) = target.publisher()?;
    let filling = "x".repeat(args.bytes as usize);
    let events: Vec<String> =
        (0..args.replay).map(|n| event(tenant, &format!("{tenant}-{n}"), monotonic_ns(), &filling)).collect();
    let mut poster = Poster::new(address, api_key);
    let answer = poster.post(Bytes::from(format!("[{}]", events.join(",")))).await?;
    let answers: Vec<Answer> = serde_json::from_slice(&answer)
        .map_err(|error| Failure::Publish(format!("an answer of another kind: {error}")))?;
    match answers.len() == args.replay as usize {
        true => Ok(()),
        false => Err(Failure::Publish(format!("{} answers to {} events", answers.len(), args.replay))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connects_are_divided_by_the_servers_cpu() {
        let cpu = |user_ms, system_ms| CpuUsed { process: "gateway-1".into(), user_ms, system_ms };
        let latency = crate::latency::Latency::new().unwrap().percentiles();
        let measured = Measured {
            connects: 6_000,
            seconds: 2.0,
            latency,
            cpu: vec![cpu(100.0, 300.0), cpu(50.0, 50.0)],
        };
        assert_eq!((measured.per_core(), measured.per_second()), (12_000.0, 3_000.0));
        let mut table = Table::default();
        measured.add_to("x", &mut table);
        assert!(table.to_string().contains("83.3 µs (user 25.0 + system 58.3)"), "{table}");
    }
}
