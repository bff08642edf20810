//! What stands in a person's inbox, how much of it is unread, and what have they done with it?
//!
//! An inbox is worked out when somebody looks: the notices of the person's channels, less what their watermarks and marks take out.
//! [`state`] reads where a person's watermarks stand, [`rows`] the notices of their channels, newest first, in pieces of bounded length,
//! [`mutes`] decides, without any I/O, which types stand in the inbox, and [`fold`] which notices count and what they are to the person. So the list, the counts and the flags are
//! one computation, and nothing can drift. [`marks`] writes what the person does, and [`notices`] says
//! what became of a notice among all of its people.
//!
//! Statements of one answer are of one version of the inbox, or the answer is made again.

mod fold;
mod marks;
mod mutes;
mod notices;
mod read;
mod rows;
mod state;

pub use fold::{Counts, Item, Shown, View};
pub use marks::{Advanced, Deed, MOST_FOLLOWED, Mark, Marked};
pub use mutes::{InboxRules, TypeSays};
pub use notices::{NoticePerson, NoticeState, NoticeStep, Retracted, Who};
pub use read::{InboxAsk, InboxPage, MOST_COUNTED, MOST_EXACT};
pub use rows::NoticeText;
pub use state::{Inbox, Sight, Watermarks};
