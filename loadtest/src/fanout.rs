//! How fast and at what cost does an event reach many connections, and does each get every event once, in order?
//!
//! Latencies: `post to socket` begins before the request leaves the publishing side, so it includes the commit; `ack to
//! socket` begins when the acknowledgement is back, so it leaves out the way of the answer. What lies between commit and
//! socket is between the two. Both ends are on this machine and compete with the servers for its processors.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use crate::cli::FanoutArgs;
use crate::clock::{monotonic_ns, run_name};
use crate::failure::{Failure, join, spawn};
use crate::floor::{Floor, Load, measure};
use crate::http::{Poster, Repeated};
use crate::latency::{Latency, Percentiles};
use crate::procfs::{CpuMark, CpuUsed, allow_files};
use crate::reader::{Arrival, Readers, Seat};
use crate::socket::Dial;
use crate::table::{Table, grouped};
use crate::target::{Address, Target, is_delivering};

/// Longest time until every connection is welcomed.
const CONNECT: Duration = Duration::from_secs(180);
/// Longest time from the last acknowledgement to the last delivery.
const DRAIN: Duration = Duration::from_secs(60);
/// After the last expected delivery: time for one too many to show.
const AFTERMATH: Duration = Duration::from_millis(500);
/// Connections whose arrivals are compared with the acknowledgements.
const SAMPLED: u32 = 64;

/// What `fanout` found.
#[derive(Debug, Serialize)]
pub(crate) struct Fanout {
    connections: u32,
    tenants: u32,
    events: u64,
    events_per_second: f64,
    requests_repeated: Repeated,
    frame_bytes: u64,
    expected: u64,
    deliveries: u64,
    deliveries_per_second: f64,
    faults: u64,
    first_faults: Vec<String>,
    post_to_ack: Percentiles,
    post_to_socket: Percentiles,
    ack_to_socket: Percentiles,
    cpu: Vec<CpuUsed>,
    cpu_per_delivery: Option<CpuPerDelivery>,
    floor: Option<Floor>,
}

/// CPU time of the delivering processes, divided by the deliveries.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CpuPerDelivery {
    user_us: f64,
    system_us: f64,
}

impl CpuPerDelivery {
    /// Of processes that used this much for so many deliveries.
    pub(crate) fn new<'a>(used: impl IntoIterator<Item = &'a CpuUsed>, deliveries: u64) -> Self {
        let (user, system) =
            used.into_iter().fold((0, 0), |(user, system), cpu| (user + cpu.user_ms, system + cpu.system_ms));
        let each = |ms: u64| ms as f64 * 1_000.0 / deliveries.max(1) as f64;
        Self { user_us: each(user), system_us: each(system) }
    }
}

impl fmt::Display for CpuPerDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_us, system_us } = self;
        write!(f, "{:.2} µs (user {user_us:.2} + system {system_us:.2})", user_us + system_us)
    }
}

impl crate::Report for Fanout {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("fan-out to {} connections of {} tenants", self.connections, self.tenants));
        table.figure("events", format!("{} ({:.0}/s)", grouped(self.events), self.events_per_second));
        table.figure("frame", format!("{} bytes", self.frame_bytes));
        let deliveries = format!("{} ({:.0}/s)", grouped(self.deliveries), self.deliveries_per_second);
        table.figure("deliveries", format!("{deliveries}, {} expected", grouped(self.expected)));
        table.figure("sequence faults", self.faults);
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        table.figure("requests repeated", &self.requests_repeated);
        self.post_to_ack.add_to("post to ack", &mut table);
        self.post_to_socket.add_to("post to socket", &mut table);
        self.ack_to_socket.add_to("ack to socket (sampled)", &mut table);
        for CpuUsed { process, user_ms, system_ms } in &self.cpu {
            table.figure(format!("CPU of {process}"), format!("user {user_ms} ms, system {system_ms} ms"));
        }
        if let Some(each) = &self.cpu_per_delivery {
            table.figure("CPU per delivery", each);
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
    if args.tenants > args.connections {
        return Err(Failure::Usage("there must be at least as many connections as tenants".into()));
    }
    allow_files(u64::from(args.connections) + u64::from(args.publishers) + 64)?;
    let target = Target::new(&args.target)?;
    let (publisher, api_key) = target.publisher()?;
    let run = run_name();
    let tenants: Vec<String> = (0..args.tenants).map(|n| format!("load-{run}-{n}")).collect();

    let readers = Readers::start(&seats(&target, &tenants, args.connections)?, args.threads as usize)?;
    readers.all_welcomed(CONNECT)?;
    let mark = CpuMark::now(&target.pids)?;
    let begun = Instant::now();
    let publishing = Publishing {
        address: publisher,
        api_key,
        tenants,
        run,
        events: (args.rate * f64::from(args.seconds)).ceil() as u64,
        rate: args.rate,
        filling: "x".repeat(args.bytes as usize),
        tasks: args.publishers,
    };
    let published = join(spawn("publisher", move || publishing.run())?)?;
    let published_in = begun.elapsed();
    let expected = expected(&published.acks, args);
    let deliveries = readers.delivered(expected, DRAIN)?;
    let delivered_in = begun.elapsed();
    let cpu = mark.used()?;
    std::thread::sleep(AFTERMATH);
    let deliveries = readers.delivered(expected + 1, Duration::ZERO)?.max(deliveries);
    let tally = readers.finish()?;

    let frame_bytes = tally.bytes / deliveries.max(1);
    let measured = target.delivering().next().is_some();
    let delivering = cpu.iter().filter(|cpu| is_delivering(&cpu.process));
    let cpu_per_delivery = measured.then(|| CpuPerDelivery::new(delivering, deliveries));
    let events = published.acks.len() as u64;
    let floor = args.floor.then(|| {
        measure(&Load {
            connections: args.connections,
            groups: args.tenants,
            events,
            rate: args.rate,
            frame_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
            threads: args.threads as usize,
        })
    });
    Ok(Fanout {
        connections: args.connections,
        tenants: args.tenants,
        events,
        events_per_second: events as f64 / published_in.as_secs_f64(),
        requests_repeated: published.repeated,
        frame_bytes,
        expected,
        deliveries,
        deliveries_per_second: deliveries as f64 / delivered_in.as_secs_f64(),
        faults: tally.faults,
        first_faults: tally.told,
        post_to_ack: published.latency.percentiles(),
        post_to_socket: tally.latency.percentiles(),
        ack_to_socket: ack_to_socket(&published.acks, &tally.arrivals)?,
        cpu,
        cpu_per_delivery,
        floor: floor.transpose()?,
    })
}

/// One seat for each connection: tenants, gateways and source addresses in turn.
pub(crate) fn seats(target: &Target, tenants: &[String], connections: u32) -> Result<Vec<Seat>, Failure> {
    let gateways = target.gateways()?;
    let every = (connections / SAMPLED).max(1);
    let seat = |number: u32| {
        let tenant = number % tenants.len() as u32;
        let token = target.token(&tenants[tenant as usize], &format!("user-{number}"))?;
        // By rounds of tenants, so that each tenant is on every gateway.
        let round = number as usize / tenants.len();
        let address = gateways[(round + tenant as usize) % gateways.len()].clone();
        let source = (target.sources > 1).then(|| 1 + (number % u32::from(target.sources)) as u8);
        let dial = Dial::Gateway { address, token, source };
        Ok(Seat { number: number as usize, tenant, dial, sampled: number.is_multiple_of(every) })
    };
    (0..connections).map(seat).collect()
}

/// An acknowledged event.
#[derive(Debug, Clone, Copy)]
struct Acked {
    tenant: u32,
    seq: u64,
    at_ns: u64,
}

/// Each event is expected at every connection of its tenant.
fn expected(acks: &[Acked], args: &FanoutArgs) -> u64 {
    let in_tenant = |tenant: u32| u64::from((args.connections + args.tenants - 1 - tenant) / args.tenants);
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

/// What is published, and how fast.
struct Publishing {
    address: Address,
    api_key: String,
    tenants: Vec<String>,
    run: String,
    events: u64,
    rate: f64,
    filling: String,
    tasks: u32,
}

struct Published {
    acks: Vec<Acked>,
    latency: Latency,
    repeated: Repeated,
}

impl Publishing {
    /// Runs on a thread of its own, so that reading does not delay the stamps.
    fn run(self) -> Result<Published, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let published =
            Published { acks: Vec::new(), latency: Latency::new()?, repeated: Repeated::default() };
        let published = Rc::new(RefCell::new(published));
        let (this, next, begun) = (Rc::new(self), Rc::new(Cell::new(0)), Instant::now());
        let tasks = LocalSet::new();
        let workers: Vec<_> = (0..this.tasks)
            .map(|_| {
                let (this, next, published) = (Rc::clone(&this), Rc::clone(&next), Rc::clone(&published));
                tasks.spawn_local(async move { this.work(begun, &next, &published).await })
            })
            .collect();
        runtime.block_on(tasks.run_until(async {
            for worker in workers {
                worker.await.map_err(|_| Failure::Publish("a publishing task panicked".into()))??;
            }
            Ok::<(), Failure>(())
        }))?;
        drop(tasks);
        let published =
            Rc::into_inner(published).ok_or_else(|| Failure::Publish("a task did not end".into()))?;
        Ok(published.into_inner())
    }

    async fn work(
        &self,
        begun: Instant,
        next: &Cell<u64>,
        published: &RefCell<Published>,
    ) -> Result<(), Failure> {
        let mut poster = Poster::new(self.address.clone(), self.api_key.clone());
        loop {
            let n = next.replace(next.get() + 1);
            if n >= self.events {
                published.borrow_mut().repeated.merge(poster.repeated);
                return Ok(());
            }
            sleep_until(begun + Duration::from_secs_f64(n as f64 / self.rate)).await;
            let tenant = (n % self.tenants.len() as u64) as u32;
            let stamp = monotonic_ns();
            let answer = poster.post(self.body(n, tenant, stamp)).await?;
            let at_ns = monotonic_ns();
            let Answer { seq } = serde_json::from_slice(&answer)
                .map_err(|error| Failure::Publish(format!("an answer of another kind: {error}")))?;
            let mut published = published.borrow_mut();
            published.latency.between(stamp, at_ns);
            published.acks.push(Acked { tenant, seq, at_ns });
        }
    }

    fn body(&self, n: u64, tenant: u32, stamp: u64) -> Bytes {
        let event = serde_json::json!({
            "tenant": self.tenants[tenant as usize],
            "id": format!("{}-{n}", self.run),
            "type": "load.event",
            "tenant_wide": true,
            "data": {"stamp": stamp, "filling": self.filling},
        });
        event.to_string().into()
    }
}

#[derive(Deserialize)]
struct Answer {
    seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_divided_by_deliveries() {
        let used = |user_ms, system_ms| CpuUsed { process: "gateway-1".into(), user_ms, system_ms };
        let each = CpuPerDelivery::new(&[used(10, 50), used(10, 30)], 10_000);
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
