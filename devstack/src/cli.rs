//! What can be typed after `carillon`?

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use crate::command::HostileLoad;

/// Carillon on one machine: private Postgres and Redis, a publisher, gateways and a load balancer.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Folder with the stack's data, logs and state.
    // Its own id: `publish` has an argument called `data`, and clap keeps one value for each id.
    #[arg(id = "folder", long = "data", global = true, default_value = ".carillon", value_name = "DIR")]
    pub data: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands, in the order a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the whole system and wait until every part is ready.
    Up(UpArgs),
    /// Stop the system; its data stays.
    Down,
    /// Say what runs, where, and whether it is ready.
    Status(StatusArgs),
    /// Print a user token signed with the stack's secret.
    Token(TokenArgs),
    /// Print a link to the console that is signed in: it works once, for a quarter of an hour.
    Console,
    /// Publish one event, here or to any installation.
    Publish(PublishArgs),
    /// Show events live, here or of any installation; resumes by itself after an interruption.
    Tail(TailArgs),
    /// Say who is in a channel, or where somebody is; without either whom an installation sees in a token, or what it lets an API
    /// key do.
    Who(WhoArgs),
    /// Disconnect somebody who must not come back with the token they have; list who is kept out, and let them in again.
    Disconnect(DisconnectArgs),
    /// Show somebody's inbox, and what rings: a bell in a terminal.
    Inbox(InboxArgs),
    /// Publish believable events of five businesses until stopped, with people, notices, preferences and a webhook. Analytics count what is
    /// published from then on: leave it running for a day to see one.
    Demo(DemoArgs),
    /// Stop the system and delete its data folder.
    Reset,
    /// Put a system of its own under load, do something to it, and judge what its clients saw.
    #[command(subcommand)]
    Drill(Drill),
    /// Install the servers the system needs (Postgres, Redis, HAProxy), and nginx and PgBouncer for its tests, where apt and root allow it.
    Install,
}

/// `carillon up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// How many gateways.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub gateways: u16,
    /// How many publishers.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub publishers: u16,
    /// The load balancer's port; without it the one it had before, or a free one.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Leave the system running in the background; `carillon down` stops it.
    #[arg(long)]
    pub detach: bool,
    /// Print one JSON object with every address on stdout (progress goes to stderr).
    #[arg(long)]
    pub json: bool,
    /// Publish no demo events.
    #[arg(long)]
    pub no_demo: bool,
    /// Serve the five example pages of web/examples, too (needs Node, and `cd web && npm ci && npm run build` once).
    #[arg(long)]
    pub examples: bool,
    /// Three Redis Cluster nodes and sharded pub/sub instead of one Redis.
    #[arg(long)]
    pub redis_cluster: bool,
    /// Demo events for each second.
    #[arg(long, default_value_t = 5.0, value_name = "N", value_parser = rate)]
    pub rate: f64,
}

/// `carillon drill`
#[derive(Debug, Subcommand)]
pub enum Drill {
    /// Restart every gateway of a fleet, one after the other.
    Rolling(FleetArgs),
    /// Add a gateway to a fleet and wait until it has its share.
    ScaleOut(FleetArgs),
    /// Let one holder take all it can get, in fourteen ways, and measure what an innocent tenant feels.
    Hostile(HostileArgs),
}

/// `carillon drill hostile`
#[derive(Debug, Args)]
pub struct HostileArgs {
    /// Seconds to measure, once alone and once with the load.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Events in the hostile tenant's log.
    #[arg(long, default_value_t = 1_200_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    pub events: u32,
    /// Only this load.
    #[arg(long, value_name = "LOAD")]
    pub only: Option<HostileLoad>,
    /// How often each load is measured, alone and with it in turns: a 99th percentile of few samples scatters.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
}

/// `carillon drill rolling`, `carillon drill scale-out`
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// How many gateways it begins with.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=16))]
    pub gateways: u16,
    /// How many clients, all through the balancer.
    #[arg(long, default_value_t = 3_000, value_name = "N")]
    pub clients: usize,
    /// How often every gateway is replaced.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub rounds: u16,
    /// Events for each second, to everybody.
    #[arg(long, default_value_t = 5.0, value_name = "N", value_parser = rate)]
    pub rate: f64,
    /// CARILLON_DRAIN_MS of the gateways.
    #[arg(long, default_value_t = 20_000, value_name = "MS")]
    pub drain_ms: u32,
    /// CARILLON_DRAIN_RATE of the gateways.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub drain_rate: u32,
    /// CARILLON_REBALANCE_PERCENT of the gateways.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub rebalance_percent: u32,
}

/// `carillon status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `carillon token`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Tenant the user belongs to.
    #[arg(long, default_value = crate::token::DEMO_TENANT)]
    pub tenant: String,
    /// User id (`sub`).
    #[arg(long, default_value = crate::token::DEMO_USER)]
    pub user: String,
    /// A role of the user; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// A further tenant, with the roles there (`school-2=director,teacher`); may be repeated.
    #[arg(long = "also", value_name = "TENANT[=ROLE,…]")]
    pub also: Vec<String>,
    /// A channel pattern the user may subscribe to (`contact:*`); may be repeated.
    #[arg(long = "channel", value_name = "PATTERN")]
    pub channels: Vec<String>,
    /// A capability (`publish`, `admin`); may be repeated.
    #[arg(long = "cap", value_name = "CAP")]
    pub caps: Vec<String>,
    /// Lifetime: seconds, or with a unit `s`, `m`, `h`, `d`.
    #[arg(long, default_value = "12h", value_parser = lifetime)]
    pub ttl: u64,
}

/// `carillon publish`
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// CloudEvents type, for example `appointment.created`.
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// JSON for `data`.
    // An id of its own: `data` is the folder of the stack.
    #[arg(id = "event_data", value_name = "DATA", default_value = "{}")]
    pub data: String,
    /// Tenant to publish to.
    #[arg(long, default_value = crate::token::DEMO_TENANT)]
    pub tenant: String,
    /// A channel; may be repeated. Without any target the event goes to the whole tenant.
    #[arg(long = "channel", value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// A user; may be repeated.
    #[arg(long = "user", value_name = "USER")]
    pub users: Vec<String>,
    /// A role; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// To everyone of the tenant: the default when no other target is given.
    #[arg(long)]
    pub tenant_wide: bool,
    /// CloudEvents source.
    #[arg(long, default_value = "carillon-cli")]
    pub source: String,
    /// CloudEvents subject.
    #[arg(long)]
    pub subject: Option<String>,
    /// Who did it.
    #[arg(long)]
    pub actor: Option<String>,
    /// low, normal, high, urgent or critical.
    #[arg(long)]
    pub priority: Option<String>,
    /// Event id (the default idempotency key).
    #[arg(long)]
    pub id: Option<String>,
    /// Publish it this many times.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "id")]
    pub count: u64,
    /// With --count: events for each second; without it as fast as they are acknowledged.
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// An installation's URL (`https://events.example.com`), instead of the running stack's.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// An API key with the scope publish, instead of the running stack's; @FILE reads it from a file.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    pub api_key: Option<String>,
}

/// `carillon tail`
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Tenant to listen to: studio-nova, or with --token the token's own.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Listen as this user (anna).
    #[arg(long, conflicts_with = "token")]
    pub user: Option<String>,
    /// A role of that user; may be repeated.
    #[arg(long = "role", value_name = "ROLE", conflicts_with = "token")]
    pub roles: Vec<String>,
    /// A further channel to subscribe to; may be repeated.
    #[arg(long = "channel", value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Also show who is in the channels, and who comes and goes.
    #[arg(long, requires = "channels")]
    pub presence: bool,
    /// Begin after this sequence number instead of now (needs no epoch: the current one is taken).
    #[arg(long, value_name = "SEQ")]
    pub since: Option<u64>,
    /// One JSON object for each event instead of the coloured line.
    #[arg(long)]
    pub json: bool,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// An installation's URL (`https://events.example.com`) or a WebSocket address, instead of the running stack's; more
    /// than one are taken in turn.
    #[arg(long = "url", value_name = "URL")]
    pub urls: Vec<String>,
    /// Listen as whoever this token names; @FILE reads it from a file.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<String>,
}

/// `carillon who`
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// Who is in this channel? Without a token or key the running stack's key asks, in studio-nova.
    #[arg(value_name = "CHANNEL", conflicts_with = "user")]
    pub channel: Option<String>,
    /// Where is this user?
    #[arg(long)]
    pub user: Option<String>,
    /// The installation's URL, instead of the running stack's.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A user token; @FILE reads it from a file.
    #[arg(long, value_name = "TOKEN", value_parser = secret, required_unless_present_any = ["api_key", "channel", "user"])]
    pub token: Option<String>,
    /// An API key; @FILE reads it from a file.
    #[arg(long, value_name = "KEY", value_parser = secret, conflicts_with = "token")]
    pub api_key: Option<String>,
    /// In this tenant, for tokens and keys of several.
    #[arg(long)]
    pub tenant: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `carillon disconnect`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["user", "device", "connection", "list", "lift"])))]
pub struct DisconnectArgs {
    /// This user; with --device that device of theirs alone.
    #[arg(long)]
    pub user: Option<String>,
    /// Whatever calls itself this device.
    #[arg(long)]
    pub device: Option<String>,
    /// This one connection, as its welcome named it; its token stays good.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user", "device"])]
    pub connection: Option<String>,
    /// List who is kept out.
    #[arg(long, conflicts_with_all = ["user", "device", "connection"])]
    pub list: bool,
    /// Let somebody in again, by the id that the list has.
    #[arg(long, value_name = "ID", conflicts_with_all = ["user", "device", "connection", "list"])]
    pub lift: Option<String>,
    /// The installation's URL, instead of the running stack's.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A user token with the capability admin; @FILE reads it from a file.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<String>,
    /// An API key with the scope admin, instead of the running stack's; @FILE reads it from a file.
    #[arg(long, value_name = "KEY", value_parser = secret, conflicts_with = "token")]
    pub api_key: Option<String>,
    /// In this tenant, for credentials of several. Without credentials: studio-nova.
    #[arg(long)]
    pub tenant: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `carillon inbox`
#[derive(Debug, Args)]
pub struct InboxArgs {
    /// Whose (anna).
    #[arg(long, value_name = "ID", conflicts_with = "token")]
    pub user: Option<String>,
    /// A role of that user; may be repeated.
    #[arg(long = "role", value_name = "ROLE", conflicts_with = "token")]
    pub roles: Vec<String>,
    /// In this tenant: studio-nova, or with --token the token's own.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Mark everything as read first.
    #[arg(long)]
    pub read_all: bool,
    /// Show the list and end.
    #[arg(long)]
    pub once: bool,
    /// JSON instead of text: the list, then each frame that rings.
    #[arg(long)]
    pub json: bool,
    /// The installation's URL, instead of the running stack's.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// As whoever this token names; @FILE reads it from a file.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<String>,
}

/// `carillon demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Events for each second, over all tenants.
    #[arg(long, default_value_t = 5.0, value_name = "N", value_parser = rate)]
    pub rate: f64,
    /// Only this demo tenant.
    #[arg(long, value_parser = crate::client::demo::tenant_name)]
    pub tenant: Option<String>,
    /// Most people who are there at a time, each with a WebSocket; 0: nobody comes.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = people)]
    pub people: usize,
    /// The same seed tells the same story.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// A token or key, or `@FILE` that has it: what stands in a command line, every user of the machine can read.
fn secret(text: &str) -> Result<String, String> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let content = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    Ok(content.trim().to_owned())
}

/// A positive, finite number of events for each second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= 10_000.0 => Ok(rate),
        _ => Err("must be a number above 0 and at most 10000".into()),
    }
}

/// As many as there are at the most.
fn people(text: &str) -> Result<usize, String> {
    let most = crate::client::demo::MOST;
    text.parse()
        .ok()
        .filter(|people| *people <= most)
        .ok_or_else(|| format!("must be a number of at most {most}"))
}

/// `90`, `90s`, `15m`, `12h`, `7d` in seconds; at most ten years.
fn lifetime(text: &str) -> Result<u64, String> {
    const LONGEST: u64 = 10 * 365 * 24 * 3600;
    let fault = || "must be seconds or a number with the unit s, m, h or d, at most ten years".to_owned();
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 24 * 3600),
        _ => (text, 1),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(fault)?;
    if seconds == 0 || seconds > LONGEST { Err(fault()) } else { Ok(seconds) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_event_s_data_is_not_the_stack_s_folder() {
        let cli = Cli::try_parse_from(["carillon", "publish", "t", "[1]", "--data", "/tmp/x"]).unwrap();
        let Command::Publish(args) = cli.command else { panic!("publish") };
        assert_eq!((args.data.as_str(), cli.data.to_str()), ("[1]", Some("/tmp/x")));
    }

    #[test]
    fn the_data_folder_and_the_data_of_an_event_are_two_things() {
        let cli = Cli::try_parse_from(["carillon", "publish", "a.b", "{\"x\":1}", "--data", "/x"]).unwrap();
        assert_eq!(cli.data, PathBuf::from("/x"));
        assert!(matches!(cli.command, Command::Publish(args) if args.data == "{\"x\":1}"));
    }

    #[test]
    fn lifetimes_have_units_and_bounds() {
        assert_eq!(lifetime("90"), Ok(90));
        assert_eq!(lifetime("15m"), Ok(900));
        assert_eq!(lifetime("12h"), Ok(43_200));
        assert_eq!(lifetime("7d"), Ok(604_800));
        for bad in ["", "0", "-1", "1w", "h", "99999999999999999999d", "4000d"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_positive_and_finite() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["0", "-1", "NaN", "inf", "x", "20000"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
