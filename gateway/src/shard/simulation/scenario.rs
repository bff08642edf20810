//! What happens in one run of the simulation, drawn from a seed: a list of steps, so that it can be made shorter.

use super::feed::Fate;
use super::rules::{OPEN, Rules};
use fastrand::Rng;

/// Clients of a scenario.
pub(super) const CLIENTS: usize = 8;
/// Tenants of a scenario.
pub(super) const TENANTS: usize = 3;

/// Something that happens. Numbers that name what may not be there are taken modulo what is.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A client connects, unless it is connected.
    Connect { client: usize, how: Connecting },
    /// It says something, in one of its tenants; only so many of its bytes reach the shard for now.
    Say { client: usize, tenant: usize, what: Saying, flow: usize },
    /// It takes so many bytes.
    Read { client: usize, bytes: usize },
    /// It is gone, with a reset or without.
    Leave { client: usize, reset: bool },
    /// Its connection breaks at this write from now.
    BreakAt { client: usize, write: u32 },
    /// One write takes at most so many bytes from now on.
    Narrow { client: usize, most: usize },
    /// Events are committed.
    Publish { tenant: usize, channels: u8, size: usize, count: usize },
    /// One of the announced batches arrives, or does not.
    Arrive { tenant: usize, which: usize, fate: Fate },
    /// The head of the log is read, and heard of at once or later.
    ReadHead { tenant: usize, later: bool },
    /// What is missing is read from the log, if it is time.
    Repair { tenant: usize, outcome: Outcome },
    /// The log loses so many events at its end.
    Restart { tenant: usize, lost: u64 },
    /// Retention drops so many.
    Drop { tenant: usize, count: u64 },
    /// The ring lets go of what weighs more than this.
    Trim { tenant: usize, weight: usize },
    /// Its rules are others now.
    Rules { tenant: usize, rules: Rules },
    /// One of the shard's requests is answered.
    Answer { request: usize, outcome: Outcome },
    /// Some are sent away.
    SendAway { count: usize },
    /// Time passes.
    Wait { ms: u64 },
    /// The clock of the machine is set.
    SetClock { ms: i64 },
    /// The shard works: on the sockets that are ready, by their order, and on so many messages.
    Turn { backwards: bool, messages: usize },
}

/// How a client connects.
#[derive(Debug, Clone)]
pub(super) struct Connecting {
    /// With its cursor, if it has one.
    pub(super) resumes: bool,
    /// The cursor is refused, whatever it is.
    pub(super) refused: bool,
    /// The channels that its URL names, if it is no back end.
    pub(super) channels: u8,
    /// The token comes as the first frame.
    pub(super) greets: bool,
    /// Pings right behind the request, of which so many bytes come with it and the rest by the socket.
    pub(super) early: usize,
    pub(super) with_request: usize,
    /// What the socket takes.
    pub(super) room: usize,
    pub(super) breaks_in: Option<u32>,
    /// The client is gone before the shard has seen it.
    pub(super) is_gone: bool,
    /// How long a poll waits.
    pub(super) wait_ms: u32,
    /// How long the token is good.
    pub(super) expires_s: u64,
    /// Which types of events it wants, of all its channels.
    pub(super) types: Types,
}

/// Patterns of types: all of them if there is none.
pub(super) type Types = Option<Vec<&'static str>>;

/// The past that a `subscribe` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// So many of the newest events.
    Last(u64),
    /// The latest event of each key.
    Latest,
}

/// What a client says.
#[derive(Debug, Clone)]
pub(super) enum Saying {
    Ping,
    Subscribe {
        channels: u8,
        history: Option<Past>,
        types: Types,
    },
    Unsubscribe {
        channels: u8,
    },
    /// An event for the log.
    Publish,
    /// A new token, which opens less than the first one if it is narrow.
    Auth {
        narrow: bool,
        /// Which tenants it names: bits.
        names: u8,
    },
    /// To come into one more tenant, or into one alone.
    Attach {
        into: usize,
        alone: bool,
        /// With its cursor there, if it has one.
        resumes: bool,
        channels: u8,
        types: Types,
    },
    /// To leave one that it is in.
    Detach,
    Goodbye,
    /// More pings than it may.
    Flood,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Failed,
    /// A token that is somebody else's.
    Other,
}

/// The steps of a seed.
pub(super) fn steps(seed: u64) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    let clients = rng.usize(1..=CLIENTS);
    let tenants = rng.usize(1..=TENANTS);
    let count = rng.usize(20..220);
    // In one of four much of it is about history and rules, in another one about several tenants.
    let about = rng.u8(..4);
    let mut next = || match (about, rng.bool()) {
        (0, true) => step_about_rules(&mut rng, clients),
        (1, true) => step_about_tenants(&mut rng, clients),
        _ => step(&mut rng, clients, tenants),
    };
    (0..count).map(|_| next()).collect()
}

/// A WebSocket client of the first tenant, whose channels are opened by rules, asks for history; its answers come or do not.
fn step_about_rules(rng: &mut Rng, clients: usize) -> Step {
    let client = 1 % clients;
    match rng.u32(..12) {
        0 => {
            let how = Connecting { resumes: true, channels: 1 << rng.u8(..6), ..connecting(rng) };
            Step::Connect { client, how }
        }
        1..4 => {
            const PASTS: [Option<Past>; 4] =
                [None, Some(Past::Last(2)), Some(Past::Last(1_000)), Some(Past::Latest)];
            let (channels, history) = (1 << rng.u8(..6), PASTS[rng.usize(..4)]);
            Step::Say {
                client,
                tenant: rng.usize(..6),
                what: Saying::Subscribe { channels, history, types: None },
                flow: 1 << 20,
            }
        }
        4 => Step::Publish { tenant: 0, channels: rng.u8(1..), size: 100, count: 2 },
        5 => Step::Arrive { tenant: 0, which: 0, fate: Fate::Arrives },
        6 => Step::Rules { tenant: 0, rules: rules(rng) },
        7 => Step::Answer { request: rng.usize(..), outcome: outcome(rng) },
        8 => Step::Read { client, bytes: 1 << 20 },
        9 => Step::Narrow { client, most: [0, usize::MAX][rng.usize(..2)] },
        _ => Step::Turn { backwards: false, messages: usize::MAX },
    }
}

/// A WebSocket client comes into tenants and leaves them, while all of them have events.
fn step_about_tenants(rng: &mut Rng, clients: usize) -> Step {
    let (client, tenant) = ([0, 1, 4, 5][rng.usize(..4)] % clients, rng.usize(..TENANTS));
    match rng.u32(..14) {
        0 => Step::Connect { client, how: Connecting { is_gone: false, room: 1 << 20, ..connecting(rng) } },
        1..4 => {
            let what = match rng.u8(..8) {
                0..4 => attach(rng),
                4 | 5 => Saying::Detach,
                6 => Saying::Auth { narrow: rng.bool(), names: rng.u8(1..8) },
                _ => saying(rng),
            };
            Step::Say { client, tenant: rng.usize(..6), what, flow: 1 << 20 }
        }
        4 | 5 => Step::Publish { tenant, channels: rng.u8(1..), size: 100, count: [1, 5][rng.usize(..2)] },
        6 => Step::Arrive { tenant, which: 0, fate: Fate::Arrives },
        7..9 => Step::Answer { request: rng.usize(..), outcome: outcome(rng) },
        9..11 => Step::Read { client, bytes: 1 << 20 },
        11 => Step::Narrow { client, most: [0, 500, usize::MAX][rng.usize(..3)] },
        _ => Step::Turn { backwards: false, messages: usize::MAX },
    }
}

fn attach(rng: &mut Rng) -> Saying {
    Saying::Attach {
        into: rng.usize(..TENANTS),
        alone: rng.u8(..4) == 0,
        resumes: rng.u8(..4) > 0,
        channels: if rng.bool() { 0 } else { rng.u8(..) },
        types: types(rng),
    }
}

fn step(rng: &mut Rng, clients: usize, tenants: usize) -> Step {
    let (client, tenant) = (rng.usize(..clients), rng.usize(..tenants));
    match rng.u32(..100) {
        0..10 => Step::Connect { client, how: connecting(rng) },
        10..20 => Step::Say {
            client,
            tenant: rng.usize(..6),
            what: saying(rng),
            flow: if rng.u8(..5) == 0 { rng.usize(..60) } else { 1 << 20 },
        },
        20..30 => Step::Read { client, bytes: [100, 1_000, 1 << 20][rng.usize(..3)] },
        30..32 => Step::Leave { client, reset: rng.bool() },
        32 => Step::BreakAt { client, write: rng.u32(..3) },
        33..37 => Step::Narrow { client, most: [0, 0, 1, 50, 500, usize::MAX][rng.usize(..6)] },
        37..48 => Step::Publish {
            tenant,
            channels: rng.u8(1..),
            size: [10, 100, 3_000, 6_000][rng.usize(..4)],
            count: [1, 2, 15][rng.usize(..3)],
        },
        // Mostly in the order in which they were committed.
        48..56 => {
            Step::Arrive { tenant, which: if rng.u8(..4) > 0 { 0 } else { rng.usize(..) }, fate: fate(rng) }
        }
        56 => Step::ReadHead { tenant, later: rng.bool() },
        57 => Step::Repair { tenant, outcome: outcome(rng) },
        58 => Step::Restart { tenant, lost: rng.u64(..6) },
        59 => Step::Drop { tenant, count: rng.u64(1..6) },
        60..62 => Step::Trim { tenant, weight: [0, 500, 3_000][rng.usize(..3)] },
        62..72 => Step::Answer { request: rng.usize(..), outcome: outcome(rng) },
        72 => Step::SendAway { count: rng.usize(1..4) },
        73..78 => Step::Wait { ms: [1, 30, 600, 2_500, 6_000, 26_000, 130_000][rng.usize(..7)] },
        78 => Step::SetClock { ms: rng.i64(-4_000_000..4_000_000) },
        79..81 => Step::Rules { tenant, rules: rules(rng) },
        _ => Step::Turn {
            backwards: rng.bool(),
            messages: if rng.bool() { usize::MAX } else { rng.usize(..4) },
        },
    }
}

/// Every other time as at the beginning.
fn rules(rng: &mut Rng) -> Rules {
    if rng.bool() {
        return OPEN;
    }
    Rules {
        named: rng.u8(..),
        subscribe: rng.u8(..) | rng.u8(..),
        history: rng.u8(..) | rng.u8(..),
        others_subscribe: rng.u8(..4) > 0,
        others_history: rng.bool(),
    }
}

fn connecting(rng: &mut Rng) -> Connecting {
    Connecting {
        resumes: rng.u8(..4) > 0,
        refused: rng.u8(..6) == 0,
        channels: if rng.u8(..3) > 0 { 0 } else { rng.u8(..) },
        greets: rng.u8(..4) == 0,
        early: if rng.bool() { 0 } else { rng.usize(..6) },
        with_request: rng.usize(..150),
        room: [0, 60, 700, 5_000, 1 << 20][rng.usize(..5)],
        breaks_in: (rng.u8(..8) == 0).then(|| rng.u32(..4)),
        is_gone: rng.u8(..10) == 0,
        wait_ms: [0, 500, 25_000][rng.usize(..3)],
        expires_s: if rng.u8(..6) == 0 { rng.u64(1..120) } else { 100_000 },
        types: types(rng),
    }
}

fn types(rng: &mut Rng) -> Types {
    const ALL: [&str; 6] = ["a.*", "a.x", "b", "b*", "nothing.*", "*"];
    let count = rng.usize(..6).saturating_sub(2);
    (count > 0).then(|| (0..count).map(|_| ALL[rng.usize(..ALL.len())]).collect())
}

fn saying(rng: &mut Rng) -> Saying {
    match rng.u8(..18) {
        0..4 => Saying::Ping,
        4..8 => {
            const PASTS: [Past; 4] = [Past::Last(0), Past::Last(2), Past::Last(1_000), Past::Latest];
            let history = (rng.bool()).then(|| PASTS[rng.usize(..4)]);
            Saying::Subscribe { channels: rng.u8(1..), history, types: types(rng) }
        }
        8..10 => Saying::Unsubscribe { channels: rng.u8(1..) },
        10 => match rng.u8(..3) {
            0 => Saying::Flood,
            narrow => Saying::Auth { narrow: narrow == 1, names: [7, rng.u8(1..8)][rng.usize(..2)] },
        },
        11 => Saying::Goodbye,
        12..15 => attach(rng),
        15 => Saying::Detach,
        _ => Saying::Publish,
    }
}

fn fate(rng: &mut Rng) -> Fate {
    match rng.u8(..12) {
        0 => Fate::Lost,
        1 => Fate::Twice,
        _ => Fate::Arrives,
    }
}

fn outcome(rng: &mut Rng) -> Outcome {
    match rng.u8(..8) {
        0 => Outcome::Failed,
        1 => Outcome::Other,
        _ => Outcome::Good,
    }
}

/// The fewest steps, by leaving out ever smaller parts, that still fail.
pub(super) fn shrink(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut part = steps.len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        while from < steps.len() {
            let upto = (from + part).min(steps.len());
            let fewer = [&steps[..from], &steps[upto..]].concat();
            if fails(&fewer) {
                steps = fewer;
            } else {
                from = upto;
            }
        }
        part /= 2;
    }
    steps
}
