//! How are events published at a steady rate until somebody says stop, and who learns what was acknowledged?

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use crate::clock::monotonic_ns;
use crate::failure::{Failure, join, spawn};
use crate::http::{Poster, Repeated};
use crate::target::{Address, Target};

/// What is published.
pub(crate) struct Feeding {
    address: Address,
    api_key: String,
    /// They get the events in turn.
    tenants: Vec<String>,
    /// Before the number in each event's id.
    run: String,
    /// Events for each second, over all tenants.
    rate: f64,
    filling: String,
    /// Keep-alive connections.
    workers: u32,
}

/// Events that are being published.
pub(crate) struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Fed, Failure>>,
}

/// What was published.
pub(crate) struct Fed {
    /// Acknowledged events.
    pub(crate) events: u64,
    /// For each second that passed.
    pub(crate) events_per_second: f64,
    /// Requests that had to be repeated.
    pub(crate) repeated: Repeated,
}

struct State {
    next: Cell<u64>,
    acked: Cell<u64>,
    repeated: RefCell<Repeated>,
}

impl Feeding {
    /// Events with this many bytes of filling for these tenants.
    pub(crate) fn new(
        target: &Target,
        tenants: &[String],
        run: &str,
        rate: f64,
        bytes: u32,
    ) -> Result<Self, Failure> {
        let (address, api_key) = target.publisher()?;
        let workers = (rate / 10.0).clamp(4.0, 64.0) as u32;
        let (tenants, run, filling) = (tenants.to_vec(), run.to_owned(), "x".repeat(bytes as usize));
        Ok(Self { address, api_key, tenants, run, rate, filling, workers })
    }

    /// Begins. `acked` is told the tenant's index and the seq of every acknowledged event.
    pub(crate) fn start(self, acked: impl Fn(usize, u64) + Send + 'static) -> Result<Feed, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn("feed", move || self.run(&stopped, Rc::new(acked)))?;
        Ok(Feed { stop, thread })
    }

    fn run(self, stopped: &Arc<AtomicBool>, acked: Rc<dyn Fn(usize, u64)>) -> Result<Fed, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Rc::new(State { next: Cell::new(0), acked: Cell::new(0), repeated: RefCell::default() });
        let (this, tasks, begun) = (Rc::new(self), LocalSet::new(), Instant::now());
        let workers: Vec<_> = (0..this.workers)
            .map(|_| {
                let (this, state, stopped) = (Rc::clone(&this), Rc::clone(&state), Arc::clone(stopped));
                let acked = Rc::clone(&acked);
                tasks.spawn_local(async move { this.work(begun, &state, &stopped, &*acked).await })
            })
            .collect();
        runtime.block_on(tasks.run_until(async {
            for worker in workers {
                worker.await.map_err(|_| Failure::Publish("a publishing task panicked".into()))??;
            }
            Ok::<(), Failure>(())
        }))?;
        let events = state.acked.get();
        Ok(Fed {
            events,
            events_per_second: events as f64 / begun.elapsed().as_secs_f64(),
            repeated: state.repeated.take(),
        })
    }

    async fn work(
        &self,
        begun: Instant,
        state: &State,
        stopped: &AtomicBool,
        acked: &dyn Fn(usize, u64),
    ) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Answer {
            seq: u64,
        }
        let mut poster = Poster::new(self.address.clone(), self.api_key.clone());
        loop {
            let n = state.next.replace(state.next.get() + 1);
            sleep_until(begun + Duration::from_secs_f64(n as f64 / self.rate)).await;
            if stopped.load(Ordering::Relaxed) {
                state.repeated.borrow_mut().merge(poster.repeated);
                return Ok(());
            }
            let tenant = (n % self.tenants.len() as u64) as usize;
            let answer = poster.post(self.body(n, tenant, monotonic_ns())).await?;
            let Answer { seq } = serde_json::from_slice(&answer)
                .map_err(|error| Failure::Publish(format!("an answer of another kind: {error}")))?;
            state.acked.set(state.acked.get() + 1);
            acked(tenant, seq);
        }
    }

    fn body(&self, n: u64, tenant: usize, stamp: u64) -> Bytes {
        event(&self.tenants[tenant], &format!("{}-{n}", self.run), stamp, &self.filling).into()
    }
}

/// One event of a load test, to the whole tenant. The stamp comes early, so that readers need not look far for it.
pub(crate) fn event(tenant: &str, id: &str, stamp: u64, filling: &str) -> String {
    format!(
        r#"{{"tenant":"{tenant}","id":"{id}","type":"load.event","tenant_wide":true,"data":{{"stamp":{stamp},"filling":"{filling}"}}}}"#
    )
}

impl Feed {
    /// Waits for the events that are under way.
    pub(crate) fn stop(self) -> Result<Fed, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        join(self.thread)
    }

    /// Lets time pass; an error when publishing has failed meanwhile, which need not be waited for.
    pub(crate) fn pass(&self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.thread.is_finished() {
                return Err(Failure::Publish("publishing ended early".into()));
            }
            let left = until.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_with_an_early_stamp() {
        let text = event("acme", "r-1", 7, "xx");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["tenant"], &read["data"]["stamp"]), (&"acme".into(), &7.into()));
        assert!(text.find("stamp") < text.find("filling"));
    }
}
