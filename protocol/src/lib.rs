//! What Carillon's parties agree on: names and their limits, channels, frames, close codes and the Redis envelope.
//!
//! No I/O, no clock, no environment. Everything here is a function of values, so all of it is property-tested.
//!
//! | module | question it answers |
//! |---|---|
//! | [`ident`] | what is a tenant, a user, a device, a seq, an epoch, and what may they look like? |
//! | [`connection`] | which connection is meant, among all of an installation? |
//! | [`connection_events`] | what is told of connections and channels? |
//! | [`channel`] | what is a channel, and which channels does a pattern allow? |
//! | [`json`] | is this JSON fit for the log, and what is its compact form? |
//! | [`event`] | how does an event look in the log and on the wire? |
//! | [`compact`] | how does an event look to a client that asked for the compact form? |
//! | [`client`] | what may a client say? |
//! | [`server`] | what does a gateway answer? |
//! | [`naming`] | how does a frame name its tenant, where a connection is in several? |
//! | [`close`] | why does a gateway end a connection, and may the client come back? |
//! | [`signal`] | what is a signal? |
//! | [`envelope`] | how does a batch of events, word of changed settings, or something for live connections travel through Redis? |
//! | [`presence`] | what do gateways tell each other about who is in a channel? |
//! | [`notice`] | what makes an event a notice? |
//! | [`locale`] | which language is a text in, and which does somebody get who reads another one? |
//! | [`epochs`] | is a cursor of an older epoch still good? |
//! | [`settings`] | which settings of a tenant does somebody have? |
//! | [`types`] | which types of events does somebody want? |
//! | [`tag`] | what tells two events apart that have the same number in two logs? |
//! | [`limits`] | how big may anything be? |
//! | [`asyncapi`] | what do the sockets speak, for programs? |

pub mod asyncapi;
pub mod channel;
pub mod client;
pub mod close;
pub mod compact;
pub mod connection;
pub mod connection_events;
pub mod envelope;
pub mod epochs;
pub mod escalation;
pub mod event;
pub mod ident;
pub mod json;
pub mod limits;
pub mod locale;
pub mod naming;
pub mod notice;
pub mod presence;
pub mod server;
pub mod settings;
pub mod signal;
pub mod tag;
pub mod types;

pub use channel::{Channel, ChannelPattern};
pub use close::CloseCode;
pub use connection::{ConnectionName, Except};
pub use epochs::{Began, Epochs};
pub use ident::{Cursor, DeviceId, Epoch, EventId, LastEvent, LatestKey, Seq, TenantId, UserId, WebhookId};
pub use notice::Notice;
pub use settings::SettingsVersion;
pub use signal::{Signal, Typing};
pub use tag::Tag;
pub use types::{TypeFilter, TypePattern};
