//! What does it cost that everybody sees who is here, when a crowd comes at once?

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::alone;
use super::member::Member;
use super::room::{CHANNEL, Room, faults};
use crate::cli::TargetArgs;
use crate::failure::Failure;
use crate::fanout::CpuPerDelivery;
use crate::table::{Table, grouped};

/// After the last arrival: the last count has been told by then.
const QUIET: Duration = Duration::from_secs(3);
/// People who come after the crowd, each when the one before has been told of.
const LATE: u32 = 6;
/// Until somebody has been told of in a crowd.
const TOLD: Duration = Duration::from_millis(1_200);
const RULE: &str = r#"{"subscribe":["anyone"],"presence":["anyone"]}"#;

/// `carillon-loadtest presence`
#[derive(Debug, Args)]
pub(crate) struct PresenceArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many people come.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=19_000))]
    people: u32,
    /// How often they come: nobody watching, and then everybody.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// Within how long they come, one after another.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

/// What `presence` found.
#[derive(Debug, Serialize)]
pub(crate) struct Presence {
    people: u32,
    turns: Vec<Turn>,
    faults: u64,
    first_faults: Vec<String>,
}

/// A crowd that nobody watched, and one that watched itself.
#[derive(Debug, Serialize)]
struct Turn {
    /// How long it took until everybody was in, in seconds.
    arrived_in: f64,
    /// Frames of presence, answers aside, of all together.
    frames: u64,
    /// Of whoever got the most.
    most_frames: u64,
    /// The gateways' CPU time for each person.
    unseen: CpuPerDelivery,
    watching: CpuPerDelivery,
    /// The gateways' CPU time for each frame when single people come after the crowd.
    frame: CpuPerDelivery,
    /// `GET /v1/presence/{channel}`: its first page, the median of some.
    page_ms: f64,
}

impl crate::Report for Presence {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} people come into one channel", grouped(self.people.into())));
        for turn in &self.turns {
            table.figure("all in after", format!("{:.1} s", turn.arrived_in));
            let frames = format!("{}, at most {} to one", grouped(turn.frames), turn.most_frames);
            table.figure("presence frames", frames);
            table.figure("CPU per person, nobody watching", turn.unseen);
            table.figure("CPU per person, everybody watching", turn.watching);
            table.figure("CPU per presence frame", turn.frame);
            table.figure("first page over REST", format!("{:.1} ms", turn.page_ms));
        }
        table.figure("faults", self.faults);
        self.first_faults.iter().for_each(|fault| table.figure("", fault));
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// `carillon-loadtest presence`
pub(crate) fn run(args: &PresenceArgs) -> Result<Presence, Failure> {
    alone(args.people, async {
        let mut found =
            Presence { people: args.people, turns: Vec::new(), faults: 0, first_faults: Vec::new() };
        for _ in 0..args.turns {
            let unseen = leave(crowd(args, false).await?, &mut found).await.each;
            let came = leave(crowd(args, true).await?, &mut found).await;
            found.turns.push(Turn {
                arrived_in: came.arrived_in,
                frames: came.frames.iter().sum(),
                most_frames: came.frames.iter().copied().max().unwrap_or_default(),
                unseen,
                watching: came.each,
                frame: came.frame,
                page_ms: came.page_ms,
            });
        }
        Ok(found)
    })
}

/// Everybody says goodbye, and what went wrong before is noted.
async fn leave(mut came: Came, found: &mut Presence) -> Came {
    let (faults, first_faults) = faults(&came.members);
    found.faults += faults;
    found.first_faults.extend(first_faults);
    for member in came.members.drain(..) {
        member.leave().await;
    }
    sleep(QUIET).await;
    came
}

/// Those who came, and what it cost.
struct Came {
    members: Vec<Rc<Member>>,
    /// Frames of presence that each of them got.
    frames: Vec<u64>,
    frame: CpuPerDelivery,
    page_ms: f64,
    arrived_in: f64,
    each: CpuPerDelivery,
}

/// A crowd of its own tenant; with `watch` everybody watches.
async fn crowd(args: &PresenceArgs, watch: bool) -> Result<Came, Failure> {
    let mut room = Room::new(&args.target, RULE).await?;
    let subscribe = format!(r#"{{"type":"subscribe","id":1,"channels":["{CHANNEL}"],"presence":{watch}}}"#);
    let first = room.first(&subscribe).await?;
    let room_ref = Rc::new(room);
    let (begun, mark) = (Instant::now(), room_ref.mark()?);
    let gap = Duration::from_secs(args.seconds.into()) / args.people;
    let mut coming = Vec::new();
    for number in 1..args.people {
        sleep_until(begun + gap * number).await;
        let (room, subscribe) = (Rc::clone(&room_ref), subscribe.clone());
        coming.push(tokio::task::spawn_local(async move { room.arrive(number, &subscribe).await }));
    }
    let mut members = vec![first];
    for arrived in coming {
        members.push(arrived.await.map_err(|_| Failure::Usage("a client panicked".into()))??);
    }
    let arrived_in = begun.elapsed().as_secs_f64();
    sleep(QUIET).await;
    let each = room_ref.each(&mark, u64::from(args.people))?;
    let frames: Vec<u64> = members.iter().map(|member| member.heard.presence.get()).collect();
    let mark = room_ref.mark()?;
    for number in 0..LATE {
        members.push(room_ref.arrive(args.people + number, &subscribe).await?);
        sleep(TOLD).await;
    }
    let later: u64 = members.iter().map(|member| member.heard.presence.get()).sum();
    let frame = room_ref.each(&mark, later - frames.iter().sum::<u64>())?;
    room = Rc::into_inner(room_ref).ok_or_else(|| Failure::Usage("somebody is still coming".into()))?;
    let page_ms = if watch { page(&mut room, args.people + LATE).await? } else { 0.0 };
    Ok(Came { members, frames, frame, page_ms, arrived_in, each })
}

/// The median time of some first pages.
async fn page(room: &mut Room, people: u32) -> Result<f64, Failure> {
    let path = format!("/v1/presence/{CHANNEL}?tenant={}", room.tenant);
    let mut times = Vec::new();
    for _ in 0..9 {
        let (status, body, took) = room.get(&path).await?;
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != 200 || answer["count"] != people {
            let told = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            return Err(Failure::Usage(format!("GET {path}: {status} {told}")));
        }
        times.push(took.as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
