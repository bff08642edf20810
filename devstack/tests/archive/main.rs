//! Is a day in the archive, line for line, before retention drops it, whatever dies or is away, and does it come back?
//!
//! Real Postgres, real publishers, a real directory.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;

mod away;
mod copies;
mod dies;
mod system;
