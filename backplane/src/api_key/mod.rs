//! Who is the bearer of this API key, without asking the database each time?
//!
//! | module | question it answers |
//! |---|---|
//! | `text` | what does an API key look like, and how is one made and recognised? |
//! | `cache` | which API keys were looked up a moment ago? |
//! | [`KeyRing`] | who is it, and when is the database asked? |

mod cache;
mod ring;
mod text;

pub use ring::{KeyFault, KeyRing};
pub use text::{Fresh, PREFIX};
