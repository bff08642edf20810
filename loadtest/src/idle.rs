//! What does a connection cost that is subscribed and rests?
//!
//! Connections are added to the same gateways step by step, and every step is compared with the time before the first
//! connection: memory that a process has once had and kept would make later connections look cheaper than they are.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::IdleArgs;
use crate::clock::run_name;
use crate::failure::Failure;
use crate::fanout::seats;
use crate::procfs::{Memory, allow_files, kernel_memory, memory};
use crate::reader::Readers;
use crate::table::{Table, grouped};
use crate::target::Target;

/// Longest time until every connection is welcomed.
const CONNECT: Duration = Duration::from_secs(300);

/// What `idle` found.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    tenants: u32,
    rested_seconds: u32,
    steps: Vec<Step>,
    faults: u64,
    first_faults: Vec<String>,
}

/// So many connections, all at rest.
#[derive(Debug, Serialize)]
struct Step {
    connections: u32,
    /// For those that this step added.
    connected_in_seconds: f64,
    processes: Vec<Weighed>,
    /// All the gateways' growth, divided by the connections.
    resident_bytes_per_connection: f64,
    /// Of that: heap and stacks, without mapped files.
    heap_bytes_per_connection: f64,
    /// The kernel's growth, divided by the sockets: two for each connection, since the clients are here too.
    kernel_bytes_per_socket: f64,
}

/// One process before and after.
#[derive(Debug, Serialize)]
struct Weighed {
    process: String,
    before_kib: u64,
    after_kib: u64,
    heap_before_kib: u64,
    heap_after_kib: u64,
}

impl crate::Report for Idle {
    fn table(&self) -> Table {
        let mut table = Table::default();
        for step in &self.steps {
            let connections = grouped(step.connections.into());
            table.heading(format!("{connections} idle connections of {} tenants", self.tenants));
            table.figure("connected in", format!("{:.1} s", step.connected_in_seconds));
            table.figure("rested", format!("{} s", self.rested_seconds));
            for process in &step.processes {
                let (before, after) = (grouped(process.before_kib), grouped(process.after_kib));
                table.figure(format!("resident {}", process.process), format!("{before} KiB to {after} KiB"));
            }
            table.figure("resident, each", format!("{:.0} bytes", step.resident_bytes_per_connection));
            table.figure("of that heap", format!("{:.0} bytes", step.heap_bytes_per_connection));
            table.figure("kernel, each socket", format!("{:.0} bytes", step.kernel_bytes_per_socket));
        }
        table.figure("faults", self.faults);
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// `carillon-loadtest idle`
pub(crate) fn run(args: &IdleArgs) -> Result<Idle, Failure> {
    let most = args.connections.last().copied().unwrap_or_default();
    if !args.connections.is_sorted_by(|a, b| a < b) {
        return Err(Failure::Usage("the numbers of connections must ascend".into()));
    }
    allow_files(u64::from(most) + 64)?;
    let target = Target::new(&args.target)?;
    let pids: Vec<(String, u32)> = target.delivering().cloned().collect();
    if pids.is_empty() {
        return Err(Failure::Usage("nothing to weigh: give --stack or --pid".into()));
    }
    let run = run_name();
    let tenants: Vec<String> = (0..args.tenants).map(|n| format!("idle-{run}-{n}")).collect();
    let seats = seats(&target, &tenants, most, false)?;

    let (before, kernel_before) = (weigh(&pids)?, kernel_memory()?);
    let (mut steps, mut readers, mut open) = (Vec::new(), Vec::new(), 0);
    for &connections in &args.connections {
        let begun = Instant::now();
        let added = Readers::start(&seats[open..connections as usize], 1)?;
        added.all_welcomed(CONNECT)?;
        readers.push(added);
        open = connections as usize;
        let connected_in_seconds = begun.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs(args.seconds.into()));
        let (after, kernel) = (weigh(&pids)?, kernel_memory()?);
        let each = f64::from(connections);
        let grown = |kib: fn(&Memory) -> u64| {
            let sum = |all: &[Memory]| all.iter().map(kib).sum::<u64>() as f64;
            (sum(&after) - sum(&before)) * 1024.0 / each
        };
        steps.push(Step {
            connections,
            connected_in_seconds,
            resident_bytes_per_connection: grown(|memory| memory.resident_kib),
            heap_bytes_per_connection: grown(|memory| memory.own_kib),
            kernel_bytes_per_socket: (kernel as f64 - kernel_before as f64) / (2.0 * each),
            processes: weighed(&pids, &before, &after),
        });
    }
    let (mut faults, mut first_faults) = (0, Vec::new());
    for readers in readers {
        let tally = readers.finish()?;
        faults += tally.faults;
        first_faults.extend(tally.told);
    }
    Ok(Idle { tenants: args.tenants, rested_seconds: args.seconds, steps, faults, first_faults })
}

fn weigh(pids: &[(String, u32)]) -> Result<Vec<Memory>, Failure> {
    pids.iter().map(|(_, pid)| memory(*pid)).collect()
}

fn weighed(pids: &[(String, u32)], before: &[Memory], after: &[Memory]) -> Vec<Weighed> {
    let each = pids.iter().zip(before.iter().zip(after));
    each.map(|((process, _), (before, after))| Weighed {
        process: process.clone(),
        before_kib: before.resident_kib,
        after_kib: after.resident_kib,
        heap_before_kib: before.own_kib,
        heap_after_kib: after.own_kib,
    })
    .collect()
}
