//! What does somebody get, by which means, and when is it quiet for them?
//!
//! | module | question it answers |
//! |---|---|
//! | [`document`] | what does somebody say about what they want to get, and when? |
//! | [`zone`] | what does the clock on somebody's wall say? |
//! | [`quiet`] | is it quiet for somebody now, and until when? |
//! | [`decide`] | would this person get something of this type now, by which means, and why not? |
//!
//! All of it is pure; the same code answers for inboxes, webhooks and the page where it is tried.

pub mod decide;
pub mod document;
pub mod quiet;
pub mod zone;

pub use decide::{Because, Settings, Verdict, Way};
pub use document::{Document, Of};
