//! Who is the bearer of this API key, without asking the database each time?
//!
//! | module | question it answers |
//! |---|---|
//! | `text` | what does an API key look like, and how is one made and recognised? |
//! | `cache` | which API keys were looked up a moment ago? |
//! | `flights` | how do all who want the same at the same time get it by one of them? |
//! | [`KeyUses`] | which API keys was it told of lately that they are used? |
//! | [`KeyRing`] | who is it, and when is the database asked? |

mod cache;
mod flights;
mod metrics;
mod ring;
mod text;
mod uses;

pub use metrics::describe as describe_metrics;
pub use ring::{KeyFault, KeyRing};
pub use text::{Fresh, PREFIX};
pub use uses::KeyUses;
