//! What does a gateway answer?
//!
//! Every frame but `event` (see [`crate::event::event_frame`]), as the JSON text of one WebSocket message.

use crate::channel::Channel;
use crate::ident::{Epoch, EventId, Seq, TenantId, UserId};
use crate::limits;
pub use crate::naming::naming;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resumed {
    /// At the head: nothing was missed, or no cursor was given.
    Live,
    /// Behind: the missed events follow before live ones.
    Replay,
    /// The cursor could not be honoured; a `reset` frame follows and says why.
    Reset,
}

/// Why continuity is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The cursor is of another history of the log: it was restored or lost its end since, or never reached the cursor.
    EpochChanged,
    /// The log has not the event that the client says it got.
    EventChanged,
    /// The events after the cursor are older than the retention.
    TooOld,
    /// The events after the cursor are the past of a channel that the client may hear and not read back.
    HistoryForbidden,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EpochChanged => "epoch_changed",
            Self::EventChanged => "event_changed",
            Self::TooOld => "too_old",
            Self::HistoryForbidden => "history_forbidden",
        })
    }
}

/// Why a connection is not in a tenant any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DetachReason {
    /// The new token does not name it.
    Token,
    /// An administrator of the tenant has disconnected the user, the device or the connection.
    Disconnected,
    /// The tenant is suspended.
    Suspended,
}

/// What one connection may do, told in `welcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Largest client message, in bytes.
    pub message_bytes: usize,
    /// Most channels a connection may be in.
    pub channels: usize,
    /// Frames a client may send each second, sustained; short bursts of five times as many pass.
    pub frames_per_second: u32,
    /// Most events of history one `subscribe` may ask for.
    pub history: u64,
    /// Largest message the gateway sends, in bytes: what a client's library must take.
    pub frame_bytes: usize,
    /// Largest event that is passed on as a signal, in bytes of JSON.
    pub signal_bytes: usize,
}

impl Limits {
    /// The contract's limits with this node's frame rate.
    pub fn with_frame_rate(frames_per_second: u32) -> Self {
        Self {
            message_bytes: limits::CLIENT_MESSAGE_BYTES,
            channels: limits::CHANNELS_PER_CONNECTION,
            frames_per_second,
            history: limits::HISTORY_EVENTS,
            frame_bytes: limits::SERVER_FRAME_BYTES,
            signal_bytes: limits::SIGNAL_BYTES,
        }
    }
}

/// A frame from the gateway to a client.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerFrame<'a> {
    /// The connection is authenticated, subscribed to its own channels and has a position.
    Welcome {
        /// The id of the `attach` or `switch` that it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// Names this connection in logs and administration.
        connection: &'a str,
        /// The gateway's name.
        node: &'a str,
        /// Whose log.
        tenant: &'a TenantId,
        /// Who is connected.
        user: &'a UserId,
        /// Their roles in this tenant.
        roles: &'a [String],
        /// What the connection is subscribed to.
        channels: &'a [Channel],
        /// The connection's cursor: the head when live, the given `since` when events will be replayed.
        seq: Seq,
        /// The life of the log.
        epoch: &'a Epoch,
        /// How it begins.
        resumed: Resumed,
        /// A client that hears nothing for twice this time should reconnect.
        heartbeat_ms: u64,
        /// Seconds until the token expires.
        expires_in: u64,
        /// What this connection may do.
        limits: Limits,
        /// What somebody has to look after, in words: that this cursor is stuck.
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<&'a str>,
        /// How much of the person's inbox is unread, where that was asked for and could be told: `version`, `unread`, `unseen`, `more`.
        #[serde(skip_serializing_if = "Option::is_none")]
        inbox: Option<&'a RawValue>,
    },
    /// The connection is not in a tenant any more, and did not ask for that.
    Detached {
        /// Which.
        tenant: &'a TenantId,
        /// Why.
        reason: DetachReason,
    },
    /// The cursor was not told for a while.
    Heartbeat {
        /// The connection's cursor.
        seq: Seq,
        /// At once, when the log goes on in another epoch and this connection missed nothing: the cursor is of that one now.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<&'a Epoch>,
    },
    /// Continuity is lost: reload state, go on from here.
    Reset {
        /// Why.
        reason: ResetReason,
        /// The new cursor.
        seq: Seq,
        /// The life of the log.
        epoch: &'a Epoch,
    },
    /// The token expires soon: send `auth` with a new one.
    Expiring {
        /// Milliseconds left.
        in_ms: u64,
    },
    /// Leave, and come back after a delay.
    Goaway {
        /// How long to wait before reconnecting.
        reconnect_ms: u64,
    },
    /// The history a `subscribe` asked for is complete.
    Replayed {
        /// The id of that `subscribe`, `null` if it had none.
        id: Option<&'a RawValue>,
        /// How many `event` frames carried it.
        count: u64,
        /// Whether older events were left out.
        more: bool,
    },
    /// A request was carried out.
    Ok {
        /// The request's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// After `subscribe` and `unsubscribe`: the channels concerned.
        #[serde(skip_serializing_if = "Option::is_none")]
        channels: Option<&'a [Channel]>,
        /// After `subscribe`: live from here on.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        /// After `subscribe`: the life of the log.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<&'a Epoch>,
        /// After `auth`: seconds until the new token expires.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in: Option<u64>,
        /// After `subscribe` with `presence`, and after `presence`: who is in each channel.
        #[serde(skip_serializing_if = "Option::is_none")]
        presence: Option<&'a RawValue>,
    },
    /// Who came and went in a channel, or all that is known of it.
    Presence {
        /// Which channel.
        channel: &'a Channel,
        /// How many people are in it.
        count: usize,
        /// With `members`: this takes the place of all that was told before.
        #[serde(skip_serializing_if = "Option::is_none")]
        sync: Option<bool>,
        /// Who is there.
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<&'a RawValue>,
        /// Who came.
        #[serde(skip_serializing_if = "Option::is_none")]
        joined: Option<&'a RawValue>,
        /// Who went.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<&'a [UserId]>,
        /// Who says something else about themselves.
        #[serde(skip_serializing_if = "Option::is_none")]
        updated: Option<&'a RawValue>,
    },
    /// A request was refused; the connection stays as it was.
    Error {
        /// The request's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// Stable name of the fault.
        code: &'a str,
        /// What is wrong, for people.
        message: &'a str,
        /// With `forbidden`: the channels that may not be joined.
        #[serde(skip_serializing_if = "Option::is_none")]
        channels: Option<&'a [Channel]>,
    },
    /// Somebody says something to those who are connected now.
    Signal {
        /// Where.
        channel: &'a Channel,
        /// Who.
        from: &'a UserId,
        /// What: an object with `type`, and `data` and `id` if it has them.
        event: &'a RawValue,
    },
    /// The person's inbox has moved, or a notice was taken back. What is absent is as it was.
    Inbox {
        /// One more with everything that the person does.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// How much is unread.
        #[serde(skip_serializing_if = "Option::is_none")]
        unread: Option<u64>,
        /// How much of that was not seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        unseen: Option<u64>,
        /// Whether there is more than was counted.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        more: bool,
        /// Everything up to here is read.
        #[serde(skip_serializing_if = "Option::is_none")]
        read_to: Option<Seq>,
        /// Everything up to here was seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        seen_to: Option<Seq>,
        /// Everything up to here is archived.
        #[serde(skip_serializing_if = "Option::is_none")]
        archived_to: Option<Seq>,
        /// Nothing up to here is in the inbox.
        #[serde(skip_serializing_if = "Option::is_none")]
        cleared_to: Option<Seq>,
        /// Entries that are otherwise: `seq`, and what of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        changed: Option<&'a RawValue>,
        /// This notice was taken back: it is in no inbox any more.
        #[serde(skip_serializing_if = "Option::is_none")]
        retracted: Option<Seq>,
        /// What stands in the inbox is otherwise for another reason than a mark: read it again.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        stale: bool,
    },
    /// An event of the client's is in the log.
    #[serde(rename = "ok")]
    Published {
        /// The request's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// The event's own id.
        event: &'a EventId,
        /// Its number.
        seq: Seq,
        /// The epoch of it.
        epoch: &'a Epoch,
    },
    /// A signal was passed on.
    #[serde(rename = "ok")]
    Passed {
        /// The request's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// Whether only those at this node get it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        degraded: bool,
    },
    /// A request may succeed when it comes again later; the connection stays as it was.
    #[serde(rename = "error")]
    TooSoon {
        /// The request's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// Which.
        code: &'a str,
        /// What is wrong, for people.
        message: &'a str,
        /// When there is room again.
        retry_ms: u64,
    },
    /// The answer to `ping`.
    Pong {
        /// The request's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// The connection's cursor.
        seq: Seq,
        /// The node's clock, milliseconds since 1970.
        time: u64,
        /// What the `ping` carried.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
        /// How long the gateway's last own ping took to be answered, in milliseconds; left out until one was.
        #[serde(skip_serializing_if = "Option::is_none")]
        rtt_ms: Option<u32>,
    },
}

impl ServerFrame<'_> {
    /// The connection's cursor, where the frame tells it.
    pub fn cursor(&self) -> Option<Seq> {
        match self {
            Self::Welcome { seq, .. }
            | Self::Heartbeat { seq, .. }
            | Self::Reset { seq, .. }
            | Self::Pong { seq, .. } => Some(*seq),
            // The `seq` of an `ok` belongs to its channels.
            Self::Expiring { .. }
            | Self::Detached { .. }
            | Self::Goaway { .. }
            | Self::Replayed { .. }
            | Self::Ok { .. }
            | Self::Signal { .. }
            | Self::Inbox { .. }
            | Self::Passed { .. }
            | Self::Published { .. }
            | Self::TooSoon { .. }
            | Self::Presence { .. }
            | Self::Error { .. } => None,
        }
    }

    /// Whether it is what a client's frame is answered with.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Ok { .. }
            | Self::Passed { .. }
            | Self::Published { .. }
            | Self::TooSoon { .. }
            | Self::Pong { .. }
            | Self::Error { .. } => true,
            Self::Welcome { .. }
            | Self::Detached { .. }
            | Self::Heartbeat { .. }
            | Self::Reset { .. }
            | Self::Expiring { .. }
            | Self::Goaway { .. }
            | Self::Replayed { .. }
            | Self::Signal { .. }
            | Self::Inbox { .. }
            | Self::Presence { .. } => false,
        }
    }

    /// The tenant that it names in any case.
    fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Welcome { tenant, .. } | Self::Detached { tenant, .. } => Some(tenant),
            _ => None,
        }
    }

    /// The frame's JSON on a connection that is in several tenants, of which it is about this one.
    pub fn to_json_naming(&self, tenant: &TenantId) -> Vec<u8> {
        let json = self.to_json();
        if self.tenant().is_some() { json } else { naming(&json, tenant) }
    }

    /// The frame's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and raw JSON only: nothing in a frame can fail to serialise.
        serde_json::to_vec(self).unwrap_or_else(|error| {
            debug_assert!(false, "a server frame did not serialise: {error}");
            Vec::new()
        })
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
pub(crate) mod tests;
