//! What does a signal cost the gateway for each who gets it, beside an event to the same people?

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::alone;
use super::member::Member;
use super::room::{CHANNEL, Room, counted, faults};
use crate::cli::TargetArgs;
use crate::failure::Failure;
use crate::fanout::CpuPerDelivery;
use crate::http::Poster;
use crate::table::{Table, grouped};

/// Who sends: a person may send fifty frames a second.
const SPEAKERS: usize = 4;
/// From the last that was sent until the last that came.
const DRAIN: Duration = Duration::from_secs(30);
const RULE: &str = r#"{"subscribe":["anyone"],"signal":["anyone"],"publish":["anyone"],"rate":1000}"#;

/// `carillon-loadtest signals`
#[derive(Debug, Args)]
pub(crate) struct SignalsArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many people are in the channel.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=19_000))]
    people: u32,
    /// Signals, and then events, for each second.
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=160))]
    rate: u32,
    /// How long each turn takes.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Turns of signals and events.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
}

/// What `signals` found.
#[derive(Debug, Serialize)]
pub(crate) struct Signals {
    people: u32,
    rate: u32,
    turns: Vec<Turn>,
    faults: u64,
    first_faults: Vec<String>,
}

/// The same number of each, one after the other.
#[derive(Debug, Serialize)]
struct Turn {
    signals_expected: u64,
    signals: u64,
    events_expected: u64,
    events: u64,
    signal: CpuPerDelivery,
    event: CpuPerDelivery,
}

impl crate::Report for Signals {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} a second to {} people", self.rate, grouped(self.people.into())));
        for turn in &self.turns {
            table.figure("signals", format!("{} of {}", turn.signals, turn.signals_expected));
            table.figure("CPU per signal delivered", turn.signal);
            table.figure("events", format!("{} of {}", turn.events, turn.events_expected));
            table.figure("CPU per event delivered", turn.event);
        }
        table.figure("faults", self.faults);
        self.first_faults.iter().for_each(|fault| table.figure("", fault));
        table
    }

    fn is_right(&self) -> bool {
        let whole =
            |turn: &Turn| turn.signals == turn.signals_expected && turn.events == turn.events_expected;
        self.faults == 0 && self.turns.iter().all(whole)
    }
}

/// `carillon-loadtest signals`
pub(crate) fn run(args: &SignalsArgs) -> Result<Signals, Failure> {
    alone(args.people, async {
        let room = Rc::new(Room::new(&args.target, RULE).await?);
        let members = room.fill(args.people).await?;
        let mut poster = room.poster(None)?;
        let mut turns = Vec::new();
        for _ in 0..args.turns {
            turns.push(turn(args, &room, &members, &mut poster).await?);
        }
        let (faults, first_faults) = faults(&members);
        Ok(Signals { people: args.people, rate: args.rate, turns, faults, first_faults })
    })
}

async fn turn(
    args: &SignalsArgs,
    room: &Room,
    members: &[Rc<Member>],
    poster: &mut Poster,
) -> Result<Turn, Failure> {
    let sent = u64::from(args.rate * args.seconds);
    let people = members.len() as u64;
    let frame = format!(
        r#"{{"type":"publish","channel":"{CHANNEL}","echo":false,"event":{{"type":"cursor.moved","data":{}}}}}"#,
        data()
    );
    let (before, mark) = (total(members, Kind::Signals), room.mark()?);
    let mut pace = Pace::new(args.rate);
    for number in 0..sent as usize {
        pace.next().await;
        members[number % SPEAKERS].say(&frame).await.map_err(Failure::Usage)?;
    }
    let signals_expected = sent * (people - 1);
    let signals =
        counted(members, before + signals_expected, DRAIN, |member| member.heard.signals.get()).await;
    let signal = room.each(&mark, signals - before)?;

    let (told, mark) = (total(members, Kind::Events), room.mark()?);
    let mut pace = Pace::new(args.rate);
    for _ in 0..sent {
        pace.next().await;
        let event = format!(
            r#"{{"tenant":"{}","type":"cursor.moved","channels":["{CHANNEL}"],"data":{}}}"#,
            room.tenant,
            data()
        );
        poster.post(Bytes::from(event)).await?;
    }
    let events_expected = sent * people;
    let events = counted(members, told + events_expected, DRAIN, |member| member.heard.events.get()).await;
    let event = room.each(&mark, events - told)?;
    Ok(Turn {
        signals_expected,
        signals: signals - before,
        events_expected,
        events: events - told,
        signal,
        event,
    })
}

/// Which of what came.
#[derive(Clone, Copy)]
enum Kind {
    Signals,
    Events,
}

fn total(members: &[Rc<Member>], kind: Kind) -> u64 {
    let of = |member: &Rc<Member>| match kind {
        Kind::Signals => member.heard.signals.get(),
        Kind::Events => member.heard.events.get(),
    };
    members.iter().map(of).sum()
}

/// What both carry.
fn data() -> String {
    format!(r#"{{"x":512,"y":384,"note":"{}"}}"#, "n".repeat(80))
}

/// One after another, as many a second.
struct Pace {
    next: Instant,
    gap: Duration,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { next: Instant::now(), gap: Duration::from_secs(1) / rate }
    }

    async fn next(&mut self) {
        sleep_until(self.next).await;
        self.next += self.gap;
    }
}
