//! The publisher: takes events over HTTP, commits them to their tenants' logs, and tells the gateways.
//!
//! # The path of an event
//!
//! 1. A client sends `POST /v1/events`. [`http`] bounds what it may send and for how long, and [`access`] proves who
//!    it is: an API key or a user token.
//! 2. [`event`] reads the body. Every fault of every event is collected; if there is one, all are answered and nothing
//!    is stored. Targets (`users`, `roles`, `tenant_wide`) become channels, and the event becomes the compact
//!    CloudEvents JSON that every client will get byte for byte.
//!    [`types`] checks its data by what the tenant says about its type.
//! 3. [`tenants`] makes sure that the tenant exists. The events of the request join the intake of the [`batcher`].
//! 4. The batcher takes whatever is queued and appends it in one statement: per tenant the order of seqs is the order
//!    of commits, without gaps. A repeated idempotency key gets the seq of the first time.
//! 5. After COMMIT the client gets `201` with id, seq and epoch, and the batch goes out to Redis, one envelope for each
//!    tenant. Losing that message delays delivery, for gateways also watch the log; it loses nothing.
//!
//! `GET /v1/events` reads the same log back. While the log does not answer, [`health`] refuses everybody at once.
//! [`worker`] runs what no request asks for: the [`maintenance`] of partitions and keys, and each [`projector`], which
//! reads every log with a stored cursor: one writes the channel index, one counts events by hour.
//! [`preferences`] say what people get, by which means, and when it is quiet for them.
//! [`webhooks`] send events to tenants' endpoints, [`escalations`] tell them who has not taken note of a notice; [`work`] is a process that
//! runs these three and nothing else.
//! [`archive`] copies a day out before retention drops it.
//! [`outbox`] takes into the log what applications publish inside their own transactions.
//! [`stats_feed`] tells pages how the installation is. [`why`] says why an event did or did not reach a person.
//! [`presence`] asks Redis who is in a channel; [`inbox`] tells devices that their person's inbox has moved.
//! [`readiness`] tells probes how this process is, [`subsystems`] back offices how the installation is, [`commits`] when events were
//! committed last, [`usage`] who uses it, and [`serve`] starts and stops all of it in order.

pub mod access;
pub mod archive;
pub mod batcher;
pub mod cli;
pub mod commits;
pub mod config;
pub mod escalations;
pub mod event;
pub mod health;
pub mod http;
pub mod inbox;
pub mod limits;
pub mod maintenance;
mod members;
pub mod metrics;
pub mod outbox;
mod own_event;
pub mod preferences;
pub mod presence;
pub mod projector;
pub mod rates;
pub mod readiness;
pub mod rules;
pub mod serve;
pub mod stats;
pub mod stats_feed;
pub mod subsystems;
pub mod tenants;
pub mod types;
pub mod usage;
pub mod webhooks;
pub mod why;
pub mod work;
pub mod worker;
