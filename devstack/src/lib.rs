//! Carillon on one machine, for developers and for the system tests.
//!
//! [`stack::Stack`] starts the whole system in a folder: [`postgres`] and [`redis`] of its own, the migrations,
//! publishers, gateways and [`haproxy`]; every child is a [`process::Process`] that can be killed, frozen and
//! restarted, and the links to Postgres and Redis can run through a [`chaos`] proxy that cuts or delays them.
//! [`proof`] runs a workload beside a fault and checks the history of the run.
//! The binary `carillon` ([`cli`], [`command`]) is the same library with a [`state`] file, so that a stack can
//! outlive the terminal that started it.

pub mod authority;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod command;
pub mod environment;
pub mod find;
pub mod haproxy;
mod http;
pub mod info;
pub mod install;
pub mod pgbouncer;
pub mod pgpool;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proof;
pub mod redis;
pub mod stack;
pub mod state;
pub mod token;
pub mod wait;
