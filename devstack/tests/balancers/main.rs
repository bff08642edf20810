//! Do the balancers of deploy/ do what they promise, with real sockets?
//!
//! HAProxy, nginx and Envoy run with the very files that are shipped: [`shipped`] fills in this machine's addresses and
//! nothing else. [`carry`] brings 2,000 sockets through death, drain and growth, [`address`] asks whom a gateway believes
//! about a client's address, [`channels`] how many channels fit where, [`outage`] whether publishers that take no events
//! can say why, [`gone`] whether requests end with who sent them, [`unanswered`] what is said when nobody is left, [`paths`] what goes where in every file, [`routes`] what
//! goes where when they run, [`names`] whether DNS alone adds and removes servers, and [`syntax`] whether the balancers
//! themselves accept every file.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;

mod address;
mod carry;
mod channels;
mod gone;
mod names;
mod outage;
mod paths;
mod routes;
mod shipped;
mod syntax;
mod unanswered;
