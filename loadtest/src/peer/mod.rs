//! What do other servers cost, measured as our own are?
//!
//! `peer` subscribes connections to a server that speaks other frames, hands events in on its publishing side and takes
//! the same figures as `fanout` and `idle`: CPU time of the process that holds the sockets, its resident memory, every
//! event checked. `loadtest/peers/run.sh` starts the servers.

mod args;
mod crowd;
mod event;
mod frames;
mod nats;
mod session;
mod source;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde::Serialize;

pub(crate) use crate::peer::args::PeerArgs;

use crate::failure::Failure;
use crate::fanout::CpuPerDelivery;
use crate::latency::Percentiles;
use crate::ledger::Account;
use crate::peer::crowd::Crowd;
use crate::peer::session::Who;
use crate::peer::source::Source;
use crate::procfs::{CpuMark, CpuUsed, allow_files, memory};
use crate::table::{Table, grouped};

/// Longest time until every connection is subscribed.
const CONNECT: Duration = Duration::from_secs(180);
/// Longest time for the deliveries of the warm-up.
const WARM: Duration = Duration::from_secs(5);
/// After the last expected delivery: time for one too many to show.
const AFTERMATH: Duration = Duration::from_millis(500);

/// What `peer` found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Peer {
    /// Events to many connections.
    Fanout(Box<PeerFanout>),
    /// Connections at rest.
    Idle(PeerIdle),
}

/// What delivery cost.
#[derive(Debug, Serialize)]
pub(crate) struct PeerFanout {
    connections: u32,
    subscribed: u64,
    lost_connections: u64,
    events: u64,
    events_per_second: f64,
    message_bytes: u64,
    /// How many events one read of the client brought: 1 when the server writes each and nobody is late.
    deliveries_per_read: f64,
    expected: u64,
    deliveries: u64,
    deliveries_per_second: f64,
    /// Over all events and connections, the warm-up included.
    account: Account,
    first_lost: Vec<String>,
    post_to_socket: Percentiles,
    cpu: Vec<CpuUsed>,
    cpu_per_delivery: CpuPerDelivery,
}

/// What resting connections weigh.
#[derive(Debug, Serialize)]
pub(crate) struct PeerIdle {
    rested_seconds: u32,
    before_kib: u64,
    steps: Vec<Step>,
    lost_connections: u64,
    first_lost: Vec<String>,
}

/// So many connections at rest; compared with the time before the first.
#[derive(Debug, Serialize)]
struct Step {
    connections: u32,
    subscribed: u64,
    connected_in_seconds: f64,
    after_kib: u64,
    resident_bytes_per_connection: f64,
}

/// `carillon-loadtest peer`
pub(crate) fn run(args: &PeerArgs) -> Result<Peer, Failure> {
    let most = args.connections.last().copied().unwrap_or_default();
    if !args.connections.is_sorted_by(|a, b| a < b) {
        return Err(Failure::Usage("the numbers of connections must ascend".into()));
    }
    allow_files(u64::from(most) + 64)?;
    match (args.idle, args.connections.as_slice()) {
        (true, _) => weigh(args).map(Peer::Idle),
        (false, &[connections]) => fan_out(args, connections).map(Box::new).map(Peer::Fanout),
        (false, _) => Err(Failure::Usage("only --idle takes more than one number of connections".into())),
    }
}

fn fan_out(args: &PeerArgs, connections: u32) -> Result<PeerFanout, Failure> {
    let publish = args.publish.ok_or_else(|| Failure::Usage("give --publish".into()))?;
    let crowd = Crowd::gather(who(args), args.url, connections)?;
    let subscribed = crowd.all_subscribed(CONNECT)?;
    if subscribed == 0 {
        return Err(crowd.nobody(args.url));
    }
    let mut source = Source::open(args.kind, publish)?;
    let bytes = args.bytes as usize;
    // One second of events comes first, checked but not weighed: compilers at run time have their say before the clock.
    let (warm, measured) = (u64::from(args.rate), u64::from(args.rate) * u64::from(args.seconds));
    let events = warm + measured;
    source.publish(1..=warm, args.rate, bytes)?;
    crowd.settle(warm * subscribed, WARM);

    let (mark, before, begun) =
        (CpuMark::now(&[("server".into(), args.pid)])?, crowd.delivered(), Instant::now());
    source.publish(warm + 1..=events, args.rate, bytes)?;
    let published_in = begun.elapsed();
    let last = crowd.settle(events * subscribed, Duration::from_secs(args.drain.into()));
    let deliveries = crowd.delivered() - before;
    let cpu = mark.used()?;
    std::thread::sleep(AFTERMATH);
    let (lost_connections, all) = (crowd.lost(), crowd.delivered());
    let tally = crowd.finish(events)?;
    Ok(PeerFanout {
        connections,
        subscribed,
        lost_connections,
        events: measured,
        events_per_second: measured as f64 / published_in.as_secs_f64(),
        message_bytes: tally.bytes / all.max(1),
        deliveries_per_read: all as f64 / tally.reads.max(1) as f64,
        expected: measured * u64::from(connections),
        deliveries,
        deliveries_per_second: deliveries as f64
            / last.max(begun + published_in).duration_since(begun).as_secs_f64(),
        account: tally.account,
        first_lost: tally.told,
        post_to_socket: tally.latency.percentiles(),
        cpu_per_delivery: CpuPerDelivery::new(&cpu, deliveries),
        cpu,
    })
}

/// Who the subscribers are.
fn who(args: &PeerArgs) -> Who {
    Who { kind: args.kind, token: args.token.as_deref().unwrap_or_default().into() }
}

fn weigh(args: &PeerArgs) -> Result<PeerIdle, Failure> {
    let before_kib = memory(args.pid)?.resident_kib;
    let (mut steps, mut crowds, mut open) = (Vec::new(), Vec::new(), 0);
    let mut subscribed = 0;
    for &connections in &args.connections {
        let begun = Instant::now();
        let crowd = Crowd::gather(who(args), args.url, connections - open)?;
        subscribed += crowd.all_subscribed(CONNECT)?;
        if subscribed == 0 {
            return Err(crowd.nobody(args.url));
        }
        crowds.push(crowd);
        open = connections;
        let connected_in_seconds = begun.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs(args.seconds.into()));
        let after_kib = memory(args.pid)?.resident_kib;
        let grown = (after_kib as f64 - before_kib as f64) * 1024.0;
        let resident_bytes_per_connection = grown / subscribed.max(1) as f64;
        steps.push(Step {
            connections,
            subscribed,
            connected_in_seconds,
            after_kib,
            resident_bytes_per_connection,
        });
    }
    let (mut lost_connections, mut first_lost) = (0, Vec::new());
    for crowd in crowds {
        lost_connections += crowd.lost();
        first_lost.extend(crowd.finish(0)?.told);
    }
    Ok(PeerIdle { rested_seconds: args.seconds, before_kib, steps, lost_connections, first_lost })
}

impl crate::Report for Peer {
    fn table(&self) -> Table {
        match self {
            Self::Fanout(fanout) => fanout.table(),
            Self::Idle(idle) => idle.table(),
        }
    }

    fn is_right(&self) -> bool {
        match self {
            Self::Fanout(fanout) => fanout.account.is_whole() && fanout.lost_connections == 0,
            Self::Idle(idle) => idle.lost_connections == 0,
        }
    }
}

impl PeerFanout {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("fan-out to {} of {} connections", self.subscribed, self.connections));
        table.figure("events", format!("{} ({:.0}/s)", grouped(self.events), self.events_per_second));
        table.figure("message", format!("{} bytes", self.message_bytes));
        let deliveries = format!("{} ({:.0}/s)", grouped(self.deliveries), self.deliveries_per_second);
        table.figure("deliveries", format!("{deliveries}, {} expected", grouped(self.expected)));
        table.figure("events a read", format!("{:.2}", self.deliveries_per_read));
        let Account { duplicates, out_of_order, .. } = self.account;
        let missed = self.account.missed();
        table.figure("wrong", format!("{missed} missed, {duplicates} doubled, {out_of_order} out of order"));
        lost(&mut table, self.lost_connections, &self.first_lost);
        self.post_to_socket.add_to("post to socket", &mut table);
        table.figure("CPU per delivery", self.cpu_per_delivery);
        table
    }
}

impl PeerIdle {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("connections at rest, {} s", self.rested_seconds));
        for step in &self.steps {
            let (before, after) = (grouped(self.before_kib), grouped(step.after_kib));
            let each = format!("{:.0} bytes", step.resident_bytes_per_connection);
            table.heading(format!("{} of {} connections", step.subscribed, step.connections));
            table.figure("connected in", format!("{:.1} s", step.connected_in_seconds));
            table.figure("resident", format!("{before} KiB to {after} KiB"));
            table.figure("resident, each", each);
        }
        lost(&mut table, self.lost_connections, &self.first_lost);
        table
    }
}

fn lost(table: &mut Table, connections: u64, told: &[String]) {
    table.figure("lost connections", connections);
    told.iter().for_each(|why| table.figure("", why));
}
