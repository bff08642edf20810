//! Does the API keep its contract on a real Postgres?
//!
//! Each file asks one question; [`harness`] starts a private Postgres for all tests of this process and puts the real
//! router, batcher and log together. Redis is not here: what would be announced is collected instead.

#![allow(
    clippy::unwrap_used,
    reason = "what a test prepares may panic; clippy spares only the tests themselves"
)]

mod access;
mod audit;
mod clients;
mod cloudevents;
mod console;
mod contract;
mod event_types;
mod faults;
mod forms;
mod halves;
mod harness;
mod idempotency;
mod inbox;
mod keys;
mod layer;
mod locked;
mod mutations;
mod muted;
mod notices;
mod notices_a_day;
mod nulls;
mod outbox;
mod outbox_cases;
mod position;
mod preferences;
mod program;
mod publish;
mod reading;
mod rules;
mod suspended;
mod templates;
mod tenants;
