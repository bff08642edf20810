//! Who is in which channel, on all nodes together?
//!
//! Each node says who is connected to it, and nothing else; it knows what the others say. A person is in a channel when any of them
//! says so. One task, the [`task`], owns this node's part of it. Shards tell it who comes and goes, in batches, and get encoded frames
//! for those who watch.
//!
//! | module | question it answers |
//! |---|---|
//! | [`own`] | what does this node say about its own connections in a tenant? (pure) |
//! | [`other`] | what does another node say? (pure) |
//! | [`roster`] | who is in a channel, and what were its watchers told? (pure) |
//! | [`tenant`] | who is in the channels of one tenant, all nodes together? (pure) |
//! | [`state`] | what is to be done when something happens? (pure) |
//! | [`frames`] | what do clients read? |
//! | [`task`] | who asks Redis, hears the others and tells the shards? |

mod frames;
mod other;
mod own;
mod roster;
mod state;
mod task;
mod tenant;

#[cfg(test)]
mod model_tests;

use frames::update_frames;
pub(crate) use frames::{PresenceFrame, presence_json, rest_frames, sync_frames};
pub(crate) use roster::Told;
pub(crate) use state::Event;
pub(crate) use task::{PresenceInbox, PresenceTask, Surroundings};
