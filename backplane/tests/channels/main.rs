//! Are a channel's events found however long the log is, and does the index that finds them say what the log says?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

#[path = "../database/mod.rs"]
mod database;
mod index;
mod leases;
mod projector;
mod search;
