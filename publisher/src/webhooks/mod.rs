//! How do events get to the HTTP endpoints of tenants?
//!
//! A webhook is a cursor on its tenant's log (`carillon_backplane::log`, webhooks). Publishers share the tenants by slots, as projectors
//! do; who holds a slot sends, signed by Standard Webhooks, to addresses that were judged (`carillon_platform::outbound`).
//!
//! | module | question it answers |
//! |---|---|
//! | `dispatcher` | whose turn is it to be sent to? |
//! | `lease` | which slots does this process hold, and until when? |
//! | `turn` | how is one webhook sent to for a while? |
//! | `batch` | what becomes of the events of a batch, and what is to be kept of it? |
//! | `track` | how far may the cursor move while events are under way? |
//! | `attempt` | how is one message sent, and what does the answer mean? |
//! | `schedule` | when is a failed delivery tried again? |
//! | `message` | what is sent of an event, and under which name? |
//! | `missed` | whom does a message about people who did not take note still name? |
//! | `wanted` | which events does a webhook send? |
//! | `notice` | how does a tenant hear that one of its webhooks was disabled? |
//! | `metrics` | what is counted? |
//!
//! **Invariants.** The cursor passes an event only when the receiver has answered 2xx, or a row says how it failed. A sender of an
//! ordered webhook sends an event only when the one before was answered; so whatever dies and whoever takes over, the first time each
//! event arrives they are in order. No connection of the database is held while a request is under way.

mod attempt;
mod batch;
mod dispatcher;
mod lease;
mod message;
mod metrics;
mod missed;
mod notice;
mod schedule;
mod track;
mod turn;
mod wanted;

pub(crate) use attempt::{Attempt, Endpoint, Verdict};
pub use dispatcher::{Hint, Webhooks, start};
pub use metrics::METRICS;
pub(crate) use wanted::wants;
