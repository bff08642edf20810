//! What does delivery cost when nothing is done but write()?
//!
//! The yardstick beside `fanout`: as many plain loopback sockets with the same options, frames of the same size at the
//! same rate, written in a loop by a process of its own, one write for each socket and batch, and read by the very readers
//! that read Carillon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::{BareWriterArgs, FloorArgs, LoadArgs};
use crate::clock::monotonic_ns;
use crate::failure::Failure;
use crate::fanout::CpuPerDelivery;
use crate::latency::Percentiles;
use crate::procfs::{CpuMark, allow_files};
use crate::reader::{Readers, Seat};
use crate::socket::Dial;
use crate::table::{Table, grouped};
use crate::wire::server_text;

/// Longest time until all sockets are connected.
const CONNECT: Duration = Duration::from_secs(60);

/// What the bare loop cost.
#[derive(Debug, Serialize)]
pub(crate) struct Floor {
    /// Frames that were written and read.
    pub(crate) deliveries: u64,
    /// From the stamp in the frame to the reader.
    pub(crate) stamp_to_socket: Percentiles,
    /// CPU time of the writer.
    pub(crate) cpu_per_delivery: CpuPerDelivery,
    /// Sequence faults: anything but 0 means that the yardstick itself is wrong.
    pub(crate) faults: u64,
}

impl Floor {
    /// Adds the figures to a table.
    pub(crate) fn add_to(&self, table: &mut Table) {
        table.heading("bare write() loop, same sockets, frames and rate");
        table.figure("deliveries", grouped(self.deliveries));
        self.stamp_to_socket.add_to("stamp to socket", table);
        table.figure("CPU per delivery", self.cpu_per_delivery);
    }
}

impl crate::Report for Floor {
    fn table(&self) -> Table {
        let mut table = Table::default();
        self.add_to(&mut table);
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// `carillon-loadtest floor`
pub(crate) fn run(args: &FloorArgs) -> Result<Floor, Failure> {
    measure(&args.load, args.frame_bytes)
}

/// Starts the writer, reads what it writes, and weighs it.
pub(crate) fn measure(load: &LoadArgs, frame_bytes: u32) -> Result<Floor, Failure> {
    load.check()?;
    allow_files(u64::from(load.connections) + 64)?;
    let plan = Plan::new(load);
    let mut writer = Writer::start(load, &plan, frame_bytes)?;
    let seats: Vec<Seat> = (0..load.connections)
        .map(|number| {
            let group = number % load.tenants;
            let dial = Dial::Bare { port: writer.port, group };
            Seat { number: number as usize, tenant: group, dial, sampled: false }
        })
        .collect();
    let readers = Readers::start(&seats, load.threads as usize)?;
    readers.all_welcomed(CONNECT)?;
    writer.expect("ready")?;
    let mark = CpuMark::now(&[("writer".into(), writer.child.id())])?;
    writer.say("go")?;
    let expected = plan.deliveries(load.connections, load.tenants);
    let patience = Duration::from_secs_f64(plan.rounds as f64 / plan.rate) + Duration::from_secs(60);
    let deliveries = readers.delivered(expected, patience)?;
    writer.expect("done")?;
    let used = mark.used()?;
    let tally = readers.finish()?;
    writer.end()?;
    let lost = expected.abs_diff(deliveries);
    Ok(Floor {
        deliveries,
        stamp_to_socket: tally.latency.percentiles(),
        cpu_per_delivery: CpuPerDelivery::new(&used, deliveries),
        faults: tally.faults + lost,
    })
}

/// How often something is written, and how much.
struct Plan {
    rounds: u64,
    /// Rounds for each second.
    rate: f64,
    batch: u32,
}

impl Plan {
    fn new(load: &LoadArgs) -> Self {
        let batch = load.batch;
        Self { rounds: load.events() / u64::from(batch), rate: load.rate / f64::from(batch), batch }
    }

    /// How many frames there are when round `n` goes to every connection of group `n` modulo the groups.
    fn deliveries(&self, connections: u32, groups: u32) -> u64 {
        let (groups, connections) = (u64::from(groups), u64::from(connections));
        let in_group = |group: u64| (connections + groups - 1 - group) / groups;
        let rounds_of = |group: u64| (self.rounds + groups - 1 - group) / groups;
        let rounds: u64 = (0..groups).map(|group| in_group(group) * rounds_of(group)).sum();
        rounds * u64::from(self.batch)
    }
}

/// The writing process. It ends with us: it waits for the end of its stdin.
struct Writer {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Writer {
    fn start(load: &LoadArgs, plan: &Plan, frame_bytes: u32) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare-writer")
            .args(["--connections", &load.connections.to_string()])
            .args(["--groups", &load.tenants.to_string()])
            .args(["--rounds", &plan.rounds.to_string()])
            .args(["--rate", &plan.rate.to_string()])
            .args(["--batch", &plan.batch.to_string()])
            .args(["--frame-bytes", &frame_bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| std::io::Error::other("the writer has no stdout"))?;
        let mut writer = Self { child, answers: BufReader::new(stdout), port: 0 };
        let line = writer.hear()?;
        writer.port =
            line.parse().map_err(|_| Failure::Usage(format!("the writer said {line:?}, not its port")))?;
        Ok(writer)
    }

    fn hear(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        match self.hear()? {
            line if line == word => Ok(()),
            line => Err(Failure::Usage(format!("the writer said {line:?} instead of {word}"))),
        }
    }

    fn say(&mut self, word: &str) -> Result<(), Failure> {
        let stdin = self.child.stdin.as_mut();
        let stdin = stdin.ok_or_else(|| std::io::Error::other("the writer has no stdin"))?;
        writeln!(stdin, "{word}")?;
        Ok(stdin.flush()?)
    }

    fn end(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `end` there is nothing to kill; after a failure the writer must not outlive us.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Listens with room for all who connect at once. With the usual 128 places the kernel answers the others with SYN
/// cookies, and a client whose last packet found no place believes for ever that it is connected.
pub(crate) fn listen() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, 4_096).map_err(std::io::Error::from)?;
    Ok(listener)
}

/// `carillon-loadtest bare-writer`: listens, waits for its sockets and for `go`, and writes.
pub(crate) fn write_bare(args: &BareWriterArgs) -> Result<(), Failure> {
    allow_files(u64::from(args.connections) + 64)?;
    let listener = listen()?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    let mut groups: Vec<Vec<TcpStream>> = (0..args.groups).map(|_| Vec::new()).collect();
    for _ in 0..args.connections {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut group = [0; 4];
        stream.read_exact(&mut group)?;
        let group = groups.get_mut(u32::from_be_bytes(group) as usize);
        group.ok_or_else(|| Failure::Usage("a connection of no group".into()))?.push(stream);
    }
    writeln!(out, "ready")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let begun = Instant::now();
    for n in 0..args.rounds {
        let due = begun + Duration::from_secs_f64(n as f64 / args.rate);
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        let group = (n % u64::from(args.groups)) as usize;
        let first = n / u64::from(args.groups) * u64::from(args.batch) + 1;
        let seqs = first..first + u64::from(args.batch);
        let frames: Vec<u8> =
            seqs.flat_map(|seq| server_text(&frame(seq, args.frame_bytes as usize))).collect();
        for stream in &mut groups[group] {
            stream.write_all(&frames)?;
        }
    }
    writeln!(out, "done")?;
    // The readers close when they have everything; our end is the end of stdin.
    std::io::stdin().read_to_string(&mut line)?;
    Ok(())
}

/// An event frame of about this many bytes, stamped now.
fn frame(seq: u64, bytes: usize) -> Vec<u8> {
    let stamp = monotonic_ns();
    let around = |filling: &str| {
        format!(
            r#"{{"type":"event","seq":{seq},"channels":["tenant"],"event":{{"data":{{"stamp":{stamp},"filling":"{filling}"}}}}}}"#
        )
    };
    around(&"x".repeat(bytes.saturating_sub(around("").len()))).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_is_expected_once() {
        for (connections, groups, rounds) in [(10, 3, 7), (1, 1, 5), (4, 4, 4), (5, 2, 1), (5, 5, 9)] {
            let plan = Plan { rounds, rate: 1.0, batch: 3 };
            let by_hand = (0..rounds).map(|n| {
                (0..connections).filter(|c| u64::from(c % groups) == n % u64::from(groups)).count() as u64
            });
            let deliveries = plan.deliveries(connections, groups);
            assert_eq!(deliveries, 3 * by_hand.sum::<u64>(), "{connections} {groups} {rounds}");
        }
    }

    #[test]
    fn a_frame_has_the_wanted_size() {
        assert_eq!(frame(7, 400).len(), 400);
        assert!(serde_json::from_slice::<serde_json::Value>(&frame(7, 0)).is_ok());
    }
}
