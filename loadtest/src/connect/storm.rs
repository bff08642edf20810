//! How are very many short connections made one after another, each checked?

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::clock::monotonic_ns;
use crate::crowd::TOLD;
use crate::failure::Failure;
use crate::glance::{Glance, glance};
use crate::latency::{Latency, Percentiles};
use crate::ledger::Ledger;
use crate::socket::{Arrived, Visit};
use crate::target::Address;
use crate::wire::{Kind, close_code};

/// Longest time for one connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes read at a time.
const READ: usize = 32 * 1024;

/// Where to connect to, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Targets {
    /// Taken in turn.
    pub(super) addresses: Vec<Address>,
    /// Taken in turn.
    pub(super) tokens: Vec<String>,
    /// Loopback addresses to connect from.
    pub(super) sources: u8,
    /// The life of the tenant's log.
    pub(super) epoch: String,
    /// Its last event.
    pub(super) head: u64,
}

/// How many at a time, for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storm {
    pub(super) concurrency: u32,
    pub(super) time: Duration,
}

/// What became of the connections.
pub(super) struct Outcome {
    /// Those that had everything they asked for.
    pub(super) connects: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// Begin of a connect until everything was there.
    pub(super) latency: Percentiles,
    /// Those that failed or were answered wrongly.
    pub(super) faults: u64,
    /// The first of these in words.
    pub(super) told: Vec<String>,
}

struct State {
    number: usize,
    connects: u64,
    latency: Latency,
    faults: u64,
    told: Vec<String>,
}

impl Storm {
    /// Connects with a cursor `replay` events behind the head, again and again.
    pub(super) async fn run(self, targets: &Targets, replay: u64) -> Result<Outcome, Failure> {
        let state = State { number: 0, connects: 0, latency: Latency::new()?, faults: 0, told: Vec::new() };
        let (state, targets, begun) =
            (Rc::new(RefCell::new(state)), Rc::new(targets.clone()), Instant::now());
        let tasks = LocalSet::new();
        for _ in 0..self.concurrency {
            let (state, targets) = (Rc::clone(&state), Rc::clone(&targets));
            tasks.spawn_local(async move {
                let mut bytes = Vec::with_capacity(READ);
                while begun.elapsed() < self.time {
                    let number = state.borrow().number;
                    state.borrow_mut().number += 1;
                    let from = monotonic_ns();
                    let visited = timeout(PATIENCE, targets.visit(number, replay, &mut bytes)).await;
                    let mut state = state.borrow_mut();
                    match visited.unwrap_or_else(|_| Err(format!("not done within {PATIENCE:?}"))) {
                        Ok(()) => {
                            state.connects += 1;
                            state.latency.between(from, monotonic_ns());
                        }
                        Err(why) => {
                            state.faults += 1;
                            if state.told.len() < TOLD {
                                state.told.push(format!("connection {number}: {why}"));
                            }
                        }
                    }
                }
            });
        }
        tasks.await;
        let seconds = begun.elapsed().as_secs_f64();
        let state = state.borrow();
        let State { connects, ref latency, faults, ref told, .. } = *state;
        Ok(Outcome { connects, seconds, latency: latency.percentiles(), faults, told: told.clone() })
    }
}

impl Targets {
    /// One connection: resumes `replay` events behind the head, reads them all, and leaves.
    async fn visit(&self, number: usize, replay: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
        let source = (self.sources > 1).then(|| 1 + (number % usize::from(self.sources)) as u8);
        let visit = Visit {
            address: &self.addresses[number % self.addresses.len()],
            token: &self.tokens[number % self.tokens.len()],
            source,
            receive_buffer: None,
            compress: false,
        };
        let since = self.head - replay;
        let Arrived { mut stream, mut inbox, welcome, early } =
            visit.open(Some((since, &self.epoch))).await?;
        let wanted = if replay == 0 { "live" } else { "replay" };
        if (welcome.seq, welcome.resumed.as_str()) != (since, wanted) {
            return Err(format!(
                "welcomed {} at {} and not {wanted} at {since}",
                welcome.resumed, welcome.seq
            ));
        }
        let mut ledger = Ledger::new(since, welcome.epoch);
        let mut fault = None;
        for (kind, payload) in &early {
            take(*kind, payload, &mut ledger, &mut fault);
        }
        while fault.is_none() && ledger.cursor() < self.head {
            bytes.clear();
            if stream.read_buf(bytes).await.map_err(|error| error.to_string())? == 0 {
                return Err("the connection ended before the last replayed event".into());
            }
            let fed = inbox.feed(bytes, |kind, payload| take(kind, payload, &mut ledger, &mut fault));
            fed.map_err(|fault| fault.to_string())?;
        }
        // A reset instead of a farewell: no port waits for stragglers, and thousands a second do not run out.
        stream.set_zero_linger().map_err(|error| error.to_string())?;
        match fault {
            None if ledger.account(self.head).is_whole() => Ok(()),
            None => Err("not every event came".into()),
            Some(fault) => Err(fault),
        }
    }
}

fn take(kind: Kind, payload: &[u8], ledger: &mut Ledger, fault: &mut Option<String>) {
    let heard = match (kind, glance(payload)) {
        (Kind::Text, Glance::Event { seq, .. }) => ledger.event(seq),
        (Kind::Text, Glance::Quiet) | (Kind::Ping | Kind::Pong, _) => Ok(()),
        (Kind::Text | Kind::Compressed, other) => Err(format!("an unexpected frame: {other:?}")),
        (Kind::Close, _) => Err(format!("closed with {}", close_code(payload))),
    };
    if let Err(why) = heard {
        fault.get_or_insert(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_in_order_are_taken() {
        let event = |seq: u64| format!(r#"{{"type":"event","seq":{seq},"event":{{"data":{{"stamp":1}}}}}}"#);
        let (mut ledger, mut fault) = (Ledger::new(4, "e".into()), None);
        take(Kind::Text, event(5).as_bytes(), &mut ledger, &mut fault);
        take(Kind::Text, br#"{"type":"heartbeat","seq":5}"#, &mut ledger, &mut fault);
        assert_eq!((ledger.cursor(), &fault), (5, &None));
        take(Kind::Text, event(7).as_bytes(), &mut ledger, &mut fault);
        take(Kind::Close, &[0x0f, 0xa1], &mut ledger, &mut fault);
        assert_eq!(fault.as_deref(), Some("seq 7 after 5"), "the first fault is kept");
    }
}
