//! A holder within its share notices nobody: for each kind of work a hostile holder runs, and the others' times and
//! refusals are recorded without and with it in one run.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;
#[path = "../support/wire/mod.rs"]
mod wire;

mod bodies;
mod channels;
mod figures;
mod inboxes;
mod keys;
mod listing;
mod loads;
mod maintenance;
mod openings;
mod publishing;
mod reads;
mod replies;
mod sockets;
