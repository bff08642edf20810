//! What is a signal?
//!
//! Something that is passed on to those who are connected now and kept by nobody: what a client publishes without the log, and
//! that somebody types.

use crate::channel::Channel;
use crate::ident::UserId;
use bytes::Bytes;

/// Whether somebody has begun to type or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Typing {
    /// They type.
    Start,
    /// They do not type any more.
    Stop,
}

impl Typing {
    /// As frames spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    /// The word of a frame.
    pub fn read(word: &str) -> Option<Self> {
        match word {
            "start" => Some(Self::Start),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}

/// A signal on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Which part of its node has the sender's connection: each says by itself who types.
    pub shard: u16,
    /// Where it goes.
    pub channel: Channel,
    /// Who sent it.
    pub user: UserId,
    /// Whether it is word of somebody's typing, which receivers end by themselves when no more comes.
    pub typing: Option<Typing>,
    /// The JSON of the `signal` frame, as every client gets it.
    pub frame: Bytes,
}
