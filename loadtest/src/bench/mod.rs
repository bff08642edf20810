//! What does `make bench` do? Everything is measured on one private stack, each measure beside its floor in the same run.
//!
//! [`Suite`] holds what the measures share; each file (`delivery`, `compression`, `growth`, `memory`, `latency`, `durable`,
//! `reconnects`, `people`, `inbox`, `readers`, `announcements`) runs other measurements of this program as processes of their own and adds rows and points. A measure that
//! fails becomes a row that says so, and the next one runs. The exit code is 1 then, and when an event was lost, doubled or
//! out of order; a goal that was missed is a result.

mod announcements;
mod args;
mod compression;
mod curves;
mod delivery;
mod durable;
mod growth;
mod inbox;
mod latency;
mod machine;
mod memory;
mod people;
mod plan;
mod plot;
mod readers;
mod reconnects;
mod row;
mod runner;
mod stack;
mod statistics;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::args::BenchArgs;
use self::args::Measure;
use self::curves::Curves;
use self::machine::Circumstances;
use self::plan::Plan;
use self::row::{Row, Sheet};
use self::runner::{Run, Runner};
use self::stack::Stack;
use crate::failure::Failure;
use crate::procfs::allow_files;
use crate::table::Table;

/// What a run of the suite found.
#[derive(Debug, Serialize)]
pub(crate) struct Bench {
    circumstances: Circumstances,
    rows: Vec<Row>,
    curves: Curves,
    runs: Vec<Run>,
}

impl crate::Report for Bench {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(self.circumstances.line());
        for line in Sheet(&self.rows).to_string().lines() {
            table.text(line);
        }
        table
    }

    fn is_right(&self) -> bool {
        self.rows.iter().all(Row::is_right)
    }
}

/// What the measures share.
struct Suite {
    plan: Plan,
    runner: Runner,
    rows: Vec<Row>,
    curves: Curves,
    append_floor: PathBuf,
    inbox_floor: PathBuf,
    outbox_rate: PathBuf,
    archive_rate: PathBuf,
    stack: Option<Stack>,
}

impl Suite {
    fn database_url(&self) -> Result<&str, Failure> {
        let stack = self.stack.as_ref();
        stack.map(|stack| stack.database_url.as_str()).ok_or_else(|| Failure::Usage("no stack runs".into()))
    }

    async fn run(&mut self, measure: Measure) -> Result<(), Failure> {
        match measure {
            Measure::B1 => delivery::single(self).await,
            Measure::B2 => delivery::coalesced(self).await,
            Measure::B3 => memory::measure(self).await,
            Measure::B4 => latency::measure(self).await,
            Measure::B5 => durable::measure(self).await,
            Measure::B6 => reconnects::connect(self).await,
            Measure::B7 => growth::measure(self).await,
            Measure::B8 => reconnects::jitter(self).await,
            Measure::B9 => reconnects::kill(self).await,
            Measure::C1 => compression::measure(self).await,
            Measure::P1 => people::signals(self).await,
            Measure::P2 => people::durable(self).await,
            Measure::P3 => people::presence(self).await,
            Measure::P4 => people::watcher(self).await,
            Measure::P5 => people::acks(self).await,
            Measure::N1 => inbox::measure(self).await,
            Measure::N2 => readers::webhooks(self).await,
            Measure::N3 => readers::outbox(self).await,
            Measure::N4 => readers::archive(self).await,
            Measure::R1 => announcements::measure(self).await,
        }
    }
}

/// `carillon-loadtest bench`
pub(crate) fn run(args: &BenchArgs) -> Result<Bench, Failure> {
    // What we start inherits the limit.
    allow_files(0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The stack goes with the future that owns it, also when a signal ends it.
    let bench = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            bench = measure_all(args) => bench,
            _ = interrupt.recv() => Err(Failure::Usage("interrupted".into())),
            _ = terminate.recv() => Err(Failure::Usage("terminated".into())),
        }
    })?;
    let title = format!("Carillon: {}", bench.circumstances.line());
    std::fs::write(args.out.join("bench.svg"), plot::draw(&title, &bench.rows, &bench.curves)?)?;
    let json = serde_json::to_vec_pretty(&bench).map_err(std::io::Error::from)?;
    std::fs::write(args.out.join("bench.json"), json)?;
    Ok(bench)
}

async fn measure_all(args: &BenchArgs) -> Result<Bench, Failure> {
    let circumstances = Circumstances::now(&args.commit, args.quick);
    std::fs::create_dir_all(&args.out)?;
    let out = args.out.canonicalize()?;
    let own = std::env::current_exe()?;
    let beside = |name: &str| own.parent().unwrap_or(Path::new(".")).join(name);
    let carillon = args.carillon.clone().unwrap_or_else(|| beside("carillon"));
    let mut suite = Suite {
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
        append_floor: args.append_floor.clone().unwrap_or_else(|| beside("examples/append_floor")),
        inbox_floor: args.inbox_floor.clone().unwrap_or_else(|| beside("examples/inbox_floor")),
        outbox_rate: args.outbox_rate.clone().unwrap_or_else(|| beside("examples/outbox_rate")),
        archive_rate: args.archive_rate.clone().unwrap_or_else(|| beside("examples/archive_rate")),
        runner: Runner { own, stack: out.join("stack.json"), runs: Vec::new() },
        rows: Vec::new(),
        curves: Curves::default(),
        stack: None,
    };
    let wanted = |measure: &Measure| args.only.is_empty() || args.only.contains(measure);
    for measure in Measure::IN_TURN.into_iter().filter(wanted) {
        if suite.stack.as_ref().is_none_or(|stack| stack.gateways != measure.gateways()) {
            // The old one goes first: two at once would measure each other.
            suite.stack = None;
            let told = suite.runner.stack.clone();
            suite.stack = Some(Stack::start(&carillon, &out.join("data"), measure.gateways(), &told).await?);
        }
        if let Err(failure) = suite.run(measure).await {
            writeln!(std::io::stderr(), "{} failed: {failure}", measure.name())?;
            suite.rows.push(Row::failed(measure, failure));
        }
    }
    suite.stack = None;
    // Stable: rows of one measure stay in their order.
    suite.rows.sort_by_key(|row| row.measure);
    Ok(Bench { circumstances, rows: suite.rows, curves: suite.curves, runs: suite.runner.runs })
}
