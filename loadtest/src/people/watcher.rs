//! How soon does somebody who comes know who is here, among very many people on all gateways?
//!
//! The people are played by processes of their own, since a process may have 20,000 sockets on many machines; so may a gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::alone;
use super::room::{CHANNEL, Room, faults};
use crate::cli::TargetArgs;
use crate::failure::Failure;
use crate::table::{Table, grouped};

/// People that one process plays.
const PART: u32 = 16_000;
/// Watchers, one after another.
const WATCHERS: u32 = 9;
/// After the last has come: every gateway has said so by then.
const QUIET: Duration = Duration::from_secs(3);
const RULE: &str = r#"{"subscribe":["anyone"],"presence":["anyone"]}"#;
/// What a part says when all its people are in.
const IN: &str = "in";

/// `carillon-loadtest watcher`
#[derive(Debug, Args)]
pub(crate) struct WatcherArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many people are in the channel, spread over the gateways.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
}

/// `carillon-loadtest watcher-part`
#[derive(Debug, Args)]
pub(crate) struct WatcherPartArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The tenant whose channel they come into.
    #[arg(long)]
    tenant: String,
    /// The number of the first of them.
    #[arg(long)]
    first: u32,
    /// How many.
    #[arg(long)]
    people: u32,
}

/// What `watcher` found.
#[derive(Debug, Serialize)]
pub(crate) struct Watcher {
    people: u32,
    /// From `subscribe` until it was known who is here: of each watcher, ascending.
    synced_ms: Vec<f64>,
    /// The same of the first on a node that knew nothing of the others.
    first_ms: f64,
    faults: u64,
    first_faults: Vec<String>,
}

impl crate::Report for Watcher {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("a watcher of {} people", grouped(self.people.into())));
        table.figure("first", format!("{:.0} ms", self.first_ms));
        let all: Vec<String> = self.synced_ms.iter().map(|ms| format!("{ms:.0}")).collect();
        table.figure("all, ascending", format!("{} ms", all.join(", ")));
        table.figure("faults", self.faults);
        self.first_faults.iter().for_each(|fault| table.figure("", fault));
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// `carillon-loadtest watcher`
pub(crate) fn run(args: &WatcherArgs) -> Result<Watcher, Failure> {
    alone(WATCHERS, async {
        let room = Room::new(&args.target, RULE).await?;
        let watch = |presence: bool| {
            format!(r#"{{"type":"subscribe","id":1,"channels":["{CHANNEL}"],"presence":{presence}}}"#)
        };
        // The rule may be younger than what the gateways know; once somebody is in, they know.
        let waiting = room.first(&watch(false)).await?;
        let parts = (0..args.people).step_by(PART as usize).map(|first| {
            let people = PART.min(args.people - first);
            Part::start(args, &room.tenant, first + 1, people)
        });
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        // Meanwhile this thread reads, and answers pings.
        let coming = tokio::task::spawn_blocking(move || {
            parts.iter_mut().try_for_each(Part::is_in)?;
            Ok::<_, Failure>(parts)
        });
        let parts = coming.await.map_err(|_| Failure::Usage("the parts were not heard".into()))??;
        sleep(QUIET).await;
        let (mut members, mut synced_ms, mut first_ms) = (vec![waiting], Vec::new(), 0.0);
        let expected = format!(r#""count":{}"#, args.people + 1);
        for number in 0..WATCHERS {
            let begun = Instant::now();
            // The same person as the first: so the count stays.
            let member = room.arrive(0, &watch(true)).await?;
            let took = begun.elapsed().as_secs_f64() * 1_000.0;
            if !member.heard.answer.borrow().contains(&expected) {
                let told = member.heard.answer.borrow().chars().take(200).collect::<String>();
                return Err(Failure::Usage(format!("watcher {number} was not told {expected}: {told}")));
            }
            if number == 0 {
                first_ms = took;
            }
            synced_ms.push(took);
            members.push(member);
        }
        synced_ms.sort_by(f64::total_cmp);
        let (faults, first_faults) = faults(&members);
        for part in parts {
            part.end()?;
        }
        Ok(Watcher { people: args.people, synced_ms, first_ms, faults, first_faults })
    })
}

/// `carillon-loadtest watcher-part`
pub(crate) fn play(args: &WatcherPartArgs) -> Result<(), Failure> {
    alone(args.people, async {
        let room = Rc::new(Room::of(&args.target, args.tenant.clone())?);
        let members = room.come(args.first..args.first + args.people).await?;
        writeln!(std::io::stdout(), "{IN}")?;
        // They are read and answered until whoever started us has gone.
        let over = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        over.await.map_err(|_| Failure::Usage("the end was not heard".into()))??;
        let (faults, first) = faults(&members);
        match faults {
            0 => Ok(()),
            _ => Err(Failure::Usage(format!("{faults} people were lost, the first: {}", first.join("; ")))),
        }
    })
}

/// A process that plays people.
struct Part {
    child: Child,
    stdin: ChildStdin,
    words: BufReader<ChildStdout>,
}

impl Part {
    fn start(args: &WatcherArgs, tenant: &str, first: u32, people: u32) -> Result<Self, Failure> {
        let stack = args.target.stack.as_ref();
        let stack = stack.ok_or_else(|| Failure::Usage("watcher needs --stack".into()))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["watcher-part", "--tenant", tenant])
            .args(["--first", &first.to_string(), "--people", &people.to_string()])
            .arg("--stack")
            .arg(stack)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok(Self { child, stdin, words: BufReader::new(stdout) }),
            _ => Err(Failure::Usage("a part has no pipes".into())),
        }
    }

    /// Waits until all its people are in.
    fn is_in(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        if line.trim() == IN { Ok(()) } else { Err(Failure::Usage("a part's people did not come in".into())) }
    }

    /// Lets its people go; they must have been there until now.
    fn end(self) -> Result<(), Failure> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        if child.wait()?.success() { Ok(()) } else { Err(Failure::Usage("a part lost people".into())) }
    }
}
