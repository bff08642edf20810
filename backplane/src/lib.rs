//! The only code that knows Postgres and Redis.
//!
//! | module | question it answers |
//! |---|---|
//! | [`log`] | how are events appended to a tenant's log, and how are they read back? (Postgres, the truth) |
//! | [`api_key`] | who is the bearer of this API key, without asking Postgres each time? |
//! | [`bus`] | how do gateways hear at once that a log grew? (Redis, the fast path: losing it delays, never loses) |

pub mod api_key;
pub mod bus;
pub mod log;
mod tls;
