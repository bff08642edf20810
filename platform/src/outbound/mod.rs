//! How is a URL called that a tenant has given?
//!
//! Whoever may administer a tenant chooses where this installation sends requests. So none of them reaches what only the
//! installation's own machines should: the host's name is looked up here, each address is judged, and the connection goes to an
//! address that was judged. Redirects are not followed, no proxy of the environment is used, and an answer is bounded in time
//! and size.
//!
//! | module | question it answers |
//! |---|---|
//! | [`address`] | may a tenant's URL lead to this address? |
//! | [`target`] | may this URL be called, as far as it can be told from the URL? |
//! | [`client`] | how is a request sent, to exactly an address that was judged? |
//! | [`signature`] | how does a receiver know that a request is ours? |
//! | [`config`] | what does the installation allow beyond the public network? |

pub mod address;
pub mod client;
pub mod config;
mod resolver;
pub mod signature;
pub mod target;

pub use client::{Answer, Bounds, CallFault, Outbound, Reply, Wanted};
pub use config::{OutboundConfig, Ports};
pub use signature::SigningSecret;
pub use target::{Target, TargetFault};
