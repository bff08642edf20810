//! Sessions with Postgres are checked, not believed: whatever stands behind the address, is it named, is nothing lost, and
//! does the system find back without a restart?
//!
//! [`switchover`] moves the primary.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;

mod refused;
mod switchover;
