//! What do people cost who talk to each other: their signals, what they publish into the log, knowing who
//! is here, and saying how far they are?
//!
//! Everybody is connected to the gateways of one stack, in one channel of a tenant of the run's own, whose rule lets them.
//! What stands beside a figure is measured in the same run with the same connections: a signal beside an event, a `publish`
//! frame beside `POST /v1/events` by the same person, people who watch beside people who only come.

mod acks;
mod durable;
mod member;
mod presence;
mod room;
mod signals;
mod watcher;

pub(crate) use acks::{AcksArgs, run as acks};
pub(crate) use durable::{DurableArgs, run as durable};
pub(crate) use presence::{PresenceArgs, run as presence};
pub(crate) use signals::{SignalsArgs, run as signals};
pub(crate) use watcher::{WatcherArgs, WatcherPartArgs, play as watcher_part, run as watcher};

use std::future::Future;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::procfs::allow_files;

/// Runs a measurement of so many connections on this thread.
fn alone<T>(connections: u32, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    allow_files(u64::from(connections) + 64)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(work))
}
