//! Who is asking, and what may they do?
//!
//! Two kinds of callers: the bearer of an API key (a service; the backplane's key ring knows the form and spares the
//! database, the platform's `KeyLookups` share it out) and the bearer of a user token (a person; the platform verifies it). [`Caller`] answers for both what they may do
//! in which tenant. The page of the console brings a [`session`]
//! instead, which stands for an API key.

mod caller;
mod gate;
pub mod session;

pub use caller::{Audience, Caller, Entry, Scope, TenantFault};
pub use gate::{Denied, Gate};
