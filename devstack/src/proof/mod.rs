//! Does the system keep its promises while something is done to it? Named faults, repeatable choices, one checker.
//!
//! | file | question |
//! |---|---|
//! | [`history`] | what happened in one run, as everyone outside saw it? |
//! | [`oracle`] | was every promise kept in a history? |
//! | [`fault`] | what can be done to a running system, and under which name? (`other_redis`, `storm`: two that are longer) |
//! | [`workload`] | what is published, to whom, and what do people do meanwhile? |
//! | [`world`] | what runs in a run, and who uses it? |
//! | [`api`], [`receiver`] | how does it ask publishers, and what comes to webhooks? |
//! | [`run`] | how does one run go? |
//! | `collect` | what is there to be seen when it is quiet? |
//! | [`meddler`], `tamper` | does a run turn red when something is false on the way, or in the database? |
//! | [`result`], [`page`] | what is kept of a run, and what do all of them say? |
//! | [`matrix`] | which faults and attacks are there, and who tries them? |

pub mod api;
mod collect;
pub mod fault;
pub mod history;
pub mod matrix;
pub mod meddler;
pub mod oracle;
mod other_redis;
pub mod page;
pub mod receiver;
pub mod result;
pub mod run;
mod storm;
mod tamper;
pub mod workload;
pub mod world;

#[cfg(test)]
mod mutations_tests;
#[cfg(test)]
mod sound_tests;
