//! After a restore or a failover: is exactly who saw lost events told so?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;

mod failover;
mod restored;
