//! What does a connection cost that is subscribed and rests?

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::IdleArgs;
use crate::clock::run_name;
use crate::failure::Failure;
use crate::fanout::seats;
use crate::procfs::{Memory, allow_files, memory};
use crate::reader::Readers;
use crate::table::{Table, grouped};
use crate::target::Target;

/// Longest time until every connection is welcomed.
const CONNECT: Duration = Duration::from_secs(300);

/// What `idle` found.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    connections: u32,
    tenants: u32,
    connected_in_seconds: f64,
    rested_seconds: u32,
    processes: Vec<Weighed>,
    /// All the gateways' growth, divided by the connections.
    resident_bytes_per_connection: f64,
    faults: u64,
    first_faults: Vec<String>,
}

/// One process before and after.
#[derive(Debug, Serialize)]
struct Weighed {
    process: String,
    before_kib: u64,
    after_kib: u64,
    own_before_kib: u64,
    own_after_kib: u64,
}

impl crate::Report for Idle {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} idle connections of {} tenants", self.connections, self.tenants));
        table.figure("connected in", format!("{:.1} s", self.connected_in_seconds));
        table.figure("rested", format!("{} s", self.rested_seconds));
        for process in &self.processes {
            let (before, after) = (grouped(process.before_kib), grouped(process.after_kib));
            table.figure(format!("resident {}", process.process), format!("{before} KiB to {after} KiB"));
        }
        table.figure("per connection", format!("{:.0} bytes", self.resident_bytes_per_connection));
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
    allow_files(u64::from(args.connections) + 64)?;
    let target = Target::new(&args.target)?;
    let pids: Vec<(String, u32)> = target.delivering().cloned().collect();
    if pids.is_empty() {
        return Err(Failure::Usage("nothing to weigh: give --stack or --pid".into()));
    }
    let run = run_name();
    let tenants: Vec<String> = (0..args.tenants).map(|n| format!("idle-{run}-{n}")).collect();
    let seats = seats(&target, &tenants, args.connections)?;

    let before = weigh(&pids)?;
    let begun = Instant::now();
    let readers = Readers::start(&seats, 1)?;
    readers.all_welcomed(CONNECT)?;
    let connected_in = begun.elapsed();
    std::thread::sleep(Duration::from_secs(args.seconds.into()));
    let after = weigh(&pids)?;
    let tally = readers.finish()?;

    let processes: Vec<Weighed> = pids
        .into_iter()
        .zip(before.into_iter().zip(after))
        .map(|((process, _), (before, after))| Weighed {
            process,
            before_kib: before.resident_kib,
            after_kib: after.resident_kib,
            own_before_kib: before.own_kib,
            own_after_kib: after.own_kib,
        })
        .collect();
    let grown: f64 = processes.iter().map(|p| p.after_kib as f64 - p.before_kib as f64).sum();
    Ok(Idle {
        connections: args.connections,
        tenants: args.tenants,
        connected_in_seconds: connected_in.as_secs_f64(),
        rested_seconds: args.seconds,
        processes,
        resident_bytes_per_connection: grown * 1024.0 / f64::from(args.connections),
        faults: tally.faults,
        first_faults: tally.told,
    })
}

fn weigh(pids: &[(String, u32)]) -> Result<Vec<Memory>, Failure> {
    pids.iter().map(|(_, pid)| memory(*pid)).collect()
}
