//! How soon do people have their inbox: how much is unread, a list of twenty, everything marked as read?
//!
//! Requests begin at a fixed rate, whether the earlier ones were answered or not, each of somebody else; a time counts from the moment
//! at which its request was to begin. Whose inboxes they are was stored before (`backplane/examples/inbox_floor.rs`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use hyper::Method;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use crate::cli::TargetArgs;
use crate::clock::monotonic_ns;
use crate::failure::Failure;
use crate::http::Poster;
use crate::latency::{Latency, Percentiles};
use crate::procfs::{CpuMark, CpuUsed};
use crate::table::{Table, grouped};
use crate::target::Target;

/// Whose inboxes they are.
const TENANT: &str = "inbox-bench";
const ROLES: [&str; 1] = ["clerk"];
/// Keep-alive connections that take requests in turn.
const CONNECTIONS: u64 = 64;
/// Beyond every log: what is marked is everything.
const BEYOND: u64 = 1 << 40;

/// `carillon-loadtest inbox`
#[derive(Debug, Args)]
pub(crate) struct InboxArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many people have an inbox.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 500, value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=20_000))]
    rate: u64,
    /// How long each kind of request is sent.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// What `inbox` found.
#[derive(Debug, Serialize)]
pub(crate) struct Inbox {
    people: u64,
    rate: u64,
    unread: Measured,
    list: Measured,
    read_all: Measured,
    faults: u64,
    first_faults: Vec<String>,
}

/// One kind of request.
#[derive(Debug, Serialize)]
struct Measured {
    #[serde(flatten)]
    times: Percentiles,
    cpu: Vec<CpuUsed>,
}

impl crate::Report for Inbox {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("inboxes of {} people, {} requests a second", grouped(self.people), self.rate));
        for (name, measured) in [
            ("how much is unread", &self.unread),
            ("a list of twenty", &self.list),
            ("all read", &self.read_all),
        ] {
            measured.times.add_to(name, &mut table);
            CpuUsed::add_to(&measured.cpu, &mut table);
        }
        table.figure("faults", self.faults);
        self.first_faults.iter().for_each(|fault| table.figure("", fault));
        table
    }

    fn is_right(&self) -> bool {
        self.faults == 0
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Unread,
    List,
    ReadAll,
}

impl Kind {
    fn request(self) -> (Method, &'static str, String) {
        match self {
            Self::Unread => (Method::GET, "/v1/inbox/summary", String::new()),
            Self::List => (Method::GET, "/v1/inbox?limit=20", String::new()),
            Self::ReadAll => (Method::POST, "/v1/inbox/read-all", format!(r#"{{"up_to":{BEYOND}}}"#)),
        }
    }

    /// What is wrong with an answer.
    fn fault(self, status: u16, body: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Answer {
            unread: u64,
            items: Option<Vec<serde::de::IgnoredAny>>,
        }
        let told =
            || format!("{self:?}: HTTP {status} {}", String::from_utf8_lossy(&body[..body.len().min(300)]));
        let Ok(Answer { unread, items }) = serde_json::from_slice(body) else { return Some(told()) };
        let is_right = match self {
            Self::Unread => items.is_none(),
            Self::List => items.is_some_and(|items| !items.is_empty() && items.len() <= 20),
            Self::ReadAll => unread <= 100,
        };
        (status != 200 || !is_right).then(told)
    }
}

struct Shared {
    kind: Kind,
    begin: Instant,
    begin_ns: u64,
    rate: u64,
    requests: u64,
    people: u64,
    next: Cell<u64>,
    latency: RefCell<Latency>,
    faults: Cell<u64>,
    first: RefCell<Vec<String>>,
}

/// `carillon-loadtest inbox`
pub(crate) fn run(args: &InboxArgs) -> Result<Inbox, Failure> {
    let target = Rc::new(Target::new(&args.target)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut faults, mut first_faults) = (0, Vec::new());
    let mut of = |kind| -> Result<Measured, Failure> {
        // The first second opens connections.
        measure(&runtime, &target, args, (kind, args.rate))?;
        let mark = CpuMark::now(&target.pids)?;
        let shared = measure(&runtime, &target, args, (kind, args.rate * args.seconds))?;
        faults += shared.faults.get();
        first_faults.extend(shared.first.take());
        let times = shared.latency.borrow().percentiles();
        Ok(Measured { times, cpu: mark.used()? })
    };
    let (unread, list, read_all) = (of(Kind::Unread)?, of(Kind::List)?, of(Kind::ReadAll)?);
    Ok(Inbox { people: args.people, rate: args.rate, unread, list, read_all, faults, first_faults })
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    target: &Rc<Target>,
    args: &InboxArgs,
    (kind, requests): (Kind, u64),
) -> Result<Rc<Shared>, Failure> {
    let (address, _) = target.publisher()?;
    let shared = Rc::new(Shared {
        kind,
        begin: Instant::now(),
        begin_ns: monotonic_ns(),
        rate: args.rate,
        requests,
        people: args.people,
        next: Cell::new(0),
        latency: RefCell::new(Latency::new()?),
        faults: Cell::new(0),
        first: RefCell::default(),
    });
    let tasks = LocalSet::new();
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let poster = Poster::new(address.clone(), String::new());
            tasks.spawn_local(Rc::clone(&shared).work(Rc::clone(target), poster))
        })
        .collect();
    runtime.block_on(tasks.run_until(async {
        for worker in workers {
            worker.await.map_err(|_| Failure::Usage("an asking task panicked".into()))??;
        }
        Ok::<(), Failure>(())
    }))?;
    Ok(shared)
}

impl Shared {
    async fn work(self: Rc<Self>, target: Rc<Target>, mut poster: Poster) -> Result<(), Failure> {
        let (method, path, body) = self.kind.request();
        let body = Bytes::from(body);
        loop {
            let number = self.next.replace(self.next.get() + 1);
            if number >= self.requests {
                return Ok(());
            }
            let person = 1 + number.wrapping_mul(2_654_435_761) % self.people;
            poster.speak_as(target.token_with_roles(TENANT, &format!("p{person}"), &ROLES)?);
            let after = Duration::from_micros(number * 1_000_000 / self.rate);
            sleep_until(self.begin + after).await;
            let answer = poster.request(method.clone(), path, body.clone()).await;
            self.latency.borrow_mut().between(self.begin_ns + after.as_nanos() as u64, monotonic_ns());
            let fault = match answer {
                Ok((status, body)) => self.kind.fault(status, &body),
                Err(why) => Some(why),
            };
            if let Some(fault) = fault {
                self.faults.set(self.faults.get() + 1);
                let mut first = self.first.borrow_mut();
                if first.len() < 3 {
                    first.push(fault);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_say_what_was_asked_for() {
        let summary = br#"{"version":1,"unread":3,"unseen":0}"#;
        let list = br#"{"items":[{"seq":1}],"next":null,"version":1,"unread":3,"unseen":0}"#;
        assert_eq!(Kind::Unread.fault(200, summary), None);
        assert_eq!(Kind::List.fault(200, list), None);
        assert_eq!(Kind::ReadAll.fault(200, summary), None);
        assert!(Kind::List.fault(200, summary).is_some() && Kind::Unread.fault(200, list).is_some());
        assert!(Kind::List.fault(200, br#"{"items":[],"unread":0}"#).is_some(), "everybody has some");
        assert!(Kind::Unread.fault(503, summary).is_some() && Kind::Unread.fault(200, b"no").is_some());
    }
}
