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
pub(crate) mod tests {
    use super::*;

    /// Every frame in every form it has, one a line.
    pub(crate) const FROZEN: &str = r#"{"type":"welcome","id":"a1","connection":"c1","node":"gateway-1","tenant":"acme","user":"42","roles":["admin"],"channels":["tenant"],"seq":41,"epoch":"e1","resumed":"replay","heartbeat_ms":25000,"expires_in":3600,"limits":{"message_bytes":65536,"channels":1000,"frames_per_second":50,"history":1000,"frame_bytes":98304,"signal_bytes":16384},"warning":"stuck"}
{"type":"detached","tenant":"acme","reason":"token"}
{"type":"detached","tenant":"acme","reason":"disconnected"}
{"type":"heartbeat","seq":41}
{"type":"heartbeat","seq":41,"epoch":"e1"}
{"type":"reset","reason":"epoch_changed","seq":7,"epoch":"e1"}
{"type":"reset","reason":"event_changed","seq":7,"epoch":"e1"}
{"type":"reset","reason":"too_old","seq":7,"epoch":"e1"}
{"type":"reset","reason":"history_forbidden","seq":7,"epoch":"e1"}
{"type":"expiring","in_ms":30000}
{"type":"goaway","reconnect_ms":1500}
{"type":"replayed","id":"a1","count":3,"more":false}
{"type":"ok","id":"a1","channels":["tenant"],"seq":41,"epoch":"e1","presence":{"tenant":{"count":0,"members":[]}}}
{"type":"ok","expires_in":60}
{"type":"presence","channel":"tenant","count":1,"joined":[{"user":"42","since":7}],"left":["42"],"updated":[{"user":"42","since":7}]}
{"type":"presence","channel":"tenant","count":1,"sync":true,"members":[{"user":"42","since":7}]}
{"type":"error","code":"forbidden","message":"no","channels":["tenant"]}
{"type":"signal","channel":"tenant","from":"42","event":{"type":"moved"}}
{"type":"ok","id":"a1","degraded":true}
{"type":"ok","id":"a1"}
{"type":"ok","id":"a1","event":"n-1","seq":42,"epoch":"e1"}
{"type":"error","id":"a1","code":"rate_limited","message":"no","retry_ms":80}
{"type":"pong","seq":41,"time":1700000000000,"data":"a1"}
{"type":"pong","seq":41,"time":1700000000000,"rtt_ms":12}"#;

    fn json(frame: &ServerFrame<'_>) -> String {
        String::from_utf8(frame.to_json()).unwrap()
    }

    /// Every frame's wire form, frozen: a difference here is a change of the contract.
    #[test]
    fn the_wire_forms_are_frozen() {
        let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("42").unwrap());
        let (epoch, channels) = (Epoch::new("e1").unwrap(), [Channel::tenant()]);
        let id: Box<RawValue> = serde_json::from_str("\"a1\"").unwrap();
        let event_id = EventId::new("n-1").unwrap();
        let event: Box<RawValue> = serde_json::from_str(r#"{"type":"moved"}"#).unwrap();
        let presence: Box<RawValue> = serde_json::from_str(r#"{"tenant":{"count":0,"members":[]}}"#).unwrap();
        let members: Box<RawValue> = serde_json::from_str(r#"[{"user":"42","since":7}]"#).unwrap();
        let frames = [
            ServerFrame::Welcome {
                id: Some(&id),
                connection: "c1",
                node: "gateway-1",
                tenant: &tenant,
                user: &user,
                roles: &["admin".into()],
                channels: &channels,
                seq: Seq(41),
                epoch: &epoch,
                resumed: Resumed::Replay,
                heartbeat_ms: 25_000,
                expires_in: 3_600,
                limits: Limits::with_frame_rate(50),
                warning: Some("stuck"),
            },
            ServerFrame::Detached { tenant: &tenant, reason: DetachReason::Token },
            ServerFrame::Detached { tenant: &tenant, reason: DetachReason::Disconnected },
            ServerFrame::Heartbeat { seq: Seq(41), epoch: None },
            ServerFrame::Heartbeat { seq: Seq(41), epoch: Some(&epoch) },
            ServerFrame::Reset { reason: ResetReason::EpochChanged, seq: Seq(7), epoch: &epoch },
            ServerFrame::Reset { reason: ResetReason::EventChanged, seq: Seq(7), epoch: &epoch },
            ServerFrame::Reset { reason: ResetReason::TooOld, seq: Seq(7), epoch: &epoch },
            ServerFrame::Reset { reason: ResetReason::HistoryForbidden, seq: Seq(7), epoch: &epoch },
            ServerFrame::Expiring { in_ms: 30_000 },
            ServerFrame::Goaway { reconnect_ms: 1_500 },
            ServerFrame::Replayed { id: Some(&id), count: 3, more: false },
            ServerFrame::Ok {
                id: Some(&id),
                channels: Some(&channels),
                seq: Some(Seq(41)),
                epoch: Some(&epoch),
                expires_in: None,
                presence: Some(&presence),
            },
            ServerFrame::Ok {
                id: None,
                channels: None,
                seq: None,
                epoch: None,
                expires_in: Some(60),
                presence: None,
            },
            ServerFrame::Presence {
                channel: &channels[0],
                count: 1,
                sync: None,
                members: None,
                joined: Some(&members),
                left: Some(std::slice::from_ref(&user)),
                updated: Some(&members),
            },
            ServerFrame::Presence {
                channel: &channels[0],
                count: 1,
                sync: Some(true),
                members: Some(&members),
                joined: None,
                left: None,
                updated: None,
            },
            ServerFrame::Error { id: None, code: "forbidden", message: "no", channels: Some(&channels) },
            ServerFrame::Signal { channel: &Channel::tenant(), from: &user, event: &event },
            ServerFrame::Passed { id: Some(&id), degraded: true },
            ServerFrame::Passed { id: Some(&id), degraded: false },
            ServerFrame::Published { id: Some(&id), event: &event_id, seq: Seq(42), epoch: &epoch },
            ServerFrame::TooSoon { id: Some(&id), code: "rate_limited", message: "no", retry_ms: 80 },
            ServerFrame::Pong {
                id: None,
                seq: Seq(41),
                time: 1_700_000_000_000,
                data: Some(&id),
                rtt_ms: None,
            },
            ServerFrame::Pong {
                id: None,
                seq: Seq(41),
                time: 1_700_000_000_000,
                data: None,
                rtt_ms: Some(12),
            },
        ];
        let lines: Vec<String> = frames.iter().map(json).collect();
        assert_eq!(lines.join("\n"), FROZEN);
    }
}
