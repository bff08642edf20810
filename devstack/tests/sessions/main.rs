//! Sessions with Postgres are checked, not believed: whatever stands behind the address, is it named, is nothing lost, and
//! does the system find back without a restart?
//!
//! [`switchover`] moves the primary, [`read_only`] forbids to write, [`isolation`] sets another isolation for the database,
//! [`disk`] fills its disk, [`pooler`] puts a real PgBouncer between, [`pgpool`] a real pgpool, and [`roles`] takes row level
//! security away.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;

mod disk;
mod isolation;
mod pgpool;
mod pooler;
mod read_only;
mod refused;
mod roles;
mod switchover;
