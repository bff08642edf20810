//! How do several processes play thousands of clients that come, go and keep their cursors, as one crowd?
//!
//! This process directs: it publishes, tells every part what was acknowledged, says when habits begin and end, and adds
//! up what the parts counted. A part is this program again (`carillon-loadtest crowd-part`), with one thread and its share
//! of the clients. A part that is no longer directed ends.

mod client;
mod habit;
mod part;
pub(crate) mod plan;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::part::play;
use self::plan::{ClientPlan, Comeback, Group, Habit, Order, PartReport, Plan, Word};
use self::spread::Spread;
use crate::failure::Failure;
use crate::latency::Percentiles;
use crate::target::Target;

/// Seconds until every client must have been welcomed.
const CONNECT_SECONDS: u64 = 180;
/// Faults that are told in words.
pub(crate) const TOLD: usize = 10;

/// Who is to play.
pub(crate) struct Cast<'a> {
    /// Where the system is.
    pub(crate) target: &'a Target,
    /// Names of the tenants.
    pub(crate) tenants: &'a [String],
    /// How many clients.
    pub(crate) clients: u32,
    /// How many processes play them.
    pub(crate) processes: u32,
    /// How they come back.
    pub(crate) comeback: Comeback,
}

/// Clients in processes of their own.
pub(crate) struct Crowd {
    parts: Vec<Part>,
    orders: Orders,
}

struct Part {
    child: Child,
    words: BufReader<ChildStdout>,
}

/// Tells every part something. Parts that have ended are found out when they are listened to.
#[derive(Clone)]
pub(crate) struct Orders(Arc<Mutex<Vec<ChildStdin>>>);

impl Orders {
    /// Sends an order to every part.
    pub(crate) fn give(&self, order: &Order) {
        let Ok(mut line) = serde_json::to_vec(order) else { return };
        line.push(b'\n');
        for pipe in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // A part that does not hear any more is missed when its report is.
            let _ = pipe.write_all(&line);
        }
    }
}

/// What the whole crowd saw.
pub(crate) struct Gathered {
    groups: BTreeMap<String, Group>,
    latency: [Spread; 3],
    replay: Spread,
    live_again: Spread,
    /// The first faults in words.
    pub(crate) told: Vec<String>,
}

impl Gathered {
    fn new() -> Result<Self, Failure> {
        let latency = [Spread::new()?, Spread::new()?, Spread::new()?];
        let (replay, live_again) = (Spread::new()?, Spread::new()?);
        Ok(Self { groups: BTreeMap::new(), latency, replay, live_again, told: Vec::new() })
    }

    fn add(&mut self, part: PartReport) {
        for (name, group) in &part.groups {
            self.groups.entry(name.clone()).or_default().add(group);
        }
        self.latency.iter_mut().zip(&part.latency).for_each(|(all, buckets)| all.add(buckets));
        self.replay.add(&part.replay);
        self.live_again.add(&part.live_again);
        self.told.extend(part.told);
        self.told.truncate(TOLD);
    }

    /// The clients of one habit.
    pub(crate) fn group(&self, name: &str) -> Group {
        self.groups.get(name).cloned().unwrap_or_default()
    }

    /// All clients.
    pub(crate) fn all(&self) -> Group {
        let mut all = Group::default();
        self.groups.values().for_each(|group| all.add(group));
        all
    }

    /// Publishing to reading, before the mark, from there to the recovery, and after it.
    pub(crate) fn latency(&self) -> [Percentiles; 3] {
        self.latency.each_ref().map(Spread::percentiles)
    }

    /// Begin of a further connection until it had caught up.
    pub(crate) fn replay(&self) -> Percentiles {
        self.replay.percentiles()
    }

    /// Mark until a client that lost its connection had caught up on another.
    pub(crate) fn live_again(&self) -> Percentiles {
        self.live_again.percentiles()
    }
}

impl Crowd {
    /// Starts the parts and waits until every client was welcomed. `habit` says how client `n` behaves.
    pub(crate) fn gather(cast: &Cast<'_>, habit: impl Fn(u32) -> Habit) -> Result<Self, Failure> {
        let clients: Vec<ClientPlan> =
            (0..cast.clients).map(|number| client(cast, number, habit(number))).collect::<Result<_, _>>()?;
        let gateways = cast.target.gateways()?;
        let processes = cast.processes.clamp(1, cast.clients.max(1)) as usize;
        let mut parts = Vec::new();
        let mut pipes = Vec::new();
        for part in 0..processes {
            // Every n-th, so that each part has its share of every habit.
            let share = clients.iter().skip(part).step_by(processes).cloned().collect();
            let plan = Plan {
                addresses: gateways.iter().map(|a| (a.authority.clone(), a.path.clone())).collect(),
                tenants: cast.tenants.len(),
                clients: share,
                comeback: cast.comeback,
                connect_seconds: CONNECT_SECONDS,
            };
            let (part, pipe) = Part::start(&plan)?;
            parts.push(part);
            pipes.push(pipe);
        }
        let mut crowd = Self { parts, orders: Orders(Arc::new(Mutex::new(pipes))) };
        for part in &mut crowd.parts {
            match part.hear()? {
                Word::Ready => {}
                Word::Failed(why) => return Err(Failure::Usage(why)),
                Word::Report(_) => return Err(Failure::Usage("a part ended before it began".into())),
            }
        }
        Ok(crowd)
    }

    /// To tell the parts things from any thread.
    pub(crate) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Lets every client get what is missing, for so long at most, and adds up what they saw.
    pub(crate) fn finish(mut self, seconds: u64) -> Result<Gathered, Failure> {
        self.orders.give(&Order::Finish { seconds });
        let mut all = Gathered::new()?;
        for part in &mut self.parts {
            match part.hear()? {
                Word::Report(report) => all.add(*report),
                Word::Failed(why) => return Err(Failure::Usage(why)),
                Word::Ready => return Err(Failure::Usage("a part began twice".into())),
            }
        }
        Ok(all)
    }
}

/// Tenants, addresses and sources in turn; by rounds of tenants, so that each tenant is at every address.
fn client(cast: &Cast<'_>, number: u32, habit: Habit) -> Result<ClientPlan, Failure> {
    let (tenants, sources) = (cast.tenants.len(), u32::from(cast.target.sources));
    let tenant = number as usize % tenants;
    let round = number as usize / tenants;
    Ok(ClientPlan {
        number: u64::from(number),
        tenant,
        token: cast.target.token(&cast.tenants[tenant], &format!("user-{number}"))?,
        home: (round + tenant) % cast.target.gateways()?.len(),
        source: (sources > 1).then(|| 1 + (number % sources) as u8),
        habit,
    })
}

impl Part {
    fn start(plan: &Plan) -> Result<(Self, ChildStdin), Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("crowd-part")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("a part has no pipes");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let part = Self { child, words: BufReader::new(stdout.ok_or_else(missing)?) };
        let mut pipe = stdin.ok_or_else(missing)?;
        let mut line = serde_json::to_vec(plan).map_err(std::io::Error::from)?;
        line.push(b'\n');
        pipe.write_all(&line)?;
        Ok((part, pipe))
    }

    fn hear(&mut self) -> Result<Word, Failure> {
        let mut line = String::new();
        if self.words.read_line(&mut line)? == 0 {
            return Err(Failure::Usage("a part of the crowd ended without a report".into()));
        }
        Ok(serde_json::from_str(&line).map_err(std::io::Error::from)?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After its report a part ends by itself; after a failure it must not outlive us.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
