//! Which HTTP endpoints get a tenant's events, and how far is each?
//!
//! A webhook is a cursor on the tenant's log: everything up to it was delivered, is not wanted, or is kept as a delivery that
//! failed. There is no queue, and a replay moves the cursor.
//!
//! | module | question it answers |
//! |---|---|
//! | `admin` | what do administrators set, read and ask for? |
//! | `deliveries` | which deliveries failed, and which is sent again? |
//! | `due` | which webhooks have something to send, and what is needed to send it? |
//! | `save` | how is it kept what was delivered and what failed? |
//!
//! A replay makes another `generation`, every change by an administrator another `version`. Whoever delivers names those that were
//! read with the settings: after a replay nothing is written of what was begun before; after another change only how far it came.

mod admin;
mod deliveries;
mod due;
mod save;

pub use admin::{PutWebhook, Replayed, StoredWebhook, WebhookPut};
pub use deliveries::StoredDelivery;
pub use due::{DueWebhook, OpenWebhook, PendingDelivery};
pub use save::{FailedDelivery, WebhookProgress};

/// The name under which publishers hold slots of webhooks.
pub const WEBHOOKS: &str = "webhooks";
