//! Who may do what in a channel, beyond what their token says?
//!
//! A tenant's channel rules, and the installation's defaults where it has none for a channel. Everything here is a function of
//! values: the services bring the rules from the database.
//!
//! | module | question it answers |
//! |---|---|
//! | [`pattern`] | which channels is a rule for, and which of two patterns says more? |
//! | [`rule`] | what does a rule say? |
//! | [`document`] | how is a rule written, and what is wrong with one? |
//! | [`compiled`] | which rule is for this channel, however many there are? |
//! | [`limits`] | how much may a tenant have and do? |
//! | [`set`] | which rule decides in this tenant, and how? |

pub mod compiled;
pub mod document;
pub mod limits;
pub mod pattern;
pub mod rule;
pub mod set;

pub use compiled::Compiled;
pub use document::{Document, RuleFault, read};
pub use limits::TenantLimits;
pub use pattern::{Pattern, PatternFault};
pub use rule::{Action, Grant, Rule};
pub use set::{Because, Decision, Found, RuleSet, Source};

#[cfg(test)]
mod property_tests;

/// Rules of a tenant at most.
pub const RULES: usize = 1_000;
/// Bytes that all of them have at most, patterns and JSON: a question for them reads them all.
pub const RULES_BYTES: usize = 256 * 1024;
