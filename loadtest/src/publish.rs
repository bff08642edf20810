//! How many durable events each second does the publisher take over HTTP?

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::cli::PublishArgs;
use crate::clock::{monotonic_ns, run_name};
use crate::failure::Failure;
use crate::http::{Poster, Repeated};
use crate::latency::{Latency, Percentiles};
use crate::procfs::{CpuMark, CpuUsed, allow_files};
use crate::table::{Table, grouped};
use crate::target::Target;

/// Events in a request when nobody says otherwise.
const USUAL_BATCHES: [u32; 2] = [1, 100];

/// What `publish` found.
#[derive(Debug, Serialize)]
pub(crate) struct Publish {
    connections: u32,
    tenants: u32,
    filling_bytes: u32,
    runs: Vec<Run>,
}

/// One measurement with requests of one size.
#[derive(Debug, Serialize)]
struct Run {
    events_in_a_request: u32,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    requests_repeated: Repeated,
    wrong_answers: u64,
    post_to_ack: Percentiles,
    cpu: Vec<CpuUsed>,
}

impl crate::Report for Publish {
    fn table(&self) -> Table {
        let mut table = Table::default();
        for run in &self.runs {
            let each = if run.events_in_a_request == 1 {
                "one event".into()
            } else {
                format!("{} events", run.events_in_a_request)
            };
            table.heading(format!("publish {each} in a request, {} connections", self.connections));
            table.figure(
                "durable events",
                format!("{} ({:.0}/s)", grouped(run.events), run.events_per_second),
            );
            run.post_to_ack.add_to("post to ack", &mut table);
            table.figure("requests repeated", &run.requests_repeated);
            CpuUsed::add_to(&run.cpu, &mut table);
        }
        table
    }

    fn is_right(&self) -> bool {
        self.runs.iter().all(|run| run.wrong_answers == 0 && run.events > 0)
    }
}

/// `carillon-loadtest publish`
pub(crate) fn run(args: &PublishArgs) -> Result<Publish, Failure> {
    allow_files(u64::from(args.connections) + 64)?;
    let target = Target::new(&args.target)?;
    let batches = if args.batches.is_empty() { USUAL_BATCHES.to_vec() } else { args.batches.clone() };
    let runs = batches.into_iter().map(|batch| measure(&target, args, batch)).collect::<Result<_, _>>()?;
    Ok(Publish { connections: args.connections, tenants: args.tenants, filling_bytes: args.bytes, runs })
}

struct Shared {
    deadline: Instant,
    run: String,
    batch: u32,
    tenants: u32,
    filling: String,
    next: Cell<u64>,
    events: Cell<u64>,
    repeated: RefCell<Repeated>,
    wrong: Cell<u64>,
    latency: RefCell<Latency>,
}

fn measure(target: &Target, args: &PublishArgs, batch: u32) -> Result<Run, Failure> {
    let (address, api_key) = target.publisher()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mark = CpuMark::now(&target.pids)?;
    let begun = Instant::now();
    let shared = Rc::new(Shared {
        deadline: begun + Duration::from_secs(args.seconds.into()),
        run: run_name(),
        batch,
        tenants: args.tenants,
        filling: "x".repeat(args.bytes as usize),
        next: Cell::new(0),
        events: Cell::new(0),
        repeated: RefCell::default(),
        wrong: Cell::new(0),
        latency: RefCell::new(Latency::new()?),
    });
    let tasks = LocalSet::new();
    let workers: Vec<_> = (0..args.connections)
        .map(|_| tasks.spawn_local(Rc::clone(&shared).work(Poster::new(address.clone(), api_key.clone()))))
        .collect();
    runtime.block_on(tasks.run_until(async {
        for worker in workers {
            worker.await.map_err(|_| Failure::Publish("a publishing task panicked".into()))??;
        }
        Ok::<(), Failure>(())
    }))?;
    let seconds = begun.elapsed().as_secs_f64();
    let events = shared.events.get();
    Ok(Run {
        events_in_a_request: batch,
        events,
        seconds,
        events_per_second: events as f64 / seconds,
        requests_repeated: shared.repeated.take(),
        wrong_answers: shared.wrong.get(),
        post_to_ack: shared.latency.borrow().percentiles(),
        cpu: mark.used()?,
    })
}

impl Shared {
    async fn work(self: Rc<Self>, mut poster: Poster) -> Result<(), Failure> {
        while Instant::now() < self.deadline {
            let n = self.next.replace(self.next.get() + 1);
            let body = self.body(n).to_string().into();
            let begun = monotonic_ns();
            let answer = poster.post(body).await?;
            self.latency.borrow_mut().between(begun, monotonic_ns());
            if acknowledged(&answer, self.batch) {
                self.events.set(self.events.get() + u64::from(self.batch));
            } else {
                self.wrong.set(self.wrong.get() + 1);
            }
        }
        self.repeated.borrow_mut().merge(poster.repeated);
        Ok(())
    }

    /// The `n`-th request: one event, or an array of them, of one tenant.
    fn body(&self, n: u64) -> Value {
        let tenant = format!("publish-{}-{}", self.run, n % u64::from(self.tenants));
        let event = |place: u32| {
            json!({
                "tenant": tenant, "id": format!("{}-{n}-{place}", self.run), "type": "load.event",
                "tenant_wide": true, "data": {"filling": self.filling},
            })
        };
        if self.batch == 1 { event(0) } else { (0..self.batch).map(event).collect() }
    }
}

/// Whether the answer names a seq for each event, ascending.
fn acknowledged(answer: &[u8], batch: u32) -> bool {
    #[derive(Deserialize)]
    struct Ack {
        seq: u64,
    }
    if batch == 1 {
        return serde_json::from_slice::<Ack>(answer).is_ok_and(|ack| ack.seq > 0);
    }
    serde_json::from_slice::<Vec<Ack>>(answer).is_ok_and(|acks| {
        acks.len() == batch as usize && acks.windows(2).all(|pair| pair[0].seq < pair[1].seq)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_acknowledge_every_event() {
        assert!(acknowledged(br#"{"id":"a","seq":4,"epoch":"e"}"#, 1));
        assert!(!acknowledged(br#"[{"seq":4}]"#, 1));
        assert!(acknowledged(br#"[{"seq":4},{"seq":5}]"#, 2));
        assert!(!acknowledged(br#"[{"seq":4}]"#, 2));
        assert!(!acknowledged(br#"[{"seq":5},{"seq":4}]"#, 2));
    }
}
