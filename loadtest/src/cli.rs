//! What can be typed after `carillon-loadtest`?

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::failure::Failure;

/// Measures a running Carillon from outside and checks every seq it sees.
#[derive(Debug, Parser)]
#[command(name = "carillon-loadtest", disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Print one JSON object instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to measure.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish to many connections: latency, deliveries per second, CPU per delivery, every seq checked.
    Fanout(FanoutArgs),
    /// Open many connections and let them rest: memory per connection.
    Idle(IdleArgs),
    /// Publish as fast as possible, one by one and in batches: durable events per second.
    Publish(PublishArgs),
    /// What `fanout` would cost with nothing but a loop of write() to plain sockets.
    Floor(FloorArgs),
    /// Measure everything on a private stack, each beside its floor: one table, bench.json and bench.svg.
    Bench(BenchArgs),
    /// Connect, resume and leave as fast as possible: connects for each second of a gateway's CPU.
    Connect(crate::connect::ConnectArgs),
    /// Clients that leave and return again and again: does each get every event once, and how soon?
    Jitter(crate::jitter::JitterArgs),
    /// Kill a gateway: how soon is everybody live again, and what does it cost the database?
    Kill(crate::kill::KillArgs),
    /// Readers that stall, crawl or stay away: what do they cost, and do they get everything in the end?
    Slow(crate::slow::SlowArgs),
    /// People who send each other signals: CPU per delivery, beside events.
    Signals(crate::people::SignalsArgs),
    /// People who publish into the log: how soon it is acknowledged, by frame and over HTTP.
    Durable(crate::people::DurableArgs),
    /// A crowd that comes into one channel and sees who is there: frames, CPU and a page over REST.
    Presence(crate::people::PresenceArgs),
    /// Devices that acknowledge once a second: CPU of gateways and Postgres beside the same without.
    Acks(crate::people::AcksArgs),
    /// Somebody who comes among very many people on all gateways: how soon they know who is here.
    Watcher(crate::people::WatcherArgs),
    /// People who look into their inboxes: how much is unread, a list, everything read.
    Inbox(crate::inbox::InboxArgs),
    /// Webhooks that are enabled with a log behind them: messages a second, beside a bare HTTP client.
    Webhooks(crate::webhooks::WebhooksArgs),
    /// Publish in Redis to as many subscribers as there may be gateways: CPU of Redis per message.
    Announce(crate::announce::AnnounceArgs),
    /// What a large installation needs, worked out from a bench.json: docs/SCALE.md.
    Scale(crate::scale::ScaleArgs),
    /// One process of the people of `watcher`.
    #[command(hide = true)]
    WatcherPart(crate::people::WatcherPartArgs),
    /// One process of the clients of `jitter`, `kill` and `slow`.
    #[command(hide = true)]
    CrowdPart,
    /// The other side of the floor of `connect`: a server that answers what it has ready.
    #[command(hide = true)]
    BareWelcomer,
    /// Measure a server that is not Carillon as `fanout` and `idle` do; `loadtest/peers/run.sh` starts some.
    Peer(crate::peer::PeerArgs),
    /// The other side of `floor`: bare sockets and a loop of write().
    #[command(hide = true)]
    BareWriter(BareWriterArgs),
}

/// Where the system is.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// What `carillon up --json` printed; every other option of this group overrides it.
    #[arg(long, value_name = "FILE")]
    pub(crate) stack: Option<PathBuf>,
    /// WebSocket address of a gateway, `ws://host:port/v1/ws`; may be repeated, connections take them in turn.
    #[arg(long = "gateway", value_name = "URL")]
    pub(crate) gateways: Vec<String>,
    /// HTTP address of the publisher.
    #[arg(long, value_name = "URL")]
    pub(crate) publisher: Option<String>,
    /// The secret that signs user tokens (HS256).
    #[arg(long, value_name = "SECRET")]
    pub(crate) jwt_secret: Option<String>,
    /// An API key that may publish for every tenant.
    #[arg(long, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
    /// A server process to measure, `PID` or `NAME=PID`; may be repeated.
    #[arg(long = "pid", value_name = "PID", value_parser = named_pid)]
    pub(crate) pids: Vec<(String, u32)>,
    /// Connect from this many loopback addresses (127.0.0.1, 127.0.0.2, …), for gateways with a limit for each address.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) sources: u8,
}

/// `carillon-loadtest fanout`
#[derive(Debug, Args)]
pub(crate) struct FanoutArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Further tenants the nodes must follow, with one connection each, that get no events.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) bystanders: u32,
    /// Bytes of filling in each event's data: words and numbers, which compress as text does.
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) bytes: u32,
    /// Keep-alive connections that publish.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) publishers: u32,
    /// Offer permessage-deflate on every connection; a gateway that does not agree is a failure.
    #[arg(long)]
    pub(crate) compress: bool,
    /// Also measure a bare write() loop to as many plain sockets with frames of the same size.
    #[arg(long)]
    pub(crate) floor: bool,
}

/// How much is delivered to how many.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// How many connections.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=19_000))]
    pub(crate) connections: u32,
    /// How many tenants they are spread over.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) tenants: u32,
    /// Events for each second, over all tenants.
    #[arg(long, default_value_t = 100.0, value_name = "N", value_parser = rate)]
    pub(crate) rate: f64,
    /// How long to publish.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Events in one request (`fanout`) or one write (`floor`).
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) batch: u32,
    /// Threads that read.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) threads: u32,
}

impl LoadArgs {
    /// How many events these are: whole batches.
    pub(crate) fn events(&self) -> u64 {
        let batch = u64::from(self.batch);
        ((self.rate * f64::from(self.seconds)).ceil() as u64).div_ceil(batch) * batch
    }

    /// Whether each tenant has a connection.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.tenants > self.connections {
            true => Err(Failure::Usage("there must be at least as many connections as tenants".into())),
            false => Ok(()),
        }
    }
}

/// `carillon-loadtest floor`
#[derive(Debug, Args)]
pub(crate) struct FloorArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Bytes of one frame, without its WebSocket header.
    #[arg(long, default_value_t = 319, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) frame_bytes: u32,
}

/// `carillon-loadtest idle`
#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// How many connections; more than one number, ascending, is weighed on the way: `1000,5000,15000`.
    #[arg(long, value_delimiter = ',', default_value = "15000", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=19_000))]
    pub(crate) connections: Vec<u32>,
    /// How many tenants they are spread over.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) tenants: u32,
    /// How long they rest before they are weighed.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=600))]
    pub(crate) seconds: u32,
}

/// `carillon-loadtest publish`
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Keep-alive connections that publish at the same time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// How many tenants the events are spread over.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) tenants: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Bytes of filling in each event's data.
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) bytes: u32,
    /// Events in one request; may be repeated. Without it 1 and 100 are measured.
    #[arg(long = "batch", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) batches: Vec<u32>,
}

/// `carillon-loadtest bare-writer`
#[derive(Debug, Args)]
pub(crate) struct BareWriterArgs {
    /// Sockets to wait for.
    #[arg(long)]
    pub(crate) connections: u32,
    /// Groups; each write goes to the sockets of one group.
    #[arg(long)]
    pub(crate) groups: u32,
    /// Rounds of writing.
    #[arg(long)]
    pub(crate) rounds: u64,
    /// Rounds for each second.
    #[arg(long)]
    pub(crate) rate: f64,
    /// Frames in one write.
    #[arg(long)]
    pub(crate) batch: u32,
    /// Bytes of one frame.
    #[arg(long)]
    pub(crate) frame_bytes: u32,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("must be a number above 0 and at most 100000".into()),
    }
}

fn named_pid(text: &str) -> Result<(String, u32), String> {
    let (name, pid) = text.split_once('=').unwrap_or(("server", text));
    pid.parse().map(|pid| (name.to_owned(), pid)).map_err(|_| "must be PID or NAME=PID".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert_eq!(named_pid("gateway-1=42"), Ok(("gateway-1".into(), 42)));
        assert_eq!(named_pid("42"), Ok(("server".into(), 42)));
        let load = |rate, seconds, batch| {
            LoadArgs { connections: 1, tenants: 1, rate, seconds, batch, threads: 1 }.events()
        };
        assert_eq!((load(2.5, 3, 1), load(7.0, 1, 4), load(0.1, 1, 1)), (8, 8, 1));
        assert!(named_pid("x").is_err() && rate("0").is_err() && rate("NaN").is_err());
    }
}
