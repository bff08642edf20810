//! How fast and at what cost does an event reach many connections, and does each get every event once, in order?
//!
//! Latencies: `post to socket` begins before the request leaves the publishing side, so it includes the commit; `ack to
//! socket` begins when the acknowledgement is back, so it leaves out the way of the answer. What lies between commit and
//! socket is between the two. Both ends are on this machine and compete with the servers for its processors.

mod filling;
mod publishing;

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::{FanoutArgs, LoadArgs};
use crate::clock::run_name;
use crate::failure::{Failure, join, spawn};
use crate::fanout::filling::filling;
use crate::fanout::publishing::{Acked, Publishing};
use crate::floor::{self, Floor};
use crate::http::Repeated;
use crate::latency::{Latency, Percentiles};
use crate::ops::{Counters, Ops, OpsArgs};
use crate::procfs::{CpuMark, CpuUsed, allow_files};
use crate::reader::{Arrival, Readers, Seat};
use crate::socket::Dial;
use crate::table::{Table, grouped};
use crate::target::{Target, is_delivering};

/// Longest time until every connection is welcomed.
const CONNECT: Duration = Duration::from_secs(180);
/// Longest time from the last acknowledgement to the last delivery.
const DRAIN: Duration = Duration::from_secs(60);
/// After the last expected delivery: time for one too many to show.
const AFTERMATH: Duration = Duration::from_millis(500);
/// Between the last welcome and the first event: what handshakes left to do is not part of delivering.
const SETTLE: Duration = Duration::from_millis(500);
/// Connections whose arrivals are compared with the acknowledgements.
const SAMPLED: u32 = 64;

/// What `fanout` found.
#[derive(Debug, Serialize)]
pub(crate) struct Fanout {
    connections: u32,
    tenants: u32,
    bystanders: u32,
    events: u64,
    events_in_a_request: u32,
    events_per_second: f64,
    requests_repeated: Repeated,
    /// Of the JSON, uncompressed.
    frame_bytes: u64,
    /// Whether compression was offered, and agreed to.
    compress: bool,
    /// Everything read from the sockets, divided by the deliveries.
    bytes_per_delivery: f64,
    bytes_read: u64,
    deliveries_compressed: u64,
    expected: u64,
    deliveries: u64,
    deliveries_per_second: f64,
    faults: u64,
    first_faults: Vec<String>,
    /// How late requests left, because those before them were not answered yet.
    plan_to_post: Percentiles,
    post_to_ack: Percentiles,
    post_to_socket: Percentiles,
    ack_to_socket: Percentiles,
    cpu: Vec<CpuUsed>,
    cpu_per_delivery: Option<CpuPerDelivery>,
    /// By the gateways' own count: how many events one write carried.
    deliveries_per_write: Option<f64>,
    floor: Option<Floor>,
}

/// CPU time of the delivering processes, divided by the deliveries.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CpuPerDelivery {
    user_us: f64,
    system_us: f64,
    total_us: f64,
}

impl CpuPerDelivery {
    /// Of processes that used this much for so many deliveries.
    pub(crate) fn new<'a>(used: impl IntoIterator<Item = &'a CpuUsed>, deliveries: u64) -> Self {
        let (user, system) =
            used.into_iter().fold((0.0, 0.0), |(user, system), c| (user + c.user_ms, system + c.system_ms));
        let each = |ms: f64| ms * 1_000.0 / deliveries.max(1) as f64;
        Self { user_us: each(user), system_us: each(system), total_us: each(user + system) }
    }
}

impl fmt::Display for CpuPerDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_us, system_us, total_us } = self;
        write!(f, "{total_us:.2} µs (user {user_us:.2} + system {system_us:.2})")
    }
}

impl crate::Report for Fanout {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("fan-out to {} connections of {} tenants", self.connections, self.tenants));
        table.figure("events", format!("{} ({:.0}/s)", grouped(self.events), self.events_per_second));
        table.figure("frame", format!("{} bytes of JSON", self.frame_bytes));
        let read = format!("{} bytes", grouped(self.bytes_read));
        table.figure("read from sockets", format!("{read}, {:.1} each delivery", self.bytes_per_delivery));
        let deliveries = format!("{} ({:.0}/s)", grouped(self.deliveries), self.deliveries_per_second);
        table.figure("deliveries", format!("{deliveries}, {} expected", grouped(self.expected)));
        if self.compress {
            table.figure("of these compressed", grouped(self.deliveries_compressed));
        }
        table.figure("sequence faults", self.faults);
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        table.figure("requests repeated", &self.requests_repeated);
        self.plan_to_post.add_to("plan to post", &mut table);
        self.post_to_ack.add_to("post to ack", &mut table);
        self.post_to_socket.add_to("post to socket", &mut table);
        self.ack_to_socket.add_to("ack to socket (sampled)", &mut table);
        CpuUsed::add_to(&self.cpu, &mut table);
        if let Some(each) = &self.cpu_per_delivery {
            table.figure("CPU per delivery", each);
        }
        if let Some(each) = self.deliveries_per_write {
            table.figure("deliveries per write", format!("{each:.2}"));
        }
        if let Some(floor) = &self.floor {
            floor.add_to(&mut table);
        }
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
            && self.deliveries == self.expected
            && self.floor.as_ref().is_none_or(|f| f.faults == 0)
    }
}

/// `carillon-loadtest fanout`
pub(crate) fn run(args: &FanoutArgs) -> Result<Fanout, Failure> {
    let load = &args.load;
    load.check()?;
    allow_files(u64::from(load.connections) + u64::from(args.bystanders) + u64::from(args.publishers) + 64)?;
    let target = Target::new(&args.target)?;
    let ops = Ops::new(&OpsArgs { ops: Vec::new() }, args.target.stack.as_ref())?;
    let (publisher, api_key) = target.publisher()?;
    let run = run_name();
    let names = |count: u32, kind: &str| (0..count).map(|n| format!("{kind}-{run}-{n}")).collect::<Vec<_>>();
    let tenants = names(load.tenants, "load");

    let bystanders = seats(&target, &names(args.bystanders, "idle"), args.bystanders, args.compress)?;
    let bystanders = Readers::start(&bystanders, 1)?;
    let followers = seats(&target, &tenants, load.connections, args.compress)?;
    let readers = Readers::start(&followers, load.threads as usize)?;
    bystanders.all_welcomed(CONNECT)?;
    readers.all_welcomed(CONNECT)?;
    std::thread::sleep(SETTLE);
    let (mark, counted) = (CpuMark::now(&target.pids)?, ops.read());
    let begun = Instant::now();
    let publishing = Publishing {
        address: publisher,
        api_key,
        tenants,
        run,
        requests: load.events() / u64::from(load.batch),
        batch: load.batch,
        requests_per_second: load.rate / f64::from(load.batch),
        filling: filling(args.bytes as usize),
        tasks: args.publishers,
    };
    let published = join(spawn("publisher", move || publishing.run())?)?;
    let published_in = begun.elapsed();
    let expected = expected(&published.acks, load);
    let deliveries = readers.delivered(expected, DRAIN)?;
    let delivered_in = begun.elapsed();
    let cpu = mark.used()?;
    let deliveries_per_write = per_write(&ops.read(), &counted);
    std::thread::sleep(AFTERMATH);
    let deliveries = readers.delivered(expected + 1, Duration::ZERO)?.max(deliveries);
    let mut tally = readers.finish()?;
    tally.merge_faults(bystanders.finish()?);

    let frame_bytes = tally.bytes / deliveries.max(1);
    let measured = target.delivering().next().is_some();
    let delivering = cpu.iter().filter(|cpu| is_delivering(&cpu.process));
    let cpu_per_delivery = measured.then(|| CpuPerDelivery::new(delivering, deliveries));
    let events = published.acks.len() as u64;
    let frame = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
    let floor = args.floor.then(|| floor::measure(load, frame)).transpose()?;
    Ok(Fanout {
        connections: load.connections,
        tenants: load.tenants,
        bystanders: args.bystanders,
        events,
        events_in_a_request: load.batch,
        events_per_second: events as f64 / published_in.as_secs_f64(),
        requests_repeated: published.repeated,
        frame_bytes,
        compress: args.compress,
        bytes_per_delivery: tally.read as f64 / deliveries.max(1) as f64,
        bytes_read: tally.read,
        deliveries_compressed: tally.compressed,
        expected,
        deliveries,
        deliveries_per_second: deliveries as f64 / delivered_in.as_secs_f64(),
        faults: tally.faults,
        first_faults: tally.told,
        plan_to_post: published.lateness.percentiles(),
        post_to_ack: published.latency.percentiles(),
        post_to_socket: tally.latency.percentiles(),
        ack_to_socket: ack_to_socket(&published.acks, &tally.arrivals)?,
        cpu,
        cpu_per_delivery,
        deliveries_per_write,
        floor,
    })
}

/// By the gateways' own count; none when they wrote nothing or nobody knows where to ask.
fn per_write(after: &Counters, before: &Counters) -> Option<f64> {
    let writes = after.grown(before, "carillon_socket_writes_total");
    (writes > 0).then(|| after.grown(before, "carillon_deliveries_total") as f64 / writes as f64)
}

/// One seat for each connection: tenants, gateways and source addresses in turn.
pub(crate) fn seats(
    target: &Target,
    tenants: &[String],
    connections: u32,
    compress: bool,
) -> Result<Vec<Seat>, Failure> {
    let gateways = target.gateways()?;
    let every = (connections / SAMPLED).max(1);
    let seat = |number: u32| {
        let tenant = number % tenants.len() as u32;
        let token = target.token(&tenants[tenant as usize], &format!("user-{number}"))?;
        // By rounds of tenants, so that each tenant is on every gateway.
        let round = number as usize / tenants.len();
        let address = gateways[(round + tenant as usize) % gateways.len()].clone();
        let source = (target.sources > 1).then(|| 1 + (number % u32::from(target.sources)) as u8);
        let dial = Dial::Gateway { address, token, source, compress };
        Ok(Seat { number: number as usize, tenant, dial, sampled: number.is_multiple_of(every) })
    };
    (0..connections).map(seat).collect()
}

/// Each event is expected at every connection of its tenant.
fn expected(acks: &[Acked], load: &LoadArgs) -> u64 {
    let in_tenant = |tenant: u32| u64::from((load.connections + load.tenants - 1 - tenant) / load.tenants);
    acks.iter().map(|ack| in_tenant(ack.tenant)).sum()
}

fn ack_to_socket(acks: &[Acked], arrivals: &[Arrival]) -> Result<Percentiles, Failure> {
    let acked: HashMap<(u32, u64), u64> = acks.iter().map(|ack| ((ack.tenant, ack.seq), ack.at_ns)).collect();
    let mut latency = Latency::new()?;
    for arrival in arrivals {
        if let Some(at_ns) = acked.get(&(arrival.tenant, arrival.seq)) {
            latency.between(*at_ns, arrival.at_ns);
        }
    }
    Ok(latency.percentiles())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_divided_by_deliveries() {
        let used = |user_ms: f64, system_ms: f64| CpuUsed { process: "gateway-1".into(), user_ms, system_ms };
        let each = CpuPerDelivery::new(&[used(10.0, 50.0), used(10.0, 30.0)], 10_000);
        assert_eq!(each.to_string(), "10.00 µs (user 2.00 + system 8.00)");
    }

    #[test]
    fn only_known_acknowledgements_count() {
        let acks = [Acked { tenant: 0, seq: 1, at_ns: 1_000_000 }];
        let arrival = |seq, at_ns| Arrival { tenant: 0, seq, at_ns };
        let seen = ack_to_socket(&acks, &[arrival(1, 3_000_000), arrival(2, 9), arrival(1, 500)]).unwrap();
        assert_eq!((seen.count, seen.max_us), (2, 2_000));
    }
}
