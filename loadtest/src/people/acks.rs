//! What does it cost that every device says once a second how far it is?
//!
//! Everybody gets an event a second, first without a word, then each acknowledges it. The difference is what acknowledgements cost the
//! gateways and Postgres together. Before each turn, and in the end, every device must be stored as far as it said: what is still to be
//! written of one turn is no part of the next.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use super::alone;
use super::member::Member;
use super::room::{CHANNEL, Room, faults};
use crate::cli::TargetArgs;
use crate::failure::Failure;
use crate::http::Poster;
use crate::procfs::CpuUsed;
use crate::table::{Table, grouped};

const RULE: &str = r#"{"subscribe":["anyone"]}"#;
/// Parts of a second in which a part of the devices acknowledges.
const SLICES: u32 = 20;
/// From an event to its acknowledgements: everybody has it.
const ARRIVED: Duration = Duration::from_millis(50);
/// Until everything that was acknowledged is stored.
const STORED: Duration = Duration::from_secs(30);

/// `carillon-loadtest acks`
#[derive(Debug, Args)]
pub(crate) struct AcksArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many devices.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=19_000))]
    devices: u32,
    /// How long each turn takes. As long as a heartbeat, or several: so each has as many pings.
    #[arg(long, default_value_t = 25, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Turns of both.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
}

/// What `acks` found.
#[derive(Debug, Serialize)]
pub(crate) struct Acks {
    devices: u32,
    turns: Vec<Turn>,
    /// From the last acknowledgement until all of it was stored.
    stored_after_ms: f64,
    faults: u64,
    first_faults: Vec<String>,
}

/// Of a core, in percent: gateways, and Postgres.
#[derive(Debug, Serialize)]
struct Turn {
    silent_percent: [f64; 2],
    acking_percent: [f64; 2],
    added_percent: f64,
}

impl crate::Report for Acks {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} devices get an event a second", grouped(self.devices.into())));
        for turn in &self.turns {
            let both = |[gateways, postgres]: [f64; 2]| {
                format!("{gateways:.1} % of a core in the gateways, {postgres:.1} % in Postgres")
            };
            table.figure("without acknowledging", both(turn.silent_percent));
            table.figure("acknowledging each", both(turn.acking_percent));
            table.figure("more", format!("{:.1} %", turn.added_percent));
        }
        table.figure("all stored after", format!("{:.0} ms", self.stored_after_ms));
        table.figure("faults", self.faults);
        self.first_faults.iter().for_each(|fault| table.figure("", fault));
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// `carillon-loadtest acks`
pub(crate) fn run(args: &AcksArgs) -> Result<Acks, Failure> {
    alone(args.devices, async {
        let room = Rc::new(Room::new(&args.target, RULE).await?.with_devices());
        let members = room.fill(args.devices).await?;
        let mut poster = room.poster(None)?;
        let mut turns = Vec::new();
        let mut stored_after_ms = store(&room, &members, &mut poster).await?;
        for _ in 0..args.turns {
            let silent_percent = part(args, &room, &members, &mut poster, false).await?;
            let acking_percent = part(args, &room, &members, &mut poster, true).await?;
            let sum = |[gateways, postgres]: [f64; 2]| gateways + postgres;
            let added_percent = sum(acking_percent) - sum(silent_percent);
            turns.push(Turn { silent_percent, acking_percent, added_percent });
            stored_after_ms = store(&room, &members, &mut poster).await?;
        }
        let (faults, first_faults) = faults(&members);
        Ok(Acks { devices: args.devices, turns, stored_after_ms, faults, first_faults })
    })
}

/// What gateways and Postgres used meanwhile.
async fn part(
    args: &AcksArgs,
    room: &Room,
    members: &[Rc<Member>],
    poster: &mut Poster,
    acking: bool,
) -> Result<[f64; 2], Failure> {
    let (mark, begun) = (room.mark()?, Instant::now());
    for second in 0..args.seconds {
        sleep_until(begun + Duration::from_secs(second.into())).await;
        publish(room, poster).await?;
        if acking {
            // The last part ends before the next event.
            acknowledge(members, Instant::now() + ARRIVED).await?;
        }
    }
    sleep_until(begun + Duration::from_secs(args.seconds.into())).await;
    let used = mark.used()?;
    let percent = |is: fn(&CpuUsed) -> bool| {
        let ms: f64 = used.iter().filter(|used| is(used)).map(|used| used.user_ms + used.system_ms).sum();
        ms / 10.0 / f64::from(args.seconds)
    };
    let gateways = percent(|used| used.process.starts_with("gateway"));
    Ok([gateways, percent(|used| used.process == "postgres")])
}

/// Publishes an event, and says its id.
async fn publish(room: &Room, poster: &mut Poster) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Receipt {
        id: String,
    }
    let event = format!(
        r#"{{"tenant":"{}","type":"order.changed","channels":["{CHANNEL}"],"data":{{}}}}"#,
        room.tenant
    );
    let answer = poster.post(Bytes::from(event)).await?;
    let receipt = serde_json::from_slice::<Receipt>(&answer);
    receipt.map(|receipt| receipt.id).map_err(|fault| Failure::Publish(fault.to_string()))
}

/// One more event, which everybody acknowledges. Waits until all of that is stored, and says how long that took, in milliseconds.
async fn store(room: &Room, members: &[Rc<Member>], poster: &mut Poster) -> Result<f64, Failure> {
    let id = publish(room, poster).await?;
    sleep(ARRIVED).await;
    let begun = Instant::now();
    acknowledge(members, begun).await?;
    until_stored(room, &id, members.len() as u32, begun + STORED).await?;
    Ok(begun.elapsed().as_secs_f64() * 1_000.0)
}

/// Each says that it has handled what came, spread over nine tenths of a second.
async fn acknowledge(members: &[Rc<Member>], begin: Instant) -> Result<(), Failure> {
    let share = members.len().div_ceil(SLICES as usize);
    for (number, some) in members.chunks(share).enumerate() {
        sleep_until(begin + Duration::from_millis(900) * number as u32 / SLICES).await;
        for member in some {
            let frame = format!(r#"{{"type":"ack","seq":{}}}"#, member.heard.seq.get());
            member.say(&frame).await.map_err(Failure::Usage)?;
        }
    }
    Ok(())
}

/// Waits until each device is stored as one that has acknowledged the event.
async fn until_stored(room: &Room, id: &str, devices: u32, deadline: Instant) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Deliveries {
        acked: u32,
    }
    let mut poster = room.poster(None)?;
    let path = format!("/v1/events/{id}/deliveries?tenant={}&limit=1", room.tenant);
    loop {
        let (status, body) =
            poster.request(hyper::Method::GET, &path, Bytes::new()).await.map_err(Failure::Usage)?;
        let told = String::from_utf8_lossy(&body).into_owned();
        match serde_json::from_slice::<Deliveries>(&body) {
            Ok(Deliveries { acked }) if acked == devices => return Ok(()),
            _ if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            _ => return Err(Failure::Usage(format!("not all were stored: {status} {told}"))),
        }
    }
}
