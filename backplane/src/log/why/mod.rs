//! What is stored about an event and a person that says why it did or did not reach them?
//!
//! | module | question it answers |
//! |---|---|
//! | `event` | does the log have the event, or did it once? |
//! | `person` | which devices and connections had the person when it was committed, and how far are they? |
//! | `notice` | what did the person do with the notice? |
//! | `sent` | which webhooks send it, and how far are they? |
//!
//! Nothing is written: who is asked about has no inbox opened and no device made. Each statement is a few look-ups by key.

mod event;
mod notice;
mod person;
mod sent;

pub use event::{TracedEvent, Untraced};
pub use notice::{TracedNotice, TracedStep};
pub use person::{PersonTrace, TracedConnection, TracedDevice};
pub use sent::{FailedAt, TracedWebhook};
