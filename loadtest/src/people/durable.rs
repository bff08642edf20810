//! How soon is what a person publishes in the log, by a `publish` frame beside `POST /v1/events`?

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::alone;
use super::member::Member;
use super::room::{CHANNEL, Room, faults};
use crate::cli::TargetArgs;
use crate::clock::monotonic_ns;
use crate::failure::Failure;
use crate::http::Poster;
use crate::latency::{Latency, Percentiles};
use crate::table::Table;

/// How far apart what one person publishes begins at least: a gateway ends connections that send more than 50 frames a second for long.
const SPACING: Duration = Duration::from_millis(25);
const RULE: &str = r#"{"subscribe":["anyone"],"publish":["anyone"],"durable":true,"rate":1000}"#;

/// `carillon-loadtest durable`
#[derive(Debug, Args)]
pub(crate) struct DurableArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many people publish, each the next event when the last is acknowledged.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    people: u32,
    /// Events of each person in a turn.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Turns of frames and requests.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
}

/// What `durable` found.
#[derive(Debug, Serialize)]
pub(crate) struct Durable {
    people: u32,
    turns: Vec<Turn>,
    faults: u64,
    first_faults: Vec<String>,
}

/// The same number of each, one after the other.
#[derive(Debug, Serialize)]
struct Turn {
    frame: Percentiles,
    post: Percentiles,
}

impl crate::Report for Durable {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} people publish into the log", self.people));
        for turn in &self.turns {
            turn.frame.add_to("publish frame to ok", &mut table);
            turn.post.add_to("POST to 201", &mut table);
        }
        table.figure("faults", self.faults);
        self.first_faults.iter().for_each(|fault| table.figure("", fault));
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// `carillon-loadtest durable`
pub(crate) fn run(args: &DurableArgs) -> Result<Durable, Failure> {
    alone(args.people, async {
        let room = Rc::new(Room::new(&args.target, RULE).await?);
        let members = room.fill(args.people).await?;
        let posters = (0..args.people).map(|number| room.poster(Some(number)));
        let mut posters = posters.collect::<Result<Vec<_>, _>>()?;
        let mut turns = Vec::new();
        for _ in 0..args.turns {
            let frame = all(members.iter().map(|member| frames(Rc::clone(member), args.events))).await?;
            let posting = posters.drain(..).map(|poster| posts(poster, args.events));
            let mut post = Latency::new()?;
            for (latency, poster) in together(posting).await? {
                post.merge(&latency);
                posters.push(poster);
            }
            turns.push(Turn { frame, post: post.percentiles() });
        }
        let (faults, first_faults) = faults(&members);
        Ok(Durable { people: args.people, turns, faults, first_faults })
    })
}

async fn all(
    work: impl Iterator<Item = impl Future<Output = Result<Latency, Failure>> + 'static>,
) -> Result<Percentiles, Failure> {
    let mut sum = Latency::new()?;
    together(work).await?.iter().for_each(|latency| sum.merge(latency));
    Ok(sum.percentiles())
}

/// Does all of it at the same time.
async fn together<T: 'static>(
    work: impl Iterator<Item = impl Future<Output = Result<T, Failure>> + 'static>,
) -> Result<Vec<T>, Failure> {
    let tasks: Vec<_> = work.map(tokio::task::spawn_local).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.map_err(|_| Failure::Usage("a client panicked".into()))??);
    }
    Ok(done)
}

fn pace() -> Interval {
    let mut next = interval(SPACING);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    next
}

/// One after another, each as a frame.
async fn frames(member: Rc<Member>, events: u32) -> Result<Latency, Failure> {
    let frame = format!(
        r#"{{"type":"publish","id":2,"channel":"{CHANNEL}","echo":false,"event":{{"type":"note.added","data":{{"text":"as said on the phone"}}}}}}"#
    );
    let (mut latency, mut next) = (Latency::new()?, pace());
    for _ in 0..events {
        next.tick().await;
        let begun = monotonic_ns();
        member.ask(&frame).await.map_err(Failure::Publish)?;
        latency.between(begun, monotonic_ns());
    }
    Ok(latency)
}

/// One after another, each as a request.
async fn posts(mut poster: Poster, events: u32) -> Result<(Latency, Poster), Failure> {
    let event = format!(
        r#"{{"type":"note.added","channels":["{CHANNEL}"],"data":{{"text":"as said on the phone"}}}}"#
    );
    let (mut latency, mut next) = (Latency::new()?, pace());
    for _ in 0..events {
        next.tick().await;
        let begun = monotonic_ns();
        poster.post(Bytes::from(event.clone())).await?;
        latency.between(begun, monotonic_ns());
    }
    Ok((latency, poster))
}
